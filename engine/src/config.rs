//! The configuration: one TOML file, overlaid by the environment, overlaid by flags.
//!
//! Precedence, highest first: flags, `TAPEDECK_SECTION__KEY`, the predecessor's variables, the
//! file, the defaults. Everything is typed here, once; a key that nobody knows is an error.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use sinks::postgres::Address;

use crate::driver::Wish;
use crate::duration;

mod books;
mod control;
mod layers;

pub use books::{BookMode, Books};
pub use control::Control;
pub use layers::{ConfigError, load};

/// Everything that can be configured. Every key has a default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is listened to, and how.
    pub exchange: Exchange,
    /// Whom to trust.
    pub tls: Tls,
    /// How channels are spread over connections; empty for the standard shards.
    pub shards: Vec<Shard>,
    /// How much is recorded of the order books.
    pub books: Books,
    /// How the list of instruments is followed.
    pub lifecycle: Lifecycle,
    /// The durable log.
    pub journal: Journal,
    /// Where batches go.
    pub sinks: Sinks,
    /// Questions and wishes while it records.
    pub control: Control,
    /// Logs.
    pub telemetry: Telemetry,
}

/// `[exchange]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exchange {
    /// The websocket's address.
    pub url: String,
    /// The REST base; derived from `url` when missing.
    pub rest_url: Option<String>,
    /// Whose instruments are recorded, in capitals.
    pub currencies: Vec<String>,
    /// Only these instruments, if any are named.
    pub instruments: Vec<String>,
    /// Which classes of channel are recorded.
    pub channels: Vec<Class>,
    /// How often a channel may speak.
    pub interval: Interval,
    /// Reader threads.
    pub readers: Readers,
    /// What the readers run on.
    pub io: Wish,
    /// A pause after a wake-up, so that one turn handles several messages; at most 10 ms.
    #[serde(with = "duration")]
    pub read_coalesce: Duration,
    /// A row waits at most this long for its batch to be handed to the journal.
    #[serde(with = "duration")]
    pub batch_age_max: Duration,
    /// Bytes that may wait between readers and journal.
    pub queue_bytes_max: usize,
}

/// A class of channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// `ticker.X`: quotes, greeks, open interest.
    Ticker,
    /// `trades.X`.
    Trades,
    /// `book.X`: every change of the order book; the same as `books.mode = "incremental"`.
    Book,
    /// `perpetual.X`: interest.
    Perpetual,
    /// `deribit_price_index.X`.
    Index,
}

/// The interval of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
pub enum Interval {
    /// At most one message in 100 ms.
    #[default]
    #[serde(rename = "100ms")]
    #[value(name = "100ms")]
    Ms100,
    /// Every message; needs credentials.
    #[serde(rename = "raw")]
    Raw,
    /// About one message a second.
    #[serde(rename = "agg2")]
    Agg2,
}

/// How many reader threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum Readers {
    /// One: the whole market costs a few percent of a core.
    #[default]
    Auto,
    /// So many, 1 to 64.
    Count(u16),
}

/// `[tls]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Trust the certificates of this PEM file alone, instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// One entry of `[[shards]]`: a group of connections.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// The group's name; its connections are `NAME-0`, `NAME-1`, …
    pub name: String,
    /// What it listens to: `BTC` for the options of a currency; missing for everything else.
    #[serde(default)]
    pub currency: Option<String>,
    /// Connections.
    pub count: usize,
    /// Channels a connection may have.
    #[serde(default = "capacity")]
    pub capacity: usize,
}

/// `[lifecycle]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lifecycle {
    /// The exchange's lists are asked for at least this often; right after 08:00 UTC more often.
    #[serde(with = "duration")]
    pub refresh: Duration,
    /// An instrument is recorded this long after its final state, or after its expiry when the
    /// exchange lists it no longer.
    #[serde(with = "duration")]
    pub linger: Duration,
}

/// `[journal]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journal {
    /// Everything is kept below this folder.
    pub data: PathBuf,
    /// At most this much received data can be lost to a power cut.
    #[serde(with = "duration")]
    pub sync_interval: Duration,
    /// A segment ends when it is this large.
    pub segment_bytes_max: u64,
    /// Segments are kept at least this long, even when every sink is past them.
    #[serde(with = "duration")]
    pub keep: Duration,
}

