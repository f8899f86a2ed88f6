//! What a user is told about a data folder.

use std::fs;

use journal::disk::System;

use super::*;

/// A real folder with two flushes of two journals each, and their batches.
fn recorded() -> (tempfile::TempDir, Vec<Arc<Batch>>) {
    let home = tempfile::tempdir().unwrap();
    let mut sink = Parquet::new(Arc::new(System), home.path(), Options::default());
    let mut all = Vec::new();
    for journal in ["one", "two"] {
        let batches = Sample::new(7).every_table(20);
        sink.open(journal).unwrap();
        sink.write(&batches[..5]).unwrap();
        sink.close().unwrap();
        sink.write(&batches[5..]).unwrap();
        sink.close().unwrap();
        all.extend(batches);
    }
    (home, all)
}

#[test]
fn a_survey_and_the_footers_agree() {
    let (home, batches) = recorded();
    let survey = survey(&System, home.path()).unwrap();
    let found = inspect(&home.path().join(NAME)).unwrap();
    assert_eq!(survey.tables, found.tables);
    assert_eq!(found, Inspection { tables: survey.tables.clone(), ..Inspection::default() });
    let rows: usize = batches.iter().map(|batch| batch.rows()).sum();
    assert_eq!(survey.tables.values().map(|table| table.rows).sum::<u64>(), rows as u64);
    let records = batches.len() as u64 / 2;
    let positions = [("one".to_owned(), records), ("two".to_owned(), records)];
    assert_eq!(survey.positions.clone().into_iter().collect::<Vec<_>>(), positions);
    assert!(survey.holes.is_empty());
    let text = survey.to_string();
    assert!(text.contains("index_ticks: ") && text.contains(" files, 40 rows, "), "{text}");
    assert!(text.contains(" to 2026-11-24T00:00:00.0"), "{text}");
}

#[test]
fn files_that_do_not_count_are_named() {
    let (home, _) = recorded();
    let root = home.path().join(NAME);
    let name = FileName::new("one", 90, 91);
    fs::write(root.join(name.unfinished()), "half").unwrap();
    fs::write(root.join("mine.parquet"), "PAR1 not really").unwrap();
    fs::write(root.join("notes.txt"), "").unwrap();
    let found = inspect(&root).unwrap();
    assert_eq!(found.unfinished, [root.join(name.unfinished())]);
    assert_eq!(found.unreadable.len(), 1);
    assert_eq!(found.unreadable[0].0, root.join("mine.parquet"));
    assert!(found.to_string().contains("mine.parquet: "));
    let error = inspect(&root.join("none")).unwrap_err();
    assert!(error.to_string().starts_with("inspecting "), "{error}");
}

#[test]
fn a_marker_counts_for_nothing_beside_its_file() {
    let (home, _) = recorded();
    let root = home.path().join(NAME);
    let before = inspect(&root).unwrap();
    let file = known_to(&System, home.path()).pop().unwrap();
    let (file, merged) = (root.join(file.path), name::merged(1));
    fs::rename(&file, file.with_file_name(&merged)).unwrap();
    fs::write(&file, marker::text(&merged, false)).unwrap();
    assert_eq!(inspect(&root).unwrap(), before);
    // Whoever listed it before the other was there has seen no rows of it.
    fs::remove_file(file.with_file_name(&merged)).unwrap();
    let after = inspect(&root).unwrap();
    let [(path, reason)] = &after.unreadable[..] else { panic!("{after}") };
    assert!(*path == file && reason.contains("list the folder again"), "{after}");
}

#[test]
fn a_hole_is_named() {
    let disk = Simulated::new(1);
    let mut sink = sink(&disk);
    let batches = Sample::new(1).batches(9);
    sink.open("j").unwrap();
    sink.write(&batches[..2]).unwrap();
    sink.close().unwrap();
    sink.open("j").unwrap();
    sink.write(&batches[4..]).unwrap();
    sink.close().unwrap();
    let survey = survey(&disk, Path::new(DATA)).unwrap();
    assert_eq!(survey.holes, [Hole { journal: "j".to_owned(), from: 3, to: 4 }]);
    assert!(survey.to_string().contains("journal j: records 3 to 4 are not stored"));
}

#[test]
fn links_are_not_followed() {
    let (home, _) = recorded();
    let day = home.path().join(NAME).join("data_gaps/date=2026-11-24");
    let archive = tempfile::tempdir().unwrap();
    let archived = archive.path().join("day");
    fs::create_dir(&archived).unwrap();
    let stranger = archived.join(FileName::new("one", 90, 91).to_string());
    fs::write(&stranger, "an archive's file").unwrap();
    fs::remove_dir_all(&day).unwrap();
    std::os::unix::fs::symlink(&archived, &day).unwrap();
    let mut sink = Parquet::new(Arc::new(System), home.path(), Options::default());
    let position = sink.open("one").unwrap();
    assert!(stranger.exists(), "what a link leads to is never removed");
    let mut sample = Sample::new(7);
    sample.every_table(20);
    let batches = sample.every_table(20);
    assert_eq!(position.0 + 1, batches[0].position());
    sink.write(&batches).unwrap();
    let error = sink.close().unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Stop);
    assert!(error.to_string().contains("date=2026-11-24: it is a symbolic link"), "{error}");
}

#[test]
fn an_unwritable_folder_stops() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let mut sink = Parquet::new(Arc::new(System), &file, Options::default());
    let error = sink.open("one").unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Stop, "{error}");
}
