//! `tapedeck status` and `tapedeck top`: what a recorder says of itself, for people.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use clap::Args;
use serde::de::DeserializeOwned;
use tapedeck::control::views::{Health, Shard};
use tapedeck::failure::{Failure, FailureKind};
use tapedeck::stop::Stop;

use super::record::say;

/// Flags of `tapedeck status` and `tapedeck top`.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Where the recorder answers: its control.listen and control.port.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8100",
        env = "TAPEDECK_STATUS_URL"
    )]
    url: String,
}

/// Prints once. A recorder that is not healthy, or does not answer, is a failure.
pub(crate) fn status(flags: &Flags) -> Result<(), Failure> {
    let seen = Seen::ask(&flags.url)?;
    say(&seen.page(None).trim_end());
    match seen.health.reasons.len() {
        0 => Ok(()),
        reasons => {
            let sentence = format!("the recorder is unhealthy, for {reasons} reasons: see above");
            Err(Failure::new(FailureKind::Unhealthy, sentence))
        }
    }
}

/// Prints again and again, until a signal comes.
pub(crate) fn top(flags: &Flags) -> Result<(), Failure> {
    let stop = Stop::on_signals()
        .map_err(|error| Failure::new(FailureKind::Usage, format_args!("no signals: {error}")))?;
    let mut before: Option<Seen> = None;
    while !stop.raised() {
        let page = match Seen::ask(&flags.url) {
            Ok(seen) => {
                let page = seen.page(before.as_ref());
                before = Some(seen);
                page
            }
            Err(failure) => format!("{failure}\n"),
        };
        // From the upper left corner, each line to its end, then what is below.
        let page = page.replace('\n', "\x1b[K\n");
        let mut out = std::io::stdout();
        if write!(out, "\x1b[H{page}\x1b[J").and_then(|()| out.flush()).is_err() {
            return Ok(());
        }
        let next = Instant::now() + INTERVAL;
        while Instant::now() < next && !stop.raised() {
            std::thread::sleep(LOOK);
        }
    }
    Ok(())
}

/// What a recorder has answered.
struct Seen {
    at: Instant,
    health: Health,
    shards: Vec<Shard>,
}

impl Seen {
    fn ask(url: &str) -> Result<Self, Failure> {
        let url = url.trim_end_matches('/');
        let health = get(&format!("{url}/health"))?;
        let shards = get(&format!("{url}/api/v1/shards"))?;
        Ok(Self { at: Instant::now(), health, shards })
    }

    /// A page for people; with rates, where it is known what was before.
    fn page(&self, before: Option<&Self>) -> String {
        let Self { health, shards, .. } = self;
        let mut page = String::new();
        let until = health.durable_until.as_deref().unwrap_or("nothing yet");
        let _ = write!(
            page,
            "tapedeck {} at {}: {}\n\
             since {}, durable until {until}, queue {:.0} %, {} gap rows\n\n",
            health.version,
            health.timestamp,
            health.status,
            health.started_at,
            health.queue_usage_pct,
            health.gaps,
        );
        let rate = if before.is_some() { "rows/s" } else { "" };
        let _ = writeln!(
            page,
            "{:<20} {:<12} {:>11} {:>7} {:>6} {:>12} {:>8}",
            "shard", "state", "channels", "refused", "lost", "rows", rate
        );
        for shard in shards {
            let channels = format!("{}/{}", shard.acknowledged, shard.goal);
            let rate = before.and_then(|before| self.rate(shard, before));
            let rate = rate.map(|rate| format!("{rate:.0}")).unwrap_or_default();
            let _ = writeln!(
                page,
                "{:<20} {:<12} {channels:>11} {:>7} {:>6} {:>12} {rate:>8}",
                shard.name, shard.state, shard.refused, shard.lost, shard.rows
            );
        }
        page.push('\n');
        for sink in &health.sinks {
            let behind = health.durable_records.saturating_sub(sink.accepted_records);
            let _ = writeln!(
                page,
                "sink {}: durable up to record {} of {}, {behind} waiting, {} retries",
                sink.name, sink.durable_records, health.durable_records, sink.retries
            );
        }
        for reason in &health.reasons {
            let _ = writeln!(page, "unhealthy: {reason}");
        }
        page
    }

    fn rate(&self, shard: &Shard, before: &Self) -> Option<f64> {
        let old = before.shards.iter().find(|old| old.name == shard.name)?;
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        Some(shard.rows.saturating_sub(old.rows) as f64 / seconds.max(0.001))
    }
}

/// An answer, whatever its status code says.
fn get<T: DeserializeOwned>(url: &str) -> Result<T, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        let sentence = format!(
            "no recorder answers at {url}: {why}; it answers where control.enabled is true, and \
             --url says where that is"
        );
        Failure::new(FailureKind::Unhealthy, sentence)
    };
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut answer = agent.get(url).call().map_err(|error| failed(&error))?;
    let text = answer.body_mut().read_to_string().map_err(|error| failed(&error))?;
    serde_json::from_str(&text).map_err(|error| failed(&error))
}

const INTERVAL: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_secs(5);
