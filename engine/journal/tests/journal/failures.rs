//! A disk that refuses: full, failed syncs, failed writes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tapedeck_journal::disk::Simulated;
use tapedeck_journal::{ErrorKind, Journal, JournalError, Options, open};

use crate::rows::{self, Dice};

fn reopen(disk: &Simulated, options: Options) -> Result<Journal, JournalError> {
    open(Arc::new(disk.clone()), Path::new("/data/journal"), options, rows::at(0))
}

#[test]
fn after_a_failed_sync_nothing_more_is_taken_or_reported_durable() {
    let disk = Simulated::new(1);
    let mut dice = Dice(1);
    let mut journal = reopen(&disk, Options::default()).unwrap();
    journal.appender.append(rows::small_draft(&mut dice)).unwrap();
    journal.syncer.sync().unwrap();
    journal.appender.append(rows::small_draft(&mut dice)).unwrap();
    disk.fail_sync(1);
    let first = journal.syncer.sync().unwrap_err();
    assert_eq!(*first.kind(), ErrorKind::Io);
    let poisoned = [
        journal.syncer.sync().unwrap_err(),
        journal.syncer.wait_and_sync().unwrap_err(),
        journal.appender.append(rows::small_draft(&mut dice)).unwrap_err(),
        journal.appender.through(rows::at(5).utc).unwrap_err(),
        journal.feed.read(1, 1, Duration::from_secs(9)).unwrap_err(),
    ];
    for error in poisoned {
        assert_eq!(*error.kind(), ErrorKind::Poisoned);
        let text = error.to_string();
        assert!(text.contains("could not sync") && text.contains("start again"), "{text}");
    }
    assert_eq!(journal.feed.durable(), 1);
    assert_eq!(journal.feed.read(0, 1, Duration::ZERO).unwrap().len(), 1);
    assert_eq!(journal.appender.close().unwrap_err().kind(), &ErrorKind::Poisoned);
}

#[test]
fn a_failed_write_poisons() {
    let disk = Simulated::new(1);
    let mut dice = Dice(1);
    let mut journal = reopen(&disk, Options::default()).unwrap();
    disk.fail_write(1);
    let error = journal.appender.append(rows::small_draft(&mut dice)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Io);
    let error = journal.syncer.sync().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Poisoned);
    drop(journal);
    let journal = reopen(&disk, Options::default()).unwrap();
    assert_eq!(journal.recovery.position, 0);
}

/// Bytes that were read back after a failed sync may not be on the disk, although a second sync
/// says so: opening must write them anew before it calls them durable.
#[test]
fn what_a_failed_sync_lost_is_written_again_by_the_next_process() {
    for seed in 0..40 {
        let disk = Simulated::new(seed);
        let mut dice = Dice(seed);
        let mut journal = reopen(&disk, Options::default()).unwrap();
        let batch = journal.appender.append(rows::small_draft(&mut dice)).unwrap();
        disk.fail_sync(1);
        journal.syncer.sync().unwrap_err();
        drop(journal);
        let journal = reopen(&disk, Options::default()).unwrap();
        assert_eq!(journal.recovery.position, 1, "kill -9 loses nothing");
        drop(journal);
        let mut journal = reopen(&disk.cut(), Options::default()).unwrap();
        let read = journal.feed.read(0, 1, Duration::ZERO).unwrap();
        assert!(rows::same(&read[0], &batch), "seed {seed}");
    }
}

#[test]
fn a_full_disk_keeps_the_rows_and_goes_on_when_there_is_room() {
    for room in 0..400 {
        let disk = Simulated::new(room);
        let mut dice = Dice(room);
        // A page is turned at every batch, so that this meets a full disk too.
        let options = Options { segment_bytes_max: 1, ..Options::default() };
        let mut journal = reopen(&disk, options.clone()).unwrap();
        let first = journal.appender.append(rows::small_draft(&mut dice)).unwrap();
        disk.set_room(Some(room * 4));
        let mut full = 0;
        for _ in 0..3 {
            if let Err(error) = journal.appender.append(rows::small_draft(&mut dice)) {
                let ErrorKind::Full { free_bytes, .. } = error.kind() else { panic!("{error}") };
                assert!(*free_bytes <= room * 4);
                assert!(error.to_string().contains("the disk is full"), "{error}");
                full += 1;
            }
        }
        assert!(full > 0 || room > 100);
        disk.set_room(None);
        journal.appender.settle().unwrap();
        journal.syncer.sync().unwrap();
        let read = journal.feed.read(0, usize::MAX, Duration::ZERO).unwrap();
        assert_eq!(read.len(), 4, "room {room}");
        assert!(Arc::ptr_eq(&read[0], &first));
        drop(journal);
        let mut journal = reopen(&disk.cut(), options).unwrap();
        assert_eq!(journal.recovery.torn, None);
        let stored = journal.feed.read(0, usize::MAX, Duration::ZERO).unwrap();
        assert_eq!(stored.len(), 4);
        assert!(read.iter().zip(&stored).all(|(one, other)| rows::same(one, other)));
    }
}

#[test]
fn opening_on_a_full_disk_loses_nothing() {
    let mut full = 0;
    for room in (0..6_000).step_by(150) {
        let disk = Simulated::new(room);
        let mut dice = Dice(room);
        let mut journal = reopen(&disk, Options::default()).unwrap();
        for _ in 0..3 {
            journal.appender.append(rows::small_draft(&mut dice)).unwrap();
        }
        drop(journal);
        disk.set_room(Some(room));
        if let Err(error) = reopen(&disk, Options::default()) {
            assert!(error.is_full(), "{error}");
            full += 1;
        }
        disk.set_room(None);
        let journal = reopen(&disk, Options::default()).unwrap();
        assert_eq!((journal.recovery.position, journal.recovery.torn), (3, None), "room {room}");
    }
    assert!((1..40).contains(&full), "{full}");
}

#[test]
fn a_watermark_never_runs_ahead_of_rows_that_wait_for_room() {
    let disk = Simulated::new(1);
    let mut dice = Dice(1);
    let mut journal = reopen(&disk, Options::default()).unwrap();
    journal.appender.through(rows::at(10).utc).unwrap();
    disk.set_room(Some(10));
    assert!(journal.appender.append(rows::small_draft(&mut dice)).unwrap_err().is_full());
    assert!(journal.appender.through(rows::at(20).utc).unwrap_err().is_full());
    assert_eq!(journal.syncer.sync().unwrap().through, rows::at(10).utc);
    disk.set_room(None);
    journal.appender.through(rows::at(30).utc).unwrap();
    let watermark = journal.syncer.sync().unwrap();
    assert_eq!((watermark.position, watermark.through), (1, rows::at(30).utc));
}
