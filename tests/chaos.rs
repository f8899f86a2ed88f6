//! A recorder and an exchange with a bad line between them: nothing is stored twice, and what is
//! lost is in a gap that says why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use rustix::process::Signal;
use tapedeck_tests::chaos::{Chaos, Script};
use tapedeck_tests::tape::{Gap, Tape};
use tapedeck_tests::{Running, skip};

use crate::market::{Market, PATIENCE, text};

/// An exchange, a proxy with this script before it, and a recorder that sees only the proxy.
fn record(script: &str, flags: &[&str], length: &str) -> Market {
    let mut market = Market::start(flags);
    let _chaos = behind(script, &mut market);
    market.record(&["--for", length]);
    market
}

/// From now on the market is reached through a proxy.
pub(crate) fn behind(script: &str, market: &mut Market) -> Chaos {
    let at = market.url.strip_prefix("ws://").and_then(|url| url.split('/').next());
    let to: SocketAddr = at.and_then(|at| at.parse().ok()).expect("the exchange has an address");
    let chaos = Chaos::start(to, Script::parse(script).unwrap(), 5).unwrap();
    market.url = format!("ws://{}/ws/api/v2", chaos.address());
    chaos
}

const FEW: [&str; 4] = ["--options", "60", "--rate", "800"];

/// Every connection's gap has this cause; and beside those, each trade that the tape shows to be
/// missing is named, and no other (docs/gaps.md).
#[track_caller]
fn assert_causes(tape: &Tape, cause: &str) {
    let other = tape.gaps.iter().find(|gap| gap.cause != cause && gap.cause != "trade_seq");
    assert_eq!(other, None, "{:?}", tape.gaps);
    assert!(gaps(tape, "trade_seq").next().is_some(), "seconds are a gap in the trades too");
    // What was not asked for in time is named, and missing.
    assert_eq!(named_trades(tape), missing_trades(tape));
}

fn gaps<'t>(tape: &'t Tape, cause: &str) -> impl Iterator<Item = &'t Gap> {
    tape.gaps.iter().filter(move |gap| gap.cause == cause)
}

/// The trades between those that are stored, by instrument and trade_seq.
fn missing_trades(tape: &Tape) -> BTreeSet<(&str, i64)> {
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    let mut stored: Vec<(&str, i64)> = tape.keys.iter().filter_map(|key| trade(key)).collect();
    stored.sort_unstable();
    let mut missing = BTreeSet::new();
    for (instrument, seq) in stored {
        let before = newest.insert(instrument, seq).unwrap_or(seq);
        missing.extend((before + 1..seq).map(|seq| (instrument, seq)));
    }
    missing
}

/// The instrument and the trade_seq of a trade's key.
fn trade(key: &str) -> Option<(&str, i64)> {
    let mut words = key.split(' ');
    let table = words.next().filter(|table| table.ends_with("_trades"));
    table.and_then(|_| Some((words.next()?, words.nth(1)?.parse().ok()?)))
}

/// The trades that rows of `trade_seq` name: "missing trade_seq 6, 8..9".
fn named_trades(tape: &Tape) -> BTreeSet<(&str, i64)> {
    let mut named = BTreeSet::new();
    for gap in tape.gaps.iter().filter(|gap| gap.cause == "trade_seq") {
        let Some(spans) = gap.detail.strip_prefix("missing trade_seq ") else {
            assert!(gap.detail.starts_with("none is missing: "), "{gap:?}");
            continue;
        };
        for span in spans.split(", ") {
            let (first, last) = span.split_once("..").unwrap_or((span, span));
            let span = first.parse::<i64>().unwrap()..=last.parse().unwrap();
            named.extend(span.map(|seq| (&*gap.instrument, seq)));
        }
    }
    named
}

#[test]
fn a_slow_uneven_line_loses_nothing() {
    let mut market = record("0s latency 120ms jitter 80ms", &FEW, "8s");
    let tape = market.assert_complete();
    assert_eq!(tape.gaps, [], "late is not lost");
}

#[test]
fn tiny_segments_lose_nothing() {
    let mut market = record("0s pieces 9", &["--options", "20", "--rate", "150"], "6s");
    let tape = market.assert_complete();
    assert_eq!(tape.gaps, []);
}

#[test]
fn a_stall_that_ends_in_time_loses_nothing() {
    let mut market = record("4s stall\n7s calm", &FEW, "10s");
    let tape = market.assert_complete();
    assert_eq!(tape.gaps, [], "what was held back came");
}

