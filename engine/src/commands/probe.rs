//! `tapedeck probe`: try each uncertain fact about the exchange against the live exchange.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tapedeck::clock::Clock;
use tapedeck::duration;
use tapedeck::endpoint::Endpoint;
use tapedeck::failure::{Failure, FailureKind};
use tapedeck::probe::{Probe, Report, Verdict};
use tapedeck::stop::Stop;
use tapedeck::tls::Trust;

/// Flags of `tapedeck probe`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The exchange's websocket.
    #[arg(long, value_name = "WS_URL", default_value = "wss://www.deribit.com/ws/api/v2")]
    exchange_url: String,
    /// Trust the certificates of this PEM file alone.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How long to ask and listen.
    #[arg(long = "for", value_name = "DURATION", default_value = "60s",
          value_parser = duration::parse)]
    length: Duration,
    /// Where the bundle goes [default: tapedeck-probe-TIME.json].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Asks, listens, prints a line for every fact and writes the bundle.
pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::new(FailureKind::Usage, error);
    let endpoint = Endpoint::parse(&flags.exchange_url).map_err(|error| usage(&error))?;
    let trust = Trust::of(flags.ca_file.as_deref()).map_err(|error| usage(&error))?;
    let stop = Stop::on_signals().map_err(|error| usage(&error))?;
    let path = flags.out.clone().unwrap_or_else(unnamed);
    let storage = |error: io::Error| {
        let sentence = format!("cannot write {}: {error}", path.display());
        Failure::new(FailureKind::Storage, sentence)
    };
    // Before a minute is spent on what cannot be kept.
    let existed = path.exists();
    let file = open(&path).map_err(storage)?;
    let host = endpoint.host.clone();
    let seconds = flags.length.as_secs_f64();
    println!("asking {host} and listening to it for {seconds} s: public methods only, no login");
    let report = Probe::new(endpoint, trust, flags.length, stop).run().map_err(|error| {
        if !existed {
            let _ = fs::remove_file(&path);
        }
        Failure::new(FailureKind::Exchange, format_args!("cannot probe {host}: {error}"))
    })?;
    show(&report);
    write(file, &report).map_err(storage)?;
    println!("the bundle is {}", path.display());
    Ok(())
}

fn show(report: &Report) {
    for (fact, finding) in report.findings() {
        let (word, section) = (finding.verdict.word(), fact.section);
        println!("{word:<9}  {:<20} §{section:<3} {} ({})", fact.id, fact.sentence, finding.seen);
    }
    let count = |verdict| {
        report.findings().iter().filter(|(_, finding)| finding.verdict == verdict).count()
    };
    println!(
        "{} confirmed, {} different, {} not seen, {} not tried",
        count(Verdict::Confirmed),
        count(Verdict::Different),
        count(Verdict::NotSeen),
        count(Verdict::NotTried),
    );
}

/// Leaves what the file held until there is something better.
fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).write(true).truncate(false).open(path)
}

fn write(mut file: File, report: &Report) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(&report.bundle())?;
    text.push(b'\n');
    file.set_len(0)?;
    file.write_all(&text)?;
    file.sync_all()
}

/// A name that sorts by time: `tapedeck-probe-2026-11-24T07-59-00Z.json`.
fn unnamed() -> PathBuf {
    let time = Clock::system().now().utc.to_string();
    let time = time.split('.').next().unwrap_or_default().replace(':', "-");
    format!("tapedeck-probe-{time}Z.json").into()
}
