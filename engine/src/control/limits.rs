//! How much anybody may ask: requests a second for each address, and connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::credits::{Credits, Rate};

/// A bucket of requests for each address, and the connections that are open.
///
/// Invariant: at most [`PEERS_MAX`] addresses are remembered; the others share one bucket.
#[derive(Debug)]
pub(super) struct Limits {
    rate: Rate,
    peers: HashMap<IpAddr, Peer>,
    others: Peer,
    connections: usize,
}

#[derive(Clone, Debug)]
struct Peer {
    requests: Credits,
    connections: usize,
}

impl Limits {
    /// So many requests a second, and twice as many in one go.
    #[must_use]
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = u64::from(per_second);
        let rate = Rate { cost: 1, pool: per_second * BURST, refill: per_second };
        Self { rate, peers: HashMap::new(), others: Peer::new(rate), connections: 0 }
    }

    /// Whether the address may make a request now.
    #[must_use]
    pub(super) fn admit(&mut self, address: IpAddr, now: Duration) -> bool {
        self.peer(address, now).requests.take(now)
    }

    /// Whether the address may have one connection more; [`leave`](Self::leave) follows then.
    #[must_use]
    pub(super) fn enter(&mut self, address: IpAddr, now: Duration) -> bool {
        let room = self.connections < CONNECTIONS_MAX;
        let peer = self.peer(address, now);
        let room = room && peer.connections < PEER_CONNECTIONS_MAX;
        if room {
            peer.connections += 1;
            self.connections += 1;
        }
        room
    }

    /// A connection has ended.
    pub(super) fn leave(&mut self, address: IpAddr) {
        let peer = self.peers.get_mut(&address).unwrap_or(&mut self.others);
        peer.connections = peer.connections.saturating_sub(1);
        self.connections = self.connections.saturating_sub(1);
    }

    fn peer(&mut self, address: IpAddr, now: Duration) -> &mut Peer {
        let rate = self.rate;
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&address) {
            // Who has been quiet for long enough has a full bucket, and need not be remembered.
            let full = |peer: &Peer| peer.requests.ready_for(rate.pool) <= now;
            self.peers.retain(|_, peer| peer.connections > 0 || !full(peer));
            if self.peers.len() >= PEERS_MAX {
                return &mut self.others;
            }
        }
        self.peers.entry(address).or_insert_with(|| Peer::new(rate))
    }
}

impl Peer {
    fn new(rate: Rate) -> Self {
        Self { requests: Credits::new(rate), connections: 0 }
    }
}

/// Seconds of requests in one go.
const BURST: u64 = 2;
const PEERS_MAX: usize = 1_024;
/// Connections at a time.
const CONNECTIONS_MAX: usize = 128;
const PEER_CONNECTIONS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number))
    }

    #[test]
    fn a_bucket_is_emptied_and_fills_again() {
        let mut limits = Limits::new(10);
        let mut admitted = |address, at| {
            let at = Duration::from_millis(at);
            (0..1_000).filter(|_| limits.admit(address, at)).count()
        };
        assert_eq!(admitted(address(1), 0), 20);
        assert_eq!(admitted(address(2), 0), 20, "the other's requests are not counted");
        assert_eq!(admitted(address(1), 500), 5);
        assert_eq!(admitted(address(1), 100), 0, "time that goes back fills nothing");
        assert_eq!(admitted(address(1), 60_000), 20);
    }

    #[test]
    fn connections_are_bounded_for_one_and_for_all() {
        let mut limits = Limits::new(10);
        let mut enter =
            |address| (0..1_000).filter(|_| limits.enter(address, Duration::ZERO)).count();
        assert_eq!(enter(address(1)), PEER_CONNECTIONS_MAX);
        assert_eq!(enter(address(2)), CONNECTIONS_MAX - PEER_CONNECTIONS_MAX);
        assert_eq!(enter(address(3)), 0);
        limits.leave(address(2));
        assert!(limits.enter(address(3), Duration::ZERO));
    }

    #[test]
    fn a_crowd_of_addresses_is_not_remembered() {
        let mut limits = Limits::new(10);
        let admitted = (0..100_000).filter(|it| limits.admit(address(*it), Duration::ZERO)).count();
        assert_eq!(admitted, PEERS_MAX + 20);
        assert!(limits.peers.len() <= PEERS_MAX);
        assert!(limits.admit(address(200_000), Duration::from_secs(60)));
    }
}
