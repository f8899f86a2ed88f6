//! The connections that a plan asks for, each going on where the journal left its shard.

use std::sync::Arc;
use std::time::Duration;

use journal::Recovery;
use lifecycle::{Plan, Swap};
use schema::{Micros, Now};

use crate::backoff::Backoff;
use crate::config::Books;
use crate::deribit::{Decoder, LastIdentity};
use crate::endpoint::Endpoint;
use crate::metrics;
use crate::reader::{Board, LineSetup, Mailbox, Talk};
use crate::rpc::{Allowance, Credentials, Sampling, Settings};
use crate::session::{Cause, CauseKind, Session};

/// One line for every shard; one that has nothing to listen to connects when it has. What the
/// journal knows of the past is in them: since when data is missing, and what was recorded already.
#[must_use]
pub fn lines(
    plan: &Plan,
    endpoint: &Endpoint,
    credentials: Option<&Credentials>,
    recovery: &Recovery,
    allowance: &Allowance,
    mut entropy: impl FnMut() -> u64,
) -> Vec<LineSetup> {
    // Whose channel it was then, another shard may have it now.
    let before = &recovery.resume.shards;
    let alive_at = plan.swaps().filter_map(|(shard, _)| before.get(&*shard)).map(|it| it.alive_at);
    let unasked_since = before.values().filter_map(|shard| shard.unasked_since);
    let unasked_since = unasked_since.chain(alive_at).min();
    let number = |(connection, (shard, swap)): (u32, (Arc<str>, Swap))| {
        let mut settings = Settings::new(Arc::clone(&shard), allowance.clone());
        settings.credentials = credentials.cloned();
        let known = gap(recovery, &shard, &settings);
        let mut session = Talk::new(settings, decoder(recovery, &shard));
        if let Some((since, until)) = known {
            let cause = Cause { kind: CauseKind::Restart, detail: RESTARTED.into() };
            session.outage(since, until, cause);
        }
        if let Some(since) = unasked_since {
            session.unasked(since);
        }
        let meters = metrics::Line::new(Arc::clone(&shard));
        let mailbox = Mailbox::default();
        mailbox.leave(swap);
        let seed = entropy();
        LineSetup {
            shard,
            connection,
            endpoint: endpoint.clone(),
            tls: None,
            session,
            backoff: Backoff::new(seed),
            mailbox,
            board: Board::default(),
            meters,
            seed,
        }
    };
    (0..).zip(plan.swaps()).map(number).collect()
}

/// Lets every line sample the books of its instruments, one after the other; the last shard, which
/// is that of the perpetuals, first.
pub(super) fn sample(lines: &mut [LineSetup], plan: &Plan, books: &Books) {
    let of = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    for (turn, (line, capacity)) in (0..).zip(lines.iter_mut().zip(plan.capacities()).rev()) {
        let turn = (turn, of);
        let Books { depth, every, .. } = *books;
        line.session.sample(Sampling { depth, every, capacity, turn });
    }
}

/// Since when a shard may have missed data: up to the watermark every received row is kept, less
/// what was under way; or since the gap that was open when the last process ended. And when
/// that process was still there.
fn gap(recovery: &Recovery, shard: &str, settings: &Settings) -> Option<(Micros, Micros)> {
    let through = recovery.watermark?.through;
    let shards = &recovery.resume.shards;
    if shards.is_empty() {
        return None;
    }
    let read = settings.before_under_way(through);
    Some((shards.get(shard).map_or(read, |known| known.alive_at.min(read)), through))
}

/// What may be asked of the exchange, as far as the journal knows: a recorder that ran a moment ago
/// has used up what this one would begin with.
#[must_use]
pub fn allowance(recovery: &Recovery, sampled: bool, now: Now) -> Allowance {
    let alive = recovery.resume.shards.values().map(|shard| shard.alive_at);
    let last = alive.chain(recovery.watermark.map(|known| known.through)).max();
    let quiet = last.map_or(Duration::MAX, |last| {
        Duration::from_micros(u64::try_from(now.utc.0.saturating_sub(last.0)).unwrap_or(0))
    });
    Allowance::after(quiet, sampled, now.monotonic)
}

/// A decoder that knows what was recorded last: what the exchange sends again is not new.
fn decoder(recovery: &Recovery, shard: &Arc<str>) -> Decoder {
    let limits = crate::deribit::Limits::default();
    let mut decoder = Decoder::new(limits).of_shard(Arc::clone(shard));
    for (instrument, last) in &recovery.resume.instruments {
        let last = LastIdentity {
            trade_seq: last.trade_seq,
            traded_at: last.traded_at,
            lowest: last.lowest_seq.zip(last.lowest_at),
            begun: last.begun_at,
            change_id: last.change_id,
            ticker: last.quote,
            received_at: Some(last.received_at),
        };
        decoder.resume(instrument, last);
    }
    for (instrument, holes) in &recovery.resume.missing {
        for hole in holes {
            decoder.resume_hole(instrument, (hole.first, hole.last), (hole.from, hole.to));
        }
    }
    for (instrument, gaps) in &recovery.resume.named {
        for gap in gaps {
            decoder.resume_named(instrument, &gap.shard, (gap.from, gap.to));
        }
    }
    decoder
}

const RESTARTED: &str = "the recorder was not running";
