//! What a restart must know of the rows and shards before it: written at each segment's beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, DictionaryArray};
use schema::{Batch, Digest, Micros};
use serde::{Deserialize, Serialize};

use crate::missing::{self, Hole};

/// The newest identities of every instrument, and what every shard listened to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// By instrument name. An instrument without a row for 30 days is left out.
    #[serde(default)]
    pub instruments: BTreeMap<String, Last>,
    /// Trades that are missing between recorded ones, by instrument name, ascending. What happened
    /// more than two days ago is left out: the exchange has it no more.
    #[serde(default)]
    pub missing: BTreeMap<String, Vec<Hole>>,
    /// Gaps of missing trades that a row of `data_gaps` names and none has taken back, by
    /// instrument name. As old as holes at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, Vec<Named>>,
    /// By shard name.
    #[serde(default)]
    pub shards: BTreeMap<String, Shard>,
    /// What `lifecycle_events` says of the options.
    #[serde(default)]
    pub told: Told,
}

/// The cause of a gap of missing trades in `data_gaps`.
pub const MISSING_TRADES: &str = "trade_seq";
/// How the detail of such a gap begins while some are missing; their numbers follow.
pub const MISSING: &str = "missing trade_seq ";
/// Between the numbers of two holes.
pub const AND: &str = ", ";
/// Behind the numbers of a hole whose trades cannot be had any more.
pub const FOR_GOOD: &str = " for good";

/// A gap of missing trades as a row of `data_gaps` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Where it begins.
    #[serde(with = "micros")]
    pub from: Micros,
    /// Where it ends.
    #[serde(with = "micros")]
    pub to: Micros,
    /// The shard that names it.
    pub shard: String,
}

/// The facts that `lifecycle_events` tells and has not taken back: a restart tells them no second
/// time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Instruments that are listed.
    #[serde(default)]
    pub listed: BTreeSet<String>,
    /// Instruments that are subscribed, each with the shard that was named.
    #[serde(default)]
    pub subscribed: BTreeMap<String, String>,
}

/// The newest identities of one instrument: a row at or below them is a repeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// The highest `trade_seq` of its trades.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trade_seq: Option<i64>,
    /// When that trade happened.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_micros")]
    pub traded_at: Option<Micros>,
    /// The lowest `trade_seq` of its trades: between these two everything is recorded but for what
    /// is missing. Unknown where a version of this program began that did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_seq: Option<i64>,
    /// When that one happened.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_micros")]
    pub lowest_at: Option<Micros>,
    /// `received_at` of the trade that was recorded first.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_micros")]
    pub begun_at: Option<Micros>,
    /// The `change_id` of its newest book change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_id: Option<i64>,
    /// The [`Digest`] of its newest quote.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex")]
    pub quote: Option<u128>,
    /// `received_at` of the newest of these rows.
    #[serde(with = "micros")]
    pub received_at: Micros,
}

/// What one shard listened to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// The channels that the exchange had acknowledged.
    pub channels: Vec<String>,
    /// When the shard was last known to be alive.
    #[serde(with = "micros")]
    pub alive_at: Micros,
    /// Since when it had trades to ask for that may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_micros")]
    pub unasked_since: Option<Micros>,
}

/// A shard at one moment, as the appender is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardFact {
    /// The shard's name.
    pub shard: String,
    /// All the channels that the exchange has acknowledged and not ended.
    pub channels: Vec<String>,
    /// When this was so.
    #[serde(with = "micros")]
    pub at: Micros,
    /// Since when trades may be missing that the exchange was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_micros")]
    pub unasked_since: Option<Micros>,
}

/// How far the journal is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// Every batch up to this position is durable.
    pub position: u64,
    /// Every row received up to this instant is in those batches.
    #[serde(with = "micros")]
    pub through: Micros,
}

/// The payload of a checkpoint record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) watermark: Watermark,
    pub(crate) resume: Resume,
}

/// The payload of a watermark record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WatermarkNote {
    #[serde(flatten)]
    pub(crate) watermark: Watermark,
    /// This many bytes of the segment were durable before the note was written.
    pub(crate) bytes: u64,
    /// When each shard was last known to be alive, µs UTC.
    #[serde(default)]
    pub(crate) alive_at: BTreeMap<String, i64>,
    /// Since when shards have trades to ask for, µs UTC.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) unasked_since: BTreeMap<String, i64>,
}

