//! `inspect` says what is there, and changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tapedeck_journal::disk::{Disk, Simulated};
use tapedeck_journal::{ErrorKind, Options, State, inspect, open};

use crate::rows::{self, Dice};

fn root() -> &'static Path {
    Path::new("/data/journal")
}

/// A journal of three runs, and its files.
fn written() -> (Simulated, Vec<PathBuf>) {
    let disk = Simulated::new(1);
    let mut dice = Dice(4);
    for run in 0..3 {
        let mut journal =
            open(Arc::new(disk.clone()), root(), Options::default(), rows::at(run)).unwrap();
        for table in 0..rows::TABLES {
            let draft = rows::draft(table, 3, &mut dice, &rows::names());
            journal.appender.append(draft).unwrap();
            journal.syncer.sync().unwrap();
        }
    }
    let folder = disk.list(root()).unwrap().remove(0).path;
    let files = disk.list(&folder).unwrap();
    (disk, files.into_iter().map(|entry| entry.path).collect())
}

fn everything(disk: &Simulated, files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|path| disk.bytes(path)).collect()
}

#[test]
fn a_report_counts_what_was_written() {
    let (disk, files) = written();
    let before = everything(&disk, &files);
    let report = inspect(&disk, root()).unwrap();
    assert_eq!(everything(&disk, &files), before);
    assert!(report.is_sound());
    assert_eq!(report.tables.len() as u64, rows::TABLES);
    assert_eq!(report.rows(), 3 * 3 * rows::TABLES);
    assert!(report.tables.values().all(|table| table.times.is_some()));
    let positions: Vec<_> =
        report.segments.iter().map(|one| (one.first_position, one.last_position)).collect();
    let tables = rows::TABLES;
    assert_eq!(positions, [(1, tables), (tables + 1, 2 * tables), (2 * tables + 1, 3 * tables)]);
    assert_eq!(report.segments[2].opened_before, 2);
    assert_eq!(report.segments[2].watermarks, tables - 1);
    let text = report.to_string();
    assert!(text.contains("option_quotes: 9 rows in 3 batches, 20"), "{text}");
    let one = inspect(&disk, &files[1]).unwrap();
    assert_eq!(one.segments.len(), 1);
    assert_eq!(one.rows(), 3 * rows::TABLES);
    assert_eq!(inspect(&disk, files[0].parent().unwrap()).unwrap().rows(), report.rows());
}

#[test]
fn tears_and_damage_are_said_and_left_alone() {
    let (disk, files) = written();
    let last = files.last().unwrap();
    let whole = disk.bytes(last).unwrap();
    disk.plant(last, &whole[..whole.len() - 9]);
    let report = inspect(&disk, root()).unwrap();
    assert!(report.is_sound());
    assert!(matches!(report.segments[2].state, State::Torn { .. }));
    assert!(report.to_string().contains("bytes will be cut off"));
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    for path in [last, &files[0]] {
        disk.plant(path, &damaged);
        let report = inspect(&disk, root()).unwrap();
        assert!(!report.is_sound());
        assert!(report.to_string().contains("is damaged at byte"), "{report}");
        assert_eq!(disk.bytes(path).unwrap(), damaged);
    }
}

#[test]
fn anything_else_gets_one_sentence() {
    let disk = Simulated::new(1);
    disk.create_folder(root()).unwrap();
    let path = root().join("notes.txt");
    for garbage in [&b""[..], b"TAPESEG\n", &[0xFF; 4096]] {
        disk.plant(&path, garbage);
        let error = inspect(&disk, &path).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Damaged { offset: 0, .. }));
        assert_eq!(error.to_string().lines().count(), 1);
    }
    assert_eq!(*inspect(&disk, root()).unwrap_err().kind(), ErrorKind::Folder);
    assert_eq!(*inspect(&disk, Path::new("/none")).unwrap_err().kind(), ErrorKind::Folder);
}

#[test]
fn no_changed_byte_makes_it_panic() {
    let (disk, files) = written();
    let whole = disk.bytes(&files[0]).unwrap();
    for at in (0..whole.len()).step_by(37) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        disk.plant(&files[0], &bytes);
        // The header alone makes the file no segment at all.
        assert_eq!(inspect(&disk, &files[0]).is_err(), at < 128);
    }
}
