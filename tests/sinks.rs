//! `tapedeck sinks`: what it says of each sink, and what forgetting one does.

use std::fs;
use std::process::Command;

use tapedeck_tests::{Cluster, Running};

use crate::database::{good_end, with_database};
use crate::market::{Market, PATIENCE, ended, tapedeck};

const LOAD: [&str; 4] = ["--options", "20", "--rate", "100"];

#[test]
fn a_sink_that_will_not_return_is_forgotten() {
    let market = Market::start(&LOAD);
    let output = ended(&mut sinks(&market, &["list"]), 0);
    assert!(output.contains("holds no journal"), "{output}");
    market.record(&["--for", "2s"]);
    let lost = market.data().join("sinks/lost");
    fs::create_dir(&lost).unwrap();
    let output = ended(&mut sinks(&market, &["list"]), 0);
    let newest = newest(&output);
    assert!(newest > 0, "{output}");
    assert!(output.contains(&format!("parquet: holds everything up to record {newest}\n")));
    assert!(output.contains("lost: not configured"), "{output}");

    let mut recorder = Running::start(&mut market.recorder(&[]));
    let _ = recorder.wait_for("sink lost is not configured", PATIENCE);
    let _ = recorder.wait_for("recording ", PATIENCE);
    let output = ended(&mut sinks(&market, &["forget", "lost"]), 6);
    assert!(output.contains("in use by"), "{output}");
    recorder.kill();

    let output = ended(&mut sinks(&market, &["forget", "../parquet"]), 2);
    assert!(output.contains("there is lost, parquet"), "{output}");
    let output = ended(&mut sinks(&market, &["forget", "parquet"]), 2);
    assert!(output.contains("is configured and would come back"), "{output}");
    let mut without = sinks(&market, &["forget", "parquet"]);
    let output = ended(without.env("TAPEDECK_SINKS__PARQUET__ENABLED", "false"), 2);
    assert!(output.contains("move "), "an archive without its list would be removed: {output}");
    assert!(lost.is_dir() && market.data().join("sinks/parquet/manifest").is_file());
    let _ = ended(&mut sinks(&market, &["forget", "lost"]), 0);
    assert!(!lost.exists());
    let output = ended(&mut sinks(&market, &["list"]), 0);
    assert!(!output.contains("lost"), "{output}");
}

#[test]
fn a_database_is_listed_as_it_is() {
    let Some(mut cluster) = Cluster::start("sinks::a_database_is_listed_as_it_is") else { return };
    let url = cluster.url("postgres");
    let market = Market::start(&LOAD);
    let list = || with_database(sinks(&market, &["list"]), &url);
    good_end(with_database(market.recorder(&["--for", "2s"]), &url));
    let output = ended(&mut list(), 0);
    let stored = newest(&output);
    assert!(output.contains(&format!("postgres: holds everything up to record {stored}\n")));
    let output = ended(&mut sinks(&market, &["list"]), 0);
    assert!(output.contains("postgres: not configured"), "{output}");
    market.record(&["--for", "2s"]);
    let output = ended(&mut list(), 0);
    let behind = newest(&output) - stored;
    let line = format!("postgres: holds everything up to record {stored}, {behind} behind\n");
    assert!(behind > 0 && output.contains(&line), "{output}");
    let output = ended(&mut with_database(sinks(&market, &["forget", "postgres"]), &url), 2);
    assert!(output.contains("is configured"), "{output}");
    cluster.stop();
    let output = ended(&mut list(), 5);
    assert!(output.contains("parquet: holds") && output.contains("Connection refused"), "{output}");
}

pub(crate) fn sinks(market: &Market, words: &[&str]) -> Command {
    let mut command = tapedeck(&["sinks"]);
    command.args(words).arg("--data").arg(market.data());
    command
}

/// The journal's newest record, as `list` says it.
fn newest(listed: &str) -> u64 {
    let line = listed.lines().find(|line| line.contains("holds the records")).expect("a journal");
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}
