//! When to ask the exchange what it lists.
//!
//! Pushes come first; lists are the net below them. A list is asked for at the start, at an
//! interval, some times right after 08:00 UTC, when the day's options expire and new ones are
//! listed (PROTOCOL 10: 4 to 60 s later), and after a doubt: a reconnect, a lock that ended.

use std::time::Duration;

use schema::{Micros, Now};

/// When the list of each currency is due.
///
/// Invariant: one question a currency is under way at most, and after each answer or failure there
/// is a next time.
#[derive(Clone, Debug)]
pub struct Manager {
    interval: Duration,
    currencies: Vec<Currency>,
}

#[derive(Clone, Debug)]
struct Currency {
    name: String,
    /// On the monotonic clock.
    due: Duration,
    asking: bool,
    /// Asked for while a question was under way: its answer may be too old.
    doubted: bool,
    failures: u32,
    /// Why the last question had no answer, if it had none.
    failed: Option<Failed>,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The exchange could not be asked, or its answer is not understood.
    Unanswered,
    /// We ask too often (10028, HTTP 429).
    Throttled,
}

impl Manager {
    /// Every currency is due at once, and then at least each `interval`.
    ///
    /// # Panics
    /// When the interval is zero.
    #[must_use]
    pub fn new(currencies: &[String], interval: Duration) -> Self {
        assert!(!interval.is_zero(), "a list is asked for at an interval");
        let currency = |name: &String| Currency {
            name: name.clone(),
            due: Duration::ZERO,
            asking: false,
            doubted: false,
            failures: 0,
            failed: None,
        };
        Self { interval, currencies: currencies.iter().map(currency).collect() }
    }

    /// When [`ask`](Self::ask) next has a question; `None` while all are under way.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.currencies.iter().filter(|it| !it.asking).map(|it| it.due).min()
    }

    /// The currency to ask about now. An answer or a failure must follow.
    pub fn ask(&mut self, now: Now) -> Option<String> {
        let due = |it: &&mut Currency| !it.asking && it.due <= now.monotonic;
        let next = self.currencies.iter_mut().filter(due).min_by_key(|it| it.due)?;
        (next.asking, next.doubted) = (true, false);
        Some(next.name.clone())
    }

    /// The list was answered.
    pub fn answered(&mut self, currency: &str, now: Now) {
        let pause = self.interval.min(until_eight(now.utc));
        self.end(currency, |it| {
            (it.failures, it.failed) = (0, None);
            it.due = now.monotonic + if it.doubted { Duration::ZERO } else { pause };
        });
    }

    /// The list could not be had: it is asked for again after a pause that grows.
    pub fn failed(&mut self, currency: &str, failed: Failed, now: Now) {
        let least = match failed {
            Failed::Unanswered => UNANSWERED_MIN,
            Failed::Throttled => THROTTLED_MIN,
        };
        let most = self.interval.max(least);
        self.end(currency, |it| {
            let pause = least.saturating_mul(1 << it.failures.min(DOUBLINGS_MAX));
            it.failures = it.failures.saturating_add(1);
            it.failed = Some(failed);
            it.due = now.monotonic + pause.min(most);
        });
    }

    /// What is known may be out of date: every list is due, unless the exchange is failing us.
    pub fn doubt(&mut self, now: Now) {
        for it in &mut self.currencies {
            if it.failures == 0 {
                it.due = it.due.min(now.monotonic);
            }
            it.doubted = true;
        }
    }

    /// The exchange has come back after it could not be heard: what it said meanwhile is in its
    /// lists, and a pause for want of an answer is over.
    pub fn returned(&mut self, now: Now) {
        for it in &mut self.currencies {
            let soon = match it.failed {
                Some(Failed::Throttled) => continue,
                Some(Failed::Unanswered) => now.monotonic + UNANSWERED_MIN,
                None => now.monotonic,
            };
            it.due = it.due.min(soon);
            (it.failures, it.doubted) = (0, true);
        }
    }

    fn end(&mut self, currency: &str, end: impl FnOnce(&mut Currency)) {
        let asked = self.currencies.iter_mut().find(|it| it.asking && it.name == currency);
        let asked = asked.expect("an answer follows a question");
        asked.asking = false;
        end(asked);
    }
}

