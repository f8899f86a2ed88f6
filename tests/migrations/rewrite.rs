//! `tapedeck migrate --allow-rewrite` on a real PostgreSQL, where others read and write meanwhile
//! and everything can die.
//!
//! It takes TimescaleDB to refuse a change in place, so that the two tables are made by hand.

use std::thread;
use std::time::Duration;

use tapedeck_tests::{Cluster, Running};

use super::interruptions::eventually;
use super::{command, done, refused};
use crate::database::{assert_same, with_database};
use crate::market::{Market, PATIENCE, run};

#[test]
fn whoever_reads_sees_every_row_once() {
    let name = "migrations::rewrite::whoever_reads_sees_every_row_once";
    let Some(cluster) = Cluster::start(name) else { return };
    let url = cluster.url(cluster.database("read"));
    let sql = |sql: &str| cluster.psql("read", sql);
    beside(&cluster, "read", &url);
    let (rows, before) = (sql(COUNT), sql(ROWS));
    // It has looked at the database before any row moved, and looks at the table when all have.
    let holder = cluster.holding("read", "SELECT pg_advisory_lock(42)");
    let late = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM instruments;
        SELECT pg_advisory_xact_lock(42); SELECT count(*) FROM eth_option_quotes";
    eventually(|| (sql(HELD) == "1").then_some(()));
    thread::scope(|scope| {
        let late = scope.spawn(|| sql(late));
        eventually(|| (sql(LATE) == "1").then_some(()));
        let mut moving = Running::start(&mut command(&url, &["--allow-rewrite"]));
        eventually(|| {
            assert_eq!(sql(COUNT), rows, "{}", moving.output());
            let all = moving.output().contains("eth_option_quotes: 90000 old rows have moved");
            all.then_some(())
        });
        // Time to do away with the old table, if it were not for the one who is late.
        thread::sleep(Duration::from_secs(3));
        drop(holder);
        let late = late.join().expect("whoever is late is answered");
        assert_eq!(late.lines().last(), Some(&*rows));
        // It does not wait without end: then it says for whom, and is run again.
        let (status, output) = (moving.wait(PATIENCE), moving.output());
        assert!(status.success() || output.contains("is older than that"), "{status}: {output}");
        done(&url, &["--allow-rewrite"]);
    });
    assert_eq!(sql(LISTS), "eth_option_quotes|r");
    assert_eq!(sql(ROWS), before);
    assert_eq!(sql("SELECT count(*) > 0 FROM mine"), "t", "a view of a user's is there");
    let reader = "SELECT has_table_privilege('notebook', 'eth_option_quotes', 'SELECT')";
    assert_eq!(sql(reader), "t");
    for flags in [["--allow-rewrite"].as_slice(), &[]] {
        assert!(done(&url, flags).contains("nothing to do"));
    }
}

/// In a step, between two, with the program, its session, or the server.
#[test]
fn what_dies_loses_nothing() {
    let name = "migrations::rewrite::what_dies_loses_nothing";
    let Some(mut cluster) = Cluster::start(name) else { return };
    let url = cluster.url(cluster.database("dies"));
    beside(&cluster, "dies", &url);
    let before = cluster.psql("dies", ROWS);
    let steps = || Running::start(&mut command(&url, &["--allow-rewrite"]));
    let mut deaths = 0;
    for wait_ms in [0, 60, 150] {
        let mut between = steps();
        let _ = between.wait_for("old rows have moved", PATIENCE);
        thread::sleep(Duration::from_millis(wait_ms));
        between.kill();
        assert_eq!(cluster.psql("dies", ROWS), before);
        deaths += 1;
    }
    // In a step, at the latest: it waits for somebody who holds the new table.
    for how in ["kill", "terminate", "server"] {
        let holder = cluster.holding("dies", "LOCK TABLE eth_option_quotes_tapedeck");
        let mut within = steps();
        let pid = eventually(|| Some(cluster.psql("dies", WAITING)).filter(|it| !it.is_empty()));
        match how {
            "kill" => within.kill(),
            "terminate" => {
                let _ = cluster.psql("dies", &format!("SELECT pg_terminate_backend({pid})"));
            }
            _ => {
                cluster.kill();
                cluster.run();
            }
        }
        if how != "kill" {
            assert_eq!(within.wait(PATIENCE).code(), Some(5), "{}", within.output());
        }
        drop(holder);
        eventually(|| cluster.psql("dies", WAITING).is_empty().then_some(()));
        assert_eq!(cluster.psql("dies", ROWS), before, "{how}");
        deaths += 1;
    }
    assert_eq!(deaths, 6);
    let left = "SELECT count(*) FROM eth_option_quotes_before_tapedeck";
    assert_ne!(cluster.psql("dies", left), "0", "there was something to go on with");
    done(&url, &["--allow-rewrite"]);
    assert_eq!(cluster.psql("dies", LISTS), "eth_option_quotes|r");
    assert_eq!(cluster.psql("dies", ROWS), before);
}

