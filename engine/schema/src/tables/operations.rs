//! What the recorder says about its own work: gaps, events, status, quarantine.

use crate::{Json, Micros, Name, Partition, SqlName, Text, table};

table! {
    /// A span of time in which data was lost, or may have been. A span without a row here is
    /// complete as far as the recorder could see.
    pub struct DataGap in "data_gaps" {
        time: "start_time",
        identity: ["shard", "instrument", "start_time", "cause"],
        partition: Partition::Date,
        sql: SqlName::One("data_gaps"),
    }
    /// From when data may be missing.
    start_time: Micros, Instant;
    /// When this row was written.
    received_at: Micros, Instant;
    sequence;
    /// The instrument, or `*` for everything that the shard listens to.
    instrument: Name, Plain;
    /// From when data is complete again; missing while the gap is open.
    end_time: Option<Micros>, Instant;
    /// Whole seconds between the two.
    duration_sec: Option<i64>, Seconds;
    /// Why: restart, disconnected, silent, overload, book_chain, trade_seq, … (docs/gaps.md).
    cause: Name, Plain;
    /// The shard that listened.
    shard: Name, Plain;
    /// What exactly is missing, in words or numbers.
    detail: Option<Text>, Plain;
    /// When this row was written (the predecessor's name).
    created_at: Micros, Instant;
}

table! {
    /// Something that happened to an instrument or a subscription, once it is a fact.
    pub struct LifecycleEvent in "lifecycle_events" {
        time: "event_time",
        identity: ["event_time", "event_type", "sequence"],
        partition: Partition::Date,
        sql: SqlName::One("lifecycle_events"),
    }
    /// When it happened.
    event_time: Micros, Instant;
    /// When this row was written.
    received_at: Micros, Instant;
    sequence;
    /// instrument_listed, instrument_expired, subscription_added, subscription_removed: of options
    /// alone, each once a fact (docs/lifecycle.md). The predecessor's rebalance_triggered is not
    /// written.
    event_type: Name, Plain;
    /// The instrument.
    instrument_name: Option<Name>, Plain;
    /// What stands before the name's first dash.
    currency: Option<Name>, Plain;
    /// The shard that listens, or did.
    collector_id: Option<Name>, Plain;
    /// Anything more: why an instrument is over.
    details: Option<Json>, Plain;
    /// Whether it succeeded.
    success: bool, Plain;
    /// Why not.
    error_message: Option<Text>, Plain;
    /// When this row was written (the predecessor's name).
    created_at: Micros, Instant;
}

table! {
    /// How one shard is doing, at an interval.
    pub struct CollectorStatus in "collector_status" {
        time: "timestamp",
        identity: ["timestamp", "collector_id"],
        partition: Partition::Date,
        sql: SqlName::One("collector_status"),
    }
    /// When.
    timestamp: Micros, Instant;
    /// When this row was written.
    received_at: Micros, Instant;
    sequence;
    /// The shard.
    collector_id: Name, Plain;
    /// connected, connecting, disconnected (and trying again), idle (nothing to listen to).
    status: Name, Plain;
    /// Rows received since the last status, a second.
    ticks_per_sec: Option<f64>, PerSecond;
    /// Channels that the exchange has acknowledged.
    active_subscriptions: Option<i64>, Count;
    /// How full the queue to the journal is.
    buffer_usage_pct: Option<f64>, Percent;
    /// Why the newest connection was lost.
    last_error: Option<Text>, Plain;
    /// When the process started.
    started_at: Option<Micros>, Instant;
    /// Times that the journal was opened before this process.
    restarts: Option<i64>, Count;
    /// Connections lost, or not made, since the process started.
    errors_total: Option<i64>, Count;
    /// Resident memory of the process.
    rss_bytes: Option<i64>, Bytes;
}

table! {
    /// A message, or a part of one, that could not be stored as what it claims to be.
    pub struct Quarantined in "quarantine" {
        time: "received_at",
        identity: ["received_at", "sequence"],
        partition: Partition::Date,
        sql: SqlName::One("quarantine"),
    }
    /// When the bytes were read.
    received_at: Micros, Instant;
    /// The channel, as far as it could be read.
    channel: Text, Plain;
    sequence;
    /// What was wrong.
    reason: Text, Plain;
    /// The bytes, as text; cut at a bound, bytes that are not UTF-8 replaced.
    raw: Text, Plain;
    /// Who refused it: decoder, or the name of a sink.
    source: Name, Plain;
}
