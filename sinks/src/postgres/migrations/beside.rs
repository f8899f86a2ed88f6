//! A table of the predecessor's that TimescaleDB does not let change: it keeps its rows under
//! another name, a new table beside it takes the rows from now on, and its name becomes a view of
//! both.

use schema::Table;

use super::adoption::wide;
use super::catalog::{Catalog, Column, Relation, RelationKind};
use super::plan::{Plan, stored};
use super::views::{make_again, set_aside};
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

/// Renames the table and makes what stands in its place. The rows stay where they are.
pub(super) fn plan(catalog: &Catalog, table: &Table, name: &str, plan: &mut Plan) {
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
    plan.push(
        format!(
            "rename {name} to {old} in an instant, whole, since TimescaleDB does not widen the \
             columns of a compressed table"
        ),
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
                "CREATE TABLE {new} ({});\n{}",
                spelled.join(", "),
                relation.access.replace(PLACE, &new)
            ),
        );
    }
    columns.retain(|column| !relation.has_column(&column.name));
    let order = relation.columns.iter().map(Shown::of).chain(columns).collect::<Vec<_>>();
    let new_columns = there.then(|| catalog.relations[&new].columns.as_slice());
    let view = show(&order, name, &relation.columns, new_columns);
    plan.push(
        format!("let {name} be a view that shows the rows of {old} and of {new}"),
        format!("{view};\n{}", relation.access.replace(PLACE, name)),
    );
    make_again(&relation.views, name, plan);
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
    make_again(views, name, plan);
}

/// A column of the view.
struct Shown {
    name: String,
    spelled: String,
    not_null: bool,
}

impl Shown {
    fn of(column: &Column) -> Self {
        let (name, spelled) = (column.name.clone(), wide(&column.spelled).to_owned());
        Self { name, spelled, not_null: column.not_null }
    }

    fn definition(&self) -> String {
        let null = if self.not_null { " NOT NULL" } else { "" };
        format!("{} {}{null}", quoted(&self.name), self.spelled)
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

/// What stands for the relation's name in [`Relation::access`].
pub(super) const PLACE: &str = "@relation@";
