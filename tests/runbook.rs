//! The runbook of the predecessor's users: every SQL statement and `\dt` in it, run as it stands
//! there, answers as it says after a first sync of the whole market.
//!
//! The runbook is no part of this project: it is read from the folder `shared` beside the
//! workspace, and these tests skip, saying so, where it is missing.

use std::fs;
use std::time::{Duration, Instant};

use tapedeck_tests::{Cluster, Running, shared, skip};

use crate::database::{assert_same, with_database};
use crate::market::{Market, PATIENCE};
use crate::migrations::done;

#[test]
fn its_statements_answer_on_timescaledb() {
    let name = "runbook::its_statements_answer_on_timescaledb";
    let Some(statements) = statements(name) else { return };
    // It has one database, whose name is given.
    let here = |statement: &String| statement.replace("'crypto_data'", "'postgres'");
    let statements: Vec<String> = statements.iter().map(here).collect();
    if let Some(cluster) = Cluster::timescale(name) {
        follow(&cluster, "postgres", &statements);
    }
}

#[test]
fn its_statements_answer_on_postgresql() {
    let name = "runbook::its_statements_answer_on_postgresql";
    let Some(statements) = statements(name) else { return };
    if let Some(cluster) = Cluster::start(name) {
        follow(&cluster, cluster.database("crypto_data"), &statements);
    }
}

/// Records the whole market for the first time, with a kill and a restart in the middle, and asks.
fn follow(cluster: &Cluster, database: &str, statements: &[String]) {
    let mut market = Market::start(&["--rate", "1000"]);
    let url = cluster.url(database);
    let mut recorder = Running::start(&mut with_database(market.recorder(&[]), &url));
    await_events(cluster, database, &recorder);
    recorder.kill();
    let mut recorder = Running::start(&mut with_database(market.recorder(&[]), &url));
    await_events(cluster, database, &recorder);
    recorder.terminate();
    let status = recorder.wait(PATIENCE);
    assert!(status.success(), "{status}\n{}", recorder.output());
    let _ = market.assert_gaps_cover();
    assert_same(cluster, database, &market);
    for statement in statements.iter().filter(|statement| !statement.contains("DROP TABLE")) {
        let answer = cluster.psql(database, statement);
        assert_answer(statement, &answer);
    }
    for statement in statements.iter().filter(|statement| statement.contains("DROP TABLE")) {
        let _ = cluster.psql(database, statement);
        assert_eq!(cluster.psql(database, "\\dt lifecycle_events"), "");
        done(&url, &["--repair"]);
        let table = cluster.psql(database, "\\dt lifecycle_events");
        assert_eq!(table, "public|lifecycle_events|table|postgres");
    }
}

/// Waits until the database knows of every option that it is listed and subscribed.
fn await_events(cluster: &Cluster, database: &str, recorder: &Running) {
    let made = "SELECT count(*) FROM pg_tables WHERE tablename = 'lifecycle_events'";
    let told = "SELECT count(*) FROM lifecycle_events";
    let deadline = Instant::now() + PATIENCE;
    while cluster.psql(database, made) == "0" || cluster.psql(database, told) != "3096" {
        assert!(Instant::now() < deadline, "no events\n{}", recorder.output());
        std::thread::sleep(Duration::from_millis(200));
    }
    // Everything that is not the first sync's would come now.
    std::thread::sleep(Duration::from_secs(3));
}

#[track_caller]
fn assert_answer(statement: &str, answer: &str) {
    let has = |part: &str| statement.contains(part);
    let lines: Vec<&str> = answer.lines().collect();
    let sorted = || {
        let mut lines = lines.clone();
        lines.sort_unstable();
        lines.join("\n")
    };
    let many = |line: &str, name: &str, column: usize| {
        let cells: Vec<&str> = line.split('|').collect();
        cells.first() == Some(&name) && cells.get(column).is_some_and(|rows| *rows != "0")
    };
    if has("event_count") {
        assert_eq!(
            sorted(),
            "instrument_listed|BTC|728|728\ninstrument_listed|ETH|820|820\n\
             subscription_added|BTC|728|728\nsubscription_added|ETH|820|820"
        );
        // In the statement's own order: the most come first.
        assert!(lines[0].contains("ETH") && lines[3].contains("BTC"), "{answer}");
    } else if has("active_instruments") {
        assert_eq!(sorted(), "BTC|728|728|0\nETH|820|820|0");
    } else if has("recent_rows") {
        assert!(many(lines[0], "btc_option_quotes", 1), "{answer}");
        assert!(many(lines[1], "eth_option_quotes", 1), "{answer}");
        let newest = |line: &str| line.rsplit('|').next().is_some_and(|at| at.starts_with("20"));
        assert!(lines.len() == 2 && lines.iter().all(|line| newest(line)), "{answer}");
    } else if has("COUNT(*) as rows") {
        let tables =
            ["btc_option_quotes", "eth_option_quotes", "btc_option_trades", "eth_option_trades"];
        assert_eq!(lines.len(), tables.len(), "{answer}");
        for (line, table) in lines.iter().zip(tables) {
            assert!(many(line, table, 1), "{answer}");
        }
    } else if has("database_size") {
        assert!(lines.len() == 1 && (answer.ends_with("kB") || answer.ends_with("MB")), "{answer}");
    } else if has("pg_tables") {
        assert_eq!(lines.len(), 10, "{answer}");
        assert!(lines.iter().all(|line| line.starts_with("public|")), "{answer}");
    } else if has("\\dt ") {
        let table = statement.trim_start_matches("\\dt ");
        assert_eq!(answer, format!("public|{table}|table|postgres"));
    } else if has("\\dt") {
        for table in ["btc_option_quotes", "eth_option_trades", "instrument_metadata", "data_gaps"]
        {
            assert!(lines.contains(&&*format!("public|{table}|table|postgres")), "{answer}");
        }
        assert!(lines.iter().all(|line| line.ends_with("|table|postgres")), "{answer}");
    } else {
        panic!("nobody has said what this is to answer:\n{statement}");
    }
}

/// What the runbook gives to `psql -c`, in its order.
fn statements(name: &str) -> Option<Vec<String>> {
    let Some(runbook) = shared().map(|shared| shared.join("RUNBOOK.md")).filter(|at| at.is_file())
    else {
        skip(name, "no folder shared with the runbook beside the workspace");
        return None;
    };
    let runbook = fs::read_to_string(runbook).expect("the runbook can be read");
    let statements: Vec<String> = runbook
        .split("psql -U postgres -d crypto_data -c \"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap_or_default().trim().to_owned())
        .collect();
    assert!(statements.len() >= 8, "the runbook has lost its statements");
    Some(statements)
}
