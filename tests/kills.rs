//! kill -9 at random moments, under load: nothing twice, and every hole is named.

use std::time::Duration;

use tapedeck_tests::Running;

use crate::market::Market;

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
    assert!(tape.gaps.iter().any(|gap| gap.cause == "restart"), "seed {seed}: {:?}", tape.gaps);
    println!("{} rows, {} gaps after {kills} kills", tape.keys.len(), tape.gaps.len());
}
