//! Merging beside readers that glob in a loop, and through kill -9: nothing is lost or there twice.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tapedeck_tests::archived::{self, DAYS, KEEP_DAYS, ROWS};
use tapedeck_tests::random::Random;
use tapedeck_tests::{Running, binary, heavy, python, skip};

#[test]
fn a_reader_in_a_loop_never_counts_wrong() {
    watch("a reader of ours", 1, count_once);
}

#[test]
fn readers_in_a_loop_never_count_wrong() {
    let Some(python) = python() else {
        let name = "compaction::readers_in_a_loop_never_count_wrong";
        return skip(name, "no Python with readers: tests/run --install");
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut archivist = archivist(data, RECORDS, 3, &[]);
    let _ = archivist.wait_for("stored", PATIENCE);
    let mut reader = python.script("tests/compaction/count.py");
    reader.arg(data).arg(RECORDS.to_string()).arg(ROWS.to_string());
    let mut reader = Running::start(&mut reader);
    assert!(archivist.wait(PATIENCE).success(), "{}", archivist.output());
    assert!(reader.wait(PATIENCE).success(), "{}", reader.output());
    println!("{}", reader.output());
}

#[test]
fn a_handful_of_kills_loses_nothing() {
    kill_and_go_on(5, 11);
}

#[test]
fn fifty_kills_lose_nothing() {
    if heavy("compaction", "compaction::fifty_kills_lose_nothing") {
        kill_and_go_on(50, 12);
    }
}

/// What one look at the archive found.
enum Look {
    /// How often each row is there.
    Rows(Vec<u32>),
    /// A file that was listed was merged before it was opened, or a marker was listed: look again.
    Vanished,
}

fn count_once(data: &Path) -> Look {
    match archived::glob(data).and_then(|paths| archived::count(&paths)) {
        Ok(counts) => Look::Rows(counts),
        Err(error) if error.kind() == ErrorKind::NotFound => Look::Vanished,
        Err(error) => panic!("{error}"),
    }
}

/// Every row of the first `before` records once, of each record up to `after` all rows or none:
/// what was stored during the look may be there, of each folder what was listed there.
fn is_right(counts: &[u32], before: u64, after: u64) -> bool {
    let rows = usize::try_from(ROWS).unwrap();
    let [before, after] = [before, after].map(|records| usize::try_from(records).unwrap() * rows);
    let whole = |rows: &[u32]| rows.iter().all(|count| *count == rows[0]);
    (before..=after).contains(&counts.len())
        && counts.iter().all(|count| *count <= 1)
        && counts[..before].iter().all(|count| *count == 1)
        && counts.len().is_multiple_of(rows)
        && counts.chunks(rows).all(whole)
}

/// Looks again and again while records are stored and merged.
fn watch(who: &str, seed: u64, look: impl Fn(&Path) -> Look) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut archivist = archivist(data, RECORDS, seed, &[]);
    let (mut looks, mut vanished, mut merged) = (0, 0, 0);
    loop {
        let before = archived::noted(data);
        match look(data) {
            Look::Vanished => vanished += 1,
            Look::Rows(counts) => {
                // A record is seen a moment before it is said to be stored.
                let after = archived::noted(data) + 1;
                let rows = counts.len();
                let right = is_right(&counts, before, after);
                assert!(right, "seed {seed}: {who}: {rows} rows of {before} to {after} records");
                looks += 1;
            }
        }
        merged = merged.max(merges(data));
        if data.join("merged").exists() {
            break;
        }
    }
    assert!(archivist.wait(PATIENCE).success(), "{}", archivist.output());
    println!("{who}: {looks} looks, {vanished} met a file that was merged, {merged} merges");
    assert!(looks > 10 && merged >= 8, "{looks} looks, {merged} merges: too few to mean anything");
    assert_all(data, RECORDS);
}