/// Given back when some rows have moved, and taken again.
#[test]
fn the_predecessor_may_come_in_the_middle() {
    let name = "migrations::rewrite::the_predecessor_may_come_in_the_middle";
    let Some(cluster) = Cluster::start(name) else { return };
    let url = cluster.url(cluster.database("middle"));
    let sql = |sql: &str| cluster.psql("middle", sql);
    beside(&cluster, "middle", &url);
    let before = sql(ROWS);
    let mut some = Running::start(&mut command(&url, &["--allow-rewrite"]));
    let _ = some.wait_for("old rows have moved", PATIENCE);
    some.kill();
    done(&url, &["--release"]);
    assert!(done(&url, &["--release"]).contains("nothing to do"));
    assert_eq!(sql(LISTS), "eth_option_quotes|r\neth_option_quotes_tapedeck|r");
    for _ in 0..2 {
        let _ = sql(super::release::STATEMENTS[0]);
    }
    // Nobody allows it, and so nothing moves.
    done(&url, &[]);
    assert_eq!(
        sql(LISTS),
        "eth_option_quotes|v\neth_option_quotes_before_tapedeck|r\neth_option_quotes_tapedeck|r"
    );
    done(&url, &["--allow-rewrite"]);
    assert_eq!(sql(LISTS), "eth_option_quotes|r");
    assert_eq!(sql("DELETE FROM eth_option_quotes WHERE instrument = 'theirs' RETURNING 1"), "1");
    assert_eq!(sql(ROWS), before);
    // And once more, when there is one table.
    done(&url, &["--release"]);
    let _ = sql(super::release::STATEMENTS[0]);
    done(&url, &[]);
    assert_eq!(sql("DELETE FROM eth_option_quotes WHERE instrument = 'theirs' RETURNING 1"), "1");
    assert_eq!(sql(ROWS), before);
}

#[test]
fn a_recorder_follows() {
    let name = "migrations::rewrite::a_recorder_follows";
    let Some(cluster) = Cluster::start(name) else { return };
    let database = cluster.database("follows");
    let url = cluster.url(database);
    beside(&cluster, database, &url);
    let _ = cluster.psql(database, "DELETE FROM eth_option_quotes_tapedeck");
    let old = "SELECT count(*) FROM eth_option_quotes WHERE sequence IS NULL";
    let before = cluster.psql(database, old);
    let market = Market::start(&["--options", "300", "--rate", "1500"]);
    let mut recorder = Running::start(&mut with_database(market.recorder(&[]), &url));
    let stored = |table: &str| {
        let rows = format!("SELECT count(*) FROM {table} WHERE sequence IS NOT NULL");
        cluster.psql(database, &rows).parse::<u64>().unwrap()
    };
    eventually(|| (stored("eth_option_quotes_tapedeck") > 0).then_some(()));
    let output = done(&url, &["--allow-rewrite"]);
    assert!(output.contains("eth_option_quotes is one table"), "{output}");
    let moved = stored("eth_option_quotes");
    eventually(|| (stored("eth_option_quotes") > moved).then_some(()));
    recorder.terminate();
    let status = recorder.wait(PATIENCE);
    assert!(status.success(), "{status}\n{}", recorder.output());
    assert_same(&cluster, database, &market);
    assert_eq!(cluster.psql(database, old), before);
    assert_eq!(cluster.psql(database, "SELECT count(*) FROM quarantine"), "0");
}

