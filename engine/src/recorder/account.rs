//! The account at the end: what was received, what is stored, what is missing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::pipeline::Summary;

/// What a recorder did. Prints as lines for people.
#[derive(Debug)]
pub struct Account {
    data: PathBuf,
    rows: u64,
    durable: u64,
    /// Each sink, and how many of the journal's records it lacks.
    sinks: Vec<(String, u64)>,
    by_table: BTreeMap<&'static str, u64>,
    duplicates: u64,
    repaired: u64,
    lost_connections: u64,
    unsupported: BTreeMap<String, u64>,
    unknown_fields: BTreeMap<String, u64>,
    quarantined: BTreeMap<String, u64>,
    refused: Vec<String>,
    /// Frames kept and left out.
    frames: Option<(u64, u64)>,
}

impl Account {
    pub(super) fn new(summary: &Summary, frames: Option<(u64, u64)>, data: &Path) -> Self {
        let mut account = Self {
            data: data.to_owned(),
            rows: summary.rows,
            durable: summary.durable.saturating_sub(summary.before),
            sinks: summary
                .sinks
                .iter()
                .map(|(name, at)| (name.clone(), summary.durable.saturating_sub(at.0)))
                .collect(),
            by_table: BTreeMap::new(),
            duplicates: 0,
            repaired: 0,
            lost_connections: 0,
            unsupported: BTreeMap::new(),
            unknown_fields: BTreeMap::new(),
            quarantined: BTreeMap::new(),
            refused: Vec::new(),
            frames,
        };
        for report in &summary.reports {
            account.lost_connections += report.lost;
            account.refused.extend(report.refused.iter().cloned());
            let tally = &report.tally;
            account.duplicates += tally.duplicates_dropped.sum();
            account.repaired += tally.trades_repaired;
            let rows = tally.rows.iter().filter(|(_, rows)| *rows > 0);
            add(&mut account.by_table, rows.map(|(table, rows)| (table.name(), rows)));
            add(&mut account.unsupported, clones(&tally.unsupported));
            add(&mut account.quarantined, clones(&tally.quarantined));
            let unknown = tally.unknown_fields.iter();
            let unknown = unknown.map(|(name, unknown)| (name.clone(), unknown.count));
            add(&mut account.unknown_fields, unknown);
        }
        account
    }
}

fn add<K: Ord>(sum: &mut BTreeMap<K, u64>, counts: impl Iterator<Item = (K, u64)>) {
    for (name, count) in counts {
        *sum.entry(name).or_default() += count;
    }
}

fn clones(counts: &BTreeMap<String, u64>) -> impl Iterator<Item = (String, u64)> {
    counts.iter().map(|(name, count)| (name.clone(), *count))
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, rows, durable, duplicates, .. } = self;
        let data = data.display();
        writeln!(f, "Recorded into {data}: {rows} rows in {durable} journal records.")?;
        for (table, rows) in &self.by_table {
            writeln!(f, "  {table:<26} {rows:>12} rows received")?;
        }
        for (sink, missing) in &self.sinks {
            match missing {
                0 => writeln!(f, "Sink {sink} holds all that the journal holds.")?,
                _ => writeln!(f, "Sink {sink} still lacks the journal's last {missing} records.")?,
            }
        }
        writeln!(f, "Repeats dropped: {duplicates}. Connections lost: {}.", self.lost_connections)?;
        if self.repaired > 0 {
            writeln!(
                f,
                "Trades that had been missed and were asked for again: {}.",
                self.repaired
            )?;
        }
        list(f, "Quarantined", &self.quarantined)?;
        list(f, "Received, but kept in no table", &self.unsupported)?;
        list(f, "Fields that nobody knows", &self.unknown_fields)?;
        if !self.refused.is_empty() {
            let (count, first) = (self.refused.len(), &self.refused[0]);
            writeln!(f, "The exchange refused {count} channels, {first} among them.")?;
        }
        if let Some((kept, left_out)) = self.frames {
            writeln!(f, "Verbatim frames: {kept} kept in {data}/raw, {left_out} left out.")?;
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    if counts.is_empty() {
        return Ok(());
    }
    let counts: Vec<String> =
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    writeln!(f, "{what}: {}.", counts.join(", "))
}