/// How long until the next of the moments after eight o'clock at which listings are expected.
fn until_eight(utc: Micros) -> Duration {
    let of_day = utc.since(utc.date().start());
    let moments = AFTER_EIGHT.map(|offset| EIGHT + offset);
    let today = moments.into_iter().find(|moment| *moment > of_day);
    today.unwrap_or(moments[0] + DAY).saturating_sub(of_day)
}

const EIGHT: Duration = Duration::from_hours(8);
const DAY: Duration = Duration::from_hours(24);
const AFTER_EIGHT: [Duration; 6] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(35),
    Duration::from_secs(65),
    Duration::from_secs(120),
];
const UNANSWERED_MIN: Duration = Duration::from_secs(5);
const THROTTLED_MIN: Duration = Duration::from_secs(30);
const DOUBLINGS_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock at `second` of a day's eighth hour.
    fn now(second: i64) -> Now {
        let eight = Micros(20_000 * 86_400_000_000).plus(EIGHT);
        let utc = Micros(eight.0 + second * 1_000_000);
        Now { monotonic: Duration::from_secs((100_000 + second).unsigned_abs()), utc }
    }

    fn due_in(manager: &Manager, now: Now) -> u64 {
        manager.deadline().expect("nothing is under way").saturating_sub(now.monotonic).as_secs()
    }

    fn manager() -> Manager {
        Manager::new(&["BTC".to_owned()], Duration::from_secs(300))
    }

    #[test]
    fn lists_are_asked_for_at_an_interval_and_after_eight() {
        let mut manager = manager();
        for (second, next) in
            [(-1000, 300), (-200, 202), (2, 8), (10, 10), (34, 1), (70, 50), (120, 300), (500, 300)]
        {
            let now = now(second);
            manager.doubt(now);
            assert_eq!(manager.ask(now).as_deref(), Some("BTC"));
            assert_eq!((manager.ask(now), manager.deadline()), (None, None), "one at a time");
            manager.answered("BTC", now);
            assert_eq!(due_in(&manager, now), next, "{second} s after eight");
        }
    }

    #[test]
    fn a_failing_exchange_is_asked_less_and_less() {
        let mut manager = manager();
        let mut pauses = Vec::new();
        for failed in [Failed::Unanswered, Failed::Unanswered, Failed::Throttled, Failed::Throttled]
        {
            let now = now(10_000);
            manager.doubt(now);
            let due = Now { monotonic: manager.deadline().unwrap().max(now.monotonic), ..now };
            assert!(manager.ask(due).is_some());
            manager.failed("BTC", failed, now);
            pauses.push(due_in(&manager, now));
        }
        assert_eq!(pauses, [5, 10, 120, 240], "a doubt does not shorten a pause");
    }

    #[test]
    fn an_exchange_that_is_back_is_asked_soon() {
        let (mut manager, now) = (manager(), now(10_000));
        for (failed, next) in [(Failed::Unanswered, 5), (Failed::Throttled, 120)] {
            for _ in 0..3 {
                let due = manager.deadline().unwrap().max(now.monotonic);
                assert!(manager.ask(Now { monotonic: due, ..now }).is_some());
                manager.failed("BTC", failed, now);
            }
            manager.returned(now);
            assert_eq!(due_in(&manager, now), next, "{failed:?}");
        }
        let due = Now { monotonic: manager.deadline().unwrap(), ..now };
        assert!(manager.ask(due).is_some());
        manager.answered("BTC", due);
        manager.returned(due);
        assert_eq!(due_in(&manager, due), 0);
    }

    #[test]
    fn a_doubt_while_a_question_is_under_way_asks_again() {
        let mut manager = manager();
        let now = now(10_000);
        assert!(manager.ask(now).is_some());
        manager.doubt(now);
        manager.answered("BTC", now);
        assert_eq!(due_in(&manager, now), 0);
    }
}
