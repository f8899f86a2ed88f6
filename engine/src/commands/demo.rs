//! `tapedeck demo`: simulate and record together.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use exchange::{Exchange, MarketConfig, Source};
use tapedeck::config::Config;
use tapedeck::failure::{Failure, FailureKind};
use tapedeck::recorder::{Channels, Part, Recorder, Wishes};
use tapedeck::stop::Stop;
use tapedeck::{duration, logging};

use super::record;

/// Flags of `tapedeck demo`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// How long to record.
    #[arg(long = "for", value_name = "DURATION", default_value = "20s",
          value_parser = duration::parse)]
    length: Duration,
    /// Where the tape is kept [default: data/demo, or data/demo-2, … if that holds a tape].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How many options are listed.
    #[arg(long, value_name = "N", default_value_t = 1_548)]
    options: usize,
    /// The market's seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Simulates and records, then says what was stored and how to read it.
pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let mut config = Config::default();
    // Every demo has a market of its own: one folder must not hold two.
    let data = flags.data.clone().unwrap_or_else(fresh);
    config.journal.data.clone_from(&data);
    logging::start(&config.telemetry);
    let usage = |error: &dyn std::fmt::Display| Failure::new(FailureKind::Usage, error);
    let stop = Stop::on_signals().map_err(|error| usage(&error))?;
    let market =
        MarketConfig { seed: flags.seed, options: flags.options, ..MarketConfig::default() };
    let exchange = Exchange::start(exchange::Config {
        source: Source::Market(market),
        ..exchange::Config::default()
    })
    .map_err(|error| usage(&error))?;
    config.exchange.url = format!("ws://{}/ws/api/v2", exchange.address());
    println!(
        "A simulated exchange with {} options runs at {}; it is being recorded for {} s.",
        flags.options,
        config.exchange.url,
        flags.length.as_secs()
    );
    let (channels, part) = (Channels::Selected, Part::Whole);
    let wishes = Wishes { config, channels, memory: false, raw_frames: None, part };
    let recorder = Recorder::start(&wishes, &stop)?;
    record::watch(&recorder, Some(flags.length), &stop);
    let account = recorder.end()?;
    exchange.stop();
    record::say(&account);
    record::say(&how_to_read(&data.display().to_string()));
    Ok(())
}

/// The first folder of the demo's that holds no tape.
fn fresh() -> PathBuf {
    let numbered = (2..).map(|number| PathBuf::from(format!("data/demo-{number}")));
    let mut folders = std::iter::once(PathBuf::from("data/demo")).chain(numbered);
    folders.find(|folder| !folder.join("journal").exists()).expect("numbers do not end")
}

fn how_to_read(data: &str) -> String {
    format!(
        "Read it, for instance with DuckDB:\n  \
         SELECT instrument, timestamp, best_bid_price, best_ask_price, mark_iv, delta\n  \
         FROM read_parquet('{data}/parquet/option_quotes/*/*/*.parquet', \
         hive_partitioning = true)\n  \
         WHERE currency = 'BTC' ORDER BY timestamp DESC LIMIT 10;\n\
         What the folder holds: tapedeck inspect {data}"
    )
}
