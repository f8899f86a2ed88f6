//! The whole line in virtual time: exchange, network, websocket, session, decoder, outbox, queue,
//! journal, feed and Parquet sink, with everything that can go wrong between and under them.
//!
//! Every stage is the real one; a scheduler takes the place of threads, sockets and clocks, and a
//! seed decides everything. The oracle: what the exchange said on a channel that was acknowledged
//! is stored once, or lies in a gap that names a fault which was there.

mod account;
mod archive;
mod judge;
mod lives;
mod network;
mod program;
mod record;
mod venue;
mod weather;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use account::Account;
use archive::Archive;
use world::World;

#[test]
fn every_identity_is_stored_once_or_named() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
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

fn play(seed: u64) -> Account {
    let world = World::new(seed);
    let journal = world.journal_options();
    let (record, venue, disk) = world.run();
    let archive = Archive::read(&disk, &journal);
    judge::judge(&record, &venue, &archive)
}

/// How many an ordinary run plays.
const SEEDS: u64 = 40;
/// In so many everything that can happen has happened.
const ALL_SEEDS: u64 = 500;
/// 2026-11-24T07:59:00Z.
const START_US: i64 = 1_795_507_140_000_000;
/// The program's data folder, on a disk that is simulated.
const DATA: &str = "/data";
