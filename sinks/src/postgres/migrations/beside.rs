//! A table of the predecessor's that cannot become what ours is where it stands: it keeps its rows
//! under another name, a new table beside it takes the rows from now on, and its name becomes a
//! view of both.

use schema::{Partition, Table};

use super::adoption::{self, wide};
use super::catalog::{Catalog, Column, Relation, RelationKind};
use super::plan::{Plan, stored};
use super::storage::time_index;
use super::views::{make_again, set_aside};
use super::{Options, release};
use crate::postgres::target::{new_rows, quoted};

/// Where the old rows of a table are.
pub(super) fn old_rows(name: &str) -> String {
    format!("{name}_before_tapedeck")
}

/// The table that takes the rows of that name: the name itself, unless that is a view of ours.
pub(super) fn taker(catalog: &Catalog, name: &str) -> String {
    match is_beside(catalog, name) {
        true => new_rows(name),
        false => name.to_owned(),
    }
}

/// Whether the name is a view of old and new rows.
pub(super) fn is_beside(catalog: &Catalog, name: &str) -> bool {
    let is = |name: &str, kind| catalog.relations.get(name).is_some_and(|it| it.kind == kind);
    is(name, RelationKind::View)
        && is(&new_rows(name), RelationKind::Table)
        && is(&old_rows(name), RelationKind::Table)
}

/// Why a table's rows go on beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// TimescaleDB changes no type in it.
    Held,
    /// It has been beside a new table before, and was the predecessor's since.
    Returned,
    /// It is plain and has rows, which are to be cut into chunks.
    Plain,
}

/// Whether, and why, the table is to have a new one beside it.
pub(super) fn reason(
    catalog: &Catalog,
    options: &Options,
    table: &Table,
    name: &str,
) -> Option<Reason> {
    // Two tables can only be one where rows are never changed.
    if !matches!(table.partition, Partition::CurrencyAndDate(_) | Partition::Date) {
        return None;
    }
    let is_table = |it: &&Relation| it.kind == RelationKind::Table;
    let relation = catalog.relations.get(name).filter(is_table)?;
    let new = catalog.relations.get(&new_rows(name)).filter(is_table);
    match new.is_some_and(|new| new.has_column(table.columns[Table::SEQUENCE].name)) {
        true => Some(Reason::Returned),
        false if adoption::is_held(table, relation) => Some(Reason::Held),
        false => (options.allow_rewrite && relation.heaped).then_some(Reason::Plain),
    }
}

/// Renames the table and makes what stands in its place. The rows stay where they are.
pub(super) fn plan(catalog: &Catalog, table: &Table, name: &str, why: Reason, plan: &mut Plan) {
    let (old, new) = (old_rows(name), new_rows(name));
    let relation = &catalog.relations[name];
    if catalog.relations.contains_key(&old) {
        plan.refusals.push(format!(
            "{name} cannot be changed in place, and there is a {old} already: rename one of them \
             (nothing was changed)"
        ));
        return;
    }
    set_aside(&relation.views, name, plan);
    let why = match why {
        Reason::Held => "since TimescaleDB does not widen the columns of a compressed table",
        Reason::Returned => "beside the rows that are not the predecessor's",
        Reason::Plain => "so that its rows can move into one that is cut into chunks",
    };
    plan.push(
        format!("rename {name} to {old}, whole, {why}"),
        format!("ALTER TABLE {name} RENAME TO {old}"),
    );
    let (mut columns, there) = match catalog.relations.get(&new) {
        Some(there) => (there.columns.iter().map(Shown::of).collect(), true),
        None => (fresh(table, relation), false),
    };
    if !there {
        let spelled: Vec<_> = columns.iter().map(Shown::definition).collect();
        plan.push(
            format!("make {new} for the rows from now on"),
            format!(
                "CREATE TABLE {new} ({});\n{}{}",
                spelled.join(", "),
                relation.access.replace(PLACE, &new),
                triggers(relation, &new)
            ),
        );
    }
    release::undo(catalog, name, &new, plan);
    columns.retain(|column| !relation.has_column(&column.name));
    let order = relation.columns.iter().map(Shown::of).chain(columns).collect::<Vec<_>>();
    let new_columns = there.then(|| catalog.relations[&new].columns.as_slice());
    let view = show(&order, name, &relation.columns, new_columns);
    plan.push(
        format!("let {name} be a view that shows the rows of {old} and of {new}"),
        format!("{view};\n{}", relation.access.replace(PLACE, name)),
    );
    make_again(&relation.views, name, relation.bytes, plan);
}

/// What makes our triggers on another table.
pub(super) fn triggers(relation: &Relation, on: &str) -> String {
    relation.triggers.iter().map(|it| format!(";\n{}", it.make.replace(PLACE, on))).collect()
}

