//! The program: its commands, their flags, their exit codes.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands::{
    demo, export, inspect, lifecycle, migrate, probe, record, refill, simulate, sinks, status,
};

/// Fast, and gives memory back: a recorder runs for years.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records the whole options tape of a crypto derivatives exchange and loses nothing silently.
#[derive(Debug, Parser)]
#[command(
    name = "tapedeck",
    version,
    after_help = "Exit codes: 0 done, 1 the recorder that was asked is not healthy, 2 usage or \
                  configuration, 3 exchange, 4 storage, 5 database, 6 the data folder is in use, \
                  130 ended by a signal before it was done."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record an exchange until the time is over or a signal comes.
    Record(record::Flags),
    /// Say what recorders elsewhere record, each of them started with --shards.
    Lifecycle(lifecycle::Flags),
    /// Be an exchange: a simulated market, or the replay of a recording.
    Simulate(simulate::Flags),
    /// Simulate and record together, without a network, and say what was stored.
    Demo(demo::Flags),
    /// Say what a journal or a Parquet file holds: rows, time range, gaps, torn tails.
    Inspect(inspect::Flags),
    /// Write a part of the archive to files of their own: Parquet, CSV or Arrow, for a back-test.
    Export(export::Flags),
    /// Make the database what this program needs: tables, chunks, views.
    Migrate(migrate::Flags),
    /// Store from the archive what a database lacks because it is new or was restored.
    Refill(refill::Flags),
    /// Say how far each sink is in the journal, or forget one.
    #[command(subcommand)]
    Sinks(sinks::Command),
    /// Say how a recorder is that answers on its control API; exit code 1 if it is not healthy.
    Status(status::Flags),
    /// The same again each second, with rates.
    Top(status::Flags),
    /// Try each uncertain fact about the exchange against the live exchange.
    Probe(probe::Flags),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Record(flags) => record::run(&flags),
        Command::Lifecycle(flags) => lifecycle::run(&flags),
        Command::Simulate(flags) => simulate::run(flags),
        Command::Demo(flags) => demo::run(&flags),
        Command::Inspect(flags) => inspect::run(&flags),
        Command::Export(flags) => export::run(flags),
        Command::Migrate(flags) => migrate::run(&flags),
        Command::Refill(flags) => refill::run(&flags),
        Command::Sinks(command) => sinks::run(&command),
        Command::Status(flags) => status::status(&flags),
        Command::Top(flags) => status::top(&flags),
        Command::Probe(flags) => probe::run(&flags),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tapedeck: {failure}");
            failure.exit_code()
        }
    }
}
