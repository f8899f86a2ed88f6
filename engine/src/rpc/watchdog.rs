//! Is the connection alive, and does it bring data?

use std::time::Duration;

use schema::{Micros, Now};

use crate::session::SessionError;

/// Watches one connection.
///
/// Anything that arrives is a sign of life. A quiet connection is probed, and lives if the probe
/// is answered: a still market sends nothing for a minute (PROTOCOL 6). Tickers never rest, so
/// that an open connection without any, while some are acknowledged, is a dead one that answers.
#[derive(Debug)]
pub(super) struct Watchdog {
    idle_max: Duration,
    data_max: Duration,
    last_frame: Now,
    /// The newest silence: the last message before it, and until when what it held up may come.
    silence: Option<(Now, Duration)>,
    probed: Option<Duration>,
    /// From when tickers are due: they are acknowledged, or one has arrived.
    tickers_since: Option<Now>,
    /// Until when data was seen to flow on this connection.
    flowing_until: Micros,
    first_data: Option<Duration>,
    last_data: Option<Now>,
}

impl Watchdog {
    /// Probes after `idle_max` without a message; gives up after `data_max` without a ticker.
    pub(super) fn new(idle_max: Duration, data_max: Duration) -> Self {
        Self {
            idle_max,
            data_max,
            last_frame: Now::default(),
            silence: None,
            probed: None,
            tickers_since: None,
            flowing_until: Micros::default(),
            first_data: None,
            last_data: None,
        }
    }

    /// A new connection.
    pub(super) fn connected(&mut self, now: Now) {
        self.frame(now);
        self.silence = None;
        self.tickers_since = None;
        self.flowing_until = now.utc;
        self.first_data = None;
    }

    /// A message has arrived.
    pub(super) fn frame(&mut self, now: Now) {
        let silent = now.monotonic.saturating_sub(self.last_frame.monotonic);
        if silent >= STALL_MIN {
            let caught_up = now.monotonic.saturating_add(silent.min(CAUGHT_UP_MAX));
            self.silence = Some((self.last_frame, caught_up));
        }
        self.last_frame = now;
        self.probed = None;
    }

    /// The message carried data.
    pub(super) fn data(&mut self, ticker: bool, now: Now) {
        self.first_data.get_or_insert(now.monotonic);
        self.last_data = Some(now);
        if let Some(since) = &mut self.tickers_since {
            if !ticker {
                return;
            }
            *since = now;
        }
        self.flowing_until = now.utc;
    }

    /// Whether channels are acknowledged that never rest.
    pub(super) fn expect_tickers(&mut self, expected: bool, now: Now) {
        self.tickers_since = expected.then(|| self.tickers_since.unwrap_or(now));
    }

    /// Lets time pass; whether a probe is to be sent.
    pub(super) fn check(&mut self, now: Now) -> Result<bool, SessionError> {
        // Counted from the probe and not from the last message: after a pause of our own, what
        // has arrived meanwhile must have a chance to be read.
        if let Some(probed) = self.probed {
            if now.monotonic >= probed.saturating_add(ANSWER_MAX) {
                return Err(SessionError::Silent { since: self.last_frame.utc });
            }
        } else if now.monotonic >= self.last_frame.monotonic.saturating_add(self.idle_max) {
            self.probed = Some(now.monotonic);
            return Ok(true);
        }
        match self.tickers_since {
            Some(since) if now.monotonic >= since.monotonic.saturating_add(self.data_max) => {
                Err(SessionError::SilentData { since: since.utc })
            }
            Some(_) | None => Ok(false),
        }
    }

    /// When [`check`](Self::check) has something to say if nothing arrives.
    pub(super) fn deadline(&self) -> Duration {
        let alive = match self.probed {
            Some(probed) => probed.saturating_add(ANSWER_MAX),
            None => self.last_frame.monotonic.saturating_add(self.idle_max),
        };
        match self.tickers_since {
            Some(since) => alive.min(since.monotonic.saturating_add(self.data_max)),
            None => alive,
        }
    }

    /// The last message that was certainly not late. Behind a silence everything may be as old as
    /// the silence is long, if the network or we ourselves had stalled.
    pub(super) fn heard_until(&self) -> Now {
        match self.silence {
            Some((before, caught_up)) if self.last_frame.monotonic < caught_up => before,
            Some(_) | None => self.last_frame,
        }
    }

