//! `tapedeck inspect`: what a journal or a Parquet file holds.

mod gaps;

use std::path::{Path, PathBuf};

use clap::Args;
use journal::disk::System;
use tapedeck::failure::{Failure, FailureKind};

/// Flags of `tapedeck inspect`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// A data folder, a journal folder, a segment (.seg), a Parquet file or a folder of them.
    path: PathBuf,
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
        if journal.is_dir() {
            print_journal(&journal)?;
        }
        if archive.is_dir() {
            let survey = sinks::parquet::survey(&System, path);
            println!("{}", survey.map_err(|error| unreadable(&error))?);
            print_gaps(&archive)?;
        }
        return Ok(());
    }
    if holds(path, "parquet") { print_parquet(path) } else { print_journal(path) }
}

fn print_journal(path: &Path) -> Result<(), Failure> {
    let report = journal::inspect(&System, path).map_err(|error| unreadable(&error))?;
    println!("{report}");
    match report.is_sound() {
        true => Ok(()),
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

fn print_gaps(archive: &Path) -> Result<(), Failure> {
    let gaps = gaps::read(archive).map_err(|error| {
        unreadable(&format_args!("the gaps in {} cannot be read: {error}", archive.display()))
    })?;
    println!("{} gaps named in data_gaps", gaps.len());
    for gap in gaps.iter().rev().take(GAPS_SHOWN) {
        println!("  {gap}");
    }
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
