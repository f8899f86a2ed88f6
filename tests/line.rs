//! The whole line in virtual time: exchange, network, websocket, session, decoder, outbox, queue,
//! journal, feed and Parquet sink, with everything that can go wrong between and under them.
//!
//! Every stage is the real one; a scheduler takes the place of threads, sockets and clocks, and a
//! seed decides everything. The oracle: what the exchange said on a channel that was acknowledged
//! is stored once, or lies in a gap that names a fault which was there.

mod account;
mod archive;
mod coverage;
mod judge;
mod lives;
mod network;
mod program;
mod record;
mod venue;
mod weather;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use account::Account;
use archive::Archive;
use coverage::Coverage;
use record::Record;
use venue::Venue;
use world::{OUTAGES, World};

#[test]
fn every_identity_is_stored_once_or_named() {
    let (first, seeds) = match number("SEED") {
        Some(seed) => (seed, number("SEEDS").unwrap_or(1)),
        None => (1, number("SEEDS").unwrap_or(SEEDS)),
    };
    let (mut account, mut failed) = (Account::default(), Vec::new());
    for seed in first..first + seeds {
        match catch_unwind(AssertUnwindSafe(|| play(seed))) {
            Ok(world) => account.add(world),
            Err(_) => failed.push(seed),
        }
    }
    println!("{account}");
    assert!(failed.is_empty(), "{} of {seeds} seeds fail: {failed:?}", failed.len());
    let never = account.never();
    assert!(seeds < ALL_SEEDS || never.is_empty(), "never seen in {seeds} worlds: {never:#?}");
}

/// All of the exchange's options, a steward, faults; in a week two outages.
#[test]
fn a_day_is_recorded() {
    record(1);
}

#[test]
fn a_week_is_recorded() {
    if tapedeck_tests::heavy("week", "line::a_week_is_recorded") {
        record(7);
    }
}

fn record(days: u64) {
    let seed = number("SEED").unwrap_or(1);
    let (account, record, venue, archive) = run(World::of_days(days, seed));
    check_told(&venue, &archive);
    let coverage = Coverage::new(&record, &venue, &archive, &OUTAGES);
    println!("{account}\n{coverage}");
    assert!(coverage.share() >= 0.999, "{coverage}");
}

/// What has become of each option is told once.
fn check_told(venue: &Venue, archive: &Archive) {
    let mut told: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (what, name) in archive.events.values() {
        *told.entry((what, name)).or_default() += 1;
    }
    let twice: Vec<_> = told.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "told more than once: {twice:#?}");
    for it in venue.listed().iter().filter(|it| !it.name.ends_with("PERPETUAL")) {
        let is_told = |what| told.contains_key(&(what, &*it.name));
        assert!(is_told("instrument_listed"), "{} is not told as listed", it.name);
        assert!(is_told("subscription_added"), "{} is not told as subscribed", it.name);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn play(seed: u64) -> Account {
    run(World::new(seed)).0
}

/// Lets a world come to its end, and judges it.
fn run(world: World) -> (Account, Record, Venue, Archive) {
    let journal = world.journal_options();
    let (record, venue, disk) = world.run();
    let archive = Archive::read(&disk, &journal);
    (judge::judge(&record, &venue, &archive), record, venue, archive)
}

/// How many an ordinary run plays.
const SEEDS: u64 = 40;
/// In so many everything that can happen has happened.
const ALL_SEEDS: u64 = 500;
/// 2026-11-24T07:59:00Z.
const START_US: i64 = 1_795_507_140_000_000;
/// The program's data folder, on a disk that is simulated.
const DATA: &str = "/data";
