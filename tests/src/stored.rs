//! What a database holds, as the server itself prints it.

use std::collections::BTreeMap;

use schema::{Kind, Partition, SqlName, Table, tables};

use super::Cluster;

/// Rows of each table, by sequence: each cell as text, a float as its bits, an instant as
/// microseconds, `None` where it is missing.
pub type Rows = BTreeMap<(&'static str, i64), Vec<Vec<Option<String>>>>;

/// All that tapedeck has stored of the recorded tables in a database, under the declarations'
/// names. Rows of the predecessor's have no sequence.
///
/// # Panics
/// When the database cannot be read.
#[must_use]
pub fn stored(cluster: &Cluster, database: &str) -> Rows {
    let mut rows = Rows::new();
    for table in tables::ALL.iter().filter(|table| table.partition != Partition::SqlOnly) {
        let pattern = match table.sql {
            SqlName::One(name) => name.to_owned(),
            SqlName::PerCurrency(name) => format!("%\\_{name}"),
        };
        let names = format!(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace \
             AND relkind IN ('r', 'v') AND relname LIKE '{pattern}'"
        );
        for name in cluster.psql(database, &names).lines() {
            add(&mut rows, table, &cluster.psql(database, &select(table, name)));
        }
    }
    rows
}

fn select(table: &Table, name: &str) -> String {
    let cell = |column: &schema::Column| match column.kind {
        Kind::Time => format!("(extract(epoch FROM {0}) * 1000000)::bigint::text", column.name),
        _ => format!("{}::text", column.name),
    };
    let cells: Vec<String> = table.columns.iter().map(cell).collect();
    let cells = cells.join(", ");
    format!("SELECT json_build_array({cells}) FROM {name} WHERE sequence IS NOT NULL")
}

fn add(rows: &mut Rows, table: &'static Table, printed: &str) {
    for line in printed.lines() {
        let mut cells: Vec<Option<String>> =
            serde_json::from_str(line).expect("the server prints JSON");
        let sequence = cells[Table::SEQUENCE].as_ref().and_then(|text| text.parse().ok());
        let sequence = sequence.expect("a sequence is never null");
        for (column, cell) in table.columns.iter().zip(&mut cells) {
            if column.kind == Kind::Float {
                let bits = |text: String| text.parse::<f64>().expect("a number").to_bits();
                *cell = cell.take().map(|text| format!("{:016x}", bits(text)));
            }
        }
        rows.entry((table.name, sequence)).or_default().push(cells);
    }
}
