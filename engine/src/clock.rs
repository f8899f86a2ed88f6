//! The only reader of time. Everything else is told the time as a [`Now`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use schema::{Micros, Now};

/// A source of time. Cheap to clone; every clone reads the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: Instant,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// The machine's clocks.
    System,
    /// A wall clock that starts at a chosen instant and runs at a chosen speed.
    Scaled { start: Micros, speed: f64 },
    /// A clock that only moves when it is told to.
    Virtual { start: Arc<AtomicI64>, elapsed_us: Arc<AtomicI64> },
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self { origin: Instant::now(), source: Source::System }
    }

    /// A clock that starts at `start` and runs `speed` times as fast as the machine's. Deadlines
    /// run at that speed too.
    #[must_use]
    pub fn scaled(start: Micros, speed: f64) -> Self {
        Self { origin: Instant::now(), source: Source::Scaled { start, speed } }
    }

    /// A clock for simulations: it stands at `start` until [`advance`](Self::advance) is called.
    #[must_use]
    pub fn simulated(start: Micros) -> Self {
        let start = Arc::new(AtomicI64::new(start.0));
        let source = Source::Virtual { start, elapsed_us: Arc::default() };
        Self { origin: Instant::now(), source }
    }

    /// Moves a simulated clock; the others move by themselves.
    pub fn advance(&self, by: Duration) {
        if let Source::Virtual { elapsed_us, .. } = &self.source {
            elapsed_us.fetch_add(micros(by), Ordering::Relaxed);
        }
    }

    /// Sets the wall clock of a simulated clock forwards or back, as an administrator would; the
    /// monotonic clock goes on. The others are the machine's.
    pub fn set_wall(&self, by_us: i64) {
        if let Source::Virtual { start, .. } = &self.source {
            start.fetch_add(by_us, Ordering::Relaxed);
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Now {
        match &self.source {
            Source::System => {
                let utc = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Now { monotonic: self.origin.elapsed(), utc: Micros(micros(utc)) }
            }
            Source::Scaled { start, speed } => {
                let monotonic = self.origin.elapsed().mul_f64(*speed);
                Now { monotonic, utc: start.plus(monotonic) }
            }
            Source::Virtual { start, elapsed_us } => {
                let elapsed = elapsed_us.load(Ordering::Relaxed).unsigned_abs();
                let monotonic = Duration::from_micros(elapsed);
                let start = Micros(start.load(Ordering::Relaxed));
                Now { monotonic, utc: start.plus(monotonic) }
            }
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_clock_moves_only_when_told() {
        let clock = Clock::simulated(Micros(5));
        let other = clock.clone();
        assert_eq!(clock.now(), Now { monotonic: Duration::ZERO, utc: Micros(5) });
        other.advance(Duration::from_secs(1));
        let expected = Now { monotonic: Duration::from_secs(1), utc: Micros(1_000_005) };
        assert_eq!(clock.now(), expected);
        other.set_wall(-7);
        assert_eq!(clock.now(), Now { utc: Micros(999_998), ..expected });
    }

    #[test]
    fn a_scaled_clock_starts_where_it_is_told() {
        let now = Clock::scaled(Micros(1_000), 1_000.0).now();
        assert!(now.utc >= Micros(1_000));
        assert_eq!(now.utc, Micros(1_000).plus(now.monotonic));
    }
}
