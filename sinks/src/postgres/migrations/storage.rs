//! How tables lie on the disk: chunks, compression, retention, the index on time.

use std::time::Duration;

use schema::{Partition, SqlName, Table, tables};

use super::catalog::{Catalog, Policy};
use super::cost::Cost;
use super::plan::Plan;
use super::{Options, aggregates, beside};
use crate::postgres::target::new_rows;

/// What TimescaleDB makes of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Storage {
    /// The column whose order is kept next to the time's when it is compressed; nothing: it is
    /// not compressed.
    segment: Option<&'static str>,
    /// Older rows are dropped.
    keep: Option<Duration>,
}

impl Storage {
    /// Ticks come in chunks of a day, compressed by instrument. What the predecessor kept for 90
    /// days is kept for 90 days. Small tables are plain.
    fn of(table: &Table) -> Option<Self> {
        let keep = table.name.starts_with("perpetual_").then_some(NINETY_DAYS);
        match (table.partition, table.name) {
            (Partition::CurrencyAndDate(segment), _) => Some(Self { segment: Some(segment), keep }),
            (Partition::Date, "lifecycle_events" | "collector_status") => {
                Some(Self { segment: None, keep: Some(NINETY_DAYS) })
            }
            (Partition::Date, "quarantine") => Some(Self { segment: None, keep: None }),
            (Partition::Date | Partition::Whole | Partition::SqlOnly, _) => None,
        }
    }
}

/// Whether the table of that name is one that TimescaleDB would cut into chunks.
pub(super) fn is_cut(name: &str) -> bool {
    let name = name.strip_suffix(&new_rows("")).unwrap_or(name);
    tables::ALL.iter().any(|table| {
        let named = match table.sql {
            SqlName::One(only) => name == only,
            SqlName::PerCurrency(end) => {
                name.strip_suffix(end).is_some_and(|currency| currency.ends_with('_'))
            }
        };
        named && Storage::of(table).is_some()
    })
}

/// Adds what is missing of the table's storage.
pub(super) fn plan(
    catalog: &Catalog,
    options: &Options,
    table: &'static Table,
    name: &str,
    plan: &mut Plan,
) {
    let Some(mut storage) = Storage::of(table) else { return };
    let beside = beside::is_beside(catalog, name);
    if beside {
        storage.keep = kept_before(catalog, name);
    }
    let name = &beside::taker(catalog, name);
    let relation = catalog.relations.get(name);
    index(catalog, table, name, plan);
    if catalog.timescale.is_none() {
        return;
    }
    if relation.is_some_and(|relation| relation.heaped) {
        plan.warn(&format!(
            "{name} has rows and stays a plain table, without chunks (tapedeck migrate \
             --allow-rewrite cuts it)"
        ));
        return;
    }
    let hypertable = relation.and_then(|relation| relation.hypertable.as_ref());
    if hypertable.is_none() {
        plan.push(
            format!("cut {name} into chunks of a day"),
            format!(
                "SELECT create_hypertable('{name}', '{}', chunk_time_interval => interval '1 day', \
                 create_default_indexes => false, if_not_exists => true)",
                table.time
            ),
        );
    }
    if !catalog.compresses() {
        return;
    }
    if let Some(segment) = storage.segment {
        if hypertable.is_none_or(|hypertable| !hypertable.compressed) {
            plan.push(
                format!("let {name} be compressed by {segment}"),
                format!(
                    "ALTER TABLE {name} SET (timescaledb.compress, \
                     timescaledb.compress_segmentby = '{segment}', \
                     timescaledb.compress_orderby = '{}, sequence')",
                    table.time
                ),
            );
        }
        policy(catalog, plan, name, &Kind::COMPRESSION, options.compress_after, SEVEN_DAYS);
    }
    let keep = retention(catalog, storage, name, plan);
    // An aggregate of the new rows alone would look like one of all.
    if !beside {
        aggregates::plan(catalog, options, (table, name), keep, plan);
    }
}

/// Adds the policy that drops old rows, and says how long rows are kept; nothing: for ever. Rows
/// that somebody has kept are never dropped unasked, nor is a policy that somebody has removed
/// made again.
fn retention(catalog: &Catalog, storage: Storage, name: &str, plan: &mut Plan) -> Option<Duration> {
    let is_cut = catalog.relations.get(name).is_some_and(|it| it.hypertable.is_some());
    if is_cut {
        let there = there(catalog, name, &Kind::RETENTION).is_some();
        if storage.keep.is_some() && catalog.version.is_none() && !there {
            plan.warn(&format!(
                "{name} keeps all its rows, as it has done: tapedeck drops old rows only of \
                 tables that it makes"
            ));
        }
        return kept(catalog, name);
    }
    if let Some(keep) = storage.keep {
        policy(catalog, plan, name, &Kind::RETENTION, None, keep);
    }
    storage.keep
}

fn index(catalog: &Catalog, table: &Table, name: &str, plan: &mut Plan) {
    let index = time_index(name);
    if !catalog.indexes.contains(&index) {
        plan.push_costly(
            format!("index {name} by time (BRIN)"),
            format!("CREATE INDEX IF NOT EXISTS {index} ON {name} USING brin ({})", table.time),
            Cost::of(catalog.relations.get(name)),
        );
    }
}

/// The index on a table's time.
pub(super) fn time_index(name: &str) -> String {
    format!("{name}_time_brin")
}

/// How long the rows before are kept: as long are those from now on.
fn kept_before(catalog: &Catalog, name: &str) -> Option<Duration> {
    kept(catalog, &beside::old_rows(name))
}

/// How long a table's rows are kept; nothing: for ever.
fn kept(catalog: &Catalog, name: &str) -> Option<Duration> {
    let policy = there(catalog, name, &Kind::RETENTION);
    let seconds = policy.and_then(|policy| u64::try_from(policy.seconds?).ok());
    seconds.map(Duration::from_secs)
}

/// A policy that is there is left alone, unless the configuration says another age.
pub(super) fn policy(
    catalog: &Catalog,
    plan: &mut Plan,
    name: &str,
    kind: &Kind,
    wish: Option<Duration>,
    default: Duration,
) {
    let verb = kind.verb;
    let age = wish.unwrap_or(default).as_secs();
    let add = format!("SELECT add_{}_policy('{name}', make_interval(secs => {age}))", kind.name);
    let days = age as f64 / 86_400.0;
    match there(catalog, name, kind) {
        None => plan.push(format!("{verb} {name} after {days} days"), add),
        Some(policy) if wish.is_some() && policy.seconds != i64::try_from(age).ok() => {
            let remove = format!("SELECT remove_{}_policy('{name}')", kind.name);
            plan.push(
                format!("{verb} {name} after {days} days from now on"),
                format!("{remove};\n{add}"),
            );
        }
        Some(_) => {}
    }
}

/// The table's policy of that kind.
pub(super) fn there<'a>(catalog: &'a Catalog, name: &str, kind: &Kind) -> Option<&'a Policy> {
    let mut policies = catalog.policies.iter();
    policies.find(|policy| policy.table == name && policy.procedure == kind.procedure)
}

pub(super) struct Kind {
    name: &'static str,
    procedure: &'static str,
    verb: &'static str,
}

impl Kind {
    pub(super) const COMPRESSION: Self =
        Self { name: "compression", procedure: "policy_compression", verb: "compress" };
    const RETENTION: Self =
        Self { name: "retention", procedure: "policy_retention", verb: "drop rows of" };
}

pub(super) const SEVEN_DAYS: Duration = Duration::from_secs(7 * 86_400);
const NINETY_DAYS: Duration = Duration::from_secs(90 * 86_400);