    /// Until when data was certainly received: the last ticker where tickers are due, because a
    /// server may answer and send nothing; else the last message.
    pub(super) fn received_until(&self) -> Micros {
        let last = self.heard_until().utc;
        if self.tickers_since.is_some() { self.flowing_until.min(last) } else { last }
    }

    /// When the newest data arrived.
    pub(super) fn last_data(&self) -> Option<Now> {
        self.last_data
    }

    /// From the first to the newest data of this connection.
    pub(super) fn flowed(&self) -> Duration {
        match (self.first_data, self.last_data) {
            (Some(first), Some(last)) => last.monotonic.saturating_sub(first),
            (Some(_), None) | (None, _) => Duration::ZERO,
        }
    }
}

const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A silence this long may have been a stall.
const STALL_MIN: Duration = Duration::from_secs(1);
/// After a stall, what was held up has arrived within as long again, and within this.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        let utc = Micros(i64::try_from(seconds).unwrap() * 1_000_000);
        Now { monotonic: Duration::from_secs(seconds), utc }
    }

    /// Ticks each second to 1,000; `frame` and `ticker` say in which seconds such arrive. When it
    /// probed, and how it ended.
    #[track_caller]
    fn check(frame: fn(u64) -> bool, ticker: fn(u64) -> bool, expected: (usize, Option<u64>)) {
        let mut watchdog = Watchdog::new(Duration::from_secs(15), Duration::from_secs(300));
        watchdog.connected(at(0));
        watchdog.expect_tickers(true, at(0));
        let mut probes = 0;
        let mut end = None;
        for second in 1..1_000 {
            if frame(second) || ticker(second) {
                watchdog.frame(at(second));
            }
            if ticker(second) {
                watchdog.data(true, at(second));
            }
            match watchdog.check(at(second)) {
                Ok(probe) => probes += usize::from(probe),
                Err(error) => {
                    assert!(second >= watchdog.deadline().as_secs(), "not before its time");
                    end = Some((second, error));
                    break;
                }
            }
        }
        assert_eq!((probes, end.map(|(second, _)| second)), expected);
    }

    #[test]
    fn quiet_is_not_dead() {
        check(|_| false, |second| second % 14 == 0, (0, None));
        check(|second| second % 20 == 0, |second| second % 200 == 0, (50, None));
    }

    #[test]
    fn silence_ends_a_connection() {
        check(|_| false, |_| false, (1, Some(25)));
        check(|second| second < 100, |_| false, (1, Some(124)));
    }

    #[test]
    fn a_server_that_answers_but_sends_nothing_is_dead_too() {
        check(|second| second % 10 == 0, |_| false, (0, Some(300)));
        check(|second| second % 10 == 0, |second| second < 100, (0, Some(399)));
    }

    /// What arrives behind a stall is late: a gap that begins now begins before the stall.
    #[test]
    fn what_comes_after_a_silence_may_be_as_old() {
        let mut watchdog = Watchdog::new(Duration::from_secs(15), Duration::MAX);
        watchdog.connected(at(0));
        for (second, until) in [(0, 0), (21, 0), (21, 0), (22, 21), (25, 22), (60, 25)] {
            watchdog.frame(at(second));
            let expected = Micros(until * 1_000_000);
            assert_eq!(watchdog.received_until(), expected, "at {second} s");
        }
        let steady = |ms| Now { monotonic: Duration::from_millis(ms), ..at(ms / 1_000) };
        (60_000..=70_000).step_by(500).for_each(|ms| watchdog.frame(steady(ms)));
        assert_eq!(watchdog.received_until(), at(70).utc, "it has caught up");
    }

    #[test]
    fn our_own_pause_does_not_condemn() {
        let mut watchdog = Watchdog::new(Duration::from_secs(15), Duration::MAX);
        watchdog.connected(at(0));
        assert_eq!(watchdog.check(at(3_600)), Ok(true));
        assert_eq!(watchdog.check(at(3_609)), Ok(false));
        let since = Micros(0);
        assert_eq!(watchdog.check(at(3_610)), Err(SessionError::Silent { since }));
    }
}
