//! What we may ask of an exchange, and how often: token buckets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The credits that one kind of request costs, and how they come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Credits a request costs; at least one.
    pub cost: u64,
    /// Credits when nothing has been asked for a while; at least `cost`.
    pub pool: u64,
    /// Credits that come back a second; at least one.
    pub refill: u64,
}

impl Rate {
    /// A part of the limit, for instance 1 of 4. At least one request stays possible.
    #[must_use]
    pub fn part(self, (part, of): (u64, u64)) -> Self {
        assert!(part <= of && part > 0, "{part} of {of} is a part");
        let pool = (self.pool * part / of).max(self.cost);
        Self { cost: self.cost, pool, refill: (self.refill * part / of).max(1) }
    }
}

/// Credits of one kind of request. Invariant: never below zero, never above the pool.
#[derive(Clone, Debug)]
pub struct Credits {
    rate: Rate,
    /// Millionths of a credit at `at`.
    level: u64,
    at: Duration,
}

impl Credits {
    /// A full pool.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        assert!(rate.cost > 0 && rate.refill > 0 && rate.pool >= rate.cost, "{rate:?}");
        Self { rate, level: rate.pool.saturating_mul(MILLIONTHS), at: Duration::ZERO }
    }

    /// What there is now when nothing was left so long ago, and nothing was asked since.
    #[must_use]
    pub fn after(rate: Rate, quiet: Duration, now: Duration) -> Self {
        let mut credits = Self { level: 0, ..Self::new(rate) };
        credits.fill(quiet);
        Self { at: now, ..credits }
    }

    fn fill(&mut self, now: Duration) {
        let pool = self.rate.pool.saturating_mul(MILLIONTHS);
        let elapsed = u64::try_from(now.saturating_sub(self.at).as_micros()).unwrap_or(u64::MAX);
        self.level = self.level.saturating_add(elapsed.saturating_mul(self.rate.refill)).min(pool);
        self.at = self.at.max(now);
    }

    /// Pays for one request, or says that it must wait until [`ready_at`](Self::ready_at).
    #[must_use]
    pub fn take(&mut self, now: Duration) -> bool {
        self.fill(now);
        match self.level.checked_sub(self.rate.cost.saturating_mul(MILLIONTHS)) {
            Some(level) => {
                self.level = level;
                true
            }
            None => false,
        }
    }

    /// When there are credits for one request; in the past if there are now.
    #[must_use]
    pub fn ready_at(&self) -> Duration {
        self.ready_for(1)
    }

    /// When there are credits for so many requests; in the past if there are now.
    #[must_use]
    pub fn ready_for(&self, requests: u64) -> Duration {
        let cost = self.rate.cost.saturating_mul(requests);
        assert!(cost <= self.rate.pool, "the pool holds {requests} requests");
        let missing = cost.saturating_mul(MILLIONTHS).saturating_sub(self.level);
        self.at.saturating_add(Duration::from_micros(missing.div_ceil(self.rate.refill)))
    }
}

/// Credits of which every connection of an address takes: the exchange counts by address and by
/// account, not by connection. Clones are the same credits.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<Credits>>);

impl Shared {
    /// These, for everybody who gets a clone.
    #[must_use]
    pub fn new(credits: Credits) -> Self {
        Self(Arc::new(Mutex::new(credits)))
    }

    /// Keeps the others away meanwhile: what is ready can be taken.
    pub fn lock(&self) -> MutexGuard<'_, Credits> {
        // Credits are whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Credits::take`].
    #[must_use]
    pub fn take(&self, now: Duration) -> bool {
        self.lock().take(now)
    }

    /// As [`Credits::ready_at`]; somebody else may be faster.
    #[must_use]
    pub fn ready_at(&self) -> Duration {
        self.lock().ready_at()
    }
}

const MILLIONTHS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests pass when one is tried each `every_ms` for 10 s.
    #[track_caller]
    fn check(rate: Rate, every_ms: u64, expected: usize) {
        let mut credits = Credits::new(rate);
        let times = (0..10_000).step_by(usize::try_from(every_ms).unwrap());
        let passed = times.filter(|ms| credits.take(Duration::from_millis(*ms))).count();
        assert_eq!(passed, expected);
    }

    const SUBSCRIBE: Rate = Rate { cost: 3_000, pool: 30_000, refill: 10_000 };

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        check(SUBSCRIBE, 1, 10 + 33);
        check(SUBSCRIBE, 1_000, 10);
        check(Rate { cost: 500, pool: 50_000, refill: 10_000 }, 1, 100 + 199);
    }

    #[test]
    fn what_was_asked_before_counts() {
        for (quiet_ms, expected) in [(0, 0), (299, 0), (300, 1), (1_500, 5), (60_000, 10)] {
            let (quiet, now) = (Duration::from_millis(quiet_ms), Duration::from_secs(9));
            let mut credits = Credits::after(SUBSCRIBE, quiet, now);
            let passed = (0..20).filter(|_| credits.take(now)).count();
            assert_eq!(passed, expected, "after {quiet_ms} ms");
        }
    }

    #[test]
    fn many_connections_get_what_one_would() {
        let shared = Shared::new(Credits::new(SUBSCRIBE));
        let connections = vec![shared; 15];
        let times = (0..10_000).map(Duration::from_millis);
        let passed = times.flat_map(|now| connections.iter().map(move |one| one.take(now)));
        assert_eq!(passed.filter(|passed| *passed).count(), 10 + 33);
    }

    #[test]
    fn ready_at_is_the_first_moment_that_passes() {
        let mut credits = Credits::new(Rate { cost: 3, pool: 3, refill: 7 });
        assert!(credits.take(Duration::from_secs(5)));
        let ready = credits.ready_at();
        assert!(!credits.clone().take(ready - Duration::from_micros(1)));
        assert!(credits.take(ready));
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut credits = Credits::new(Rate { cost: 1, pool: 1, refill: 1 });
        assert!(credits.take(Duration::from_secs(100)));
        assert!(!credits.take(Duration::from_secs(1)));
        assert!(!credits.take(Duration::from_millis(100_999)));
        assert!(credits.take(Duration::from_secs(101)));
    }
}
