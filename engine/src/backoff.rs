//! How long to wait before the next connection.

use std::time::Duration;

use crate::session::Policy;

/// Pauses between connections: full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS
/// Architecture Blog, 2015), never shorter than a minimum.
///
/// Only data resets it. A server that accepts connections and drops them, however politely, is
/// asked less and less often.
#[derive(Debug)]
pub struct Backoff {
    failures: u32,
    random: Random,
}

impl Backoff {
    /// No failure yet. Shards need different seeds, or they return in step.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { failures: 0, random: Random::new(seed) }
    }

    /// The pause after a connection that ended, or was never made. `flowed` is for how long it
    /// brought data ([`Session::flowed`](crate::session::Session::flowed)); zero if it was never
    /// made. HTTP 429 in the handshake is [`Policy::RetryLater`].
    pub fn pause(&mut self, flowed: Duration, policy: Policy) -> Duration {
        if flowed >= FLOWED_MIN {
            self.failures = 0;
        }
        let throttled = match policy {
            Policy::Retry => false,
            // A configuration that the exchange refuses may be mended there: keep asking, rarely.
            Policy::RetryLater | Policy::Stop => true,
        };
        if throttled {
            self.failures = self.failures.max(FAILURES_MIN_THROTTLED);
        }
        let most = BASE.saturating_mul(1 << self.failures.min(FAILURES_MAX)).min(CAP);
        self.failures = (self.failures + 1).min(FAILURES_MAX);
        let least = if throttled { most / 2 } else { PAUSE_MIN };
        self.random.up_to(most).max(least)
    }

    /// Connections in a row that brought no steady data.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// A small seeded generator: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Equal seeds give equal numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A duration from zero to `most`, in whole microseconds.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.bits() % most.saturating_add(1).max(1))
    }
}

const BASE: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(60);
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Data must have flowed for this long before failures are forgotten: a snapshot is not enough.
const FLOWED_MIN: Duration = Duration::from_secs(30);
/// 0.5 s · 2⁷ is beyond the cap.
const FAILURES_MAX: u32 = 7;
/// 0.5 s · 2⁵ = 16 s: where a throttled connection starts.
const FAILURES_MIN_THROTTLED: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest and the shortest pause over many seeds after `before` failures.
    fn pauses(before: u32, flowed: u64, policy: Policy) -> (Duration, Duration) {
        let of = |seed| {
            let mut backoff = Backoff::new(seed);
            for _ in 0..before {
                backoff.pause(Duration::ZERO, Policy::Retry);
            }
            backoff.pause(Duration::from_secs(flowed), policy)
        };
        let all: Vec<Duration> = (0..2_000).map(of).collect();
        (*all.iter().min().unwrap(), *all.iter().max().unwrap())
    }

    #[track_caller]
    fn check(before: u32, flowed: u64, policy: Policy, least_ms: u64, most_ms: u64) {
        let (least, most) = pauses(before, flowed, policy);
        assert!(least >= Duration::from_millis(least_ms), "{least:?}");
        assert!(most <= Duration::from_millis(most_ms), "{most:?}");
        assert!(most > Duration::from_millis(most_ms) * 9 / 10, "{most:?} is too short");
    }

    #[test]
    fn pauses_grow_to_the_cap() {
        check(0, 0, Policy::Retry, 100, 500);
        check(1, 0, Policy::Retry, 100, 1_000);
        check(4, 0, Policy::Retry, 100, 8_000);
        check(100, 0, Policy::Retry, 100, 60_000);
    }

    #[test]
    fn only_steady_data_resets() {
        check(6, 0, Policy::Retry, 100, 32_000);
        check(6, 29, Policy::Retry, 100, 32_000);
        check(6, 30, Policy::Retry, 100, 500);
    }

    #[test]
    fn who_asked_too_often_waits_long() {
        check(0, 0, Policy::RetryLater, 8_000, 16_000);
        check(0, 3_600, Policy::RetryLater, 8_000, 16_000);
        check(100, 0, Policy::RetryLater, 30_000, 60_000);
    }

    #[test]
    fn seconds_of_clean_closes_make_few_connections() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(seed);
            let mut elapsed = Duration::ZERO;
            let mut connections = 0;
            while elapsed < Duration::from_secs(5) {
                elapsed += backoff.pause(Duration::ZERO, Policy::Retry);
                connections += 1;
            }
            assert!(connections <= 20, "seed {seed}: {connections} connections");
        }
    }
}