/// Lets the view show columns that were appended to the new table.
pub(super) fn follow(catalog: &Catalog, name: &str, plan: &mut Plan) {
    if !is_beside(catalog, name) {
        return;
    }
    let (old, new) = (&catalog.relations[&old_rows(name)], &catalog.relations[&new_rows(name)]);
    let view = &catalog.relations[name];
    let missing: Vec<_> =
        new.columns.iter().filter(|column| !view.has_column(&column.name)).collect();
    if missing.is_empty() {
        return;
    }
    let names: Vec<_> = missing.iter().map(|column| column.name.as_str()).collect();
    let order = view.columns.iter().chain(missing).map(Shown::of).collect::<Vec<_>>();
    plan.push(
        format!("let the view {name} show: {}", names.join(", ")),
        show(&order, name, &old.columns, Some(&new.columns)),
    );
}

/// The name is the predecessor's table again; the rows since stay in the new table.
pub(super) fn undo(catalog: &Catalog, name: &str, plan: &mut Plan) {
    let (old, new) = (old_rows(name), new_rows(name));
    let views = &catalog.relations[name].views;
    set_aside(views, name, plan);
    plan.push(
        format!("let {name} be the predecessor's table again; the rows since stay in {new}"),
        format!("DROP VIEW {name};\nALTER TABLE {old} RENAME TO {name}"),
    );
    make_again(views, name, catalog.relations[&old].bytes, plan);
}

/// The predecessor gets an empty table; the rows stay in the new one. For tables that can have no
/// key of the predecessor's.
pub(super) fn hand_over(
    catalog: &Catalog,
    name: &str,
    (key, strict): (&str, &[&str]),
    plan: &mut Plan,
) {
    let (relation, new) = (&catalog.relations[name], new_rows(name));
    let (index, new_index) = (time_index(name), time_index(&new));
    set_aside(&relation.views, name, plan);
    plan.push(
        format!(
            "rename {name} to {new}, whole, since TimescaleDB makes no key over ({key}) in it, and \
             let {name} be an empty table that has one"
        ),
        format!(
            "ALTER TABLE {name} RENAME TO {new};\n\
             ALTER INDEX IF EXISTS {index} RENAME TO {new_index};\n\
             CREATE TABLE {name} (LIKE {new} INCLUDING DEFAULTS);\n\
             ALTER TABLE {name} ADD PRIMARY KEY ({key});\n{}",
            relation.access.replace(PLACE, name)
        ),
    );
    plan.let_be_missing(name, strict);
    make_again(&relation.views, name, 0, plan);
}

/// A column of the view.
struct Shown {
    name: String,
    spelled: String,
    not_null: bool,
    default: Option<String>,
}

impl Shown {
    fn of(column: &Column) -> Self {
        let (name, spelled) = (column.name.clone(), wide(&column.spelled).to_owned());
        Self { name, spelled, not_null: column.not_null, default: column.default.clone() }
    }

    fn definition(&self) -> String {
        let null = if self.not_null { " NOT NULL" } else { "" };
        let default = self.default.as_ref().map(|it| format!(" DEFAULT {it}"));
        let default = default.unwrap_or_default();
        format!("{} {}{null}{default}", quoted(&self.name), self.spelled)
    }
}

/// The old table's columns without their bounds, and behind them those of ours that it lacks.
fn fresh(table: &Table, old: &Relation) -> Vec<Shown> {
    let declared = |name: &str| stored(table).find(|declared| declared.name == name);
    let of_old = old.columns.iter().map(|column| Shown {
        not_null: declared(&column.name).is_some_and(|declared| !declared.nullable),
        ..Shown::of(column)
    });
    let missing = stored(table).filter(|declared| !old.has_column(declared.name));
    let missing = missing.map(|declared| Shown {
        name: declared.name.to_owned(),
        spelled: declared.kind.sql().to_owned(),
        not_null: !declared.nullable,
        default: None,
    });
    of_old.chain(missing).collect()
}

/// The view. Types are made the same on both sides, so that the server asks each side by its
/// indexes; where there is no new table yet, it will have every column.
fn show(order: &[Shown], name: &str, old: &[Column], new: Option<&[Column]>) -> String {
    let side = |columns: Option<&[Column]>, from: &str| {
        let cells = order.iter().map(|shown| {
            let (column, spelled) = (quoted(&shown.name), &shown.spelled);
            match columns.map(|columns| columns.iter().find(|it| it.name == shown.name)) {
                Some(None) => format!("NULL::{spelled} AS {column}"),
                Some(Some(it)) if it.spelled != *spelled => {
                    format!("{column}::{spelled} AS {column}")
                }
                Some(Some(_)) | None => column,
            }
        });
        format!("SELECT {} FROM {from}", cells.collect::<Vec<_>>().join(", "))
    };
    format!(
        "CREATE OR REPLACE VIEW {name} AS {} UNION ALL {}",
        side(Some(old), &old_rows(name)),
        side(new, &new_rows(name))
    )
}

/// What stands for the relation's name in [`Relation::access`] and in its triggers.
pub(super) const PLACE: &str = "@relation@";
