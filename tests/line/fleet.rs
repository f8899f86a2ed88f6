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
mod record;
mod weather;
mod world;

use super::play_all;
use judge::Verdict;
use world::World;

#[test]
fn what_goes_from_process_to_process_is_stored_once_or_named() {
    let play = |seed| judge::judge(World::new(seed).run());
    let (sum, seeds) = play_all(SEEDS, play, Verdict::add);
    let all = weather::ALL.iter().map(|it| format!("{it:?}"));
    let never: Vec<String> = all.filter(|what| !sum.seen.contains_key(what)).collect();
    assert!(seeds < SEEDS || never.is_empty(), "never seen in {seeds} worlds: {never:?}");
}

/// How many an ordinary run plays.
const SEEDS: u64 = 20;
