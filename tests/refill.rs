//! `tapedeck refill`: a database that is new, or was restored, gets from the archive what the
//! journal has let go of, each row once.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use tapedeck_tests::{Cluster, Running};

use crate::database::{assert_same, good_end, with_database};
use crate::market::{Market, PATIENCE, run, tapedeck};

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
    assert_eq!(note(&cluster, "postgres"), [filled(1)]);
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
    let mut recorder = Running::start(&mut with_database(market.recorder(&[]), &url));
    let _ = recorder.wait_for("recording ", PATIENCE);
    let hole = "SELECT first_record, first_row, last_row - first_row + 1 FROM tapedeck_holes";
    let hole = loop {
        let hole = cluster.psql("restored", hole);
        if !hole.is_empty() {
            break hole;
        }
        sleep(Duration::from_millis(100));
    };
    let [first, first_row, rows] = numbers(&hole);
    assert_eq!(first, position.parse::<u64>().unwrap() + 1);
    assert_eq!(first_row, row.parse::<u64>().unwrap() + 1);
    let listed = ended(&mut with_database(sinks_list(&market), &url), 0);
    assert!(listed.contains(&format!("lacks {rows} rows of the records {first} to")), "{listed}");

    let output = ended(&mut refill(&market, &url, &[]), 0);
    assert_eq!(stored_rows(&output), rows, "{output}");
    assert!(output.contains("1 of 1 holes filled"), "{output}");
    recorder.terminate();
    assert!(recorder.wait(PATIENCE).success(), "{}", recorder.output());
    let listed = ended(&mut with_database(sinks_list(&market), &url), 0);
    assert!(!listed.contains("lacks"), "{listed}");
    assert_eq!(note(&cluster, "restored"), [filled(first)]);
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
    let stored = |cluster: &Cluster| {
        let rows = cluster.psql("postgres", "SELECT coalesce(sum(rows), 0) FROM tapedeck_refills");
        rows.parse::<u64>().unwrap()
    };
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
    assert_eq!(note(&cluster, "postgres"), [filled(1)]);
    forget_notes(&cluster, "postgres");
    assert_same(&cluster, "postgres", &market);
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
    let _ = ended(&mut refill(&market, &url, &[]), 0);

    // Rows that the archive does not have, and a hole whose rows nobody knows.
    let open = |change: &str| {
        let hole = format!("UPDATE tapedeck_holes SET filled_at = NULL, {change}");
        let _ = cluster.psql("postgres", &hole);
        ended(&mut refill(&market, &url, &[]), 0)
    };
    let output = open("first_row = first_row - 7");
    assert!(output.contains("7 rows of the records 1 to"), "{output}");
    assert!(output.contains("are in neither the archive nor the database"), "{output}");
    assert!(output.contains("0 rows stored; 0 of 1 holes filled"), "{output}");
    let output = open("first_row = NULL");
    assert!(output.contains("is not known, since an older tapedeck"), "{output}");

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

fn refill(market: &Market, url: &str, flags: &[&str]) -> Command {
    let mut command = tapedeck(&["refill", "postgres", "--from", "parquet"]);
    command.args(flags).arg("--data").arg(market.data());
    // As many transactions as can be.
    command.env("TAPEDECK_SINKS__POSTGRES__TRANSACTION_BYTES_MAX", "1048576");
    with_database(command, url)
}

fn sinks_list(market: &Market) -> Command {
    let mut command = tapedeck(&["sinks", "list", "--data"]);
    command.arg(market.data());
    command
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

#[track_caller]
fn ended(command: &mut Command, code: i32) -> String {
    let (ended, output) = run(command);
    assert_eq!(ended, Some(code), "{output}");
    output
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
                 WHERE cause = 'sink_away'";
    cluster.psql(database, notes).lines().map(str::to_owned).collect()
}

fn filled(first: u64) -> String {
    format!(
        "records {first} to N were no longer in the journal when the database asked for them; \
         they were stored from the archive since"
    )
}

/// The notes are the database's own: the archive has none of them.
fn forget_notes(cluster: &Cluster, database: &str) {
    let _ = cluster.psql(database, "DELETE FROM data_gaps WHERE cause = 'sink_away'");
}
