//! Torn tails and damage: what is cut, what is refused, and that both are said.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schema::Batch;
use tapedeck_journal::disk::{Disk, Simulated};
use tapedeck_journal::{ErrorKind, Journal, JournalError, Options, open};

use crate::rows::{self, Dice};

fn folder() -> &'static Path {
    Path::new("/data/journal")
}

fn reopen(disk: &Simulated) -> Result<Journal, JournalError> {
    open(Arc::new(disk.clone()), folder(), Options::default(), rows::at(9))
}

/// The journal's files.
fn files(disk: &Simulated) -> Vec<PathBuf> {
    let journal = disk.list(folder()).unwrap().remove(0).path;
    disk.list(&journal).unwrap().into_iter().map(|entry| entry.path).collect()
}

/// A disk with `batches` batches in one segment, a sync after `synced` of them and a watermark
/// after that; and where each batch ends.
fn written(batches: usize, synced: usize) -> (Simulated, Vec<Arc<Batch>>, Vec<usize>) {
    let disk = Simulated::new(1);
    let mut journal = reopen(&disk).unwrap();
    let mut dice = Dice(5);
    let (mut all, mut ends) = (Vec::new(), Vec::new());
    for index in 0..batches {
        let draft = rows::draft(0, 3, &mut dice, &rows::names());
        all.push(journal.appender.append(draft).unwrap());
        ends.push(disk.bytes(&files(&disk)[0]).unwrap().len());
        if index + 1 == synced {
            journal.syncer.sync().unwrap();
        }
    }
    (disk, all, ends)
}

/// Opens a disk whose only segment holds `bytes`.
fn with_bytes(disk: &Simulated, bytes: &[u8]) -> (Simulated, Result<Journal, JournalError>) {
    let path = files(disk).remove(0);
    let disk = Simulated::new(2);
    disk.create_folder(path.parent().unwrap()).unwrap();
    disk.plant(&path, bytes);
    let opened = reopen(&disk);
    (disk, opened)
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_reported() {
    let (disk, all, ends) = written(3, 0);
    let bytes = disk.bytes(&files(&disk)[0]).unwrap();
    for length in ends[1]..ends[2] {
        let (_, opened) = with_bytes(&disk, &bytes[..length]);
        let mut journal = opened.unwrap();
        assert_eq!(journal.recovery.position, 2, "cut at byte {length}");
        let read = journal.feed.read(0, usize::MAX, Duration::ZERO).unwrap();
        assert_eq!(read.len(), 2);
        assert!(read.iter().zip(&all).all(|(one, other)| rows::same(one, other)));
        let torn = journal.recovery.torn;
        if length == ends[1] {
            assert_eq!(torn, None, "a whole record is no tear");
            continue;
        }
        let torn = torn.expect("a tear is reported");
        assert_eq!(torn.cut_bytes, (length - ends[1]) as u64);
        assert_eq!(torn.kept_bytes, ends[1] as u64);
    }
}

#[test]
fn any_changed_byte_of_the_unsynced_tail_is_cut() {
    let (disk, _, ends) = written(3, 0);
    let bytes = disk.bytes(&files(&disk)[0]).unwrap();
    for at in ends[0]..ends[1] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        let opened = with_bytes(&disk, &bytes).1;
        let journal = opened.unwrap();
        let padding = journal.recovery.position == 3;
        assert!(padding && at >= ends[1] - 7 || journal.recovery.position == 1, "byte {at}");
        assert_eq!(journal.recovery.torn.is_some(), !padding, "byte {at}");
    }
}

#[test]
fn damage_before_a_durable_watermark_is_refused_and_nothing_changed() {
    let (disk, _, ends) = written(4, 2);
    let path = files(&disk).remove(0);
    let whole = disk.bytes(&path).unwrap();
    for at in (0..ends[1] - 7).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let (disk, opened) = with_bytes(&disk, &bytes);
        let error = opened.expect_err("damage is refused");
        let ErrorKind::Damaged { path: named, offset } = error.kind() else {
            panic!("byte {at}: {error}");
        };
        assert_eq!(*named, path);
        assert!(*offset <= at as u64, "{error}");
        assert!(error.to_string().contains("000001.seg is damaged at byte"), "{error}");
        assert_eq!(disk.bytes(&path).unwrap(), bytes);
        assert_eq!(files(&disk).len(), 1);
    }
}

#[test]
fn damage_after_the_last_durable_watermark_is_a_tear() {
    let (disk, _, ends) = written(4, 2);
    let mut bytes = disk.bytes(&files(&disk)[0]).unwrap();
    bytes[ends[1] + 60] ^= 1;
    let journal = with_bytes(&disk, &bytes).1.unwrap();
    assert_eq!(journal.recovery.position, 2);
    assert!(journal.recovery.torn.is_some());
}

