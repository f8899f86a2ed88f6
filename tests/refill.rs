//! `tapedeck refill`: a database that is new, or was restored, gets from the archive what the
//! journal has let go of, each row once.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tapedeck_tests::{Cluster, Running, archived, binary};

use crate::database::{assert_same, good_end, with_database};
use crate::market::{Market, PATIENCE, ended, tapedeck};
use crate::sinks::sinks;

const LOAD: [&str; 4] = ["--options", "300", "--rate", "1500"];

#[test]
fn a_new_database_gets_all_that_is_archived() {
    let Some(cluster) = Cluster::start("refill::a_new_database_gets_all_that_is_archived") else {
        return;
    };
    let market = Market::start(&LOAD);
    market.record(&["--for", "3s"]);
    let url = cluster.url("postgres");
    let looked = ended(&mut refill(&market, &url, &["--dry-run"]), 0);
    assert!(looked.contains("the database has nothing of journal"), "{looked}");
    assert_eq!(cluster.psql("postgres", "SELECT to_regclass('tapedeck_sinks') IS NULL"), "t");

    let output = ended(&mut refill(&market, &url, &[]), 0);
    assert!(output.contains("1 of 1 holes filled"), "{output}");
    let rows = stored_rows(&output);
    assert!(rows > 1_000, "{output}");
    let again = ended(&mut refill(&market, &url, &[]), 0);
    assert!(again.contains("0 rows stored; 0 of 0 holes filled"), "{again}");
    assert_eq!(
        note(&cluster, "postgres"),
        [filled(1, "are in the archive alone: a refill came before the recorder")]
    );
    forget_notes(&cluster, "postgres");
    assert_same(&cluster, "postgres", &market);

    // The recorder goes on behind it: nothing of it is in its journal's way.
    good_end(with_database(market.recorder(&["--for", "3s"]), &url));
    assert_eq!(note(&cluster, "postgres"), [""; 0]);
    assert_same(&cluster, "postgres", &market);
}

/// A backup is restored: the recorder finds what the journal has let go of since, and while it is
/// at work the archive fills that.
#[test]
fn a_restored_database_gets_what_is_gone_from_the_journal() {
    let name = "refill::a_restored_database_gets_what_is_gone_from_the_journal";
    let Some(cluster) = Cluster::start(name) else { return };
    let market = Market::start(&LOAD);
    let lost = cluster.database("lost");
    let record = |database: &str, length: &str| {
        let recorder = market.recorder(&["--for", length]);
        good_end(with_database(recorder, &cluster.url(database)))
    };
    record(lost, "2s");
    let backup = market.folder.path().join("backup");
    copy(&market.data(), &backup);
    let _ = cluster.psql("postgres", "CREATE DATABASE restored TEMPLATE lost");
    let place = "SELECT position, sequence FROM tapedeck_sinks";
    let before = cluster.psql("restored", place);
    let (position, row) = before.split_once('|').expect("two numbers");
    record(lost, "3s");
    record(lost, "2s");
    let_go(&market);

    let url = cluster.url("restored");
    let looked = ended(&mut refill(&market, &url, &["--dry-run"]), 0);
    assert!(looked.contains("start the recorder, which notes what lies between"), "{looked}");
    let (mut recorder, hole) = record_until_noted(&market, &cluster, "restored");
    let [first, first_row, rows] = numbers(&hole);
    assert_eq!(first, position.parse::<u64>().unwrap() + 1);
    assert_eq!(first_row, row.parse::<u64>().unwrap() + 1);
    let listed = ended(&mut with_database(sinks(&market, &["list"]), &url), 0);
    assert!(listed.contains(&format!("lacks {rows} rows of the records {first} to")), "{listed}");

    // An archive that ends before the hole does, of which some was stored, would be gone on with
    // in another order.
    let output = ended(&mut from(&backup, &url), 4);
    assert!(output.contains("fill it from the recorder's own"), "{output}");

    // A second hole comes before the first is filled.
    stop(&mut recorder);
    record(lost, "2s");
    record(lost, "1s");
    let_go(&market);
    let (mut recorder, hole) = record_until_noted(&market, &cluster, "restored");
    let [second, _, more] = numbers(&hole);
    let output = ended(&mut refill(&market, &url, &[]), 0);
    assert_eq!(stored_rows(&output), rows + more, "{output}");
    assert!(output.contains("2 of 2 holes filled"), "{output}");
    stop(&mut recorder);
    let listed = ended(&mut with_database(sinks(&market, &["list"]), &url), 0);
    assert!(!listed.contains("lacks"), "{listed}");
    assert_eq!(note(&cluster, "restored"), [filled(first, LET_GO), filled(second, LET_GO)]);
    let noted = "SELECT count(DISTINCT start_time) FROM data_gaps WHERE cause = 'sink_away'";
    assert_eq!(cluster.psql("restored", noted), "2", "none takes the other's place");
    forget_notes(&cluster, "restored");
    assert_same(&cluster, "restored", &market);
}

