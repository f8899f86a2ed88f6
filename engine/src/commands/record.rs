//! `tapedeck record`: record an exchange.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use tapedeck::config::{self, BookMode, Class, Config, Interval, LogFormat};
use tapedeck::failure::{Failure, FailureKind};
use tapedeck::progress::Progress;
use tapedeck::recorder::{Channels, Part, Recorder, Wishes};
use tapedeck::stop::Stop;
use tapedeck::{duration, logging};

/// Flags of `tapedeck record`. Each lies over the configuration's key of the same meaning.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The configuration (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The exchange's websocket [default: wss://www.deribit.com/ws/api/v2].
    #[arg(long, value_name = "WS_URL")]
    exchange_url: Option<String>,
    /// Where everything is kept [default: ./data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Whose instruments are recorded [default: BTC,ETH].
    #[arg(long, value_delimiter = ',')]
    currency: Vec<String>,
    /// Record only this instrument; may be given more than once.
    #[arg(long, value_name = "NAME")]
    instrument: Vec<String>,
    /// Which classes of channel [default: ticker,trades,perpetual,index].
    #[arg(long, value_delimiter = ',')]
    channels: Vec<Class>,
    /// How much of the order books: off, now and then, or every change [default: sampled].
    #[arg(long, value_name = "MODE")]
    books: Option<BookMode>,
    /// Record exactly these channels: a file with one a line, a recording, or an http address.
    #[arg(long, value_name = "URL|FILE")]
    channels_from: Option<String>,
    /// How often a channel may speak [default: 100ms]. raw needs credentials: DERIBIT_CLIENT_ID and
    /// DERIBIT_CLIENT_SECRET, or files named by …_FILE.
    #[arg(long)]
    interval: Option<Interval>,
    /// Where batches go: parquet, postgres, memory [default: parquet, and postgres where
    /// DATABASE_URL says where].
    #[arg(long, value_delimiter = ',', value_name = "SINK")]
    sink: Vec<String>,
    /// Reader threads, 1 to 64 [default: 1].
    #[arg(long, value_name = "N")]
    readers: Option<u16>,
    /// Answer on http://127.0.0.1:8100, and on 8000 and up for each shard (docs/control.md).
    #[arg(long)]
    control: bool,
    /// Record these shards alone, as a lifecycle says (tapedeck lifecycle, docs/lifecycle.md), and
    /// answer as with --control.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub(crate) shards: Vec<String>,
    /// Trust the certificates of this PEM file alone.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Also keep the verbatim frames, compressed, within this budget.
    #[arg(long, value_name = "BYTES")]
    raw_frames: Option<u64>,
    /// End after this time.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    length: Option<Duration>,
    /// The form of log lines [default: text].
    #[arg(long, value_name = "FORM")]
    log: Option<LogFormat>,
}

/// Records until the time is over, a signal comes or something fails for good.
pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let part = match flags.shards.is_empty() {
        true => Part::Whole,
        false => Part::Shards(flags.shards.clone()),
    };
    run_part(flags, part)
}

/// Does this part of the work until the time is over, a signal comes or something fails for good.
pub(crate) fn run_part(flags: &Flags, part: Part) -> Result<(), Failure> {
    let wishes = flags.wishes(part)?;
    logging::start(&wishes.config.telemetry);
    let stop = Stop::on_signals()
        .map_err(|error| Failure::new(FailureKind::Usage, format_args!("no signals: {error}")))?;
    let recorder = Recorder::start(&wishes, &stop)?;
    watch(&recorder, flags.length, &stop);
    let account = recorder.end()?;
    say(&account);
    Ok(())
}

/// Prints a result. Whoever closed our output does not want it: that is no failure.
pub(crate) fn say(result: &dyn std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{result}");
}

/// Shows progress until it is time to end.
pub(crate) fn watch(recorder: &Recorder, length: Option<Duration>, stop: &Stop) {
    let mut progress = Progress::new();
    let started = Instant::now();
    let over = || length.is_some_and(|length| started.elapsed() >= length);
    while !stop.raised() && !recorder.troubled() && !over() {
        progress.show(recorder);
        std::thread::sleep(LOOK);
    }
    progress.end();
}

/// The variables that are text; the others are none of ours.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

impl Flags {
    fn wishes(&self, part: Part) -> Result<Wishes, Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::new(FailureKind::Usage, error);
        let mut config =
            config::load(self.config.as_deref(), environment()).map_err(|error| usage(&error))?;
        let memory = self.lay_over(&mut config)?;
        config.control.enabled |= matches!(part, Part::Shards(_));
        config.check().map_err(|error| usage(&error))?;
        let channels = match &self.channels_from {
            Some(place) => Channels::From(place.clone()),
            None => Channels::Selected,
        };
        if self.raw_frames.is_some_and(|bytes| bytes < RAW_FRAMES_MIN) {
            return Err(usage(&"--raw-frames is at least 1000000 bytes"));
        }
        if part != Part::Whole && channels != Channels::Selected {
            return Err(usage(&"--channels-from is for one recorder that nobody manages"));
        }
        Ok(Wishes { config, channels, memory, raw_frames: self.raw_frames, part })
    }

    /// Lays the flags over the configuration; whether the memory sink is wished.
    fn lay_over(&self, config: &mut Config) -> Result<bool, Failure> {
        let exchange = &mut config.exchange;
        exchange.url = self.exchange_url.clone().unwrap_or_else(|| exchange.url.clone());
        exchange.interval = self.interval.unwrap_or(exchange.interval);
        config.books.mode = self.books.unwrap_or(config.books.mode);
        if !self.currency.is_empty() {
            exchange.currencies = self.currency.iter().map(|name| name.to_uppercase()).collect();
        }
        if !self.instrument.is_empty() {
            exchange.instruments.clone_from(&self.instrument);
        }
        if !self.channels.is_empty() {
            exchange.channels.clone_from(&self.channels);
        }
        if let Some(readers) = self.readers {
            exchange.readers = toml::Value::Integer(readers.into())
                .try_into()
                .map_err(|error| Failure::new(FailureKind::Usage, error))?;
        }
        if let Some(data) = &self.data {
            config.journal.data.clone_from(data);
        }
        if self.ca_file.is_some() {
            config.tls.ca_file.clone_from(&self.ca_file);
        }
        config.control.enabled |= self.control;
        config.telemetry.log = self.log.unwrap_or(config.telemetry.log);
        if self.sink.is_empty() {
            return Ok(false);
        }
        config.sinks.parquet.enabled = false;
        config.sinks.postgres.enabled = Some(false);
        let mut memory = false;
        for name in &self.sink {
            match name.as_str() {
                "parquet" => config.sinks.parquet.enabled = true,
                "postgres" => config.sinks.postgres.enabled = Some(true),
                "memory" => memory = true,
                _ => {
                    let sentence =
                        format!("there is no sink {name:?}: use parquet, postgres or memory");
                    return Err(Failure::new(FailureKind::Usage, sentence));
                }
            }
        }
        Ok(memory)
    }
}

/// Below this the recording would be one unfinished file after the other.
const RAW_FRAMES_MIN: u64 = 1_000_000;
const LOOK: Duration = Duration::from_millis(100);
