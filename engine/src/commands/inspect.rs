//! `tapedeck inspect`: what a journal or a Parquet file holds.

mod forecast;
mod gaps;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use journal::Report;
use journal::disk::{Disk, System};
use tapedeck::config;
use tapedeck::failure::{Failure, FailureKind};

use super::record::environment;
use forecast::{Forecast, Keep};

/// Flags of `tapedeck inspect`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// A data folder, a journal folder, a segment (.seg), a Parquet file or a folder of them.
    path: PathBuf,
    /// The recorder's configuration (TOML): how long it keeps what, for the disk's forecast.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Reads and prints; changes nothing.
pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let path = &flags.path;
    if !path.exists() {
        let sentence = format!("{} does not exist: name a file or folder", path.display());
        return Err(Failure::new(FailureKind::Usage, sentence));
    }
    let (journal, archive) = (path.join("journal"), path.join("parquet"));
    if journal.is_dir() || archive.is_dir() {
        let report = if journal.is_dir() { Some(print_journal(&journal)?) } else { None };
        if archive.is_dir() {
            let survey = sinks::parquet::survey(&System, path);
            println!("{}", survey.map_err(|error| unreadable(&error))?);
            print_gaps(path)?;
            print_forecast(flags, &archive, report.as_ref())?;
        }
        return Ok(());
    }
    if holds(path, "parquet") { print_parquet(path) } else { print_journal(path).map(drop) }
}

fn print_journal(path: &Path) -> Result<Report, Failure> {
    let report = journal::inspect(&System, path).map_err(|error| unreadable(&error))?;
    println!("{report}");
    match report.is_sound() {
        true => Ok(report),
        false => Err(unreadable(&format_args!(
            "the journal in {} is damaged, as said above: restore it from a copy",
            path.display()
        ))),
    }
}

fn print_parquet(path: &Path) -> Result<(), Failure> {
    let report = sinks::parquet::inspect(path).map_err(|error| unreadable(&error))?;
    println!("{report}");
    match report.unreadable.first() {
        None => Ok(()),
        Some((file, reason)) => Err(unreadable(&format_args!(
            "{} cannot be read as Parquet: {reason} ({} such files)",
            file.display(),
            report.unreadable.len()
        ))),
    }
}

fn print_gaps(data: &Path) -> Result<(), Failure> {
    let gaps = gaps::read(data).map_err(|error| {
        unreadable(&format_args!("the gaps in {} cannot be read: {error}", data.display()))
    })?;
    println!("{} gaps named in data_gaps", gaps.len());
    for gap in gaps.iter().rev().take(GAPS_SHOWN) {
        println!("  {gap}");
    }
    Ok(())
}

/// Nothing is said of a journal on another disk than the archive's.
fn print_forecast(flags: &Flags, archive: &Path, report: Option<&Report>) -> Result<(), Failure> {
    let config = config::load(flags.config.as_deref(), environment());
    let config = config.map_err(|error| Failure::new(FailureKind::Usage, error))?;
    let keep = Keep { days: config.sinks.parquet.keep_days, journal: config.journal.keep };
    let listing = sinks::parquet::list(&System, &flags.path).map_err(|error| unreadable(&error))?;
    let unknown = |error: std::io::Error| {
        unreadable(&format_args!("the disk of {} cannot be asked: {error}", archive.display()))
    };
    let free_bytes = System.free_bytes(archive).map_err(unknown)?;
    let disk = |path: &Path| path.metadata().map(|about| about.dev()).ok();
    let shared = disk(archive) == disk(&flags.path.join("journal"));
    println!("{}", Forecast::new(&listing, report.filter(|_| shared), keep, free_bytes));
    Ok(())
}

fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Storage, error)
}

/// Whether the path is a file of that extension, or a folder with one somewhere below.
fn holds(path: &Path, extension: &str) -> bool {
    if path.is_file() {
        return path.extension().is_some_and(|found| found == extension);
    }
    let Ok(entries) = std::fs::read_dir(path) else { return false };
    entries.flatten().any(|entry| holds(&entry.path(), extension))
}

/// The newest gaps that are printed; all of them are in the table.
const GAPS_SHOWN: usize = 20;
