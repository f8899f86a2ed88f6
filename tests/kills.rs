//! kill -9 at random moments, under load: nothing twice, and every hole is named.

use std::time::Duration;

use tapedeck_tests::Running;
use tapedeck_tests::tape::Tape;

use crate::market::{Market, PATIENCE, now_us, tapedeck, text};

#[test]
fn a_recorder_survives_a_handful_of_kills() {
    kill_and_go_on(5, 1);
}

#[test]
fn a_recorder_survives_fifty_kills() {
    if !tapedeck_tests::heavy("kills", "kills::a_recorder_survives_fifty_kills") {
        return;
    }
    kill_and_go_on(50, 2);
}

/// Kills the recorder so many times, then records once to a good end and compares.
fn kill_and_go_on(kills: usize, seed: u64) {
    let mut market = Market::start(&["--options", "300", "--rate", "1500"]);
    let mut random = seed;
    for _ in 0..kills {
        let mut recorder = Running::start(&mut market.recorder(&[]));
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // From the middle of the start to a few flushes into the recording.
        std::thread::sleep(Duration::from_millis(200 + (random >> 33) % 4_000));
        recorder.kill();
    }
    market.record(&["--for", "6s"]);
    let tape = market.assert_gaps_cover();
    let restarts = tape.gaps.iter().filter(|gap| gap.cause == "restart").count();
    // A kill before the first acknowledgement adds to the gap before it.
    assert!(restarts * 2 >= kills, "seed {seed}: {restarts} gaps for {kills} kills");
    println!("{} rows, {} gaps after {kills} kills", tape.keys.len(), tape.gaps.len());
}

/// The exchange dies first, the recorder later: the gap begins when the exchange died, although
/// the recorder went on saying that it had handed over everything.
#[test]
fn a_gap_that_was_open_at_the_kill_is_not_forgotten() {
    let port = tapedeck_tests::free_port();
    let listen = format!("127.0.0.1:{port}");
    let url = format!("ws://{listen}/ws/api/v2");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let simulate = || {
        let flags = ["simulate", "--options", "40", "--rate", "400", "--listen", &listen];
        let mut exchange = Running::start(&mut tapedeck(&flags));
        let _ = exchange.wait_for("listening on ", PATIENCE);
        exchange
    };
    let record = |flags: &[&str]| {
        let mut command = tapedeck(&["record", "--exchange-url", &url, "--data", text(&data)]);
        Running::start(command.args(flags))
    };
    let mut exchange = simulate();
    let mut recorder = record(&[]);
    let _ = recorder.wait_for("recording", PATIENCE);
    std::thread::sleep(Duration::from_secs(4));
    exchange.kill();
    let died = now_us();
    std::thread::sleep(Duration::from_secs(4));
    recorder.kill();
    let _again = simulate();
    // Killed again before it has caught up, and then once to a good end.
    let mut recorder = record(&[]);
    std::thread::sleep(Duration::from_millis(300));
    recorder.kill();
    let mut recorder = record(&["--for", "6s"]);
    assert!(recorder.wait(PATIENCE).success(), "{}", recorder.output());
    let tape = Tape::read(&data);
    let mut shards: Vec<&str> = tape.gaps.iter().map(|gap| gap.shard.as_str()).collect();
    shards.sort_unstable();
    shards.dedup();
    assert!(!shards.is_empty(), "there are gaps");
    for shard in shards {
        let covered = tape.gaps.iter().any(|gap| {
            gap.shard == shard && gap.start <= died && gap.end.is_some_and(|end| end > died)
        });
        assert!(covered, "{shard} lost data from {died}: {:?}", tape.gaps);
    }
}