/// Killed at any moment, on either side, it stores every row once.
#[test]
fn a_refill_outlives_kills() {
    let Some(mut cluster) = Cluster::start("refill::a_refill_outlives_kills") else { return };
    let market = Market::start(&["--options", "300", "--rate", "4000"]);
    market.record(&["--for", "10s"]);
    let url = cluster.url("postgres");
    let _ = ended(&mut with_database(tapedeck(&["migrate"]), &url), 0);
    let _ = cluster.psql("postgres", SLOW);
    let mut places = Vec::new();
    for round in 0..12 {
        let mut refill = Running::start(&mut refill(&market, &url, &[]));
        let before = stored(&cluster);
        while refill.is_at_work() && stored(&cluster) == before {}
        sleep(Duration::from_millis(37 * round % 200));
        if round % 3 == 2 {
            cluster.kill();
            let _ = refill.wait(PATIENCE);
            cluster.run();
        } else {
            refill.kill();
        }
        places.push(stored(&cluster));
    }
    let output = ended(&mut refill(&market, &url, &[]), 0);
    println!("cut short at {places:?}; then {}", output.lines().last().unwrap_or_default());
    places.dedup();
    assert!(places.len() > 6, "it was at work when it was killed: {places:?}");
    forget_notes(&cluster, "postgres");
    assert_same(&cluster, "postgres", &market);
}

/// Files that are merged between two runs change nothing of what is still to be stored. Many files
/// of a folder go through passes.
#[test]
fn a_merge_in_the_middle_changes_nothing() {
    let name = "refill::a_merge_in_the_middle_changes_nothing";
    let Some(cluster) = Cluster::start(name) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (data, url) = (folder.path(), cluster.url("postgres"));
    let archivist = || {
        let mut command = Command::new(binary("archivist"));
        Running::start(command.arg(data).arg(RECORDS.to_string()).arg("9"))
    };
    let mut first = archivist();
    while first.is_at_work() && archived::noted(data) < RECORDS {}
    first.kill();
    let files = |least: usize| archived::folders(data).values().filter(|n| **n > least).count();
    let many = files(1);
    let _ = ended(&mut with_database(tapedeck(&["migrate"]), &url), 0);
    let _ = cluster.psql("postgres", SLOW);
    let mut cut = Running::start(&mut from(data, &url));
    while cut.is_at_work() && stored(&cluster) < 3 * archived::ROWS.unsigned_abs() {}
    cut.kill();
    let place = stored(&cluster);
    assert!(archivist().wait(PATIENCE).success());
    assert!(many > 0 && files(1) == 0, "{many} folders have been merged meanwhile");
    let output = ended(&mut from(data, &url), 0);
    let rows = RECORDS * archived::ROWS.unsigned_abs();
    assert!(place > 0 && place < rows && stored_rows(&output) == rows - place, "{place}: {output}");
    let counted = "SELECT count(*), count(DISTINCT sequence), max(sequence) FROM index_ticks";
    assert_eq!(cluster.psql("postgres", counted), format!("{rows}|{rows}|{}", rows - 1));
    let wrong = "SELECT count(*) FROM index_ticks WHERE price <> sequence / 8.0";
    assert_eq!(cluster.psql("postgres", wrong), "0");

    // Something else in the place of what was stored is no archive to go on with.
    let moved = "UPDATE tapedeck_holes SET filled_at = NULL; \
                 UPDATE tapedeck_refills SET rows = rows - 7";
    let _ = cluster.psql("postgres", moved);
    let output = ended(&mut from(data, &url), 4);
    assert!(output.contains("this is not the archive that was begun with"), "{output}");
    assert_eq!(cluster.psql("postgres", counted), format!("{rows}|{rows}|{}", rows - 1));
}

#[test]
fn what_cannot_be_filled_is_said() {
    let Some(cluster) = Cluster::start("refill::what_cannot_be_filled_is_said") else { return };
    let market = Market::start(&LOAD);
    let url = cluster.url("postgres");
    let empty = ended(&mut refill(&market, &url, &[]), 2);
    assert!(empty.contains("there is no archive in"), "{empty}");
    market.record(&["--for", "2s"]);
    let nowhere = ended(&mut refill(&market, "", &[]), 2);
    assert!(nowhere.contains("no database is named"), "{nowhere}");
    // Rows that this database does not take are kept apart, each under its own number.
    let _ = ended(&mut with_database(tapedeck(&["migrate"]), &url), 0);
    let wrong = "ALTER TABLE btc_option_quotes ADD CHECK (sequence % 10 <> 3)";
    let _ = cluster.psql("postgres", wrong);
    let _ = ended(&mut refill(&market, &url, &[]), 0);
    let apart = "SELECT count(*) > 0, bool_and(sequence % 10 = 3), \
                 count(*) = count(DISTINCT sequence) FROM quarantine WHERE source = 'postgres'";
    assert_eq!(cluster.psql("postgres", apart), "t|t|t");

    // Rows that the archive does not have, and a hole whose rows nobody knows.
    let open = |change: &str| {
        let hole = format!("UPDATE tapedeck_holes SET filled_at = NULL, {change}");
        let _ = cluster.psql("postgres", &hole);
        ended(&mut refill(&market, &url, &[]), 4)
    };
    let output = open("first_row = first_row - 7");
    assert!(output.contains("7 rows of the records 1 to"), "{output}");
    assert!(output.contains("are in neither this archive nor the database"), "{output}");
    assert!(output.contains("0 rows stored; 0 of 1 holes filled"), "{output}");
    let output = open("first_row = NULL");
    assert!(output.contains("is not known, since an older tapedeck"), "{output}");
    // A hole that nobody has noted, as an older program leaves it.
    let _ = cluster.psql("postgres", "DELETE FROM tapedeck_holes");
    let output = ended(&mut refill(&market, &url, &[]), 0);
    assert!(output.contains("1 rows of data_gaps (sink_away) are of an older"), "{output}");

    // Another journal counts its rows from the beginning, too.
    fs::rename(market.data().join("journal"), market.data().join("before")).unwrap();
    market.record(&["--for", "1s"]);
    let output = ended(&mut refill(&market, &url, &[]), 4);
    assert!(output.contains("has rows of 2 journals"), "{output}");
}

