//! Where every line went.

use std::collections::BTreeMap;

use tapedeck::deribit::Tally;

use super::{Line, Outcome};

/// Lines and rows by file.
#[derive(Default)]
pub(super) struct Account {
    files: BTreeMap<String, BTreeMap<String, u64>>,
    lines: u64,
    /// Normalised messages of the oracle that were compared with rows.
    pub(super) matched: u64,
}

impl Account {
    pub(super) fn add(&mut self, line: &Line, outcome: &Outcome) {
        self.lines += 1;
        let file = self.files.entry(line.file.clone()).or_default();
        let mut count = |what: String, rows: u64| *file.entry(what).or_default() += rows;
        match outcome {
            Outcome::Stored(tables) => {
                count("stored".to_owned(), 1);
                for (table, rows) in tables {
                    count(format!("rows of {table}"), rows.len() as u64);
                }
            }
            Outcome::Duplicate => count("duplicate".to_owned(), 1),
            Outcome::Unsupported(kinds) => count(format!("unsupported: {}", kinds.join(", ")), 1),
        }
    }

    /// Prints the account, and checks that the decoder's own counts say the same.
    pub(super) fn print(&self, tally: &Tally) {
        let (mut lines, mut rows) = (0, 0);
        for (file, counts) in &self.files {
            let texts: Vec<_> = counts.iter().map(|(what, n)| format!("{n} {what}")).collect();
            println!("{file}: {}", texts.join("; "));
            for (what, count) in counts {
                if what.starts_with("rows of") { rows += count } else { lines += count }
            }
        }
        println!("{lines} lines, {rows} rows; {} messages of the oracle compared", self.matched);
        println!(
            "late trades {}, holes {}, trades missed {}, book breaks {}, restarts {}",
            tally.late_trades,
            tally.holes_opened,
            tally.trades_missed,
            tally.book_breaks,
            tally.books_restarted
        );
        println!("unsupported {:?}", tally.unsupported);
        println!("unknown fields {:?}", tally.unknown_fields);
        assert_eq!(lines, self.lines, "every line went somewhere");
        assert_eq!(rows, tally.rows.sum(), "the decoder counted the same rows");
    }
}
