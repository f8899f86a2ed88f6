//! The exchange's clock: every timestamp it sends is read here.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A cheap source of exchange time; clones share it.
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    System,
    Scaled { start_us: i64, speed: f64, since: Instant },
    Function(Arc<dyn Fn() -> i64 + Send + Sync>),
}

/// The two times of one moment: deadlines use `monotonic`, everything sent uses `utc_us`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) monotonic: Instant,
    pub(crate) utc_us: i64,
}

impl Clock {
    /// The machine's own UTC.
    #[must_use]
    pub fn system() -> Clock {
        Clock(Kind::System)
    }

    /// A clock that shows `start_us` (µs since 1970, UTC) now and then runs `speed` times as fast.
    #[must_use]
    pub fn scaled(start_us: i64, speed: f64) -> Clock {
        Clock(Kind::Scaled { start_us, speed, since: Instant::now() })
    }

    /// A clock that asks a function for the µs since 1970, UTC.
    #[must_use]
    pub fn from_fn(function: Arc<dyn Fn() -> i64 + Send + Sync>) -> Clock {
        Clock(Kind::Function(function))
    }

    /// µs since 1970, UTC.
    #[must_use]
    pub fn now_us(&self) -> i64 {
        match &self.0 {
            Kind::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |passed| passed.as_micros() as i64),
            Kind::Scaled { start_us, speed, since } => {
                start_us + (since.elapsed().as_secs_f64() * speed * 1e6) as i64
            }
            Kind::Function(function) => function(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now { monotonic: tokio::time::Instant::now().into_std(), utc_us: self.now_us() }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::System => "system".to_owned(),
            Kind::Scaled { start_us, speed, .. } => format!("from {start_us} at {speed}"),
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