impl Resume {
    /// Takes in the rows of a batch.
    pub(crate) fn batch(&mut self, batch: &Batch, digest: &mut Digest) {
        match batch.table().name {
            "option_trades" | "perpetual_trades" => self.trades(batch),
            "book_changes" => self.newest(
                batch,
                |_, _| true,
                |last, row| {
                    last.change_id = int(batch, "change_id", row);
                },
            ),
            "option_quotes" | "perpetual_quotes" => self.newest(
                batch,
                |_, _| true,
                |last, row| {
                    last.quote = Some(digest.of(batch, row));
                },
            ),
            "data_gaps" => (0..batch.rows()).for_each(|row| self.gap(batch, row)),
            "lifecycle_events" => (0..batch.rows()).for_each(|row| self.told.take(batch, row)),
            _ => {}
        }
    }

    /// Takes in trades, each: what is missing between them counts, too.
    fn trades(&mut self, batch: &Batch) {
        let Some(names) = names(batch) else { return };
        let texts = names.values().as_string::<i32>();
        for row in 0..batch.rows() {
            let (Some(key), Some(seq)) = (names.key(row), int(batch, "trade_seq", row)) else {
                continue;
            };
            let (name, at) = (texts.value(key), time(batch, "timestamp", row));
            let received = time(batch, "received_at", row);
            let last = entry(&mut self.instruments, name);
            last.received_at = last.received_at.max(received);
            let missing = last.trade((seq, at), received);
            if let Some((before, after)) = missing {
                missing::open(entry(&mut self.missing, name), before, after);
            } else if let Some(holes) = self.missing.get_mut(name) {
                missing::fill(holes, seq);
            }
        }
    }

    /// Hands one row of each instrument in the batch to `take`: the one that no later row is newer
    /// than.
    fn newest(
        &mut self,
        batch: &Batch,
        newer: impl Fn(usize, usize) -> bool,
        mut take: impl FnMut(&mut Last, usize),
    ) {
        let Some(names) = names(batch) else { return };
        let mut newest = vec![None; names.values().len()];
        for (row, key) in names.keys().iter().enumerate() {
            if let Some(slot) = key.and_then(|key| newest.get_mut(usize::try_from(key).ok()?))
                && slot.is_none_or(|old| newer(old, row))
            {
                *slot = Some(row);
            }
        }
        let texts = names.values().as_string::<i32>();
        for (key, row) in newest.into_iter().enumerate() {
            let Some(row) = row else { continue };
            let name = texts.value(key);
            let last = entry(&mut self.instruments, name);
            take(last, row);
            last.received_at = last.received_at.max(time(batch, "received_at", row));
        }
    }

    /// Takes in a gap: of missing trades, whether some of them can still be had.
    fn gap(&mut self, batch: &Batch, row: usize) {
        let (Some(MISSING_TRADES), Some(name), Some(shard), Some(detail)) = (
            text(batch, "cause", row),
            text(batch, "instrument", row),
            text(batch, "shard", row),
            text(batch, "detail", row),
        ) else {
            return;
        };
        let (from, to) = (time(batch, "start_time", row), time(batch, "end_time", row));
        let gaps = entry(&mut self.named, name);
        gaps.retain(|gap| gap.from != from || gap.shard != shard);
        let parts = || detail.strip_prefix(MISSING).into_iter().flat_map(|all| all.split(AND));
        if parts().any(|part| !part.ends_with(FOR_GOOD)) {
            gaps.push(Named { from, to, shard: shard.to_owned() });
        } else if gaps.is_empty() {
            self.named.remove(name);
        }
    }

    /// Takes in what a shard listens to. Whether its channels are others than before.
    pub(crate) fn shard(&mut self, fact: &ShardFact) -> bool {
        let shard = self.shards.entry(fact.shard.clone()).or_default();
        // Back too, when the wall clock was set back: a later instant would hide an outage.
        (shard.alive_at, shard.unasked_since) = (fact.at, fact.unasked_since);
        let changed = shard.channels != fact.channels;
        if changed {
            shard.channels.clone_from(&fact.channels);
        }
        changed
    }

    /// Takes in what a watermark says of the shards.
    pub(crate) fn alive(&mut self, note: &WatermarkNote) {
        for (name, at) in &note.alive_at {
            if let Some(shard) = self.shards.get_mut(name) {
                shard.alive_at = Micros(*at);
                shard.unasked_since = note.unasked_since.get(name).copied().map(Micros);
            }
        }
    }

    /// What a watermark says of the shards.
    pub(crate) fn note(&self, watermark: Watermark, bytes: u64) -> WatermarkNote {
        let shards = || self.shards.iter().map(|(name, shard)| (name.clone(), shard));
        let unasked = |(name, shard): (String, &Shard)| Some((name, shard.unasked_since?.0));
        WatermarkNote {
            watermark,
            bytes,
            alive_at: shards().map(|(name, shard)| (name, shard.alive_at.0)).collect(),
            unasked_since: shards().filter_map(unasked).collect(),
        }
    }

