//! What the modern API answers with: the structs that its description is made from.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::change::Done;
use super::health;
use super::hub::{Hub, Sources};
use super::overview::Overview;
use crate::metrics::{Line, State};
use crate::recent::{GAPS, NOTES_MAX};

/// How the whole recorder is.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Health {
    /// `healthy` or `unhealthy`.
    pub status: String,
    /// When this was said, RFC 3339.
    pub timestamp: String,
    /// Why it is not healthy; those of a shard begin with its name.
    pub reasons: Vec<String>,
    /// Whether every channel that the exchange grants is acknowledged.
    pub ready: bool,
    /// The program's version.
    pub version: String,
    /// Since when it records.
    pub started_at: String,
    /// How full the queue between readers and journal is.
    pub queue_usage_pct: f64,
    /// Rows that the journal was given since the start.
    pub journal_rows: u64,
    /// The journal's last durable record.
    pub durable_records: u64,
    /// Up to when everything received is durable.
    pub durable_until: Option<String>,
    /// Rows of `data_gaps` since the start.
    pub gaps: u64,
    /// The sinks.
    pub sinks: Vec<Sink>,
}

/// How far a sink is.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// Up to which record it has taken what it was given.
    pub accepted_records: u64,
    /// Up to which record everything is durable in it.
    pub durable_records: u64,
    /// Times that it failed and was opened again.
    pub retries: u64,
}

/// A connection and what it listens to.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Shard {
    /// Its name.
    pub name: String,
    /// The currency whose options it records; none for everything else.
    pub currency: Option<String>,
    /// `idle` (nothing to listen to), `connecting`, `subscribing` or `recording`.
    pub state: String,
    /// Why it is not healthy.
    pub reasons: Vec<String>,
    /// Channels that it may have.
    pub capacity: usize,
    /// Channels that it is to have.
    pub goal: u64,
    /// Channels that the exchange has acknowledged.
    pub acknowledged: u64,
    /// Channels that the exchange has refused.
    pub refused: u64,
    /// Messages received.
    pub messages: u64,
    /// Bytes of messages received.
    pub bytes: u64,
    /// Rows made.
    pub rows: u64,
    /// Connections that were tried.
    pub attempts: u64,
    /// Connections that were lost.
    pub lost: u64,
    /// When the newest message came.
    pub last_message: Option<String>,
    /// The newest trouble with its connection, which may be over.
    pub trouble: Option<String>,
}

/// An instrument that the exchange lists.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Instrument {
    /// Its name.
    pub name: String,
    /// The currency under which the exchange lists it.
    pub currency: String,
    /// The exchange's newest word on its state.
    pub state: Option<String>,
    /// The shard that has channels of its own.
    pub shard: Option<String>,
    /// Whether the exchange has acknowledged all of these.
    pub acknowledged: bool,
    /// Whether it was subscribed by hand.
    pub pinned: bool,
    /// Whether it was unsubscribed by hand.
    pub excluded: bool,
}

/// Which shard is to listen to what.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Plan {
    /// Its number: a later plan has a higher one.
    pub generation: u64,
    /// The shards in their order.
    pub shards: Vec<PlannedShard>,
}

/// What has become of instruments that were to go to a shard.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Moved {
    /// Whether all are there.
    pub success: bool,
    /// Those that have gone there.
    pub moved: Vec<String>,
    /// Those that were there before.
    pub already_there: Vec<String>,
    /// Those that are not there, with the reason.
    pub failed: Vec<Failed>,
}

/// An instrument of which a wish was not met.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Failed {
    /// Its name.
    pub instrument: String,
    /// Why.
    pub error: String,
}

/// A shard in a plan.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct PlannedShard {
    /// Its name.
    pub name: String,
    /// Channels that it may have.
    pub capacity: usize,
    /// Channels that it is to have.
    pub channels: Vec<String>,
}

/// The newest rows of `data_gaps` since the start; all of them are in the archive.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Gaps {
    /// Since when rows are noted.
    pub since: String,
    /// Rows since then.
    pub count: u64,
    /// Whether older ones of these are left out here.
    pub truncated: bool,
    /// Rows that are noted at most, those of `lifecycle_events` among them.
    pub rows_max: usize,
    /// The rows, oldest first. Most gaps are told when they are over (docs/gaps.md).
    pub gaps: Vec<Gap>,
}

/// A row of `data_gaps`.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Gap {
    /// From when data may be missing.
    pub start_time: String,
    /// From when data is complete again; missing while the gap is open.
    pub end_time: Option<String>,
    /// Whole seconds between the two.
    pub duration_sec: Option<i64>,
    /// The instrument, or `*` for everything that the shard listens to.
    pub instrument: String,
    /// Why.
    pub cause: String,
    /// The shard that listened.
    pub shard: String,
    /// What exactly is missing.
    pub detail: Option<String>,
    /// When the row was written.
    pub created_at: String,
}

