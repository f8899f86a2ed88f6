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
    /// By shard name.
    #[serde(default)]
    pub shards: BTreeMap<String, Shard>,
    /// What `lifecycle_events` says of the options.
    #[serde(default)]
    pub told: Told,
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
            let last = entry(&mut self.instruments, name);
            last.received_at = last.received_at.max(time(batch, "received_at", row));
            let highest = last.trade_seq.zip(last.traded_at);
            match highest.filter(|(highest, _)| *highest >= seq) {
                Some(_) => {
                    if let Some(holes) = self.missing.get_mut(name) {
                        missing::fill(holes, seq);
                    }
                }
                None => {
                    (last.trade_seq, last.traded_at) = (Some(seq), Some(at));
                    if let Some(highest) = highest.filter(|it| it.0 < seq.saturating_sub(1)) {
                        missing::open(entry(&mut self.missing, name), highest, seq, at);
                    }
                }
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

    /// Takes in what a shard listens to. Whether its channels are others than before.
    pub(crate) fn shard(&mut self, fact: &ShardFact) -> bool {
        let shard = self.shards.entry(fact.shard.clone()).or_default();
        // Back too, when the wall clock was set back: a later instant would hide an outage.
        shard.alive_at = fact.at;
        let changed = shard.channels != fact.channels;
        if changed {
            shard.channels.clone_from(&fact.channels);
        }
        changed
    }

    /// Takes in what a watermark says of the shards.
    pub(crate) fn alive(&mut self, alive_at: &BTreeMap<String, i64>) {
        for (name, at) in alive_at {
            if let Some(shard) = self.shards.get_mut(name) {
                shard.alive_at = Micros(*at);
            }
        }
    }

    /// When each shard was last known to be alive.
    pub(crate) fn alive_at(&self) -> BTreeMap<String, i64> {
        self.shards.iter().map(|(name, shard)| (name.clone(), shard.alive_at.0)).collect()
    }

    /// Leaves out the instruments that had no row for long, and the holes that nobody can fill any
    /// more, so that checkpoints stay bounded.
    pub(crate) fn forget(&mut self, now: Micros) {
        self.instruments.retain(|_, last| now.since(last.received_at) < KEPT_WITHOUT_ROWS);
        self.missing.retain(|_, holes| {
            holes.retain(|hole| now.since(hole.to) < MISSING_MAX);
            !holes.is_empty()
        });
    }
}

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

/// A name in a column of names.
fn text<'a>(batch: &'a Batch, name: &str, row: usize) -> Option<&'a str> {
    let names = column(batch, name)?.as_dictionary_opt::<Int32Type>()?;
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