/// `[sinks]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sinks {
    /// The archive.
    pub parquet: Parquet,
    /// The database.
    pub postgres: Postgres,
}

/// `[sinks.postgres]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// Whether the database is written; if missing, it is when `url` is there.
    pub enabled: Option<bool>,
    /// Where the database is; `DATABASE_URL` says it too.
    pub url: Option<Address>,
    /// Trust the certificates of this PEM file alone; if missing, those that `[tls]` trusts.
    pub ca_file: Option<PathBuf>,
    /// Whether the recorder brings the database to the shape that it needs.
    pub migrate: bool,
    /// Rows wait at most this long for their transaction.
    #[serde(with = "duration")]
    pub commit_age_max: Duration,
    /// A transaction is made when this much waits.
    pub transaction_bytes_max: usize,
    /// Chunks older than this are compressed, where TimescaleDB is.
    #[serde(with = "duration::optional")]
    pub compress_after: Option<Duration>,
}

/// `[sinks.parquet]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parquet {
    /// Whether the archive is written.
    pub enabled: bool,
    /// A file is written at least this often.
    #[serde(with = "duration")]
    pub file_age_max: Duration,
    /// A file is written when this much is buffered.
    pub buffer_bytes_max: usize,
    /// Days are removed so many days after their end; missing for never.
    pub keep_days: Option<u32>,
}

/// `[telemetry]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Text for people, or JSON for machines.
    pub log: LogFormat,
    /// error, warn, info or debug.
    pub level: Level,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Level {
    /// Only what needs somebody.
    Error,
    /// What may need somebody.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// What is decided.
    Debug,
}

/// In any case, and under the names that the predecessor's users know.
impl TryFrom<String> for Level {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.to_lowercase().as_str() {
            "error" | "critical" => Ok(Self::Error),
            "warn" | "warning" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" | "trace" => Ok(Self::Debug),
            _ => Err(format!("{text:?} is no log level: use error, warn, info or debug")),
        }
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            url: DERIBIT.into(),
            rest_url: None,
            currencies: vec!["BTC".into(), "ETH".into()],
            instruments: Vec::new(),
            channels: vec![Class::Ticker, Class::Trades, Class::Perpetual, Class::Index],
            interval: Interval::default(),
            readers: Readers::default(),
            io: Wish::default(),
            read_coalesce: Duration::from_millis(2),
            batch_age_max: Duration::from_millis(250),
            queue_bytes_max: 32 << 20,
        }
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self { refresh: Duration::from_secs(300), linger: Duration::from_secs(300) }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            data: "data".into(),
            sync_interval: Duration::from_secs(1),
            segment_bytes_max: 64 << 20,
            keep: Duration::from_secs(48 * 3600),
        }
    }
}

impl Default for Parquet {
    fn default() -> Self {
        Self {
            enabled: true,
            file_age_max: Duration::from_secs(600),
            buffer_bytes_max: 16 << 20,
            keep_days: None,
        }
    }
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            enabled: None,
            url: None,
            ca_file: None,
            migrate: true,
            commit_age_max: Duration::from_secs(1),
            transaction_bytes_max: 16 << 20,
            compress_after: None,
        }
    }
}

impl Postgres {
    /// Where the database is, if it is written.
    #[must_use]
    pub fn target(&self) -> Option<&Address> {
        self.url.as_ref().filter(|_| self.enabled != Some(false))
    }
}

impl Config {
    /// How much is recorded of the books: `books.mode`, unless the class `book` is among the
    /// channels, which asks for every change.
    #[must_use]
    pub fn book_mode(&self) -> BookMode {
        match self.exchange.channels.contains(&Class::Book) {
            true => BookMode::Incremental,
            false => self.books.mode,
        }
    }

    /// The shard groups: those configured, or the predecessor's names and sizes; twice as many
    /// connections when each instrument has a book's channel too.
    #[must_use]
    pub fn shard_groups(&self) -> Vec<Shard> {
        if !self.shards.is_empty() {
            return self.shards.clone();
        }
        let group = |name: &str, currency: Option<&str>, count| Shard {
            name: name.into(),
            currency: currency.map(Into::into),
            count,
            capacity: CAPACITY,
        };
        let options = |currency: &String| {
            let count = if currency == "BTC" { 3 } else { 4 };
            let times = if self.book_mode() == BookMode::Incremental { 2 } else { 1 };
            group(&format!("{}-options", currency.to_lowercase()), Some(currency), count * times)
        };
        let mut groups: Vec<Shard> = self.exchange.currencies.iter().map(options).collect();
        groups.push(group("perpetuals", None, 1));
        groups
    }

