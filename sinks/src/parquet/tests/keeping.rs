//! Days that are over: when they are merged, when they are removed, and when they are left alone.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use schema::Date;

use super::*;
use crate::contract::{Rows, add, rows};

/// An archive with some flushes, most of them around the midnight before 2026-11-24.
struct Archive {
    disk: Simulated,
    sink: Parquet,
    sample: Sample,
    fed: Vec<Arc<Batch>>,
    second: u64,
}

impl Archive {
    fn new(options: Options) -> Self {
        let disk = Simulated::new(1);
        let mut sink = Parquet::new(Arc::new(disk.clone()), Path::new(DATA), options);
        sink.open("j").unwrap();
        Self { disk, sink, sample: Sample::new(1), fed: Vec::new(), second: 0 }
    }

    /// Goes on after a power cut, or with a disk that was changed.
    fn open(&mut self, disk: Simulated) {
        self.disk = disk;
        let options = self.sink.options;
        self.sink = Parquet::new(Arc::new(self.disk.clone()), Path::new(DATA), options);
        self.sink.open("j").unwrap();
    }

    /// A row of the exchange from that day.
    fn reach(&mut self, day: i64) {
        self.sample.turn_to(Date::from_civil(2026, 11, day));
        self.store_ticks(4);
        self.sample.turn_to(Date::from_civil(2026, 11, 24));
    }

    fn store_ticks(&mut self, rows: usize) {
        let batch = self.sample.batch(tables::named("index_ticks").unwrap(), rows);
        self.sink.write(std::slice::from_ref(&batch)).unwrap();
        self.sink.close().unwrap();
        self.fed.push(batch);
    }

    fn store(&mut self, flushes: usize) {
        for _ in 0..flushes {
            let batches = self.sample.batches(4);
            self.sink.write(&batches).unwrap();
            self.sink.close().unwrap();
            self.fed.extend(batches);
        }
    }

    /// Many flushes at that time of a day.
    fn pass(&mut self, day: i64, after: Duration) {
        let done = self.pass_until(day, after, |_| false);
        assert!(!done);
    }

    /// As [`pass`](Self::pass), but ends as soon as something is so; whether it was.
    fn pass_until(&mut self, day: i64, after: Duration, is: impl Fn(&Simulated) -> bool) -> bool {
        let utc = Date::from_civil(2026, 11, day).start().plus(after);
        (0..2_000).any(|_| {
            self.second += 10;
            let now = Now { monotonic: Duration::from_secs(self.second), utc };
            self.sink.flush(now).unwrap();
            is(&self.disk)
        })
    }

    /// Whether every folder of the day is one file.
    fn is_merged(&self, day: &str) -> bool {
        self.files()[day].values().all(|files| *files == 1)
    }

    /// Files of each day's folders; folders without a date count as "".
    fn files(&self) -> BTreeMap<String, BTreeMap<PathBuf, usize>> {
        let mut days = BTreeMap::<String, BTreeMap<PathBuf, usize>>::new();
        for path in files(&self.disk) {
            let folder = path.parent().unwrap();
            let date = folder.to_str().unwrap().rsplit_once("/date=").map_or("", |(_, date)| date);
            let day = days.entry(date.to_owned()).or_default();
            *day.entry(folder.to_owned()).or_default() += 1;
        }
        days
    }

