//! What a decoder has counted: rows, repeats, and everything that did not become a row.

use std::collections::BTreeMap;

use super::wire::Strangers;

/// Counts since the decoder was made. Every map is bounded: beyond its bound, names are counted
/// together under [`OTHERS`](Tally::OTHERS).
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Rows appended, by table.
    pub rows: Counts,
    /// Messages (tickers, books, indices) and trades that were dropped because they were recorded
    /// before, by table.
    pub duplicates_dropped: Counts,
    /// Messages and trades of a kind that has no table, by kind: `quote`, `ticker of a combo`.
    pub unsupported: BTreeMap<String, u64>,
    /// Fields that no table has, by object and name: `ticker.stats.foo`.
    pub unknown_fields: BTreeMap<String, Unknown>,
    /// Messages and parts of messages refused, by reason; suppressed ones too.
    pub quarantined: BTreeMap<String, u64>,
    /// Of these, the ones that were counted but not kept, because their reason's budget was spent.
    pub quarantine_suppressed: u64,
    /// Trades that came after a younger one of their instrument, and were kept.
    pub late_trades: u64,
    /// Times that a trade_seq was skipped.
    pub holes_opened: u64,
    /// Trades skipped so; late trades are not taken off again. See [`Decoder::holes`].
    ///
    /// [`Decoder::holes`]: super::Decoder::holes
    pub trades_missed: u64,
    /// Trades that were asked for again and are stored.
    pub trades_repaired: u64,
    /// Book changes whose prev_change_id is not the change_id before.
    pub book_breaks: u64,
    /// Snapshots whose change_id lies below the last one by more than a delay explains.
    pub books_restarted: u64,
    /// Texts where a number belongs that are known to happen: "expired".
    pub words_for_numbers: u64,
    /// Instruments forgotten because there were too many; their next row may be a repeat.
    pub instruments_forgotten: u64,
}

/// A field that no table has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// How often it was sent.
    pub count: u64,
    /// Its first value, as sent, cut.
    pub sample: String,
}

/// A table that a decoder fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// `option_quotes`.
    OptionQuotes,
    /// `option_trades`.
    OptionTrades,
    /// `option_orderbook_depth`.
    OptionDepth,
    /// `perpetual_quotes`.
    PerpetualQuotes,
    /// `perpetual_trades`.
    PerpetualTrades,
    /// `perpetual_orderbook_depth`.
    PerpetualDepth,
    /// `perpetual_interest`.
    PerpetualInterest,
    /// `book_changes`.
    BookChanges,
    /// `index_ticks`.
    IndexTicks,
}

/// One count a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; Stored::ALL.len()]);

impl Stored {
    /// Every one of them.
    pub const ALL: [Self; 9] = [
        Self::OptionQuotes,
        Self::OptionTrades,
        Self::OptionDepth,
        Self::PerpetualQuotes,
        Self::PerpetualTrades,
        Self::PerpetualDepth,
        Self::PerpetualInterest,
        Self::BookChanges,
        Self::IndexTicks,
    ];

    /// The table's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OptionQuotes => "option_quotes",
            Self::OptionTrades => "option_trades",
            Self::OptionDepth => "option_orderbook_depth",
            Self::PerpetualQuotes => "perpetual_quotes",
            Self::PerpetualTrades => "perpetual_trades",
            Self::PerpetualDepth => "perpetual_orderbook_depth",
            Self::PerpetualInterest => "perpetual_interest",
            Self::BookChanges => "book_changes",
            Self::IndexTicks => "index_ticks",
        }
    }
}

impl Counts {
    /// The count of one table.
    #[must_use]
    pub fn of(&self, table: Stored) -> u64 {
        self.0.get(table as usize).copied().unwrap_or_default()
    }

    /// All tables together.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every table with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Stored, u64)> {
        Stored::ALL.into_iter().zip(self.0)
    }

    pub(super) fn add(&mut self, table: Stored, count: u64) {
        if let Some(slot) = self.0.get_mut(table as usize) {
            *slot += count;
        }
    }
}

impl Tally {
    /// Where names are counted that came after a map was full.
    pub const OTHERS: &'static str = "others";
    /// Names in each map.
    pub const NAMES: usize = 64;
    /// Bytes of an unknown field's sample, and of a name.
    pub const SAMPLE_BYTES: usize = 200;

    pub(super) fn unsupported(&mut self, what: &str) {
        *slot(&mut self.unsupported, what) += 1;
    }

    pub(super) fn quarantined(&mut self, reason: &str) {
        *slot(&mut self.quarantined, reason) += 1;
    }

    pub(super) fn strangers(&mut self, object: &str, strangers: &Strangers<'_>) {
        for (name, value) in &strangers.0 {
            let unknown = slot(&mut self.unknown_fields, &format!("{object}.{name}"));
            unknown.count += 1;
            if unknown.sample.is_empty() {
                cut(value.as_raw_str(), Self::SAMPLE_BYTES).clone_into(&mut unknown.sample);
            }
        }
    }
}

/// The value under that name, or under [`OTHERS`](Tally::OTHERS) when the map is full.
pub(super) fn slot<'m, V: Default>(map: &'m mut BTreeMap<String, V>, name: &str) -> &'m mut V {
    let name = cut(name, Tally::SAMPLE_BYTES);
    let known = map.contains_key(name);
    let name = if known || map.len() < Tally::NAMES { name } else { Tally::OTHERS };
    if !map.contains_key(name) {
        map.insert(name.to_owned(), V::default());
    }
    match map.get_mut(name) {
        Some(value) => value,
        None => unreachable!("inserted above"),
    }
}

/// At most the first `bytes` bytes, ending at a character.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}
