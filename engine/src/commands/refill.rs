//! `tapedeck refill`: what a database lacks, stored from the archive.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sinks::postgres::{self, Hole, with_session};
use tapedeck::config::{self, Config};
use tapedeck::failure::{Failure, FailureKind};
use tapedeck::logging;
use tapedeck::recorder::Database;
use tapedeck::refill::{Outcome, Refill, archived};
use tapedeck::stop::Stop;

use super::migrate;
use super::record::{environment, say};
use super::sinks::{kept, lack};

/// Flags of `tapedeck refill`. The database is DATABASE_URL, or [sinks.postgres] url.
#[derive(Debug, Args)]
#[command(
    after_help = "The database knows which records it never got: its recorder notes them when it \
                        finds that the journal has let go of them. Each of their rows is stored \
                        once, whatever ends this command; the same command goes on behind what is \
                        stored. A recorder may be at work meanwhile (docs/database.md)."
)]
pub(crate) struct Flags {
    /// The sink that lacks rows.
    #[arg(value_enum)]
    sink: Sink,
    /// Where they are taken from.
    #[arg(long, value_enum)]
    from: Source,
    /// Say what is missing, and store nothing.
    #[arg(long)]
    dry_run: bool,
    /// The configuration (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The recorder's data folder, or a copy of it [default: ./data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sink {
    Postgres,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Source {
    Parquet,
}

/// Fills every hole, and says what is still missing.
pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let (Sink::Postgres, Source::Parquet) = (flags.sink, flags.from);
    let usage = |error: &dyn std::fmt::Display| Failure::new(FailureKind::Usage, error);
    let mut config =
        config::load(flags.config.as_deref(), environment()).map_err(|error| usage(&error))?;
    if let Some(data) = &flags.data {
        config.journal.data.clone_from(data);
    }
    logging::start(&config.telemetry);
    let database = Database::of(&config, &migrate::trust(&config)?)?;
    let database = database.ok_or_else(|| usage(&migrate::NO_ADDRESS))?;
    if !config.journal.data.join("parquet").is_dir() {
        let data = config.journal.data.display();
        return Err(usage(&format_args!(
            "there is no archive in {data}: name a recorder's data folder with --data"
        )));
    }
    if flags.dry_run { look(&config, &database) } else { fill(&config, &database) }
}

fn look(config: &Config, database: &Database) -> Result<(), Failure> {
    let (journal, archived) = archived(&config.journal.data)?;
    let found = with_session(&database.address, &database.trust, async |client| {
        let position = postgres::position(client, &journal).await?;
        Ok((position, postgres::holes(client, &journal).await?))
    });
    let (position, holes) = found.map_err(|error| migrate::failure(&error))?;
    let Some(position) = position else {
        say(&format_args!(
            "the database has nothing of journal {journal}: the rows of the archive's records 1 \
             to {} would be stored",
            archived.position
        ));
        return Ok(());
    };
    hint(config, &journal, position)?;
    if holes.is_empty() {
        say(&format_args!("the database lacks nothing that it knows of, up to record {position}"));
    }
    for hole in &holes {
        say(&format_args!("the database lacks {}", lack(hole)));
    }
    Ok(())
}

fn fill(config: &Config, database: &Database) -> Result<(), Failure> {
    let stop = Stop::on_signals()
        .map_err(|error| Failure::new(FailureKind::Usage, format_args!("no signals: {error}")))?;
    let mut refill = Refill::open(&config.journal.data, database)?;
    hint(config, refill.journal(), refill.position())?;
    if refill.unnoted() > 0 {
        eprintln!(
            "warning: {} rows of data_gaps (sink_away) are of an older tapedeck, which did not \
             note the numbers of the rows that were missing: those are not stored",
            refill.unnoted()
        );
    }
    let mut filled = 0;
    let holes = refill.holes();
    for hole in &holes {
        say(&format_args!("storing {}", lack(hole)));
        match refill.fill(hole, &stop)? {
            Outcome::Filled => filled += 1,
            other => eprintln!("warning: {}", unfilled(hole, &other)),
        }
    }
    say(&format_args!("{} rows stored; {filled} of {} holes filled", refill.rows(), holes.len()));
    match holes.len() - filled {
        0 => Ok(()),
        left => Err(Failure::new(
            FailureKind::Storage,
            format_args!("{left} holes are left; why stands above"),
        )),
    }
}

/// Why a hole is still one.
fn unfilled(hole: &Hole, outcome: &Outcome) -> String {
    let records = format!("the records {} to {}", hole.first_record, hole.last_record);
    match outcome {
        Outcome::Filled => String::new(),
        Outcome::Lacking(rows) => {
            format!("{rows} rows of {records} are in neither this archive nor the database")
        }
        Outcome::Newer(position) => format!(
            "this archive ends with record {position}, and the database lacks {records}: fill it \
             from the recorder's own"
        ),
        Outcome::Unknown => format!(
            "which rows {records} had is not known, since an older tapedeck was the last to write \
             this database before them: nothing of them is stored"
        ),
    }
}

/// What the recorder would find to be missing, it has to find first.
fn hint(config: &Config, journal: &str, position: u64) -> Result<(), Failure> {
    let kept = kept(&config.journal.data.join("journal"))?;
    if let Some(kept) = kept.filter(|kept| kept.journal == journal && kept.oldest > position + 1) {
        eprintln!(
            "warning: the database is at record {position} and the journal begins at {}: start \
             the recorder, which notes what lies between, and run this again",
            kept.oldest
        );
    }
    Ok(())
}
