//! `tapedeck export`: a part of the archive, as files for a back-test.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use schema::{Micros, Partition, tables};
use tapedeck::export::{self, Columns, Export, Format, Glob, Interval, Order, Request};
use tapedeck::failure::{Failure, FailureKind};
use tapedeck::stop::Stop;

use super::record::say;

/// Flags of `tapedeck export`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ended early, by a signal or a full disk, the same command goes on where it \
                        ended; finished, it checks every file and makes anew only those of which \
                        the archive has more by now. OUT/manifest.json says what each file holds \
                        and which gaps it has. A recorder may be at work in DATA. docs/research.md \
                        shows how to read it all."
)]
pub(crate) struct Flags {
    /// The tables, with commas between them (docs/tables.md).
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = tables())]
    table: Vec<String>,
    /// The first instant: 2026-11-24 (00:00 UTC) or 2026-11-24T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = export::instant)]
    from: Micros,
    /// The first instant that is not exported any more.
    #[arg(long, value_name = "TIME", value_parser = export::instant)]
    to: Micros,
    /// Only instruments of this name; * is any text, ? one character. May be given more than once.
    #[arg(long, value_name = "GLOB", value_delimiter = ',', value_parser = Glob::parse)]
    instrument: Vec<Glob>,
    /// How rows are written.
    #[arg(long, value_enum, default_value_t = Format::Parquet)]
    format: Format,
    /// Whose columns: tardis makes tardis.dev's options_chain from option_quotes.
    #[arg(long, value_enum, default_value_t = Columns::Tapedeck)]
    schema: Columns,
    /// The order of a file's rows [default: instrument; received_at with --schema tardis].
    #[arg(long, value_enum)]
    order: Option<Order>,
    /// Where the files go: a new folder, or that of the same export.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The recorder's data folder, or a copy of it.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Memory for sorting, MiB; more rows are sorted on the disk of --out.
    #[arg(long, value_name = "MIB", default_value_t = 128,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    sort_memory: u32,
}

/// Exports, and says what is there and what is missing.
pub(crate) fn run(flags: Flags) -> Result<(), Failure> {
    let usage = |sentence: String| Failure::new(FailureKind::Usage, sentence);
    let interval = Interval::new(flags.from, flags.to).map_err(usage)?;
    let Flags { table, instrument, format, schema, order, out, data, sort_memory, .. } = flags;
    let request =
        Request::new(table, interval, instrument, format, schema, order).map_err(usage)?;
    let stop = Stop::on_signals().map_err(|error| usage(format!("no signals: {error}")))?;
    let export = Export { data, out, request, sort_bytes: (sort_memory as usize) << 20 };
    let account = export.run(&stop)?;
    let manifest = &account.manifest;
    for absence in &manifest.not_held {
        let (from, to) = (absence.from, absence.to);
        eprintln!("tapedeck: {from} to {to} is not in this export: {}", absence.why);
    }
    for hole in &manifest.archive.holes {
        eprintln!("tapedeck: {hole}: rows of any time may be missing");
    }
    say(&format_args!(
        "{} rows in {} files, {} of them made now; {} gaps in this interval; {}",
        manifest.rows(),
        manifest.files.len(),
        account.made,
        manifest.gaps.len(),
        export::Manifest::path(&export.out).display()
    ));
    Ok(())
}

fn tables() -> PossibleValuesParser {
    let kept = tables::ALL.iter().filter(|table| table.partition != Partition::SqlOnly);
    PossibleValuesParser::new(kept.map(|table| table.name))
}
