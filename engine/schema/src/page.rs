//! The reference page: every table as Markdown. `docs/tables.md` is this text; a test compares.

use std::fmt::Write;

use crate::{Partition, SqlName, Table, tables};

/// The whole page.
#[must_use]
pub fn render() -> String {
    let mut page = String::from(HEAD);
    for table in tables::ALL {
        section(&mut page, table).expect("a String takes every write");
    }
    page
}

fn section(page: &mut String, table: &Table) -> std::fmt::Result {
    writeln!(page, "\n## {}\n\n{}\n", table.name, text(table.doc))?;
    writeln!(page, "- Parquet: {}", folder(table))?;
    match table.sql {
        SqlName::One(name) => writeln!(page, "- SQL: `{name}`")?,
        SqlName::PerCurrency(name) => {
            writeln!(page, "- SQL: `btc_{name}`, `eth_{name}`, … one a currency")?;
        }
    }
    writeln!(
        page,
        "- A row's time: `{}`. A row's identity: `{}`.\n",
        table.time,
        table.identity.join("`, `")
    )?;
    writeln!(page, "| column | Parquet | SQL | unit | may be missing | what it is |")?;
    writeln!(page, "|---|---|---|---|---|---|")?;
    for column in table.columns {
        let (parquet, sql, unit) = (column.kind.parquet(), column.kind.sql(), column.unit.text());
        let missing = if column.nullable { "yes" } else { "" };
        let doc = text(column.doc);
        writeln!(page, "| {} | {parquet} | {sql} | {unit} | {missing} | {doc} |", column.name)?;
    }
    Ok(())
}

fn folder(table: &Table) -> String {
    let name = table.name;
    match table.partition {
        Partition::CurrencyAndDate(column) => {
            let folder = format!("DATA/parquet/{name}/currency=BTC/date=2026-11-24/");
            format!("`{folder}`, the currency from `{column}`")
        }
        Partition::Date => format!("`DATA/parquet/{name}/date=2026-11-24/`"),
        Partition::Whole => format!("`DATA/parquet/{name}/`"),
        Partition::SqlOnly => "not kept".into(),
    }
}

/// Doc comments begin each line with a blank and join without one.
fn text(doc: &str) -> &str {
    doc.trim()
}

const HEAD: &str = "\
# Tables

Generated from `engine/schema/src/tables/`: `UPDATE_EXPECT=1 cargo test -p tapedeck-schema`
writes it anew.

A missing cell is null: the exchange did not send the field, or sent null. \"No bid\" is 0.0, as the
exchange sends it. Times are UTC. `sequence` is the journal's number of the row: it breaks ties in
every sort and is contiguous over all tables of one journal. Partition folders (`currency=`,
`date=`) are not repeated as columns inside the files; `date` is the UTC date of the row's time.
";

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tables.md");
        let page = super::render();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == page, "docs/tables.md is old: run with UPDATE_EXPECT=1");
    }
}