impl Health {
    pub(super) fn of(hub: &Hub) -> Self {
        let Sources { clock, kept, sinks, inlet, .. } = &hub.sources;
        let health = hub.health();
        let reasons = health.all(&hub.names());
        let sink = |(name, progress): &(String, std::sync::Arc<crate::worker::Progress>)| Sink {
            name: name.clone(),
            accepted_records: progress.accepted.get(),
            durable_records: progress.durable.get(),
            retries: progress.retries.get(),
        };
        Self {
            status: health::word(&reasons).to_owned(),
            timestamp: clock.now().utc.to_string(),
            reasons,
            ready: health.ready,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: hub.started.to_string(),
            queue_usage_pct: inlet.usage_pct(),
            journal_rows: kept.rows.get(),
            durable_records: kept.durable.get(),
            durable_until: hub.through().map(|at| at.to_string()),
            gaps: kept.recent.noted().1,
            sinks: sinks.iter().map(sink).collect(),
        }
    }
}

impl Shard {
    pub(super) fn all(hub: &Hub) -> Vec<Self> {
        let (health, overview) = (hub.health(), hub.sources.published.look());
        let shards = hub.sources.shards.iter().enumerate();
        let shards = shards.map(|(place, shard)| {
            let line = &shard.line;
            Self {
                name: line.shard.to_string(),
                currency: shard.currency.clone(),
                state: word(line).to_owned(),
                reasons: health.shards.get(place).cloned().unwrap_or_default(),
                capacity: overview.shards.get(place).map_or(0, |planned| planned.capacity),
                goal: line.goal.get(),
                acknowledged: line.acknowledged.get(),
                refused: line.refused.get(),
                messages: line.messages.get(),
                bytes: line.bytes.get(),
                rows: line.rows.get(),
                attempts: line.attempts.get(),
                lost: line.lost.get(),
                last_message: line.last_message().map(|at| at.to_string()),
                trouble: line.trouble(),
            }
        });
        shards.collect()
    }
}

impl Instrument {
    pub(super) fn all(hub: &Hub) -> Vec<Self> {
        let overview = hub.sources.published.look();
        let homes = overview.homes();
        let boards: Vec<_> =
            hub.sources.shards.iter().map(|shard| shard.board.channels()).collect();
        let instrument = |known: &super::overview::Known| {
            let home = homes.get(known.name.as_str());
            let acknowledged = home.is_some_and(|(place, channels)| {
                let shown = boards.get(*place);
                let shown = |channel| shown.is_some_and(|shown| shown.contains(channel));
                channels.iter().all(|channel| shown(channel))
            });
            Self {
                name: known.name.clone(),
                currency: known.currency.clone(),
                state: known.state.map(|state| state.word().to_owned()),
                shard: home.map(|(place, _)| overview.shards[*place].shard.to_string()),
                acknowledged,
                pinned: known.pinned,
                excluded: known.excluded,
            }
        };
        overview.instruments.iter().map(instrument).collect()
    }
}

impl Plan {
    pub(super) fn of(overview: &Overview) -> Self {
        let shards = overview.shards.iter().map(|planned| PlannedShard {
            name: planned.shard.to_string(),
            capacity: planned.capacity,
            channels: planned.goal.iter().map(String::from).collect(),
        });
        Self { generation: overview.generation, shards: shards.collect() }
    }
}

impl From<Done> for Moved {
    fn from(Done { done, already, failed, .. }: Done) -> Self {
        let success = failed.is_empty();
        Self { success, moved: done, already_there: already, failed: Failed::list(failed) }
    }
}

impl Failed {
    pub(super) fn list(failed: Vec<(String, String)>) -> Vec<Self> {
        failed.into_iter().map(|(instrument, error)| Self { instrument, error }).collect()
    }
}

impl Gaps {
    pub(super) fn of(hub: &Hub) -> Self {
        let recent = &hub.sources.kept.recent;
        let notes = recent.after(0);
        let gaps = notes.iter().filter(|note| note.table == GAPS);
        let gaps: Vec<Gap> =
            gaps.filter_map(|note| serde_json::from_value(note.row.clone().into()).ok()).collect();
        let (_, count) = recent.noted();
        Self {
            since: hub.started.to_string(),
            count,
            truncated: (gaps.len() as u64) < count,
            rows_max: NOTES_MAX,
            gaps,
        }
    }
}

/// What a connection is doing.
pub(super) fn word(line: &Line) -> &'static str {
    match line.state() {
        State::Recording => "recording",
        State::Subscribing => "subscribing",
        State::Connecting if line.goal.get() == 0 => "idle",
        State::Connecting => "connecting",
    }
}
