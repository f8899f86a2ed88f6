//! What is to be done to a database: decided from the facts alone, before anything is touched.

use std::fmt;

use schema::{SqlName, Table, tables};

use super::catalog::{Catalog, RelationKind};
use super::cost::{Cost, Size};
use super::steps::{LEDGER, LEDGER_TABLE, READABLE_FROM, STEPS, Step, VERSION};
use super::{
    Currency, Options, READER, WRITER, adoption, aggregates, beside, merge, release, storage,
};
use crate::postgres::target::{new_rows, quoted};

/// What is to be done, in this order.
#[derive(Debug, Default)]
pub struct Plan {
    /// The changes.
    pub changes: Vec<Change>,
    /// What is merged behind them, when that is allowed.
    pub merges: Vec<Merge>,
    /// What an operator should know.
    pub warnings: Vec<String>,
    /// Why none of it can be done.
    pub(super) refusals: Vec<String>,
}

/// One change of the database.
#[derive(Debug)]
pub struct Change {
    /// What it is, for people.
    pub what: String,
    /// How it is done.
    pub(super) sql: String,
    pub(super) cost: Cost,
}

/// Old rows that are merged into the table beside them, in steps of their own.
#[derive(Debug)]
pub struct Merge {
    /// The name that both have.
    pub(super) name: String,
    /// What it is, for people.
    pub what: String,
    pub(super) cost: Cost,
    pub(super) steps: u64,
    /// What it takes of the disk meanwhile.
    pub(super) room: u64,
}

impl Change {
    /// About how long it takes.
    #[must_use]
    pub fn estimate(&self) -> String {
        self.cost.to_string()
    }
}

