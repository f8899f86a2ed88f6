//! What was recorded last of each instrument, so that a repeat is recognised.

use std::collections::HashMap;
use std::time::Duration;

use schema::instrument::Shape;
use schema::{Instrument, Micros, Now};
use serde::{Deserialize, Serialize};

use super::echoes::Voice;
use super::sequence::Sequence;

/// The recorded past, by instrument and index name.
#[derive(Debug, Default)]
pub(super) struct Identities {
    known: HashMap<Box<str>, Known, foldhash::fast::RandomState>,
    /// Names dropped to make room.
    pub(super) forgotten: u64,
}

/// What is known of one instrument or index.
#[derive(Debug)]
pub(super) struct Known {
    /// What the name says it is.
    pub(super) kind: Kind,
    /// Its recorded trades.
    pub(super) trades: Sequence,
    /// Whether it is among those whose missing trades are to be named.
    pub(super) waits: bool,
    /// Its book's last recorded message.
    pub(super) book: Book,
    /// The digest of its newest ticker, or index price.
    pub(super) ticker: Repeats,
    /// The digest of its newest message of the channel `perpetual`.
    pub(super) interest: Repeats,
    /// The digest of its newest grouped book.
    pub(super) depth: Repeats,
    /// Of its newest ticker: what a depth row repeats.
    pub(super) marks: Marks,
    heard: Duration,
}

/// The kinds of instrument, as messages are sorted by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Option,
    Perpetual,
    Future,
    Spot,
    /// Combos, and names of no known shape.
    Combo,
}

/// Numbers of the newest ticker. Whichever the instrument's tickers do not have are missing.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(super) struct Marks {
    /// Whether there was one.
    pub(super) seen: bool,
    pub(super) mark_price: Option<f64>,
    pub(super) underlying_price: Option<f64>,
    pub(super) index_price: Option<f64>,
    pub(super) funding_rate: Option<f64>,
    pub(super) open_interest: Option<f64>,
    pub(super) volume_24h: Option<f64>,
}

/// The digest of the newest message of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Repeats(pub(super) Option<u128>);

/// The last recorded message of a book, and whether the chain of its changes is whole.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(super) struct Book {
    pub(super) change_id: Option<i64>,
    at: Option<Micros>,
    links: Links,
    /// When the newest message of a whole chain came, by the earlier of both clocks.
    pub(super) good_until: Option<Micros>,
}

/// Whether what is recorded of a book gives the book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
enum Links {
    /// Nobody knows: nothing is recorded yet, or it was by a process before this one.
    #[default]
    Unsure,
    Whole,
    Broken,
}

/// What a book message is to its book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The change that follows.
    Next,
    /// A snapshot, with which a chain begins.
    Begin,
    /// A change that does not follow the message before: the chain breaks.
    Break,
    /// A change after a break.
    Loose,
    /// A snapshot with which the book's counter starts again.
    Restart,
    /// Recorded already.
    Repeat,
}

impl Identities {
    /// What is known of the name; when it is new, nothing.
    pub(super) fn of(&mut self, name: &str, now: Now, limit: usize) -> &mut Known {
        if !self.known.contains_key(name) {
            if self.known.len() >= limit {
                self.make_room();
            }
            self.known.insert(name.into(), Known::new(name));
        }
        match self.known.get_mut(name) {
            Some(known) => {
                known.heard = now.monotonic;
                known
            }
            None => unreachable!("inserted above"),
        }
    }

    /// What is known of the name, if anything is.
    pub(super) fn get(&self, name: &str) -> Option<&Known> {
        self.known.get(name)
    }

    /// What is known of the name, if anything is.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Known> {
        self.known.get_mut(name)
    }

    /// Everything known, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.known.iter().map(|(name, known)| (&**name, known))
    }

    /// Forgets the half that has been silent longest: mostly expired instruments.
    fn make_room(&mut self) {
        let mut heard: Vec<Duration> = self.known.values().map(|known| known.heard).collect();
        let middle = heard.len() / 2;
        let (_, middle, _) = heard.select_nth_unstable(middle);
        let (middle, before) = (*middle, self.known.len());
        self.known.retain(|_, known| known.heard > middle);
        self.forgotten += (before - self.known.len()) as u64;
    }
}

impl Known {
    /// The newest message of a kind that has no numbers.
    pub(super) fn repeats_mut(&mut self, voice: Voice) -> &mut Repeats {
        match voice {
            Voice::Ticker => &mut self.ticker,
            Voice::Interest => &mut self.interest,
            Voice::Depth => &mut self.depth,
        }
    }

    fn new(name: &str) -> Self {
        Self {
            kind: Kind::of(name),
            trades: Sequence::default(),
            waits: false,
            book: Book::default(),
            ticker: Repeats::default(),
            interest: Repeats::default(),
            depth: Repeats::default(),
            marks: Marks::default(),
            heard: Duration::ZERO,
        }
    }
}

impl Kind {
    pub(super) fn of(name: &str) -> Self {
        match Instrument::parse(name).shape {
            Shape::Option { .. } => Self::Option,
            Shape::Perpetual => Self::Perpetual,
            Shape::Future { .. } => Self::Future,
            Shape::Spot => Self::Spot,
            Shape::Other => Self::Combo,
        }
    }
}

impl Repeats {
    /// Whether the newest message before had this digest; it is the newest now.
    pub(super) fn take(&mut self, digest: u128) -> bool {
        self.0.replace(digest) == Some(digest)
    }
}

impl Book {
    /// What a process before this one recorded. Its chain may have been broken when it ended, so
    /// that the next snapshot is recorded whatever it says.
    pub(super) fn resume(&mut self, change_id: Option<i64>, received_at: Option<Micros>) {
        if self.links == Links::Unsure && change_id.is_some() {
            self.change_id = self.change_id.max(change_id);
            self.good_until = self.good_until.max(received_at);
        }
    }