    fn rows(&self) -> Rows {
        let mut found = Rows::new();
        for (table, columns) in stored(&self.disk) {
            add(&mut found, table, columns.columns());
        }
        found
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_day_is_merged_once_it_is_over() {
    let mut archive = Archive::new(Options::default());
    archive.store(6);
    let before = archive.files();
    archive.pass(24, HOUR - Duration::from_secs(1));
    assert_eq!(archive.files(), before, "late rows are usual for an hour");
    archive.pass(24, HOUR);
    let after = archive.files();
    assert!(before["2026-11-23"].values().any(|files| *files > 1));
    assert!(after["2026-11-23"].values().all(|files| *files == 1), "{after:?}");
    assert_eq!(after["2026-11-24"], before["2026-11-24"], "the current day");
    assert!(archive.rows() == rows(&archive.fed));
    // Late rows add files, and are merged too.
    archive.store(3);
    assert!(archive.files()["2026-11-23"].values().any(|files| *files > 1));
    archive.pass(25, HOUR);
    let dated = archive.files().into_iter().filter(|(date, _)| !date.is_empty());
    assert!(dated.flat_map(|(_, day)| day.into_values()).all(|files| files == 1));
    assert!(archive.rows() == rows(&archive.fed));
}

#[test]
fn a_day_is_removed_once_it_is_old() {
    let mut archive = Archive::new(Options { keep_days: Some(3), ..Options::default() });
    archive.store(6);
    archive.reach(28);
    archive.pass(26, 23 * HOUR);
    assert!(archive.files().contains_key("2026-11-23"), "two days after its end");
    archive.pass(27, HOUR);
    let files = archive.files();
    assert!(!files.contains_key("2026-11-23") && files.contains_key("2026-11-24"), "{files:?}");
    assert!(files.contains_key(""), "a table without dates stays");
    let day = Date::from_civil(2026, 11, 24);
    for currency in archive.disk.list(&Path::new(DATA).join("parquet/index_ticks")).unwrap() {
        let days = archive.disk.list(&currency.path).unwrap();
        assert!(!days.iter().any(|day| day.path.ends_with("date=2026-11-23")), "{days:?}");
    }
    let position = archive.fed.len() as u64;
    assert_eq!(sink(&archive.disk).open("j").unwrap(), Position(position));
    assert!(
        known(&archive.disk)
            .iter()
            .all(|file| Micros(file.time[1]).date() >= day || file.table == "instruments")
    );
}

#[test]
fn a_folder_with_something_foreign_is_left_alone() {
    let mut archive = Archive::new(Options::default());
    archive.store(6);
    let before = archive.files();
    let (folder, files) = before["2026-11-23"].iter().find(|(_, files)| **files > 1).unwrap();
    archive.disk.plant(&folder.join("notes.txt"), b"mine");
    archive.pass(25, HOUR);
    assert_eq!(archive.files()["2026-11-23"][folder], files + 1);
    assert!(archive.disk.bytes(&folder.join("notes.txt")).is_some());
    let merged = archive.files()["2026-11-23"].values().filter(|files| **files == 1).count();
    assert!(merged + 1 == before["2026-11-23"].len() && merged > 0, "the others are merged");
}

#[test]
fn a_file_system_that_cannot_exchange_keeps_many_files() {
    let mut archive = Archive::new(Options { keep_days: Some(1), ..Options::default() });
    archive.store(6);
    let before = archive.files();
    archive.disk.forbid_exchange(Path::new(DATA), ErrorKind::InvalidInput);
    archive.pass(29, HOUR);
    assert_eq!(archive.files(), before);
    assert!(archive.rows() == rows(&archive.fed));
}

#[test]
fn an_archive_on_a_disk_of_its_own_is_merged_there() {
    let mut archive = Archive::new(Options::default());
    archive.store(6);
    archive.disk.forbid_exchange(&Path::new(DATA).join("sinks"), ErrorKind::CrossesDevices);
    archive.pass(25, HOUR);
    assert!(archive.is_merged("2026-11-23"));
    assert!(archive.rows() == rows(&archive.fed));
    let hidden = Path::new(DATA).join(NAME).join(days::HIDDEN).join("next");
    assert!(archive.disk.list(&hidden).unwrap().is_empty());
}

#[test]
fn a_clock_that_is_set_wrong_removes_nothing() {
    let mut archive = Archive::new(Options { keep_days: Some(3), ..Options::default() });
    archive.store(6);
    archive.pass(24 + 3_650, HOUR);
    assert!(archive.rows() == rows(&archive.fed), "the exchange is not ten years on");
    // Nor does an exchange that names a time to come.
    archive.reach(24 + 3_650);
    archive.pass(25, HOUR);
    assert!(archive.rows() == rows(&archive.fed), "our clock is not ten years on");
    archive.pass(24 + 3_650, HOUR);
    assert!(!archive.files().contains_key("2026-11-23"), "both are");
}

#[test]
fn an_old_day_goes_without_room_to_merge_it() {
    let mut archive = Archive::new(Options { keep_days: Some(1), ..Options::default() });
    archive.store(6);
    archive.reach(28);
    assert!(!archive.is_merged("2026-11-23"));
    archive.disk.set_room(Some(60_000));
    archive.pass(28, HOUR);
    assert!(!archive.files().contains_key("2026-11-23"));
}

#[test]
fn an_old_day_that_somebody_removed_is_forgotten() {
    let mut archive = Archive::new(Options { keep_days: Some(1), ..Options::default() });
    archive.store(6);
    archive.reach(28);
    let old = |path: &Path| path.to_str().unwrap().contains("/date=2026-11-23/");
    let old: Vec<PathBuf> = files(&archive.disk).into_iter().filter(|path| old(path)).collect();
    assert!(old.len() > 2);
    old[1..].iter().for_each(|path| archive.disk.remove(path).unwrap());
    archive.disk.remove_folder(old.last().unwrap().parent().unwrap()).unwrap();
    archive.pass(28, HOUR);
    assert!(known(&archive.disk).iter().all(|file| !file.path.contains("/date=2026-11-23/")));
    assert!(!archive.files().contains_key("2026-11-23"));
}

#[test]
fn a_merge_gives_way_when_the_disk_fills() {
    let mut archive = Archive::new(Options::default());
    archive.store(6);
    let before = archive.files();
    assert!(archive.pass_until(25, HOUR, |disk| !merging(disk).is_empty()), "a merge begins");
    archive.disk.set_room(Some(1 << 20));
    assert!(archive.pass_until(25, HOUR, |disk| merging(disk).is_empty()), "its rest is removed");
    assert_eq!(archive.files(), before);
    archive.disk.set_room(None);
    archive.pass(25, HOUR);
    assert!(archive.is_merged("2026-11-23"));
    assert!(archive.rows() == rows(&archive.fed));
}

#[test]
fn files_that_keep_coming_are_waited_for() {
    let mut archive = Archive::new(Options::default());
    let utc = Date::from_civil(2026, 11, 26).start();
    for flush in 0..30 {
        // Enough for every folder of the table to have some.
        archive.store_ticks(200);
        for step in 0..60 {
            archive.second = flush * 600 + step * 10;
            let now = Now { monotonic: Duration::from_secs(archive.second), utc };
            archive.sink.flush(now).unwrap();
        }
    }
    let contents = Contents::read(&archive.disk, Path::new(DATA)).unwrap().unwrap();
    assert_eq!(contents.exchanges, 0, "by our clock, every file is late");
    archive.pass(26, HOUR);
    assert!(archive.is_merged("2026-11-23") && archive.is_merged("2026-11-24"));
    assert!(archive.rows() == rows(&archive.fed));
}

#[test]
fn a_folder_that_cannot_be_exchanged_does_not_stop_storing() {
    for kind in [ErrorKind::ResourceBusy, ErrorKind::PermissionDenied, ErrorKind::CrossesDevices] {
        let mut archive = Archive::new(Options::default());
        archive.store(6);
        let before = archive.files();
        let (folder, files) = before["2026-11-23"].iter().find(|(_, files)| **files > 1).unwrap();
        archive.disk.forbid_exchange(folder, kind);
        archive.pass(25, HOUR);
        assert_eq!(archive.files()["2026-11-23"][folder], *files, "{kind}");
        let merged = archive.files()["2026-11-23"].values().filter(|files| **files == 1).count();
        assert!(merged + 1 == before["2026-11-23"].len() && merged > 0, "the others are merged");
        archive.store(1);
        assert!(archive.rows() == rows(&archive.fed), "{kind}");
        assert!(merging(&archive.disk).is_empty());
    }
}

#[test]
fn what_is_not_ours_is_never_removed() {
    let mut archive = Archive::new(Options::default());
    archive.store(6);
    let before = archive.files();
    let mine = Path::new(DATA).join("sinks/parquet/merging/next/mine.parquet");
    archive.disk.create_folder(mine.parent().unwrap()).unwrap();
    archive.disk.plant(&mine, b"mine");
    archive.pass(25, HOUR);
    assert_eq!(archive.files(), before, "it would be published with a day");
    assert!(archive.disk.bytes(&mine).is_some());
    archive.disk.remove(&mine).unwrap();
    archive.pass(25, HOUR);
    assert!(archive.is_merged("2026-11-23"));
    assert!(archive.rows() == rows(&archive.fed));
}

/// What a reader that listed before the step finds under each name after it.
#[test]
fn a_name_is_a_markers_for_a_while_before_it_goes() {
    let mut archive = Archive::new(Options { keep_days: Some(3), ..Options::default() });
    archive.store(6);
    archive.reach(28);
    let life = Options::default().markers.as_secs();
    let (mut marked, mut removed) = (BTreeMap::<PathBuf, u64>::new(), 0);
    for day in [25, 27] {
        let utc = Date::from_civil(2026, 11, day).start().plus(HOUR);
        for _ in 0..3_000 {
            let (before, bytes) = (files(&archive.disk), |path: &PathBuf| archive.disk.bytes(path));
            let before: BTreeMap<_, _> = before.iter().map(|path| (path, bytes(path))).collect();
            // Half seconds, so that every step counts whole.
            archive.second += 1;
            let monotonic = Duration::from_millis(archive.second * 500);
            archive.sink.flush(Now { monotonic, utc }).unwrap();
            let now = markers(&archive.disk);
            for (path, bytes) in before {
                let gone = archive.disk.bytes(path).is_none();
                assert!(!gone || marked.contains_key(path), "{} went", path.display());
                assert!(!gone || marked[path] >= 2 * life, "{} went too soon", path.display());
                let same = archive.disk.bytes(path) == bytes;
                assert!(gone || same || now.contains_key(path), "{} is another", path.display());
                removed += usize::from(gone);
            }
            now.into_keys().for_each(|path| *marked.entry(path).or_default() += 1);
        }
    }
    assert!(archive.is_merged("2026-11-24") && !archive.files().contains_key("2026-11-23"));
    assert!(removed > 20 && removed == marked.len(), "{removed} of {}", marked.len());
}

#[test]
fn time_in_which_nothing_ran_does_not_count_for_markers() {
    let mut archive = Archive::new(Options::default());
    archive.store(6);
    assert!(archive.pass_until(25, HOUR, |disk| !markers(disk).is_empty()));
    let utc = Date::from_civil(2026, 11, 25).start().plus(HOUR);
    let mut steps = 0;
    while !markers(&archive.disk).is_empty() {
        archive.second += 3_600;
        let monotonic = Duration::from_secs(archive.second);
        archive.sink.flush(Now { monotonic, utc }).unwrap();
        steps += 1;
    }
    assert!(steps >= Options::default().markers.as_secs(), "{steps} steps");
}

/// An archive that was killed while markers stand, of a merge or of a removed day.
#[track_caller]
fn killed_among_markers(options: Options, day: i64) -> (Archive, BTreeMap<PathBuf, PathBuf>) {
    let mut archive = Archive::new(options);
    archive.store(6);
    archive.reach(28);
    assert!(archive.pass_until(day, HOUR, |disk| !markers(disk).is_empty()));
    let markers = markers(&archive.disk);
    archive.open(archive.disk.clone());
    (archive, markers)
}

#[test]
fn markers_are_no_files_after_a_kill() {
    for (options, day) in
        [(Options::default(), 25), (Options { keep_days: Some(3), ..Options::default() }, 27)]
    {
        let (mut archive, left) = killed_among_markers(options, day);
        assert_eq!(markers(&archive.disk), left, "somebody may have listed their names");
        let (root, known) = (Path::new(DATA).join(NAME), known(&archive.disk));
        assert!(!known.iter().any(|file| left.contains_key(&root.join(&file.path))));
        let survey = survey(&archive.disk, Path::new(DATA)).unwrap();
        let files: u64 = survey.tables.values().map(|holding| holding.files).sum();
        assert_eq!(files as usize, known.len());
        // A late row comes to their folder, and the next merge takes it and no marker.
        archive.store(2);
        archive.pass(day, HOUR);
        assert!(markers(&archive.disk).is_empty());
        if options.keep_days.is_none() {
            assert!(archive.is_merged("2026-11-23"));
            assert!(archive.rows() == rows(&archive.fed));
        } else {
            assert!(!archive.files().contains_key("2026-11-23"));
        }
    }
}

#[test]
fn a_marker_that_somebody_removed_is_no_trouble() {
    let mut archive = Archive::new(Options::default());
    archive.store(6);
    assert!(archive.pass_until(25, HOUR, |disk| !markers(disk).is_empty()));
    let marked = markers(&archive.disk);
    // Somebody was quicker.
    let first = marked.keys().next().unwrap();
    archive.disk.remove(first).unwrap();
    archive.pass(25, HOUR);
    assert!(archive.is_merged("2026-11-23"));
    assert!(archive.rows() == rows(&archive.fed));
}

/// An archive whose power went between an exchange and the line that ends it.
fn exchanged() -> Archive {
    for calls in 1.. {
        let mut archive = Archive::new(Options::default());
        archive.store(6);
        archive.disk.off_after(calls);
        let utc = Date::from_civil(2026, 11, 25).start();
        for step in 0..2_000 {
            let now = Now { monotonic: Duration::from_secs(step * 10), utc };
            if archive.sink.flush(now).is_err() {
                break;
            }
        }
        let dark = archive.disk.list(Path::new(DATA)).is_err();
        assert!(dark, "everything was merged, and it never stood between the lines");
        archive.disk = archive.disk.cut();
        let contents = Contents::read(&archive.disk, Path::new(DATA)).unwrap().unwrap();
        let merged = contents.pending.and_then(|exchange| exchange.file);
        let root = Path::new(DATA).join(NAME);
        if merged.is_some_and(|file| archive.disk.bytes(&root.join(file.path)).is_some()) {
            return archive;
        }
    }
    unreachable!("there are calls enough")
}

#[test]
fn a_listing_between_the_lines_names_what_is_there() {
    let archive = exchanged();
    let listed = list(&archive.disk, Path::new(DATA)).unwrap().files;
    let root = Path::new(DATA).join(NAME);
    let gone = listed.iter().find(|file| archive.disk.bytes(&root.join(&file.path)).is_none());
    assert_eq!(gone, None);
    let survey = survey(&archive.disk, Path::new(DATA)).unwrap();
    let files: u64 = survey.tables.values().map(|holding| holding.files).sum();
    assert_eq!(files as usize, listed.len());
}

#[test]
fn an_archive_that_is_not_mounted_is_waited_for() {
    let mut archive = exchanged();
    let disk = archive.disk.clone();
    let away: Vec<(PathBuf, Vec<u8>)> =
        files(&disk).into_iter().map(|path| (path.clone(), disk.bytes(&path).unwrap())).collect();
    away.iter().for_each(|(path, _)| disk.remove(path).unwrap());
    let error = sink(&disk).open("j").unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Stop);
    assert!(error.to_string().contains("if /data/parquet is a disk, mount it"), "{error}");
    away.iter().for_each(|(path, bytes)| disk.plant(path, bytes));
    archive.open(disk);
    archive.pass(25, HOUR);
    assert!(archive.is_merged("2026-11-23"));
    assert!(archive.rows() == rows(&archive.fed));
}

#[test]
fn a_damaged_file_is_left_as_it_is() {
    let mut archive = Archive::new(Options::default());
    archive.store(6);
    let before = archive.files();
    let (folder, _) = before["2026-11-23"].iter().find(|(_, files)| **files > 1).unwrap();
    let damaged = files(&archive.disk).into_iter().find(|path| path.starts_with(folder)).unwrap();
    let mut bytes = archive.disk.bytes(&damaged).unwrap();
    let end = bytes.len() / 2;
    bytes[4..end].fill(0x5a);
    archive.disk.plant(&damaged, &bytes);
    archive.pass(25, HOUR);
    assert_eq!(archive.files()["2026-11-23"][folder], before["2026-11-23"][folder]);
    assert_eq!(archive.disk.bytes(&damaged).unwrap(), bytes);
    let merged = archive.files()["2026-11-23"].values().filter(|files| **files == 1).count();
    assert!(merged > 0, "the others are merged");
}

#[test]
fn the_manifest_stays_short() {
    let mut archive = Archive::new(Options::default());
    let bytes =
        |archive: &Archive| archive.disk.bytes(&Manifest::path(Path::new(DATA))).unwrap().len();
    archive.store(300);
    let long = bytes(&archive);
    archive.pass(25, HOUR);
    archive.sink.open("j").unwrap();
    assert!(bytes(&archive) * 5 < long, "{} of {long}", bytes(&archive));
    assert!(archive.rows() == rows(&archive.fed));
}
