//! Missing trades are asked for again: what is stored in the end has none missing.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tapedeck_tests::Running;
use tapedeck_tests::tape::{self, Tape};

use crate::market::{Market, PATIENCE, now_us, tapedeck, text};

/// One recorder is killed and comes back, another one is there all the time.
#[test]
fn after_a_kill_no_trade_is_missing() {
    let market = Market::start(&["--options", "60", "--rate", "600"]);
    let witnessed = market.folder.path().join("witness");
    let mut witness = tapedeck(&["record", "--exchange-url", &market.url]);
    let mut witness = Running::start(witness.args(["--data", text(&witnessed)]));
    let _ = witness.wait_for("recording", PATIENCE);
    let mut recorder = Running::start(&mut market.recorder(&[]));
    let _ = recorder.wait_for("recording", PATIENCE);
    std::thread::sleep(Duration::from_secs(4));
    let from = now_us();
    std::thread::sleep(Duration::from_secs(2));
    recorder.kill();
    std::thread::sleep(Duration::from_secs(4));
    let mut recorder = Running::start(&mut market.recorder(&[]));
    let _ = recorder.wait_for("recording", PATIENCE);
    // A question for each of 62 instruments, ten a second; then some more time.
    std::thread::sleep(Duration::from_secs(12));
    let until = now_us();
    std::thread::sleep(Duration::from_secs(3));
    for running in [&mut recorder, &mut witness] {
        running.terminate();
        assert!(running.wait(PATIENCE).success(), "{}", running.output());
    }
    let data = market.data();
    let (ours, theirs) = (trades(&data, from, until), trades(&witnessed, from, until));
    let missing: Vec<_> = theirs.difference(&ours).collect();
    assert!(missing.is_empty(), "{} of {}: {missing:#?}", missing.len(), theirs.len());
    let repaired = repaired(&data);
    assert!(repaired > 0, "nothing had to be asked for");
    let says = format!("asked for again: {repaired}.");
    assert!(recorder.output().contains(&says), "{says} {}", recorder.output());
    println!("{} trades, {repaired} of them asked for again", ours.len());
}

/// The keys of all trades that happened then, µs UTC. None is there twice.
fn trades(data: &Path, from: i64, until: i64) -> BTreeSet<String> {
    let keys = Tape::read(data).keys.into_iter();
    let during = |key: &String| {
        let mut words = key.split(' ');
        let trade = words.next().is_some_and(|table| table.ends_with("_trades"));
        let at = words.nth(1).and_then(|at| at.parse().ok());
        trade && at.is_some_and(|at: i64| from <= at && at <= until)
    };
    let mut trades = BTreeSet::new();
    for key in keys.filter(during) {
        assert!(!trades.contains(&key), "{key} is stored twice");
        trades.insert(key);
    }
    trades
}

/// How many trades are marked as asked for again.
fn repaired(data: &Path) -> usize {
    let mut count = 0;
    for table in ["option_trades", "perpetual_trades"] {
        tape::for_each_batch(&data.join("parquet").join(table), |batch| {
            let column = tape::column(batch, "repaired");
            let marked = |row: &usize| tape::cell(column, *row) == "true";
            count += (0..batch.num_rows()).filter(marked).count();
        });
    }
    count
}