    /// The same, with a chain that nobody can go on from: the next whole book begins one, whatever
    /// its number and time are.
    pub(super) fn broken(self) -> Self {
        Self { links: Links::Broken, at: None, ..self }
    }

    /// Whether what is recorded of it gives the book.
    pub(super) fn is_whole(self) -> bool {
        self.links == Links::Whole
    }

    /// Takes a message in and says what it is.
    ///
    /// PROTOCOL: change_id grows, with jumps. At or below the last one there is nothing new; but
    /// if a snapshot lies below it and more than a minute away from it, the counter has started
    /// again (or it is another recording), and dropping the book for ever would lose it. While the
    /// chain is not known to be whole, any snapshot is news: the one that mends a chain may well
    /// have the number of the change that broke it.
    pub(super) fn take(
        &mut self,
        change_id: i64,
        prev_change_id: Option<i64>,
        snapshot: bool,
        at: Micros,
        received_at: Micros,
    ) -> Step {
        let below = self.change_id.is_some_and(|last| change_id < last);
        let step = match (snapshot, self.change_id) {
            (true, _) if below && self.is_far_from(at) => Step::Restart,
            (true, Some(last)) if self.links == Links::Whole && change_id <= last => Step::Repeat,
            (true, _) => Step::Begin,
            (false, Some(last)) if change_id <= last => Step::Repeat,
            (false, _) if self.links == Links::Broken => Step::Loose,
            (false, last) if self.links == Links::Whole && prev_change_id == last => Step::Next,
            (false, _) => Step::Break,
        };
        self.links = match step {
            Step::Repeat => return step,
            Step::Next | Step::Begin | Step::Restart => {
                self.good_until = Some(at.min(received_at));
                Links::Whole
            }
            Step::Break | Step::Loose => Links::Broken,
        };
        (self.change_id, self.at) = (Some(change_id), Some(at));
        step
    }

    fn is_far_from(self, at: Micros) -> bool {
        self.at.is_some_and(|last| last.since(at).max(at.since(last)) > RESTART)
    }

    /// Whether its last message is of a much earlier time.
    pub(super) fn is_long_before(self, at: Micros) -> bool {
        self.at.is_some_and(|last| at.since(last) > RESTART)
    }
}

/// No connection lags behind another by this much.
const RESTART: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn now(seconds: u64) -> Now {
        Now { monotonic: Duration::from_secs(seconds), utc: Micros(0) }
    }

    #[test]
    fn a_book_that_restarts_is_not_a_repeat() {
        let mut book = Book::default();
        let minute = 60_000_000;
        for (message, expected) in [
            ((100, None, true, Micros(0)), Step::Begin),
            ((100, None, true, Micros(1)), Step::Repeat),
            ((105, Some(100), false, Micros(2)), Step::Next),
            ((105, Some(100), false, Micros(2)), Step::Repeat),
            ((103, Some(100), false, Micros(2)), Step::Repeat),
            ((101, None, true, Micros(minute)), Step::Repeat),
            ((109, Some(107), false, Micros(3)), Step::Break),
            ((111, Some(109), false, Micros(3)), Step::Loose),
            ((111, Some(109), false, Micros(3)), Step::Repeat),
            ((111, None, true, Micros(4)), Step::Begin),
            ((111, None, true, Micros(4)), Step::Repeat),
            ((112, Some(111), false, Micros(5)), Step::Next),
            ((115, Some(114), false, Micros(5)), Step::Break),
            ((113, None, true, Micros(5)), Step::Begin),
            ((120, None, true, Micros(5)), Step::Begin),
            ((7, Some(5), false, Micros(2 * minute)), Step::Repeat),
            ((7, None, true, Micros(2 * minute)), Step::Restart),
            ((8, Some(7), false, Micros(2 * minute)), Step::Next),
        ] {
            let (change_id, prev, snapshot, at) = message;
            let step = book.take(change_id, prev, snapshot, at, Micros(9 * minute));
            assert_eq!(step, expected, "{message:?}");
        }
        assert_eq!(book.good_until, Some(Micros(2 * minute)));
    }

    /// Its first message must be the whole book, whatever was recorded before this process.
    #[test]
    fn a_book_begins_with_a_snapshot() {
        let mut book = Book::default();
        assert_eq!(book.take(5, Some(4), false, Micros(1), Micros(1)), Step::Break);
        let mut resumed = Book::default();
        resumed.resume(Some(5), Some(Micros(1)));
        assert_eq!(resumed.take(5, Some(4), false, Micros(2), Micros(2)), Step::Repeat);
        assert_eq!(resumed.take(5, None, true, Micros(2), Micros(2)), Step::Begin);
        assert_eq!(resumed.take(6, Some(5), false, Micros(2), Micros(2)), Step::Next);
        let mut unmended = Book::default();
        unmended.resume(Some(5), Some(Micros(1)));
        assert_eq!(unmended.take(6, Some(5), false, Micros(2), Micros(2)), Step::Break);
        assert_eq!(unmended.good_until, Some(Micros(1)));
    }

    #[test]
    fn the_longest_silent_are_forgotten() {
        let mut identities = Identities::default();
        for second in 0..4 {
            identities.of(&format!("BTC-1JAN27-{second}-C"), now(second), 4);
        }
        identities.of("BTC-1JAN27-0-C", now(9), 4).book.change_id = Some(5);
        identities.of("BTC-PERPETUAL", now(10), 4);
        assert_eq!(identities.forgotten, 3);
        assert_eq!(identities.of("BTC-1JAN27-0-C", now(11), 4).book.change_id, Some(5));
        assert_eq!(identities.iter().count(), 2);
    }
}
