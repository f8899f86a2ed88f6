//! Option quotes as the predecessor kept them: 19 columns, cut into transactions.

use std::sync::Arc;

use arrow_array::RecordBatch;
use schema::tables::OptionQuote;
use schema::{Batch, Column, Origin, Partition, Row, SqlName, Table};

/// A table `quotes` of the predecessor's 19 columns, declared as ours are.
#[must_use]
pub fn nineteen() -> &'static Table {
    let same = |column: &Column| Column {
        name: column.name,
        doc: column.doc,
        kind: column.kind,
        nullable: column.nullable,
        unit: column.unit,
    };
    let columns: Vec<Column> = places().map(|at| same(&OptionQuote::TABLE.columns[at])).collect();
    Box::leak(Box::new(Table {
        name: "quotes",
        doc: "Option quotes as the predecessor kept them.",
        columns: columns.leak(),
        time: "timestamp",
        identity: &["instrument", "timestamp"],
        partition: Partition::CurrencyAndDate("instrument"),
        sql: SqlName::One("quotes"),
    }))
}

/// The table in SQL, as `tapedeck migrate` leaves one of the predecessor's: numbers without
/// bounds, and no key.
#[must_use]
pub fn statement(table: &Table) -> String {
    let columns = table.columns.iter().map(|column| {
        let not_null = if column.nullable { "" } else { " NOT NULL" };
        format!("{} {}{not_null}", column.name, column.kind.sql())
    });
    format!("CREATE TABLE quotes ({})", columns.collect::<Vec<_>>().join(", "))
}

/// The quotes among the batches, `rows` of them at most, as batches of `table`, which has some of
/// our columns: transactions of `each` rows, the last one as it comes. Their positions are
/// contiguous from 1.
#[must_use]
pub fn transactions(
    batches: &[Arc<Batch>],
    table: &'static Table,
    rows: usize,
    each: usize,
) -> Vec<Vec<Arc<Batch>>> {
    let place = |column: &Column| OptionQuote::TABLE.index_of(column.name);
    let places: Option<Vec<usize>> = table.columns.iter().map(place).collect();
    let places = places.expect("columns of ours");
    let (mut cut, mut position, mut left) = (vec![Vec::new()], 0, rows);
    let mut room = each;
    for batch in batches.iter().filter(|batch| batch.table().name == OptionQuote::TABLE.name) {
        let columns = batch.columns().project(&places).expect("the table's own columns");
        let mut from = 0;
        while from < columns.num_rows().min(from + left) {
            let take = room.min(left).min(columns.num_rows() - from);
            let part = anew(table, &columns.slice(from, take));
            position += 1;
            let part = Batch::new(table, position, Origin::default(), part);
            cut.last_mut().expect("one is begun").push(Arc::new(part));
            (from, left, room) = (from + take, left - take, room - take);
            if room == 0 {
                cut.push(Vec::new());
                room = each;
            }
        }
    }
    cut.retain(|transaction| !transaction.is_empty());
    cut
}

fn anew(table: &Table, columns: &RecordBatch) -> RecordBatch {
    RecordBatch::try_new(table.arrow(), columns.columns().to_vec()).expect("the same kinds")
}

/// Where the predecessor's columns stand in ours: behind its 19 come those that it lacks, and
/// among them our clock and our number.
fn places() -> impl Iterator<Item = usize> {
    (0..OptionQuote::TABLE.columns.len()).filter(|at| !(1..=Table::SEQUENCE).contains(at)).take(19)
}
