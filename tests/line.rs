//! The whole line in virtual time: exchange, network, websocket, session, decoder, outbox, queue,
//! journal, feed and Parquet sink, with everything that can go wrong between and under them.
//!
//! Every stage is the real one; a scheduler takes the place of threads, sockets and clocks, and a
//! seed decides everything. The oracle: what the exchange said on a channel that was acknowledged
//! is stored once, or lies in a gap that names a fault which was there.

mod account;
mod archive;
mod coverage;
mod fleet;
mod judge;
mod lives;
mod network;
mod program;
mod record;
mod venue;
mod weather;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use account::Account;
use archive::Archive;
use coverage::Coverage;
use record::Record;
use venue::Venue;
use world::{OUTAGES, Outage, World};

#[test]
fn every_identity_is_stored_once_or_named() {
    let (account, seeds) = play_all(SEEDS, |seed| run(World::new(seed)).0, Account::add);
    let never = account.never();
    assert!(seeds < ALL_SEEDS || never.is_empty(), "never seen in {seeds} worlds: {never:#?}");
}

/// What is listed while the exchange is away is known when the lists are asked for, and its trades
/// are asked for then.
#[test]
fn an_outage_over_eight_loses_no_trade() {
    // In the one trades of new options are lost if nobody expects them, in the other those of
    // options that expire.
    let seeds = number("SEED").map_or(vec![1, 5], |seed| vec![seed]);
    for seed in seeds {
        let world = World::over_eight(seed);
        let outage = world.outages()[0];
        let (account, _, venue, archive) = run(world);
        check_told(&venue, &archive);
        let unheard = unheard(&venue, outage);
        println!("{account}\n{} options were listed and traded meanwhile", unheard.len());
        assert!(!unheard.is_empty(), "seed {seed} shows nothing");
    }
}

/// Options that were listed during an outage and traded in it.
fn unheard(venue: &Venue, outage: Outage) -> BTreeSet<String> {
    let within = |at: u64| (outage.from..outage.until).contains(&at);
    let listed = venue.listed().into_iter();
    let new = listed.filter(|it| within((it.created_ms * 1_000 - START_US).max(0) as u64));
    let new: BTreeSet<String> = new.map(|it| it.name).collect();
    let sent = venue.market.iter().filter(|sent| within(sent.at));
    let texts: Vec<&str> =
        sent.filter(|sent| sent.channel.starts_with("trades.")).map(|sent| &*sent.text).collect();
    let traded = |name: &String| texts.iter().any(|text| text.contains(&format!("\"{name}\"")));
    new.into_iter().filter(traded).collect()
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
    let outages = OUTAGES.map(|it| (it.from, it.until));
    let coverage = Coverage::new(&record, &venue, &archive, &outages);
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

/// Plays the seeds that the environment names, else so many, to their end even if one fails. What
/// they came to, and how many they are.
fn play_all<T: Default + Display>(
    seeds: u64,
    play: impl Fn(u64) -> T,
    add: impl Fn(&mut T, T),
) -> (T, u64) {
    let (first, seeds) = match number("SEED") {
        Some(seed) => (seed, number("SEEDS").unwrap_or(1)),
        None => (1, number("SEEDS").unwrap_or(seeds)),
    };
    let (mut sum, mut failed) = (T::default(), Vec::new());
    for seed in first..first + seeds {
        match catch_unwind(AssertUnwindSafe(|| play(seed))) {
            Ok(world) => add(&mut sum, world),
            Err(_) => failed.push(seed),
        }
    }
    println!("{sum}");
    assert!(failed.is_empty(), "{} of {seeds} seeds fail: {failed:?}", failed.len());
    (sum, seeds)
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
