//! Takes over a table that the predecessor made, in place: only the catalog changes, no row moves.

use schema::{Kind, Partition, Table};

use super::catalog::{Catalog, Column, Hypertable, Key, Relation, RelationKind};
use super::plan::{Plan, stored};
use super::release;
use super::views::{make_again, set_aside};

/// Drops what would refuse rows of ours: keys over ticks, bounds of numbers and names, columns that
/// must not be null. What cannot be taken over in place is refused before anything is touched.
pub(super) fn plan(catalog: &Catalog, table: &Table, name: &str, plan: &mut Plan) {
    let Some(relation) = catalog.relations.get(name) else { return };
    let narrow: Vec<(&Column, &str)> = narrow(table, relation).collect();
    if let Some(refusal) = refusal(relation, name, !narrow.is_empty()) {
        plan.refusals.push(refusal);
        return;
    }
    let keys: Vec<&Key> = relation.keys.iter().filter(|key| is_over_rows(table, key)).collect();
    // A view holds on to the types of its columns, and may be grouped by a key.
    let views = match narrow.is_empty() && keys.is_empty() {
        true => &[],
        false => relation.views.as_slice(),
    };
    set_aside(views, name, plan);
    for key in keys {
        let (columns, key_name) = (key.columns.join(", "), &key.name);
        let sql = match key.constraint {
            true => format!("ALTER TABLE {name} DROP CONSTRAINT \"{key_name}\""),
            false => format!("DROP INDEX \"{key_name}\""),
        };
        plan.push(format!("let {name} hold several rows of one ({columns})"), sql);
    }
    release::undo(catalog, name, name, plan);
    if !narrow.is_empty() {
        let names: Vec<_> = narrow.iter().map(|(column, _)| column.name.as_str()).collect();
        let alter =
            narrow.iter().map(|(column, wide)| format!("ALTER {} TYPE {wide}", column.name));
        let alter = alter.collect::<Vec<_>>().join(", ");
        plan.push(
            format!("widen in {name}: {}", names.join(", ")),
            format!("ALTER TABLE {name} {alter}"),
        );
    }
    make_again(views, name, relation.bytes, plan);
    let strict: Vec<_> = strict(table, relation).map(|column| column.name.as_str()).collect();
    plan.let_be_missing(name, &strict);
}

/// Whether its rows stay as they are, and a new table is made beside them: TimescaleDB changes no
/// type in a table that is compressed, or that it keeps an aggregate of.
pub(super) fn is_held(table: &Table, relation: &Relation) -> bool {
    let held = |hypertable: &Hypertable| hypertable.compressed || relation.aggregated;
    relation.kind == RelationKind::Table
        && relation.hypertable.as_ref().is_some_and(held)
        && narrow(table, relation).next().is_some()
}

/// A type without its bound.
pub(super) fn wide(spelled: &str) -> &str {
    match spelled {
        _ if spelled.starts_with("numeric(") => "numeric",
        _ if spelled.starts_with("character varying") => "text",
        _ => spelled,
    }
}

/// Columns whose type has a bound that ours has not; that it goes rewrites nothing.
fn narrow<'a>(
    table: &'a Table,
    relation: &'a Relation,
) -> impl Iterator<Item = (&'a Column, &'static str)> {
    relation.columns.iter().filter_map(move |column| {
        let kind = stored(table).find(|declared| declared.name == column.name)?.kind;
        let bound = match kind {
            Kind::Float => "numeric(",
            Kind::Name | Kind::Text => "character varying",
            Kind::Bool | Kind::Int | Kind::Json | Kind::Time => return None,
        };
        column.spelled.starts_with(bound).then_some((column, kind.sql()))
    })
}

/// Columns that must not be null, where our rows may have nothing.
fn strict<'a>(table: &'a Table, relation: &'a Relation) -> impl Iterator<Item = &'a Column> {
    relation.columns.iter().filter(move |column| {
        let declared = stored(table).find(|declared| declared.name == column.name);
        column.not_null && declared.map_or(!column.filled, |declared| declared.nullable)
    })
}

/// Whether two rows of ours may be equal in the key. A key with a column that the server counts up
/// is in nobody's way, and of one option there is one row.
fn is_over_rows(table: &Table, key: &Key) -> bool {
    let declared = |column: &String| table.index_of(column).is_some();
    table.partition != Partition::SqlOnly && key.columns.iter().all(declared)
}

fn refusal(relation: &Relation, name: &str, narrow: bool) -> Option<String> {
    if relation.kind != RelationKind::Table {
        return Some(format!("{name} is not a table: rename it, so that it can be made"));
    }
    // One of them is not taken beside.
    if relation.hypertable.as_ref().is_some_and(|hypertable| hypertable.compressed) && narrow {
        return Some(format!(
            "{name} is compressed, and TimescaleDB does not widen its columns then: decompress it, \
             so that it can be taken over in place (nothing was changed)"
        ));
    }
    None
}
