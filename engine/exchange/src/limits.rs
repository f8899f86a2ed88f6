//! What one address may do: how many connections it has open, and how often it asks.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// The exchange's limits; the default is what it publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Simultaneous connections from one address; the next one is refused with HTTP 429.
    pub connections_max: usize,
    /// Whether requests cost credits. Who has none left is told so (10028) and hung up on.
    pub credits: bool,
}

impl Limits {
    /// Everybody may do everything, as often as they like.
    pub const NONE: Limits = Limits { connections_max: usize::MAX, credits: false };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections_max: 32, credits: true }
    }
}

/// Everybody who is here, or was a moment ago, by address.
#[derive(Debug)]
pub(crate) struct Guests {
    limits: Limits,
    by_address: HashMap<IpAddr, Guest>,
}

/// One address: its open connections, and what is left of its credits for each class of requests.
#[derive(Debug)]
struct Guest {
    connections: usize,
    credits: [Credits; PRICES.len()],
}

/// What one request of a class costs, the pool that it is paid from, and what comes back a second.
struct Price {
    cost: u64,
    pool: u64,
    refill: u64,
}

/// A pool's level in µ-credits at a moment.
#[derive(Debug, Clone, Copy)]
struct Credits {
    level: u64,
    at: Duration,
}

impl Guests {
    pub(crate) fn new(limits: Limits) -> Guests {
        Guests { limits, by_address: HashMap::new() }
    }

    /// Whether one connection more is allowed.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        let connections = self.by_address.get(&address).map_or(0, |guest| guest.connections);
        connections < self.limits.connections_max
    }

    pub(crate) fn arrive(&mut self, address: IpAddr, now: Duration) {
        self.guest(address, now).connections += 1;
    }

    pub(crate) fn leave(&mut self, address: IpAddr) {
        let guest = self.by_address.get_mut(&address);
        let guest = guest.expect("who leaves has arrived");
        assert!(guest.connections > 0, "nobody leaves twice");
        guest.connections -= 1;
    }

    /// Pays for one request; false where the credits are out.
    pub(crate) fn pay(&mut self, address: IpAddr, method: &str, now: Duration) -> bool {
        if !self.limits.credits {
            return true;
        }
        let class = class_of(method);
        self.guest(address, now).credits[class].take(&PRICES[class], now)
    }

    fn guest(&mut self, address: IpAddr, now: Duration) -> &mut Guest {
        // Who left long enough ago starts afresh anyway.
        if !self.by_address.contains_key(&address) {
            self.by_address.retain(|_, guest| guest.connections > 0 || !guest.is_rested(now));
        }
        self.by_address.entry(address).or_insert_with(|| Guest {
            connections: 0,
            credits: PRICES.map(|price| Credits { level: price.pool * MICRO, at: now }),
        })
    }
}

impl Guest {
    fn is_rested(&self, now: Duration) -> bool {
        let mut pools = PRICES.iter().zip(self.credits);
        pools.all(|(price, credits)| credits.now(price, now) == price.pool * MICRO)
    }
}

impl Credits {
    fn now(self, price: &Price, now: Duration) -> u64 {
        let micros = now.saturating_sub(self.at).as_micros();
        let back = u64::try_from(micros).unwrap_or(u64::MAX).saturating_mul(price.refill);
        self.level.saturating_add(back).min(price.pool * MICRO)
    }

    fn take(&mut self, price: &Price, now: Duration) -> bool {
        let level = self.now(price, now);
        let left = level.checked_sub(price.cost * MICRO);
        *self = Credits { level: left.unwrap_or(level), at: self.at.max(now) };
        left.is_some()
    }
}

/// A place in the prices below.
fn class_of(method: &str) -> usize {
    match method {
        "public/subscribe" | "private/subscribe" => 0,
        "public/get_instruments" => 1,
        _ => 2,
    }
}

/// As published for accounts; those for an address alone are not published.
const PRICES: [Price; 3] = [
    Price { cost: 3_000, pool: 30_000, refill: 10_000 },
    Price { cost: 10_000, pool: 500_000, refill: 10_000 },
    Price { cost: 500, pool: 50_000, refill: 10_000 },
];

const MICRO: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests in a row are paid for, at once and each second later.
    fn check(method: &str, bursts: &[usize]) {
        let (mut guests, start) = (Guests::new(Limits::default()), Duration::ZERO);
        let address = IpAddr::from([127, 0, 0, 1]);
        for (second, burst) in (0..).zip(bursts) {
            let now = start + Duration::from_secs(second);
            let paid = (0..1000).take_while(|_| guests.pay(address, method, now)).count();
            assert_eq!(paid, *burst, "{method} in second {second}");
        }
    }

    #[test]
    fn credits_are_those_that_are_published() {
        check("public/subscribe", &[10, 3, 3, 4]);
        check("public/get_time", &[100, 20, 20]);
        check("public/get_instruments", &[50, 1, 1]);
    }

    #[test]
    fn addresses_do_not_share_and_connections_do() {
        let (mut guests, now) = (Guests::new(Limits::default()), Duration::ZERO);
        let [one, other] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
        for _ in 0..32 {
            assert!(guests.admits(one));
            guests.arrive(one, now);
        }
        assert!(!guests.admits(one) && guests.admits(other));
        while guests.pay(one, "public/subscribe", now) {}
        assert!(guests.pay(other, "public/subscribe", now));
        guests.leave(one);
        assert!(guests.admits(one) && !guests.pay(one, "public/subscribe", now));
        let later = now + Duration::from_secs(60);
        guests.arrive(IpAddr::from([127, 0, 0, 3]), later);
        assert_eq!(guests.by_address.len(), 2, "who is gone and rested is forgotten");
        let mut free = Guests::new(Limits::NONE);
        assert!((0..1000).all(|_| free.pay(one, "public/subscribe", now)));
    }
}