#[test]
fn damage_of_an_older_segment_is_an_error_where_it_is_read() {
    let disk = Simulated::new(1);
    let mut journal = reopen(&disk).unwrap();
    let draft = rows::draft(0, 3, &mut Dice(5), &rows::names());
    journal.appender.append(draft).unwrap();
    journal.appender.close().unwrap();
    reopen(&disk).unwrap();
    let first = files(&disk).remove(0);
    let mut bytes = disk.bytes(&first).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    disk.plant(&first, &bytes);
    let mut journal = reopen(&disk).unwrap();
    let error = journal.feed.read(0, usize::MAX, Duration::ZERO).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Damaged { path, .. } if *path == first), "{error}");
    bytes.truncate(60);
    disk.plant(&first, &bytes);
    assert!(matches!(reopen(&disk).unwrap_err().kind(), ErrorKind::Damaged { .. }));
}

/// The process is killed, then the power goes at the `call`-th call of opening.
#[test]
fn a_cut_at_any_call_of_opening_loses_nothing_durable() {
    for call in 1..60 {
        for seed in 0..25 {
            let disk = Simulated::new(seed * 100 + call);
            let mut journal = reopen(&disk).unwrap();
            let mut dice = Dice(seed);
            let mut all = Vec::new();
            for _ in 0..4 {
                all.push(journal.appender.append(rows::small_draft(&mut dice)).unwrap());
            }
            journal.syncer.sync().unwrap();
            all.push(journal.appender.append(rows::small_draft(&mut dice)).unwrap());
            drop(journal);
            disk.off_after(call);
            let kept = reopen(&disk).map_or(4, |journal| journal.recovery.position);
            let disk = disk.cut();
            let mut journal = reopen(&disk).unwrap();
            let position = journal.recovery.position;
            assert!(position >= kept, "call {call}, seed {seed}: {position} of {kept}");
            let read = journal.feed.read(0, usize::MAX, Duration::ZERO);
            let read = read.unwrap_or_else(|error| panic!("call {call}, seed {seed}: {error}"));
            assert_eq!(read.len() as u64, position);
            assert!(read.iter().zip(&all).all(|(one, other)| rows::same(one, other)));
        }
    }
}

#[test]
fn no_changed_byte_changes_a_row() {
    let (disk, all, _) = written(4, 2);
    reopen(&disk).unwrap();
    for path in files(&disk) {
        let whole = disk.bytes(&path).unwrap();
        for at in (0..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x21;
            let hurt = Simulated::new(2);
            hurt.create_folder(path.parent().unwrap()).unwrap();
            for other in files(&disk) {
                hurt.plant(&other, &disk.bytes(&other).unwrap());
            }
            hurt.plant(&path, &bytes);
            let read = reopen(&hurt)
                .and_then(|mut journal| journal.feed.read(0, usize::MAX, Duration::ZERO));
            match read {
                Err(error) => assert!(matches!(error.kind(), ErrorKind::Damaged { .. }), "{error}"),
                Ok(read) => assert!(read.iter().zip(&all).all(|(one, two)| rows::same(one, two))),
            }
        }
    }
}

#[test]
fn a_missing_segment_is_damage() {
    let disk = Simulated::new(1);
    for _ in 0..3 {
        let mut journal = reopen(&disk).unwrap();
        let draft = rows::draft(0, 3, &mut Dice(5), &rows::names());
        journal.appender.append(draft).unwrap();
        journal.appender.close().unwrap();
    }
    let files = files(&disk);
    disk.remove(&files[1]).unwrap();
    let error = reopen(&disk).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Damaged { path, .. } if *path == files[2]));
}

#[test]
fn an_unborn_segment_is_removed_and_reported() {
    let (disk, _, _) = written(2, 1);
    let unborn = files(&disk).remove(0).with_file_name("000002.new");
    disk.plant(&unborn, b"garbage");
    let journal = reopen(&disk).unwrap();
    assert_eq!(journal.recovery.removed, std::slice::from_ref(&unborn));
    assert!(disk.bytes(&unborn).is_none());
    assert_eq!(journal.recovery.position, 2);
}

#[test]
fn two_journals_in_one_folder_are_refused() {
    let (disk, _, _) = written(1, 1);
    disk.create_folder(&folder().join("3c8ba1a5-41f4-4f2d-b6a5-0f41fd4dd0d1")).unwrap();
    assert_eq!(*reopen(&disk).unwrap_err().kind(), ErrorKind::Folder);
}

#[test]
fn opening_often_leaves_no_empty_segments_behind() {
    let (disk, _, _) = written(1, 1);
    for opened_before in 1..10 {
        let journal = reopen(&disk).unwrap();
        assert_eq!(journal.recovery.opened_before, opened_before);
        assert_eq!(journal.recovery.torn, None);
        assert_eq!(files(&disk).len(), 2);
    }
}
