//! How fast the exchange is asked: all connections together take turns.

use std::sync::Mutex;
use std::time::Duration;

use schema::Now;

use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::stop::Stop;

/// The time of a run, and the turns in which its connections ask.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Clock,
    stop: Stop,
    /// When the run ends, since its start.
    end: Duration,
    interval: Duration,
    next: Mutex<Duration>,
}

impl Pace {
    /// A run of this length that starts now.
    #[must_use]
    pub(super) fn new(endpoint: &Endpoint, length: Duration, stop: Stop) -> Self {
        // A simulated exchange on this machine has no limits to stay below.
        let here = ["127.0.0.1", "::1", "localhost"].contains(&endpoint.host.as_str());
        let interval = if here { INTERVAL_HERE } else { INTERVAL };
        Self { clock: Clock::system(), stop, end: length, interval, next: Mutex::default() }
    }

    /// The time; its monotonic reading is the time since the start.
    #[must_use]
    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    /// When the run ends, since its start.
    #[must_use]
    pub(super) fn end(&self) -> Duration {
        self.end
    }

    /// Whether it is time to end.
    #[must_use]
    pub(super) fn over(&self) -> bool {
        self.stopped() || self.now().monotonic >= self.end
    }

    /// Whether somebody wishes to end before that.
    #[must_use]
    pub(super) fn stopped(&self) -> bool {
        self.stop.raised()
    }

    /// The next free turn, now taken; none if it lies behind the end.
    #[must_use]
    pub(super) fn turn(&self) -> Option<Duration> {
        let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let turn = (*next).max(self.now().monotonic);
        if turn >= self.end || self.stop.raised() {
            return None;
        }
        *next = turn + self.interval;
        Some(turn)
    }
}

/// A twentieth of what the exchange documents for accounts; nothing is documented for guests.
const INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL_HERE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_keep_their_distance_and_end() {
        let endpoint = Endpoint::parse("wss://exchange.example/ws").unwrap();
        let pace = Pace::new(&endpoint, Duration::from_millis(1_500), Stop::default());
        let (first, second) = (pace.turn().unwrap(), pace.turn().unwrap());
        assert!(second >= first + INTERVAL, "{first:?} {second:?}");
        assert_eq!(pace.turn(), None);
        let stop = Stop::default();
        stop.raise();
        assert_eq!(Pace::new(&endpoint, INTERVAL, stop).turn(), None);
    }
}