/// Kills the archivist so many times, while it stores, merges and removes what is old, then lets
/// it end. Every second time it is killed at any moment, else when a merged file is published.
fn kill_and_go_on(kills: u64, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let keep = [KEEP_DAYS.to_string()];
    let mut random = Random(seed);
    let (mut merging, mut between, mut marked, mut removed) = (0, 0, 0, 0);
    for kill in 1..=kills {
        let mut running = archivist(data, kill * RECORDS_A_KILL, random.next() >> 1, &keep);
        std::thread::sleep(Duration::from_millis(100 + random.next() % 4_000));
        if kill % 2 == 0 {
            wait_until(|| !archived::being_published(data));
            wait_until(|| archived::being_published(data));
            std::thread::sleep(Duration::from_micros(random.next() % 8_000));
        }
        running.kill();
        merging += usize::from(archived::being_merged(data));
        between += usize::from(archived::between_the_lines(data));
        marked += usize::from(archived::is_marked(data));
        removed += check_kept(data, &format!("seed {seed}, kill {kill}"));
    }
    let records = kills * RECORDS_A_KILL + 1;
    let mut last = archivist(data, records, random.next() >> 1, &keep);
    assert!(last.wait(PATIENCE).success(), "seed {seed}: {}", last.output());
    check_kept(data, &format!("seed {seed}, at the end"));
    let folders = archived::folders(data);
    let old = format!("date={}", archived::FIRST_DAY);
    assert!(folders.iter().all(|(folder, files)| *files == 1 && !folder.ends_with(&old)));
    assert!(!archived::being_merged(data), "what was replaced is gone");
    println!(
        "{kills} kills, {merging} with files beside the archive, {between} between the lines of an \
         exchange, {marked} among markers; {removed} times old rows were gone; {} merges; \
         seed {seed}",
        merges(data)
    );
    // A few kills may miss the second in which markers stand.
    let met = merging > 0 && removed > 0 && (kills < 10 || marked > 0);
    assert!(met, "seed {seed}: the kills met too little");
}

/// Nothing lost, nothing twice: every row that was said to be stored is there once, and none is
/// there twice. Only of the first day rows may be gone, and those before any that is there, a
/// record and a folder at a time. Whether some are.
fn check_kept(data: &Path, when: &str) -> usize {
    let mut paths = archived::glob(data).unwrap();
    archived::without_markers(&mut paths);
    let counts = archived::count(&paths).unwrap();
    let twice = counts.iter().position(|count| *count > 1);
    assert_eq!(twice, None, "{when}: a row is there more than once");
    let records = counts.chunks(usize::try_from(ROWS).unwrap());
    let records: Vec<usize> =
        records.map(|rows| rows.iter().filter(|at| **at == 1).count()).collect();
    let (stored, whole) = (archived::noted(data), usize::try_from(ROWS).unwrap());
    let (mut gone, mut there) = (0, BTreeSet::new());
    for position in 1..=stored.max(records.len() as u64) {
        let rows = records.get(usize::try_from(position).unwrap() - 1).copied().unwrap_or(0);
        let (day, currency) = (position % DAYS, position / DAYS % 2);
        if rows == whole {
            there.insert((day, currency));
        } else {
            assert!(rows == 0 && day == 0, "{when}: {rows} rows of record {position} of {stored}");
            assert!(!there.contains(&(day, currency)), "{when}: record {position} was not old");
            gone += 1;
        }
    }
    usize::from(gone > 0)
}

/// Waits until something is so; not for ever, as it may have been so for too short a while.
fn wait_until(is: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is() && Instant::now() < end {
        std::thread::yield_now();
    }
}

/// Every row once, in one file a folder.
fn assert_all(data: &Path, records: u64) {
    let counts = archived::count(&archived::glob(data).unwrap()).unwrap();
    assert_eq!(counts.len() as u64, records * u64::try_from(ROWS).unwrap());
    assert!(counts.iter().all(|count| *count == 1));
    assert!(archived::folders(data).values().all(|files| *files == 1));
}

fn archivist(data: &Path, records: u64, seed: u64, keep: &[String]) -> Running {
    let mut command = Command::new(binary("archivist"));
    Running::start(command.arg(data).arg(records.to_string()).arg(seed.to_string()).args(keep))
}

/// The greatest number of a merged file: how many exchanges there were.
fn merges(data: &Path) -> u64 {
    let number = |path: &std::path::PathBuf| {
        let name = path.file_stem()?.to_str()?;
        name.strip_prefix("merged-")?.parse().ok()
    };
    archived::glob(data).unwrap_or_default().iter().filter_map(number).max().unwrap_or(0)
}

const RECORDS: u64 = 240;
const RECORDS_A_KILL: u64 = 40;
const PATIENCE: Duration = Duration::from_secs(900);