#[test]
fn resets_and_torn_frames_are_named() {
    let script = "0s latency 20ms jitter 20ms\n3s reset\n5s close\n7s reset";
    let mut market = record(script, &FEW, "12s");
    let tape = market.assert_gaps_cover();
    assert_causes(&tape, "disconnected");
    let ended = gaps(&tape, "disconnected").filter(|gap| gap.end.is_some()).count();
    assert!(ended >= 3, "{:?}", tape.gaps);
}

/// Whoever connects again meets a server that accepts and never answers, until that is over.
#[test]
fn a_server_that_never_answers_is_left() {
    let script = "3s reset\n3s mute\n5s reset\n5s calm";
    let mut market = record(script, &FEW, "12s");
    let tape = market.assert_gaps_cover();
    assert_causes(&tape, "disconnected");
    let longest = gaps(&tape, "disconnected").filter_map(|gap| Some(gap.end? - gap.start)).max();
    assert!(longest.is_some_and(|us| us >= 2_000_000), "{:?}", tape.gaps);
}

/// What comes while a recorder is held waits for it.
#[test]
fn a_recorder_that_was_held_for_a_while_loses_nothing() {
    let mut market = Market::start(&FEW);
    hold(&market);
    let tape = market.assert_complete();
    assert_eq!(tape.gaps, []);
}

/// The exchange gives up on who does not read, and says so; the word is read late. Not so late that
/// the exchange waits no longer for an answer: what we say then resets the socket, and its last
/// word may be lost with it.
#[test]
fn a_recorder_that_was_held_too_long_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let faults = folder.path().join("faults.toml");
    let close =
        "[[fault]]\ndo = \"close\"\nat = 7.6\ncode = 4000\nreason = \"connection_too_slow\"\n";
    fs::write(&faults, close).unwrap();
    let mut market = Market::start(&[&FEW[..], &["--faults", text(&faults)]].concat());
    hold(&market);
    let tape = market.assert_gaps_cover();
    assert_causes(&tape, "too_slow");
    assert!(gaps(&tape, "too_slow").any(|gap| gap.end.is_some()), "{:?}", tape.gaps);
}

/// Records for a while, and in the middle of it the process does not run.
fn hold(market: &Market) {
    let mut recorder = Running::start(&mut market.recorder(&["--for", "14s"]));
    thread::sleep(Duration::from_secs(4));
    recorder.signal(Signal::STOP);
    thread::sleep(Duration::from_secs(4));
    recorder.signal(Signal::CONT);
    assert!(recorder.wait(PATIENCE).success(), "{}", recorder.output());
}

/// The wall clock jumps an hour ahead, two back and home again, while the machine goes on.
#[test]
fn a_clock_that_jumps_loses_nothing() {
    let Some(library) = faketime() else {
        let reason = "no libfaketime: run tests/run --install";
        return skip("chaos::a_clock_that_jumps_loses_nothing", reason);
    };
    let mut market = Market::start(&FEW);
    let clock = market.folder.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    let mut command = market.recorder(&["--for", "10s"]);
    faked(&mut command, &library, &clock);
    let mut recorder = Running::start(&mut command);
    for jump in ["+3600", "-7200", "+0"] {
        thread::sleep(Duration::from_millis(2_500));
        fs::write(&clock, jump).unwrap();
    }
    assert!(recorder.wait(PATIENCE).success(), "{}", recorder.output());
    // And once more, on a clock that was never wrong.
    let mut recorder = Running::start(&mut market.recorder(&["--for", "6s"]));
    thread::sleep(Duration::from_secs(4));
    let end = UNIX_EPOCH.elapsed().expect("it is later than 1970").as_micros();
    assert!(recorder.wait(PATIENCE).success(), "{}", recorder.output());
    // Some rows have a `received_at` that is an hour late: they do not say when the tape ends.
    let tape = market.assert_gaps_cover_until(i64::try_from(end).expect("it is not yet 294247"));
    assert_causes(&tape, "restart");
    let hour = i64::try_from(end).unwrap() + 3_000_000_000;
    assert!(tape.newest_received > hour, "the recorder saw the clock jump");
}

/// The process sees the clock that the file says; its monotonic clock is left alone.
fn faked<'c>(command: &'c mut Command, library: &str, clock: &std::path::Path) -> &'c mut Command {
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

/// Debian's libfaketime, where it is installed.
fn faketime() -> Option<String> {
    let folder = format!("/usr/lib/{}-linux-gnu/faketime", std::env::consts::ARCH);
    let path = format!("{folder}/libfaketimeMT.so.1");
    fs::exists(&path).is_ok_and(|found| found).then_some(path)
}