    /// Leaves out the instruments that had no row for long, and the holes that nobody can fill any
    /// more, so that checkpoints stay bounded.
    pub(crate) fn forget(&mut self, now: Micros) {
        self.instruments.retain(|_, last| now.since(last.received_at) < KEPT_WITHOUT_ROWS);
        self.missing.retain(|_, holes| {
            holes.retain(|hole| now.since(hole.to) < MISSING_MAX);
            !holes.is_empty()
        });
        self.named.retain(|_, gaps| {
            gaps.retain(|gap| now.since(gap.to) < MISSING_MAX);
            !gaps.is_empty()
        });
    }
}

impl Last {
    /// Takes a trade in, outside of the recorded ones or among them. The two trades between which
    /// some are missing now.
    fn trade(&mut self, trade: Trade, received: Micros) -> Option<(Trade, Trade)> {
        let (seq, at) = trade;
        let Some(highest) = self.trade_seq.zip(self.traded_at) else {
            (self.trade_seq, self.traded_at) = (Some(seq), Some(at));
            (self.lowest_seq, self.lowest_at) = (Some(seq), Some(at));
            self.begun_at = Some(received);
            return None;
        };
        let apart = |before: Trade, after: Trade| {
            (before.0.saturating_add(1) < after.0).then_some((before, after))
        };
        if seq > highest.0 {
            (self.trade_seq, self.traded_at) = (Some(seq), Some(at));
            return apart(highest, trade);
        }
        let lowest = self.lowest_seq.zip(self.lowest_at).filter(|lowest| seq < lowest.0)?;
        (self.lowest_seq, self.lowest_at) = (Some(seq), Some(at));
        apart(trade, lowest)
    }
}

/// A trade_seq and when that trade happened.
type Trade = (i64, Micros);

impl Told {
    fn take(&mut self, batch: &Batch, row: usize) {
        let Some(name) = text(batch, "instrument_name", row) else { return };
        match text(batch, "event_type", row) {
            Some("instrument_listed") => drop(self.listed.insert(name.to_owned())),
            Some("instrument_expired") => drop(self.listed.remove(name)),
            Some("subscription_added") => {
                let shard = text(batch, "collector_id", row).unwrap_or_default();
                self.subscribed.insert(name.to_owned(), shard.to_owned());
            }
            Some("subscription_removed") => drop(self.subscribed.remove(name)),
            _ => {}
        }
    }
}

/// The value under that name, made where there is none.
fn entry<'m, V: Default>(map: &'m mut BTreeMap<String, V>, name: &str) -> &'m mut V {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), V::default());
    }
    map.get_mut(name).expect("it is there")
}

fn names(batch: &Batch) -> Option<&DictionaryArray<Int32Type>> {
    column(batch, "instrument")?.as_dictionary_opt::<Int32Type>()
}

fn column<'a>(batch: &'a Batch, name: &str) -> Option<&'a ArrayRef> {
    batch.columns().columns().get(batch.table().index_of(name)?)
}

/// A text in a column of texts or of names.
fn text<'a>(batch: &'a Batch, name: &str, row: usize) -> Option<&'a str> {
    let column = column(batch, name)?;
    if let Some(texts) = column.as_string_opt::<i32>() {
        return texts.is_valid(row).then(|| texts.value(row));
    }
    let names = column.as_dictionary_opt::<Int32Type>()?;
    Some(names.values().as_string_opt::<i32>()?.value(names.key(row)?))
}

fn int(batch: &Batch, name: &str, row: usize) -> Option<i64> {
    let column = column(batch, name)?.as_primitive_opt::<Int64Type>()?;
    column.is_valid(row).then(|| column.value(row))
}

fn time(batch: &Batch, name: &str, row: usize) -> Micros {
    let times = column(batch, name)
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    Micros(times.map_or(0, |times| times.value(row)))
}

pub(crate) mod micros {
    use schema::Micros;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(at: &Micros, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Micros, D::Error> {
        i64::deserialize(from).map(Micros)
    }
}

mod maybe_micros {
    use schema::Micros;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Option<Micros>, to: S) -> Result<S::Ok, S::Error> {
        at.map(|at| at.0).serialize(to)
    }

    pub(super) fn deserialize<'de, D>(from: D) -> Result<Option<Micros>, D::Error>
    where
        D: Deserializer<'de>,
    {
        Ok(Option::deserialize(from)?.map(Micros))
    }
}

/// JSON numbers end at 2^53 for many readers, so a digest is written as text.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &Option<u128>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_str(&format!("{value:032x}")),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<u128>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| u128::from_str_radix(&text, 16).map_err(D::Error::custom)).transpose()
    }
}

/// PROTOCOL 8: trades are given back for about a day.
const MISSING_MAX: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// How long an instrument without rows is remembered.
const KEPT_WITHOUT_ROWS: Duration = Duration::from_secs(30 * 24 * 60 * 60);