/// A server that takes its time, so that it is at work when a kill comes.
const SLOW: &str = "\
    CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END'; \
    CREATE TRIGGER slowly BEFORE INSERT OR UPDATE ON tapedeck_refills \
        FOR EACH ROW EXECUTE FUNCTION slowly()";

pub(crate) fn refill(market: &Market, url: &str, flags: &[&str]) -> Command {
    let mut command = from(&market.data(), url);
    command.args(flags);
    command
}

/// A refill from the archive in that folder, in as many transactions as can be.
fn from(data: &Path, url: &str) -> Command {
    let mut command = tapedeck(&["refill", "postgres", "--from", "parquet", "--data"]);
    command.arg(data).env("TAPEDECK_SINKS__POSTGRES__TRANSACTION_BYTES_MAX", "1048576");
    with_database(command, url)
}

/// How many rows are stored from the archive.
fn stored(cluster: &Cluster) -> u64 {
    let rows = cluster.psql("postgres", "SELECT coalesce(sum(rows), 0) FROM tapedeck_refills");
    rows.parse().unwrap()
}

/// A recorder at work, and the newest hole that it has noted.
fn record_until_noted(market: &Market, cluster: &Cluster, database: &str) -> (Running, String) {
    let holes = "SELECT count(*) FROM tapedeck_holes";
    let there = "SELECT to_regclass('tapedeck_holes') IS NOT NULL";
    assert_eq!(cluster.psql(database, there), "t");
    let before = cluster.psql(database, holes);
    let url = cluster.url(database);
    let mut recorder = Running::start(&mut with_database(market.recorder(&[]), &url));
    let end = Instant::now() + PATIENCE;
    while cluster.psql(database, holes) == before {
        assert!(recorder.is_at_work() && Instant::now() < end, "{}", recorder.output());
        sleep(Duration::from_millis(100));
    }
    let newest = "SELECT first_record, first_row, last_row - first_row + 1 FROM tapedeck_holes \
                  ORDER BY last_record DESC LIMIT 1";
    (recorder, cluster.psql(database, newest))
}

fn stop(recorder: &mut Running) {
    recorder.terminate();
    assert!(recorder.wait(PATIENCE).success(), "{}", recorder.output());
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

/// Lets the journal go of all but its last segment, as a recorder does after two days.
fn let_go(market: &Market) {
    let folders = fs::read_dir(market.data().join("journal")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let mut segments: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    segments.sort();
    let _ = segments.pop();
    assert!(!segments.is_empty());
    segments.iter().for_each(|path| fs::remove_file(path).unwrap());
}

/// How many rows a refill said it has stored.
fn stored_rows(output: &str) -> u64 {
    let line = output.lines().find(|line| line.contains(" rows stored; ")).expect("it says so");
    line.split(' ').next().and_then(|rows| rows.parse().ok()).expect("a number")
}

fn numbers<const N: usize>(line: &str) -> [u64; N] {
    let numbers: Vec<u64> = line.split('|').map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// What `data_gaps` says of records that the journal had let go of, from behind the first number.
fn note(cluster: &Cluster, database: &str) -> Vec<String> {
    let notes = "SELECT regexp_replace(detail, ' to \\d+ ', ' to N ') FROM data_gaps \
                 WHERE cause = 'sink_away' ORDER BY sequence";
    cluster.psql(database, notes).lines().map(str::to_owned).collect()
}

fn filled(first: u64, why: &str) -> String {
    format!("records {first} to N {why}; they were stored from the archive since")
}

const LET_GO: &str = "were no longer in the journal when the database asked for them";
/// Many enough that a folder has more files than one merge reads.
const RECORDS: u64 = 320;

/// The notes are the database's own: the archive has none of them.
pub(crate) fn forget_notes(cluster: &Cluster, database: &str) {
    let _ = cluster.psql(database, "DELETE FROM data_gaps WHERE cause = 'sink_away'");
}
