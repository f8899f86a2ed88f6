//! The way back to the predecessor: what its statements need is made again, and no row is lost.
//!
//! The next migration takes all of it back.

use schema::Table;

use super::beside;
use super::catalog::{Catalog, Relation, RelationKind};
use super::cost::Cost;
use super::plan::Plan;
use crate::postgres::target::quoted;

/// What the predecessor's INSERT statements need of a table.
pub(super) fn plan(catalog: &Catalog, table: &Table, name: &str, plan: &mut Plan) {
    if beside::is_beside(catalog, name) {
        beside::undo(catalog, name, plan);
        return;
    }
    let Some(relation) = catalog.relations.get(name) else { return };
    let Some(key) = key(table) else { return };
    if relation.kind != RelationKind::Table {
        return;
    }
    let is_key = |columns: &[String]| {
        columns.len() == key.len() && columns.iter().all(|column| key.contains(&column.as_str()))
    };
    if key.is_empty() || relation.keys.iter().any(|key| is_key(&key.columns)) {
        plan.let_be_missing(name, &strict(relation).collect::<Vec<_>>());
        return;
    }
    let columns = key.join(", ");
    if relation.hypertable.is_some() && !key.contains(&table.time) {
        let strict: Vec<&str> = strict(relation).collect();
        beside::hand_over(catalog, name, (&columns, &strict), plan);
        return;
    }
    plan.let_be_missing(name, &strict(relation).collect::<Vec<_>>());
    plan.push_costly(
        format!(
            "move the rows of {name} that would be second ones of their ({columns}) to {}: every \
             row is read",
            aside(name)
        ),
        set_aside(relation, name, key),
        Cost::Sort(relation.bytes),
    );
    plan.push_costly(
        format!("let {name} have one row of each ({columns}), as the predecessor needs it"),
        format!("ALTER TABLE {name} ADD PRIMARY KEY ({columns})"),
        Cost::Read(relation.bytes),
    );
}

/// Of the rows that share a key the predecessor's own stays, or else the newest. They are taken out
/// by their keys, since the rows of a compressed chunk have no place of their own.
fn set_aside(relation: &Relation, name: &str, key: &[&str]) -> String {
    let (side, by) = (aside(name), key.join(", "));
    let columns = relation.columns.iter().map(|column| quoted(&column.name));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let same = key.iter().map(|column| format!("t.{column} = c.{column}"));
    let same = same.collect::<Vec<_>>().join(" AND ");
    format!(
        "LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE;\n\
         CREATE TEMP TABLE tapedeck_crowded ON COMMIT DROP AS SELECT * FROM (\
             SELECT t.*, count(*) OVER (PARTITION BY {by}) AS tapedeck_rows, \
                 row_number() OVER (PARTITION BY {by} \
                     ORDER BY sequence IS NOT NULL, sequence DESC) AS tapedeck_rank \
             FROM {name} t) AS ranked WHERE tapedeck_rows > 1;\n\
         DELETE FROM {name} t USING (SELECT DISTINCT {by} FROM tapedeck_crowded) c WHERE {same};\n\
         INSERT INTO {name} ({columns}) SELECT {columns} FROM tapedeck_crowded \
             WHERE tapedeck_rank = 1;\n\
         CREATE TABLE IF NOT EXISTS {side} (LIKE {name});\n\
         INSERT INTO {side} ({columns}) SELECT {columns} FROM tapedeck_crowded \
             WHERE tapedeck_rank > 1;\n\
         DROP TABLE tapedeck_crowded"
    )
}

/// Rows that were moved aside come back, into this table.
pub(super) fn undo(catalog: &Catalog, name: &str, taker: &str, plan: &mut Plan) {
    let side = aside(name);
    let Some(moved) = catalog.relations.get(&side) else { return };
    let columns: Vec<_> = moved.columns.iter().map(|column| quoted(&column.name)).collect();
    let columns = columns.join(", ");
    plan.push_costly(
        format!("move the rows of {side} back to {taker}"),
        format!("INSERT INTO {taker} ({columns}) SELECT {columns} FROM {side};\nDROP TABLE {side}"),
        Cost::Move(moved.bytes),
    );
}

/// Where rows are that the predecessor's key has no place for.
fn aside(name: &str) -> String {
    format!("{name}_set_aside")
}

/// The key that the predecessor names in ON CONFLICT; none where its key was left to it.
fn key(table: &Table) -> Option<&'static [&'static str]> {
    Some(match table.name {
        "option_quotes"
        | "option_orderbook_depth"
        | "perpetual_quotes"
        | "perpetual_orderbook_depth" => &["timestamp", "instrument"],
        "option_trades" => &["timestamp", "instrument", "trade_id"],
        "perpetual_trades" => &["trade_id", "instrument"],
        "collector_status" => &["timestamp", "collector_id"],
        "lifecycle_events" | "data_gaps" => &[],
        _ => return None,
    })
}

/// Columns that the predecessor does not know, and that must not be null. Ours stand behind its
/// own, and the first of them is the instant at which a row was received.
fn strict(relation: &Relation) -> impl Iterator<Item = &str> {
    let ours = relation.columns.iter().skip_while(|column| column.name != "received_at");
    let strict = ours.filter(|column| column.not_null && !column.filled);
    strict.map(|column| column.name.as_str())
}