    /// Refuses values that cannot work together.
    ///
    /// # Errors
    /// One sentence that names the key.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |text: &str| Err(ConfigError::Value(text.to_owned()));
        if self.exchange.read_coalesce > COALESCE_MAX {
            return refuse("exchange.read_coalesce is at most 10ms");
        }
        if self.exchange.queue_bytes_max < 8 << 20 {
            return refuse("exchange.queue_bytes_max is at least 8388608");
        }
        if self.exchange.batch_age_max > BATCH_AGE_MAX {
            return refuse("exchange.batch_age_max is at most 5s");
        }
        self.books.check()?;
        if self.lifecycle.refresh < Duration::from_secs(1) {
            return refuse("lifecycle.refresh is at least 1s");
        }
        if self.journal.sync_interval < Duration::from_millis(10) {
            return refuse("journal.sync_interval is at least 10ms");
        }
        if self.journal.segment_bytes_max < 1 << 20 {
            return refuse("journal.segment_bytes_max is at least 1048576");
        }
        let parquet = &self.sinks.parquet;
        if parquet.file_age_max < Duration::from_secs(1) || parquet.buffer_bytes_max < 1 << 20 {
            return refuse("sinks.parquet.file_age_max is at least 1s, buffer_bytes_max 1048576");
        }
        if parquet.keep_days == Some(0) {
            return refuse("sinks.parquet.keep_days is at least 1; without it days stay for ever");
        }
        let postgres = &self.sinks.postgres;
        if postgres.enabled == Some(true) && postgres.url.is_none() {
            return refuse("sinks.postgres has no url: set it, or DATABASE_URL");
        }
        if postgres.commit_age_max > COMMIT_AGE_MAX || postgres.transaction_bytes_max < 1 << 20 {
            return refuse(
                "sinks.postgres.commit_age_max is at most 60s, transaction_bytes_max at least \
                 1048576",
            );
        }
        if self.exchange.channels.is_empty() {
            return refuse("exchange.channels names no channel: nothing would be recorded");
        }
        if self.shard_groups().iter().any(|shard| shard.count == 0 || shard.capacity == 0) {
            return refuse("a shard's count and capacity are at least 1");
        }
        let connections = self.shard_groups().iter().map(|shard| shard.count).sum::<usize>();
        if connections > CONNECTIONS_MAX {
            return refuse(
                "the shards have more than 32 connections, the exchange's limit an address",
            );
        }
        self.control.check(connections)
    }
}

impl TryFrom<toml::Value> for Readers {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let count = match &value {
            toml::Value::String(text) if text == "auto" => return Ok(Self::Auto),
            toml::Value::Integer(count) => u16::try_from(*count).ok(),
            _ => None,
        };
        match count {
            Some(count @ 1..=64) => Ok(Self::Count(count)),
            _ => Err(format!("readers is \"auto\" or 1 to 64, not {value}")),
        }
    }
}

impl Readers {
    /// How many threads that is.
    #[must_use]
    pub fn count(self) -> u16 {
        match self {
            Self::Auto => 1,
            Self::Count(count) => count,
        }
    }
}

impl Interval {
    /// As channels spell it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Ms100 => "100ms",
            Self::Raw => "raw",
            Self::Agg2 => "agg2",
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

fn capacity() -> usize {
    CAPACITY
}

/// The exchange's public websocket (PROTOCOL: endpoints).
pub const DERIBIT: &str = "wss://www.deribit.com/ws/api/v2";
const CAPACITY: usize = 500;
const BATCH_AGE_MAX: Duration = Duration::from_secs(5);
const COMMIT_AGE_MAX: Duration = Duration::from_secs(60);
const COALESCE_MAX: Duration = Duration::from_millis(10);
/// Simultaneous connections from one address (PROTOCOL: limits).
const CONNECTIONS_MAX: usize = 32;
