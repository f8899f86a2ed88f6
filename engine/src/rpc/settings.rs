//! What a connection may be told.

use std::sync::Arc;
use std::time::Duration;

use schema::Micros;

use crate::credits::{Credits, Rate, Shared};
use crate::rpc::{Credentials, sampler};
use crate::subscriptions::Limits;

/// How one connection behaves. The numbers of the exchange are PROTOCOL 3 to 5's.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The shard, as gaps name it.
    pub shard: Arc<str>,
    /// What we call ourselves; empty says nothing.
    pub client_name: String,
    /// Logs in with these.
    pub credentials: Option<Credentials>,
    /// How often the exchange is to ask whether we are alive; at least 10 s.
    pub heartbeat: Duration,
    /// Silence before a probe is sent.
    pub idle_max: Duration,
    /// Time without a ticker, although some are acknowledged, before the connection is replaced.
    pub silent_data_max: Duration,
    /// Microseconds that a message may have been under way: a gap begins that long before the last
    /// message that was read. 2 s: 1.3 s have been measured.
    pub latency_us_max: i64,
    /// What fits into one request.
    pub limits: Limits,
    /// What may be asked.
    pub allowance: Allowance,
}

/// What all connections of an address may ask for together. Clones are the same allowance.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// For subscribe and unsubscribe.
    pub subscribing: Shared,
    /// For every other request.
    pub asking: Shared,
    /// For asking for missing trades again: a part of the latter.
    pub mending: Shared,
}

impl Allowance {
    /// For an address from which nothing was asked for so long until now. What was asked before is
    /// not known, so that nothing may have been left then.
    ///
    /// Where books are sampled, a part of it is left for that.
    #[must_use]
    pub fn after(quiet: Duration, sampled: bool, now: Duration) -> Self {
        let (part, of) = sampler::PART;
        let subscribing = if sampled { SUBSCRIBING.part((of - part, of)) } else { SUBSCRIBING };
        let shared = |rate| Shared::new(Credits::after(rate, quiet, now));
        Self { subscribing: shared(subscribing), asking: shared(ASKING), mending: shared(MENDING) }
    }
}

impl Settings {
    /// The settings of a connection that shares this allowance.
    #[must_use]
    pub fn new(shard: Arc<str>, allowance: Allowance) -> Self {
        Self {
            shard,
            client_name: "tapedeck".to_owned(),
            credentials: None,
            heartbeat: Duration::from_secs(10),
            idle_max: Duration::from_secs(15),
            silent_data_max: Duration::from_secs(300),
            latency_us_max: 2_000_000,
            limits: Limits { channels_max: CHANNELS_MAX, bytes_max: FRAME_BYTES_MAX - FRAME_BYTES },
            allowance,
        }
    }

    /// Up to when everything has come, if this was read then: what comes next may have been under
    /// way for long.
    #[must_use]
    pub fn before_under_way(&self, read: Micros) -> Micros {
        Micros(read.0.saturating_sub(self.latency_us_max))
    }
}

/// 500 are documented; 250 are what clients have found to work.
const CHANNELS_MAX: usize = 250;
const FRAME_BYTES_MAX: usize = 32_000;
/// What a frame holds besides its channels.
const FRAME_BYTES: usize = 128;
/// Published for accounts; what holds without a login is unknown, so the same. The exchange's pool
/// is 30,000: ours is less by what comes back in 600 ms, since a request that was under way for
/// longer than those behind it is booked late.
pub(super) const SUBSCRIBING: Rate = Rate { cost: 3_000, pool: 24_000, refill: 10_000 };
pub(super) const ASKING: Rate = Rate { cost: 500, pool: 50_000, refill: 10_000 };
/// Half of that, so that no answer to a test request ever waits for it: ten questions a second.
const MENDING: Rate = Rate { cost: 500, pool: 5_000, refill: 5_000 };
