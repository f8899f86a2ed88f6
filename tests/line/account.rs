//! What a run has seen, summed over its seeds: what went wrong how often, and what excuses a loss.

use std::collections::BTreeMap;
use std::fmt;

use super::venue::NATURE;
use super::weather::{Fault, rules};
use super::world::MISHAPS;

/// The sum of some worlds.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Rows that the exchange said on channels that were acknowledged.
    pub(super) owed: u64,
    pub(super) stored: u64,
    pub(super) gaps: u64,
    /// Rows that are owed and not stored, by what excuses them.
    pub(super) excused: BTreeMap<String, u64>,
    /// What happened, by name.
    pub(super) seen: BTreeMap<String, u64>,
}

impl Account {
    pub(super) fn add(&mut self, other: Self) {
        let Self { owed, stored, gaps, excused, seen } = other;
        self.owed += owed;
        self.stored += stored;
        self.gaps += gaps;
        excused
            .into_iter()
            .for_each(|(what, times)| *self.excused.entry(what).or_default() += times);
        seen.into_iter().for_each(|(what, times)| *self.seen.entry(what).or_default() += times);
    }

    /// What can happen and never did.
    pub(super) fn never(&self) -> Vec<String> {
        let faults = Fault::ALL.iter().map(|fault| format!("{fault:?}"));
        let nature = NATURE.iter().chain(&MISHAPS).map(|what| (*what).to_owned());
        let gaps = CAUSES.iter().map(|cause| format!("a gap: {cause}"));
        let all = faults.chain(rules()).chain(nature).chain(gaps);
        all.filter(|what| !self.seen.contains_key(what)).collect()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "what happened, and how often")?;
        self.seen.iter().try_for_each(|(what, times)| writeln!(f, "{times:>9} {what}"))?;
        writeln!(f, "rows that were owed and are not stored, by what excuses them")?;
        self.excused.iter().try_for_each(|(what, rows)| writeln!(f, "{rows:>9} {what}"))?;
        let Self { owed, stored, gaps, .. } = self;
        let excused: u64 = self.excused.values().sum();
        write!(f, "{owed} rows were owed, {excused} of them excused; {stored} stored, {gaps} gaps")
    }
}

/// The causes of docs/gaps.md, but for `no_room`, as no plan of this world outgrows its
/// connections, and `overload_all`: 2 MiB of trades would have to wait, and no market here makes
/// so many.
const CAUSES: [&str; 11] = [
    "restart",
    "disconnected",
    "silent",
    "silent_data",
    "too_slow",
    "throttled",
    "subscription_refused",
    "overload_depth",
    "overload_quotes",
    "book_chain",
    "trade_seq",
];
