//! The exchange's application heartbeat: when it asks, and when it hangs up.
//!
//! Measured at an interval of 10 s: the first `test_request` after 12.0 to 12.6 s, then one each
//! 10.6 to 10.7 s, on an idle socket beside a `heartbeat`; unanswered, the socket is closed 10.0 s
//! after the request with 4000 "heartbeat close".

use std::time::Duration;

/// How long a `test_request` may stay unanswered.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_AFTER: Duration = Duration::from_millis(2300);
const LATER_AFTER: Duration = Duration::from_millis(650);

/// The heartbeat of one connection.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    interval: Duration,
    next: Duration,
    asked: Option<Duration>,
}

/// What a heartbeat wants at a moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    Nothing,
    /// Send a `test_request`.
    Ask,
    /// Close with 4000.
    Close,
}

impl Heartbeat {
    pub(crate) fn new(interval: Duration, now: Duration) -> Heartbeat {
        Heartbeat { interval, next: now + interval + FIRST_AFTER, asked: None }
    }

    /// The client sent `public/test`.
    pub(crate) fn answered(&mut self) {
        self.asked = None;
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.asked.map_or(self.next, |asked| self.next.min(asked + PATIENCE))
    }

    pub(crate) fn tick(&mut self, now: Duration) -> Beat {
        if self.asked.is_some_and(|asked| now >= asked + PATIENCE) {
            return Beat::Close;
        }
        if now < self.next {
            return Beat::Nothing;
        }
        self.asked.get_or_insert(now);
        self.next = now + self.interval + LATER_AFTER;
        Beat::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_waits_and_closes() {
        let start = Duration::ZERO;
        let at = |ms| start + Duration::from_millis(ms);
        let mut heartbeat = Heartbeat::new(Duration::from_secs(10), start);
        assert_eq!(heartbeat.tick(at(12_299)), Beat::Nothing);
        assert_eq!(heartbeat.deadline(), at(12_300));
        assert_eq!(heartbeat.tick(at(12_300)), Beat::Ask);
        heartbeat.answered();
        assert_eq!(heartbeat.tick(at(22_949)), Beat::Nothing);
        assert_eq!(heartbeat.tick(at(22_950)), Beat::Ask);
        assert_eq!(heartbeat.deadline(), at(32_950));
        assert_eq!(heartbeat.tick(at(32_949)), Beat::Nothing);
        assert_eq!(heartbeat.tick(at(32_950)), Beat::Close);
    }
}
