//! `tapedeck sinks`: how far each sink is in the journal, and the end of one that will not return.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use journal::disk::System;
use sinks::postgres::{self, Hole, with_session};
use tapedeck::config::{self, Config};
use tapedeck::failure::{Failure, FailureKind};
use tapedeck::lock::Lock;
use tapedeck::logging;
use tapedeck::recorder::known_sinks;

use super::migrate;
use super::record::{environment, say};

/// What is asked of the sinks.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say how far each sink is, and for which the journal keeps its records.
    List(Place),
    /// Let the journal forget a sink that is no longer configured. No recorder may be at work.
    Forget {
        /// The sink.
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Whose sinks.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The configuration (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The recorder's data folder [default: ./data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Does it.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(place) => list(&place.config()?),
        Command::Forget { name, place } => forget(name, &place.config()?),
    }
}

impl Place {
    fn config(&self) -> Result<Config, Failure> {
        let config = config::load(self.config.as_deref(), environment());
        let mut config = config.map_err(|error| Failure::new(FailureKind::Usage, error))?;
        if let Some(data) = &self.data {
            config.journal.data.clone_from(data);
        }
        logging::start(&config.telemetry);
        Ok(config)
    }
}

/// A journal's records that are on the disk.
pub(super) struct Kept {
    pub(super) journal: String,
    pub(super) oldest: u64,
    newest: u64,
}

fn list(config: &Config) -> Result<(), Failure> {
    let data = &config.journal.data;
    let Some(kept) = kept(&data.join("journal"))? else {
        say(&format_args!("{} holds no journal", data.display()));
        return Ok(());
    };
    let Kept { journal, oldest, newest } = &kept;
    say(&format_args!("the journal {journal} holds the records {oldest} to {newest}"));
    let configured = configured(config);
    let known = known_sinks(data);
    let mut trouble = None;
    for name in
        configured.iter().map(|name| (*name).to_owned()).chain(known).collect::<BTreeSet<_>>()
    {
        let far = match (configured.contains(name.as_str()), name.as_str()) {
            (false, _) => {
                Ok(format!("not configured: the journal keeps all for it ({FORGET} {name})"))
            }
            (true, postgres::NAME) => database(config, &kept),
            (true, _) => archive_position(data, journal).map(|at| kept.far(at)),
        };
        match far {
            Ok(far) => say(&format_args!("{name}: {far}")),
            Err(failure) => {
                say(&format_args!("{name}: unknown, see below"));
                trouble = Some(failure);
            }
        }
    }
    trouble.map_or(Ok(()), Err)
}

impl Kept {
    /// How far a position is, in words.
    fn far(&self, position: u64) -> String {
        let behind = self.newest.saturating_sub(position);
        let gone = self.oldest.saturating_sub(position + 1);
        let gone = match gone {
            0 => String::new(),
            gone => format!(", of which {gone} are no longer in the journal"),
        };
        match behind {
            0 => format!("holds everything up to record {position}"),
            _ => format!("holds everything up to record {position}, {behind} behind{gone}"),
        }
    }
}

fn forget(name: &str, config: &Config) -> Result<(), Failure> {
    let usage = |sentence: String| Err(Failure::new(FailureKind::Usage, sentence));
    let data = &config.journal.data;
    let known = known_sinks(data);
    if !known.iter().any(|known| known == name) {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return usage(format!(
            "no sink {name} has a place in {}: there is {known}",
            data.join("sinks").display()
        ));
    }
    if configured(config).contains(name) {
        return usage(format!(
            "the sink {name} is configured and would come back: set enabled = false under \
             [sinks.{name}] first"
        ));
    }
    let archive = data.join("parquet");
    if name == PARQUET && archive.exists() {
        return usage(format!(
            "with the sink parquet the list of its files would go, and files that are not on the \
             list are removed when it comes back: move {} away first",
            archive.display()
        ));
    }
    let _lock = Lock::take(data)?;
    let folder = data.join("sinks").join(name);
    fs::remove_dir_all(&folder).map_err(|error| {
        let sentence = format!("cannot remove {}: {error}", folder.display());
        Failure::new(FailureKind::Storage, sentence)
    })?;
    say(&format_args!("the journal keeps nothing for {name} any more"));
    Ok(())
}

/// The sinks that a recorder with this configuration would write, and that outlive it.
fn configured(config: &Config) -> BTreeSet<&'static str> {
    let archive = config.sinks.parquet.enabled.then_some(PARQUET);
    let database = config.sinks.postgres.target().map(|_| postgres::NAME);
    archive.into_iter().chain(database).collect()
}

/// Looks into the oldest and the newest segment only.
pub(super) fn kept(root: &Path) -> Result<Option<Kept>, Failure> {
    let segments = files(root).into_iter().flat_map(|folder| files(&folder));
    let mut segments: Vec<PathBuf> =
        segments.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
    segments.sort();
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return Ok(None) };
    let look = |path: &Path| {
        let report = journal::inspect(&System, path);
        report.map_err(|error| Failure::new(FailureKind::Storage, error))
    };
    let (first, last) = (look(first)?, look(last)?);
    let kept = first.segments.first().zip(last.segments.last()).map(|(first, last)| Kept {
        journal: last.journal.clone(),
        oldest: first.first_position,
        newest: last.last_position,
    });
    Ok(kept)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn archive_position(data: &Path, journal: &str) -> Result<u64, Failure> {
    let survey = sinks::parquet::survey(&System, data);
    let survey = survey.map_err(|error| Failure::new(FailureKind::Storage, error))?;
    Ok(survey.positions.get(journal).copied().unwrap_or_default())
}

/// How far the database is, and what it lacks of what lies before that.
fn database(config: &Config, kept: &Kept) -> Result<String, Failure> {
    let address = config.sinks.postgres.target().expect("it is configured");
    let trust = migrate::trust(config)?;
    let found = with_session(address, &trust.config, async |client| {
        let position = postgres::position(client, &kept.journal).await?;
        Ok((position.unwrap_or_default(), postgres::holes(client, &kept.journal).await?))
    });
    let (position, holes) = found.map_err(|error| migrate::failure(&error))?;
    if holes.is_empty() {
        return Ok(kept.far(position));
    }
    let behind = kept.newest.saturating_sub(position);
    let lacks: Vec<String> = holes.iter().map(lack).collect();
    let lacks = lacks.join(", ");
    Ok(format!(
        "is at record {position}, {behind} behind, and lacks {lacks}, which the archive may have \
         ({REFILL})"
    ))
}

/// What of a hole is still one, in words.
pub(super) fn lack(hole: &Hole) -> String {
    let records = format!("of the records {} to {}", hole.first_record, hole.last_record);
    match hole.rows() {
        Some(rows) => format!("{} rows {records}", rows.saturating_sub(hole.stored)),
        None => format!("rows {records}"),
    }
}

const PARQUET: &str = "parquet";
const REFILL: &str = "tapedeck refill postgres --from parquet";
const FORGET: &str = "tapedeck sinks forget";
