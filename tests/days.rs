//! What a day brings: options expire at 08:00 UTC, others are listed, and the recorder follows.

use std::collections::BTreeSet;

use tapedeck_tests::tape::Tape;

use crate::market::{Market, run};

/// Exchange time runs ten times as fast, so that the new listings come within seconds; and it is
/// behind ours, as the clock of no real exchange is: by ours, everything has expired long ago.
#[test]
fn new_listings_are_recorded_and_expired_options_let_go() {
    let clock = ["--clock", "2026-11-20T07:59:40Z", "--speed", "10"];
    let flags = [&["--options", "120", "--rate", "400"], clock.as_slice()].concat();
    let mut market = Market::start(&flags);
    let mut command = market.recorder(&["--for", "24s"]);
    command.env("TAPEDECK_LIFECYCLE__REFRESH", "1s").env("TAPEDECK_LIFECYCLE__LINGER", "2s");
    let (code, output) = run(&mut command);
    assert_eq!(code, Some(0), "{output}");
    let listed: BTreeSet<&str> = output
        .lines()
        .filter_map(|line| line.split("New instrument listed: ").nth(1))
        .map(str::trim)
        .collect();
    assert!(!listed.is_empty(), "{output}");
    let gone = output.lines().filter(|line| line.contains("Instrument no longer recorded: "));
    assert!(gone.count() > 0, "{output}");
    assert!(output.contains("BTC: Found "), "{output}");
    assert!(output.contains("BTC: Refresh cycle 1 complete | Tracked: "), "{output}");

    let (truth, tape) = (market.truth(), Tape::read(&market.data()));
    assert!(tape.gaps.is_empty(), "{:?}", tape.gaps);
    for name in listed {
        let quote = format!("option_quotes {name} ");
        assert!(tape.keys.iter().any(|key| key.starts_with(&quote)), "{name} has no quote");
    }
    let difference = truth.compare(&tape);
    assert!(difference.surplus.is_empty(), "{:?} …", difference.surplus.first());
    // What was sent last lies in the sockets that the recorder closed, unread.
    let end = truth.rows.iter().map(|sent| sent.at).max().unwrap() - UNDER_WAY_US;
    let lost: Vec<_> = difference.missing.iter().filter(|sent| sent.at <= end).collect();
    assert!(lost.is_empty(), "{} rows are missing, {:?} …", lost.len(), lost.first());
}

/// Half a second, by a clock that is ten times as fast.
const UNDER_WAY_US: i64 = 5_000_000;
