//! Shards spread over two recorders that one lifecycle manages, in virtual time: processes die
//! alone and together, what they say to each other is lost, late or cut off, and instruments go
//! from process to process all the while.
//!
//! Relay, deputy, steward, lines, journals and sinks are the real ones; what stands here is the
//! glue that the courier and the control API are in production. The oracle: what the exchange said
//! on a channel that was acknowledged is stored once in one of the archives, or lies in a gap.

mod judge;
mod member;
mod post;
mod weather;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::number;
use judge::Verdict;
use world::World;

#[test]
fn what_goes_from_process_to_process_is_stored_once_or_named() {
    let (first, seeds) = match number("SEED") {
        Some(seed) => (seed, number("SEEDS").unwrap_or(1)),
        None => (1, number("SEEDS").unwrap_or(SEEDS)),
    };
    let (mut sum, mut failed) = (Verdict::default(), Vec::new());
    for seed in first..first + seeds {
        match catch_unwind(AssertUnwindSafe(|| judge::judge(World::new(seed).run()))) {
            Ok(verdict) => sum.add(verdict),
            Err(_) => failed.push(seed),
        }
    }
    println!("{sum}");
    assert!(failed.is_empty(), "{} of {seeds} seeds fail: {failed:?}", failed.len());
    let never: BTreeMap<_, _> = weather::ALL.map(|it| (format!("{it:?}"), 0)).into();
    let never: Vec<_> = never.keys().filter(|what| !sum.seen.contains_key(*what)).collect();
    assert!(seeds < SEEDS || never.is_empty(), "never seen in {seeds} worlds: {never:?}");
}

/// How many an ordinary run plays.
const SEEDS: u64 = 20;
