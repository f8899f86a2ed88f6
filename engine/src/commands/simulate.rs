//! `tapedeck simulate`: be an exchange.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use exchange::{
    Clock, Config, Credentials, Exchange, Faults, Limits, MarketConfig, ReplayConfig, Source,
};
use tapedeck::failure::{Failure, FailureKind};
use tapedeck::stop::Stop;

/// Flags of `tapedeck simulate`.
#[derive(Debug, Args)]
#[command(
    after_help = "With DERIBIT_CLIENT_ID and DERIBIT_CLIENT_SECRET set, that key can log in: \
                        raw channels need it."
)]
pub(crate) struct Flags {
    /// Where to listen; port 0 takes a free one. The address is printed.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// The market's seed: the same seed makes the same market.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How many options are listed, BTC and ETH together.
    #[arg(long, value_name = "N", default_value_t = 1_548)]
    options: usize,
    /// Messages a second, all channels together; 0 for the natural rate.
    #[arg(long, value_name = "N", default_value_t = 0)]
    rate: u32,
    /// Replay a recording (a .jsonl or .jsonl.zst file, or a folder of them) instead of a market.
    #[arg(long, value_name = "PATH")]
    replay: Option<PathBuf>,
    /// What two connections see of one channel: the same frames, or each its own pieces.
    #[arg(long, value_enum, value_name = "KIND", default_value = "identical")]
    frames: Frames,
    /// What 08:00 UTC looks like: what expires is in settlement first, or delivered at once.
    #[arg(long, value_enum, value_name = "ORDER", default_value = "settlement")]
    expiry: Expiry,
    /// Options listed in a day beside those of 08:00 UTC.
    #[arg(long, value_name = "N", default_value_t = 0)]
    strikes: u32,
    /// How fast exchange time runs.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    speed: f64,
    /// Start exchange time here (2026-11-24T07:59:00Z) instead of now.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    clock: Option<i64>,
    /// How many connections an address may have open; the next one gets HTTP 429.
    #[arg(long, value_name = "N", default_value_t = Limits::default().connections_max)]
    connections: usize,
    /// Let everybody ask as often as they like.
    #[arg(long)]
    no_credits: bool,
    /// Let go wrong what this file lists; docs/exchange.md says what that can be.
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Write everything that was sent to this file: the truth that a recording is compared with.
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Serve TLS with this certificate chain (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// End after this time.
    #[arg(long = "for", value_name = "DURATION", value_parser = tapedeck::duration::parse)]
    length: Option<Duration>,
}

/// What two connections see of one channel.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Frames {
    Identical,
    Shifted,
}

/// The order of states at 08:00 UTC.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Expiry {
    Settlement,
    Delivery,
}

/// Serves until the time is over or a signal comes.
pub(crate) fn run(flags: Flags) -> Result<(), Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::new(FailureKind::Usage, error);
    let stop = Stop::on_signals().map_err(|error| usage(&error))?;
    let tls = match (&flags.tls_cert, &flags.tls_key) {
        (Some(cert), Some(key)) => {
            Some(exchange::TlsIdentity { certificate_pem: read(cert)?, key_pem: read(key)? })
        }
        _ => None,
    };
    let clock = match flags.clock {
        Some(start) => Clock::scaled(start, flags.speed),
        None if flags.speed == 1.0 => Clock::system(),
        None => Clock::scaled(Clock::system().now_us(), flags.speed),
    };
    let source = match flags.replay {
        Some(path) => {
            Source::Replay(ReplayConfig { path, speed: flags.speed, ..ReplayConfig::default() })
        }
        None => Source::Market(MarketConfig {
            seed: flags.seed,
            options: flags.options,
            rate: flags.rate,
            frames: match flags.frames {
                Frames::Identical => exchange::Frames::Identical,
                Frames::Shifted => exchange::Frames::Shifted,
            },
            expiry: match flags.expiry {
                Expiry::Settlement => exchange::Expiry::Settlement,
                Expiry::Delivery => exchange::Expiry::Delivery,
            },
            strikes: flags.strikes,
            ..MarketConfig::default()
        }),
    };
    let scheme = if tls.is_some() { "wss" } else { "ws" };
    let config = Config {
        listen: flags.listen,
        tls,
        source,
        clock,
        truth: flags.truth,
        credentials: account(),
        limits: Limits { connections_max: flags.connections, credits: !flags.no_credits },
        faults: flags.faults.as_ref().map(faults).transpose()?.unwrap_or_default(),
    };
    let exchange = Exchange::start(config).map_err(|error| usage(&error))?;
    println!("listening on {scheme}://{}/ws/api/v2", exchange.address());
    let started = std::time::Instant::now();
    while !stop.raised() && flags.length.is_none_or(|length| started.elapsed() < length) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let counts = exchange.counts();
    exchange.stop();
    println!("sent {} frames over {} connections", counts.frames, counts.connections_total);
    match counts.failure {
        Some(failure) => Err(Failure::new(FailureKind::Storage, failure)),
        None => Ok(()),
    }
}

/// The one account of the exchange, if the environment names it.
fn account() -> Option<Credentials> {
    Some(Credentials {
        client_id: std::env::var("DERIBIT_CLIENT_ID").ok()?,
        client_secret: std::env::var("DERIBIT_CLIENT_SECRET").ok()?,
    })
}

fn faults(path: &PathBuf) -> Result<Faults, Failure> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    Faults::parse(&text).map_err(|error| {
        let place = path.display();
        Failure::new(FailureKind::Usage, format_args!("the faults file {place}, {error}"))
    })
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::new(FailureKind::Usage, format_args!("cannot read {}: {error}", path.display()))
    })
}

/// An RFC 3339 instant as microseconds UTC.
fn instant(text: &str) -> Result<i64, String> {
    text.parse::<jiff::Timestamp>()
        .map(jiff::Timestamp::as_microsecond)
        .map_err(|_| format!("{text:?} is not an instant: write 2026-11-24T07:59:00Z"))
}