impl Merge {
    /// About how long it takes, and what it needs.
    #[must_use]
    pub fn estimate(&self) -> String {
        let (cost, room) = (self.cost, Size(self.room));
        format!("{cost}; steps: {}; free disk needed meanwhile: {room}", self.steps)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Plan {
    /// Compares the facts with what this program needs.
    pub(super) fn new(catalog: &Catalog, options: &Options) -> Self {
        let mut plan = Self::default();
        match &catalog.timescale {
            None => plan.warn(
                "TimescaleDB is not in this database: tapedeck makes plain tables, without \
                 chunks, compression, retention and aggregates (to have them: CREATE EXTENSION \
                 timescaledb, then tapedeck migrate)",
            ),
            Some(timescale) if !timescale.community => plan.warn(&format!(
                "this is TimescaleDB {} of the Apache edition, which has no compression, no \
                 retention and no aggregates: the Timescale edition has",
                timescale.version
            )),
            Some(_) => {}
        }
        let currencies = currencies(catalog, options);
        if options.release {
            for (table, name) in declared(&currencies) {
                release::plan(catalog, table, &name, &mut plan);
            }
            return plan;
        }
        // Before our triggers hold on to columns.
        for (table, name) in declared(&currencies) {
            match beside::reason(catalog, options, table, &name) {
                Some(why) => beside::plan(catalog, table, &name, why, &mut plan),
                None => {
                    let taker = beside::taker(catalog, &name);
                    adoption::plan(catalog, table, &taker, &mut plan);
                }
            }
        }
        plan.steps(catalog, options, &currencies);
        for (table, name) in declared(&currencies) {
            // A table that is made just now is looked at in the next round.
            if beside::reason(catalog, options, table, &name).is_none() {
                plan.columns(catalog, table, &beside::taker(catalog, &name));
                storage::plan(catalog, options, table, &name, &mut plan);
                beside::follow(catalog, &name, &mut plan);
            }
            if options.allow_rewrite {
                merge::plan(catalog, options, table, &name, &mut plan);
            }
        }
        plan.roles(catalog, options, &currencies);
        plan
    }

    /// A change of the catalog alone.
    pub(super) fn push(&mut self, what: impl Into<String>, sql: impl Into<String>) {
        self.push_costly(what, sql, Cost::Instant);
    }

    /// A change.
    pub(super) fn push_costly(
        &mut self,
        what: impl Into<String>,
        sql: impl Into<String>,
        cost: Cost,
    ) {
        self.changes.push(Change { what: what.into(), sql: sql.into(), cost });
    }

    /// Lets columns of a table be null.
    pub(super) fn let_be_missing(&mut self, name: &str, columns: &[&str]) {
        if columns.is_empty() {
            return;
        }
        let alter = columns.iter().map(|column| format!("ALTER {} DROP NOT NULL", quoted(column)));
        let alter = alter.collect::<Vec<_>>().join(", ");
        self.push(
            format!("let be missing in {name}: {}", columns.join(", ")),
            format!("ALTER TABLE {name} {alter}"),
        );
    }

    /// Something to know.
    pub(super) fn warn(&mut self, sentence: &str) {
        self.warnings.push(sentence.into());
    }

    fn steps(&mut self, catalog: &Catalog, options: &Options, currencies: &[Currency]) {
        if !catalog.relations.contains_key(LEDGER_TABLE) {
            self.push("make the ledger of migrations", LEDGER);
        }
        for step in STEPS {
            match step.per_currency {
                false => self.step(catalog, options, step, None),
                true => currencies
                    .iter()
                    .for_each(|currency| self.step(catalog, options, step, Some(currency))),
            }
        }
        if catalog.version.is_none_or(|(version, _)| version < VERSION) {
            let row = format!(
                "INSERT INTO tapedeck_schema (version, readable_from) \
                 VALUES ({VERSION}, {READABLE_FROM}) ON CONFLICT (one) DO UPDATE \
                 SET version = EXCLUDED.version, readable_from = EXCLUDED.readable_from"
            );
            self.push(format!("note that the database is at version {VERSION}"), row);
        }
    }

    fn step(
        &mut self,
        catalog: &Catalog,
        options: &Options,
        step: &Step,
        currency: Option<&Currency>,
    ) {
        let scope = currency.map_or("", Currency::sql);
        if catalog.has(step.version, scope).is_some() && !options.repair {
            return;
        }
        let (version, name, checksum) = (step.version, step.name, step.checksum());
        let program = env!("CARGO_PKG_VERSION");
        let row = format!(
            "INSERT INTO tapedeck_migrations (version, scope, name, checksum, program) \
             VALUES ({version}, '{scope}', '{name}', '{checksum}', '{program}') \
             ON CONFLICT (version, scope) DO UPDATE \
             SET checksum = EXCLUDED.checksum, program = EXCLUDED.program"
        );
        let what = match currency {
            Some(currency) => format!("apply {version:04} {name} for {currency}"),
            None => format!("apply {version:04} {name}"),
        };
        let mut sql = step.sql(currency).into_owned();
        for (table, name) in declared(currency.map_or(&[], std::slice::from_ref)) {
            // A trigger stands on the table that takes the rows.
            if beside::is_beside(catalog, &name)
                || beside::reason(catalog, options, table, &name).is_some()
            {
                let on = format!(" ON {name}\n");
                sql = sql.replace(&on, &format!(" ON {}\n", new_rows(&name)));
            }
        }
        self.push(what, format!("{sql}\n{row}"));
    }

    /// Columns that are declared and not there are appended; old rows have none of them.
    fn columns(&mut self, catalog: &Catalog, table: &Table, name: &str) {
        let Some(relation) = catalog.relations.get(name) else { return };
        if relation.kind != RelationKind::Table {
            return;
        }
        let missing: Vec<_> =
            stored(table).filter(|column| !relation.has_column(column.name)).collect();
        if missing.is_empty() {
            return;
        }
        let names: Vec<_> = missing.iter().map(|column| column.name).collect();
        let add = missing.iter().map(|column| format!("ADD {} {}", column.name, column.kind.sql()));
        let add = add.collect::<Vec<_>>().join(", ");
        self.push(
            format!("append to {name}: {}", names.join(", ")),
            format!("ALTER TABLE {name} {add}"),
        );
    }

    /// Our roles may do what they are for, on every table of ours.
    fn roles(&mut self, catalog: &Catalog, options: &Options, currencies: &[Currency]) {
        let is_there = |name| catalog.roles.iter().any(|role| role.name == name);
        for name in [READER, WRITER] {
            if options.roles && !is_there(name) {
                self.push(format!("make the role {name}"), format!("CREATE ROLE {name} NOLOGIN"));
            }
            let Some(denied) = catalog.roles.iter().find(|role| role.name == name) else {
                if options.roles {
                    self.grant(name, &tables_of(catalog, currencies));
                }
                continue;
            };
            let missing = |table: &String| {
                denied.denied.contains(table) || !catalog.relations.contains_key(table)
            };
            let mut tables = tables_of(catalog, currencies);
            if name == READER {
                tables.extend(aggregates::all(catalog, currencies));
            }
            tables.retain(missing);
            if !tables.is_empty() {
                self.grant(name, &tables);
            }
        }
    }

    fn grant(&mut self, role: &str, tables: &[String]) {
        let list = tables.join(", ");
        let (what, sql) = match role == WRITER {
            false => ("read", format!("GRANT SELECT ON {list} TO {role}")),
            // The triggers that keep instrument_metadata run as the writer.
            true => (
                "write",
                format!(
                    "GRANT SELECT, INSERT, UPDATE ON {list} TO {role};\n\
                     GRANT SELECT ON tapedeck_schema, tapedeck_migrations TO {role};\n\
                     GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
                ),
            ),
        };
        self.push(format!("let {role} {what} {} tables", tables.len()), sql);
    }
}

/// Whose options have tables: those asked for, and those that have had them.
fn currencies(catalog: &Catalog, options: &Options) -> Vec<Currency> {
    let known = catalog.applied.iter().filter_map(|applied| applied.scope.parse().ok());
    let mut currencies: Vec<Currency> = known.chain(options.currencies.iter().cloned()).collect();
    currencies.sort();
    currencies.dedup();
    currencies
}

/// Every table in SQL, and its declaration.
pub(super) fn declared(currencies: &[Currency]) -> Vec<(&'static Table, String)> {
    let names = |table: &'static Table| match table.sql {
        SqlName::One(name) => vec![(table, name.to_owned())],
        SqlName::PerCurrency(name) => {
            let named = |currency: &Currency| (table, format!("{}_{name}", currency.sql()));
            currencies.iter().map(named).collect()
        }
    };
    tables::ALL.iter().copied().flat_map(names).collect()
}

/// The declared columns that the database has. A table that no journal writes has no number of it.
pub(super) fn stored(table: &Table) -> impl Iterator<Item = &schema::Column> {
    let journaled = table.partition != schema::Partition::SqlOnly;
    table.columns.iter().filter(move |column| journaled || column.name != "sequence")
}

/// What a role is given.
fn tables_of(catalog: &Catalog, currencies: &[Currency]) -> Vec<String> {
    let names = declared(currencies).into_iter().map(|(_, name)| name);
    let mut tables: Vec<String> = names.chain(PLACES.map(str::to_owned)).collect();
    let beside = tables.iter().filter(|name| beside::is_beside(catalog, name));
    tables.extend(beside.map(|name| new_rows(name)).collect::<Vec<_>>());
    tables
}

/// Where the places of sinks and of refills stand.
const PLACES: [&str; 3] = ["tapedeck_sinks", "tapedeck_holes", "tapedeck_refills"];
