//! What a connection may be told.

use std::sync::Arc;
use std::time::Duration;

use crate::credits::Rate;
use crate::rpc::Credentials;
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
    /// What subscribe and unsubscribe may cost this connection.
    pub subscribing: Rate,
    /// What every other request may cost this connection.
    pub asking: Rate,
}

impl Settings {
    /// The settings of one of `connections` that share an address and its limits.
    #[must_use]
    pub fn new(shard: Arc<str>, connections: u64) -> Self {
        Self {
            shard,
            client_name: "tapedeck".to_owned(),
            credentials: None,
            heartbeat: Duration::from_secs(10),
            idle_max: Duration::from_secs(15),
            silent_data_max: Duration::from_secs(300),
            latency_us_max: 2_000_000,
            limits: Limits { channels_max: CHANNELS_MAX, bytes_max: FRAME_BYTES_MAX - FRAME_BYTES },
            subscribing: SUBSCRIBING.shared_by(connections),
            asking: ASKING.shared_by(connections),
        }
    }
}

/// 500 are documented; 250 are what clients have found to work.
const CHANNELS_MAX: usize = 250;
const FRAME_BYTES_MAX: usize = 32_000;
/// What a frame holds besides its channels.
const FRAME_BYTES: usize = 128;
/// Published for accounts; what holds without a login is unknown, so the same.
const SUBSCRIBING: Rate = Rate { cost: 3_000, pool: 30_000, refill: 10_000 };
const ASKING: Rate = Rate { cost: 500, pool: 50_000, refill: 10_000 };
