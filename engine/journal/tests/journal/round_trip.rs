//! What goes in comes out: every table, every kind of cell.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use schema::tables;
use tapedeck_journal::disk::{Disk, Simulated};
use tapedeck_journal::{Options, open};

use crate::rows::{self, Dice};

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn every_table_reads_back_from_memory_and_from_segments(
        seed in any::<u64>(),
        texts in prop::collection::vec(any::<String>(), 1..8),
        rows in 1u64..40,
    ) {
        let mut dice = Dice(seed);
        let disk: Arc<dyn Disk> = Arc::new(Simulated::new(seed));
        let options = Options { segment_bytes_max: 20_000, ..Options::default() };
        let folder = Path::new("/data/journal");
        let mut journal = open(Arc::clone(&disk), folder, options.clone(), rows::at(0)).unwrap();
        let mut appended = Vec::new();
        for table in 0..rows::TABLES {
            let draft = rows::draft(table, rows, &mut dice, &texts);
            appended.push(journal.appender.append(draft).unwrap());
        }
        journal.syncer.sync().unwrap();
        let shared = journal.feed.read(0, usize::MAX, Duration::ZERO).unwrap();
        prop_assert_eq!(shared.len(), appended.len());
        for (one, other) in appended.iter().zip(&shared) {
            prop_assert!(Arc::ptr_eq(one, other), "the tail is shared, not copied");
        }
        journal.appender.close().unwrap();
        let mut journal = open(disk, folder, options, rows::at(1)).unwrap();
        let stored = journal.feed.read(0, usize::MAX, Duration::ZERO).unwrap();
        prop_assert_eq!(stored.len(), appended.len());
        for (one, other) in appended.iter().zip(&stored) {
            prop_assert!(rows::same(one, other), "{:?}\n{:?}", one.columns(), other.columns());
        }
    }
}

#[test]
fn every_recorded_table_is_drawn() {
    let recorded = tables::ALL.iter().filter(|table| table.name != "instrument_metadata").count();
    assert_eq!(recorded as u64, rows::TABLES);
}
