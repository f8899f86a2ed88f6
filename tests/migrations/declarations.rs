//! What the SQL makes is what the declarations say.

use std::collections::BTreeMap;

use schema::{Partition, SqlName, Table, tables};
use tapedeck_tests::Cluster;

/// Every table has the declared columns, of the declared type and nullability, and no other.
#[track_caller]
pub(crate) fn assert_equal(cluster: &Cluster, database: &str, currencies: &[&str]) {
    let mut found: BTreeMap<String, Vec<(String, String, bool)>> = BTreeMap::new();
    for line in cluster.psql(database, COLUMNS).lines() {
        let cells: Vec<&str> = line.split('|').collect();
        let [table, column, kind, nullable] = cells[..] else { panic!("{line}") };
        let kind = kind.replace("timestamp with time zone", "timestamptz");
        found.entry(table.into()).or_default().push((column.into(), kind, nullable == "t"));
    }
    let mut expected = BTreeMap::new();
    for table in tables::ALL {
        for name in names(table, currencies) {
            expected.insert(name, declared(table));
        }
    }
    found.retain(|name, _| !name.starts_with("tapedeck_"));
    for (name, columns) in &mut found {
        columns.retain(|(column, _, _)| !ONLY_HERE.contains(&(name, column)));
        columns.sort();
    }
    let tables = |map: &BTreeMap<String, _>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(tables(&found), tables(&expected));
    for (name, columns) in expected {
        assert_eq!(found[&name], columns, "{name}");
    }
}

fn names(table: &Table, currencies: &[&str]) -> Vec<String> {
    match table.sql {
        SqlName::One(name) => vec![name.into()],
        SqlName::PerCurrency(name) => currencies.iter().map(|it| format!("{it}_{name}")).collect(),
    }
}

fn declared(table: &Table) -> Vec<(String, String, bool)> {
    // The number of a journal's row: a table that is in no journal has none.
    let journaled = table.partition != Partition::SqlOnly;
    let columns = table.columns.iter().filter(|column| journaled || column.name != "sequence");
    let mut columns: Vec<_> = columns
        .map(|column| (column.name.to_owned(), column.kind.sql().to_owned(), column.nullable))
        .collect();
    columns.sort();
    columns
}

/// The predecessor's keys, which the server fills.
const ONLY_HERE: [(&str, &str); 2] = [("data_gaps", "gap_id"), ("lifecycle_events", "id")];

const COLUMNS: &str = "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
    NOT a.attnotnull FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
    AND NOT a.attisdropped";