#[test]
fn what_cannot_move_says_why() {
    let name = "migrations::rewrite::what_cannot_move_says_why";
    let Some(cluster) = Cluster::start(name) else { return };
    let url = cluster.url(cluster.database("why"));
    beside(&cluster, "why", &url);
    let before = cluster.psql("why", ROWS);
    let (code, _) = run(&mut command(&url, &["--allow-rewrite", "--release"]));
    assert_eq!(code, Some(2));
    let _ = cluster.psql(
        "why",
        "CREATE VIEW apart AS SELECT instrument FROM eth_option_quotes_before_tapedeck",
    );
    let output = done(&url, &["--allow-rewrite"]);
    assert!(output.contains("the view apart is made of the old rows alone"), "{output}");
    assert!(done(&url, &[]).contains("nothing to do"));
    assert_eq!(cluster.psql("why", ROWS), before);
    // A value that the new table does not take: the step is undone, and the rows stay.
    let _ = cluster.psql(
        "why",
        "DROP VIEW apart; ALTER TABLE eth_option_quotes_tapedeck ADD CHECK (delta > 0.6)",
    );
    let words = ["merging old rows into eth_option_quotes", "check constraint"];
    refused(&url, &["--allow-rewrite"], 5, &words);
    assert_eq!(cluster.psql("why", ROWS), before);
    // A trigger of somebody's that takes a row out of a step.
    let _ = cluster.psql("why", PICKY);
    let words = ["merging old rows into eth_option_quotes", "the new table takes"];
    refused(&url, &["--allow-rewrite"], 5, &words);
    assert_eq!(cluster.psql("why", ROWS), before);
}

/// A table of the predecessor's with a few steps of rows, a new one beside it with a few of ours,
/// and a view of a user's.
pub(super) fn beside(cluster: &Cluster, database: &str, url: &str) {
    done(url, &[]);
    let _ = cluster.psql(database, MADE);
    let planned = done(url, &["--allow-rewrite", "--dry-run"]);
    assert!(planned.contains("beside the rows that are not the predecessor's"), "{planned}");
    assert!(planned.contains("move the ") && planned.contains("moved at "), "{planned}");
    done(url, &[]);
    assert_eq!(
        cluster.psql(database, LISTS),
        "eth_option_quotes|v\neth_option_quotes_before_tapedeck|r\neth_option_quotes_tapedeck|r"
    );
}

/// Rows are long, so that there are few in a step.
const MADE: &str = "
ALTER TABLE eth_option_quotes RENAME TO eth_option_quotes_tapedeck;
ALTER INDEX eth_option_quotes_time_brin RENAME TO eth_option_quotes_tapedeck_time_brin;
ALTER TABLE eth_option_quotes_tapedeck ADD note text;
INSERT INTO eth_option_quotes_tapedeck (timestamp, instrument, delta, received_at, sequence)
    SELECT '2026-02-01 00:00+00'::timestamptz, 'ETH-28NOV25-3000-C', 1234567.5, now(), 100000000 + i
    FROM generate_series(1, 1000) AS i;
CREATE TABLE eth_option_quotes (timestamp timestamptz NOT NULL, instrument text NOT NULL,
    best_bid_price numeric(18,8), delta numeric(8,6), bid_iv numeric(8,4), note text,
    PRIMARY KEY (timestamp, instrument));
INSERT INTO eth_option_quotes SELECT '2025-11-10 00:00+00'::timestamptz + i * interval '1 s',
    'ETH-28NOV25-3000-' || CASE i % 2 WHEN 0 THEN 'C' ELSE 'P' END, i / 7.0,
    CASE i % 3 WHEN 0 THEN NULL ELSE 0.512345 END, 61.5, repeat(i::text, 300)
    FROM generate_series(1, 90000) AS i;
DO $$BEGIN IF to_regrole('notebook') IS NULL THEN CREATE ROLE notebook; END IF; END$$;
GRANT SELECT ON eth_option_quotes TO notebook;
CREATE VIEW mine AS SELECT instrument, delta FROM eth_option_quotes WHERE instrument LIKE '%P'";

const PICKY: &str = "ALTER TABLE eth_option_quotes_tapedeck
    DROP CONSTRAINT eth_option_quotes_tapedeck_delta_check;
CREATE FUNCTION picky() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER picky BEFORE INSERT ON eth_option_quotes_tapedeck FOR EACH ROW
    WHEN (NEW.timestamp = '2025-11-10 00:00:07+00') EXECUTE FUNCTION picky()";
const COUNT: &str = "SELECT count(*) FROM eth_option_quotes";
const HELD: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42";
const LATE: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'
    AND datname = current_database()";
const WAITING: &str = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tapedeck'
    AND wait_event_type = 'Lock' AND datname = current_database()";
pub(super) const LISTS: &str = "SELECT relname, relkind FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')
    AND relname ~ '^eth_option_quotes' ORDER BY 1";
/// Every cell.
pub(super) const ROWS: &str =
    "SELECT count(*), md5(string_agg(row, ' ' ORDER BY row)) FROM (SELECT md5(concat_ws(
    '|', timestamp, instrument, best_bid_price, delta, bid_iv, note, sequence)) AS row
    FROM eth_option_quotes) AS rows";
