//! A table of the database that rows go to: which of our columns it has, and how it spells them.

use std::fmt::Write;

use schema::Table;

use super::cells::Cells;
use super::column::Column;

/// A table that is there and takes our rows.
///
/// Invariant: each column of the declaration stands in it once, with a type that its cells can be
/// written as; every other column of it is filled by the server.
#[derive(Debug)]
pub(super) struct Target {
    name: String,
    /// Where the column stands in the declaration, and what the database knows of it.
    columns: Vec<(usize, Column)>,
}

impl Target {
    /// Holds the declaration against what the catalog says, and names what does not fit.
    pub(super) fn new(
        table: &'static Table,
        name: String,
        columns: Vec<Column>,
    ) -> Result<Self, String> {
        let mut fitting = Vec::new();
        for column in columns {
            let Some(at) = table.index_of(&column.name) else {
                if column.not_null && !column.filled {
                    return Err(format!(
                        "its column {} must not be null and has no default, and tapedeck knows \
                         nothing to put there",
                        column.name
                    ));
                }
                continue;
            };
            let kind = table.columns[at].kind;
            if !column.kind.is_some_and(|sql| Cells::fit(kind, sql)) {
                let (name, spelled, ours) = (&column.name, &column.spelled, kind.sql());
                return Err(format!("its column {name} is {spelled}: it must be {ours}"));
            }
            fitting.push((at, column));
        }
        let has = |at: usize| fitting.iter().any(|(known, _)| *known == at);
        let mut ours = table.columns.iter().enumerate();
        if let Some((_, missing)) = ours.find(|(at, _)| !has(*at)) {
            return Err(format!("it has no column {}: run tapedeck migrate", missing.name));
        }
        Ok(Self { name, columns: fitting })
    }

    /// What it is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its columns that are ours.
    pub(super) fn columns(&self) -> &[(usize, Column)] {
        &self.columns
    }

    /// The statement that takes rows.
    pub(super) fn copy(&self) -> String {
        let mut statement = format!("COPY {} (", quoted(&self.name));
        for (at, (_, column)) in self.columns.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let _ = write!(statement, "{comma}{}", quoted(&column.name));
        }
        statement.push_str(") FROM STDIN (FORMAT binary)");
        statement
    }
}

/// The table that takes the rows of a name that is a view of old and new ones.
pub(super) fn new_rows(name: &str) -> String {
    format!("{name}_tapedeck")
}

/// A name as SQL takes it whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
