//! The exchange's clock: the one place that reads the time; everything else is told it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A cheap source of exchange time; clones share it.
#[derive(Clone)]
pub struct Clock {
    kind: Kind,
    origin: Instant,
}

#[derive(Clone)]
enum Kind {
    System,
    Scaled { start_us: i64, speed: f64 },
    Function(Arc<dyn Fn() -> i64 + Send + Sync>),
}

/// The two times of one moment: deadlines use `monotonic`, everything sent uses `utc_us`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since any fixed moment, the same for all of an exchange's life.
    pub monotonic: Duration,
    /// µs since 1970, UTC.
    pub utc_us: i64,
}

impl Clock {
    /// The machine's own UTC.
    #[must_use]
    pub fn system() -> Clock {
        Clock::of(Kind::System)
    }

    /// A clock that shows `start_us` (µs since 1970, UTC) now and then runs `speed` times as fast.
    #[must_use]
    pub fn scaled(start_us: i64, speed: f64) -> Clock {
        Clock::of(Kind::Scaled { start_us, speed })
    }

    /// A clock that asks a function for the µs since 1970, UTC.
    #[must_use]
    pub fn from_fn(function: Arc<dyn Fn() -> i64 + Send + Sync>) -> Clock {
        Clock::of(Kind::Function(function))
    }

    fn of(kind: Kind) -> Clock {
        Clock { kind, origin: instant() }
    }

    /// µs since 1970, UTC.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        match &self.kind {
            Kind::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |passed| passed.as_micros() as i64),
            Kind::Scaled { start_us, speed } => {
                start_us + (self.origin.elapsed().as_secs_f64() * speed * 1e6) as i64
            }
            Kind::Function(function) => function(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let monotonic = instant().saturating_duration_since(self.origin);
        Now { monotonic, utc_us: self.now_us() }
    }

    /// The instant of a deadline.
    pub(crate) fn at(&self, monotonic: Duration) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.origin + monotonic)
    }
}

/// A test can hold the runtime's time still.
fn instant() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::System => "system".to_owned(),
            Kind::Scaled { start_us, speed } => format!("from {start_us} at {speed}"),
            Kind::Function(_) => "function".to_owned(),
        };
        write!(f, "Clock({kind})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_the_time_and_a_scaled_clock_starts_where_told() {
        assert_eq!(Clock::from_fn(Arc::new(|| 42)).now_us(), 42);
        let scaled = Clock::scaled(1_000_000, 0.0);
        assert_eq!(scaled.now_us(), 1_000_000);
    }
}
