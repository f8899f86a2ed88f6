//! Missing trades, asked for again: which ones, when, and what the answers mean.
//!
//! PROTOCOL 8: `get_last_trades_by_instrument` gives trades back by their trade_seq, for about a
//! day; bounds are inclusive, `has_more` is exact, and what is kept no longer is left out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use schema::instrument::{self, Instrument, Shape};
use schema::tables::Rows;
use schema::{Micros, Now};
use serde::{Deserialize, Serialize};

use super::decoder::Decoder;
use super::holes::{ASKED, write};
use super::identities::Kind;
use super::roster::Roster;
use super::sequence::Sequence;
use super::trades::elements;
use crate::session::{Question, Wanted};

/// Instruments whose trades are to be asked for, each once.
#[derive(Debug, Default)]
pub(super) struct Mending {
    errands: HashMap<Box<str>, Errand>,
    /// Those that wait, by the moment of their question.
    order: BTreeSet<(Duration, Box<str>)>,
    /// While an answer is taken in.
    answer: Option<Taking>,
}

/// What is to be asked of one instrument, besides its holes.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Errand {
    /// When it is asked; missing while the answer is awaited, and for whoever takes it over.
    #[serde(skip)]
    due: Option<Duration>,
    /// Questions in a row that brought nothing.
    tries: u32,
    /// Trades may be missing since then that nothing newer has shown yet.
    since: Option<Micros>,
    /// No trade was known then, so that one that came since says nothing of those before it.
    fresh: bool,
    /// The newest are there; those below all that are known may still be missing.
    below: bool,
}

/// What an answer has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// The exchange does not answer such a question.
    Refusal,
    /// No trade that was not stored.
    Nothing,
    /// Some, and there are more.
    Part,
    /// All that there are.
    All,
    /// A page of them, and those before it may be wanted too.
    Page,
}

/// An answer that is taken in.
#[derive(Debug)]
struct Taking {
    /// What is older was not asked for.
    not_before: Micros,
    /// Whether something older was among them.
    passed: bool,
    /// Where the named holes that it has filled begin and end.
    touched: BTreeMap<Micros, Micros>,
}

impl Mending {
    /// The instrument's named holes are to be asked for.
    pub(super) fn want(&mut self, instrument: &str, now: Duration) {
        self.errand(instrument, now);
    }

    /// Whether an answer is taken in.
    pub(super) fn answers(&self) -> bool {
        self.answer.is_some()
    }

    /// Whether an answer is taken in that this trade does not belong to.
    pub(super) fn passes_over(&mut self, timestamp: Micros) -> bool {
        self.answer.as_mut().is_some_and(|answer| {
            let passed = timestamp < answer.not_before;
            answer.passed |= passed;
            passed
        })
    }

    /// Notes that an answer has filled a part of a named hole, if one is taken in: its row is
    /// written when all of the answer is.
    pub(super) fn touch(&mut self, from: Micros, to: Micros) -> bool {
        let Some(answer) = &mut self.answer else { return false };
        let end = answer.touched.entry(from).or_insert(to);
        *end = to.max(*end);
        true
    }

    /// When there is something to ask.
    pub(super) fn due(&self) -> Duration {
        self.order.first().map_or(Duration::MAX, |(due, _)| *due)
    }

    /// Since when trades may be missing that were not asked for yet.
    pub(super) fn unasked_since(&self) -> Option<Micros> {
        self.errands.values().filter_map(|errand| errand.since).min()
    }

    /// The instruments whose trades are to be asked for.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.errands.keys().map(|name| &**name)
    }

    /// Somebody else asks for the instrument's trades from now on; an answer that is awaited here
    /// is nobody's.
    pub(super) fn give(&mut self, instrument: &str) -> Option<Errand> {
        let errand = self.errands.remove(instrument)?;
        if let Some(due) = errand.due {
            self.order.remove(&(due, instrument.into()));
        }
        Some(errand)
    }

    /// The instrument's trades are asked for here from now on.
    pub(super) fn take(&mut self, instrument: &str, mut errand: Errand, now: Duration) {
        self.give(instrument);
        errand.due = None;
        self.errands.insert(instrument.into(), errand);
        self.wait(instrument, now);
    }

    /// A question found no answer.
    pub(super) fn unanswered(&mut self, instrument: &str, now: Duration) {
        let Some(errand) = self.errands.get_mut(instrument) else { return };
        errand.tries = errand.tries.saturating_add(1);
        let pause = pause(errand.tries);
        self.wait(instrument, now.saturating_add(pause));
    }

    /// Notes an answer. Whether what it lacks cannot be had.
    fn settle(&mut self, question: &Question, came: Came) -> bool {
        let Some(errand) = self.errands.get_mut(&question.instrument) else { return false };
        errand.tries = if came == Came::Nothing { errand.tries.saturating_add(1) } else { 0 };
        let fruitless = match question.trades {
            Wanted::Between(..) => came == Came::Refusal || errand.tries >= TRIES_MAX,
            Wanted::From(_) => came != Came::Part,
            Wanted::Since(_) | Wanted::Below(..) => came != Came::Page,
        };
        errand.below |= came == Came::Page;
        if fruitless {
            errand.tries = 0;
            if !matches!(question.trades, Wanted::Between(..)) {
                (errand.since, errand.fresh, errand.below) = (None, false, false);
            }
        }
        fruitless
    }

    /// After an answer: the next question is due at once, or after a pause where this one brought
    /// nothing.
    fn go_on(&mut self, instrument: &str, now: Duration) {
        let tries = self.errands.get(instrument).map_or(0, |errand| errand.tries);
        let pause = if tries == 0 { Duration::ZERO } else { pause(tries) };
        self.wait(instrument, now.saturating_add(pause));
    }

    fn errand(&mut self, instrument: &str, now: Duration) -> &mut Errand {
        if !self.errands.contains_key(instrument) {
            self.errands.insert(instrument.into(), Errand::default());
            self.wait(instrument, now);
        }
        match self.errands.get_mut(instrument) {
            Some(errand) => errand,
            None => unreachable!("inserted above"),
        }
    }

    fn wait(&mut self, instrument: &str, due: Duration) {
        let Some(errand) = self.errands.get_mut(instrument) else { return };
        if let Some(before) = errand.due.replace(due) {
            self.order.remove(&(before, instrument.into()));
        }
        self.order.insert((due, instrument.into()));
    }

    /// The first that is due, taken out of those that wait.
    fn next(&mut self, now: Duration) -> Option<(Box<str>, &Errand)> {
        if self.due() > now {
            return None;
        }
        let (_, instrument) = self.order.pop_first()?;
        let errand = self.errands.get_mut(&instrument)?;
        errand.due = None;
        Some((instrument, errand))
    }
}

impl Decoder {
    /// Tells the decoder which instruments are recorded.
    pub fn enrol(&mut self, roster: Roster) {
        self.latecomers.follow(roster);
    }

    /// Whether trades are known to be missing that may still come.
    #[must_use]
    pub fn is_mending(&self) -> bool {
        !self.mending.errands.is_empty() || self.waiting.deadline() != Duration::MAX
    }

    /// Trades of a channel's instruments may have been missed since then.
    pub(super) fn missed(&mut self, channel: &str, since: Micros, now: Now) {
        let parts: Vec<&str> = channel.split('.').collect();
        let names: Vec<(Box<str>, Micros)> = match *parts {
            ["trades", "option", currency, _] => {
                let carried = |name: &&str| carries(currency, name, by_the_exchange(since));
                let known = self.identities.iter().map(|(name, _)| name);
                let known = known.filter(carried).map(Box::from);
                let known = known.chain(self.latecomers.recorded(currency, since)).collect();
                self.hears_again();
                self.latecomers.expect(currency, since, known, now.monotonic)
            }
            ["trades", name, _] if matches!(Kind::of(name), Kind::Option | Kind::Perpetual) => {
                vec![(name.into(), since)]
            }
            ["instrument", "state", ..] => {
                self.hears_again();
                Vec::new()
            }
            _ => Vec::new(),
        };
        for (name, since) in names {
            self.missed_of(&name, since, now.monotonic);
        }
    }

    /// Trades of an instrument may have been missed since then.
    pub(super) fn missed_of(&mut self, name: &str, since: Micros, now: Duration) {
        let fresh = self.identities.get(name).is_none_or(|it| it.trades.is_fresh(since));
        let errand = self.mending.errand(name, now);
        (errand.fresh, errand.below) = (errand.fresh || fresh, false);
        errand.since = Some(errand.since.map_or(since, |before| before.min(since)));
    }

    /// The next question. A hole that was filled meanwhile is none.
    pub(super) fn question(&mut self, now: Duration) -> Option<Question> {
        while let Some((instrument, errand)) = self.mending.next(now) {
            let trades = self.identities.get(&instrument).map(|known| &known.trades);
            if let Some(trades) = errand.question(trades) {
                return Some(Question { instrument, trades });
            }
            self.mending.errands.remove(&instrument);
        }
        None
    }

    /// Takes in an answer: the JSON array of trades, and whether there are more of them; nothing
    /// where the exchange does not answer such a question.
    pub(super) fn answered(
        &mut self,
        question: &Question,
        answer: Option<(&str, bool)>,
        now: Now,
        rows: &mut Rows,
    ) {
        if !self.mending.errands.contains_key(&question.instrument) {
            // Another connection has the channel now, and asks for itself.
            return;
        }
        let came = match answer {
            None => Came::Refusal,
            Some((trades, more)) => {
                let (taken, passed) = self.take_in(question, trades, now, rows);
                match question.trades {
                    Wanted::Since(_) if more && !passed => Came::Page,
                    Wanted::Below(2.., _, _) if taken > 0 && !passed => Came::Page,
                    _ if taken == 0 => Came::Nothing,
                    _ if more => Came::Part,
                    _ => Came::All,
                }
            }
        };
        let fruitless = self.mending.settle(question, came);
        let instrument = &*question.instrument;
        if let Wanted::Between(first, last) = question.trades
            && fruitless
            && let Some(known) = self.identities.get_mut(instrument)
        {
            for hole in known.trades.lose(first, last) {
                let place = (&*self.shard, instrument);
                write(&known.trades, place, (hole.from, hole.to), ASKED, now, rows);
            }
        }
        self.mending.go_on(instrument, now.monotonic);
    }

    /// Decodes the trades of an answer, and writes the rows of the holes that it filled. How many
    /// of them are new, and whether older ones were among them than were asked for.
    fn take_in(
        &mut self,
        question: &Question,
        trades: &str,
        now: Now,
        rows: &mut Rows,
    ) -> (u64, bool) {
        let instrument = &*question.instrument;
        let not_before = match question.trades {
            Wanted::Since(since) | Wanted::Below(_, _, since) => since,
            Wanted::Between(..) | Wanted::From(_) => Micros(i64::MIN),
        };
        let before = self.tally.trades_repaired;
        let taking = Taking { not_before, passed: false, touched: BTreeMap::new() };
        self.mending.answer = Some(taking);
        let channel = format!("trades of {instrument}");
        match elements(trades) {
            Ok(mut elements) => {
                if let Wanted::Since(_) = question.trades {
                    // They come with the newest first, and are taken in the order of their numbers.
                    elements.reverse();
                }
                for element in &elements {
                    let raw = element.as_raw_str();
                    if let Err(refusal) = self.trade(raw, now, rows) {
                        self.refuse(&channel, refusal, raw, now, rows);
                    }
                }
            }
            Err(refusal) => self.refuse(&channel, refusal, trades, now, rows),
        }
        let answer = self.mending.answer.take();
        let passed = answer.as_ref().is_some_and(|answer| answer.passed);
        if let Some(known) = self.identities.get_mut(instrument) {
            for span in answer.into_iter().flat_map(|answer| answer.touched) {
                write(&known.trades, (&self.shard, instrument), span, ASKED, now, rows);
            }
        }
        (self.tally.trades_repaired - before, passed)
    }
}

impl Errand {
    /// What is to be asked next; nothing when all was.
    fn question(&self, trades: Option<&Sequence>) -> Option<Wanted> {
        if let Some(hole) = trades.and_then(Sequence::wanted) {
            return Some(Wanted::Between(hole.first, hole.last));
        }
        let since = self.since?;
        if !self.fresh
            && let Some(highest) = trades.and_then(Sequence::highest)
        {
            return Some(Wanted::From(highest.saturating_add(1)));
        }
        let since = by_the_exchange(since);
        if !self.below {
            return Some(Wanted::Since(since));
        }
        let lowest = trades?.lowest()?;
        let first = lowest.saturating_sub(PAGE).max(1);
        (first < lowest).then_some(Wanted::Below(first, lowest - 1, since))
    }
}

/// The earliest that it may have been by the exchange's clock, which trades have.
pub(super) fn by_the_exchange(since: Micros) -> Micros {
    Micros(since.0.saturating_sub(CLOCK_US))
}

/// Whether `trades.option.CURRENCY` carries the trades of an instrument that may have been traded
/// since then.
pub(super) fn carries(currency: &str, name: &str, since: Micros) -> bool {
    match Instrument::parse(name).shape {
        Shape::Option { expiry, .. } => {
            instrument::listed_under(name) == currency && expiry >= since.date()
        }
        _ => false,
    }
}

/// Before a question is asked again that found no answer so often.
fn pause(tries: u32) -> Duration {
    PAUSE_MIN.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(PAUSE_MAX)
}

/// Trades that are kept are given at once; what was not given so often in a row is kept no longer.
const TRIES_MAX: u32 = 3;
/// By how much our clock may be wrong: trades that happened so long before are taken too.
const CLOCK_US: i64 = 3_600_000_000;
/// Trades below the known ones that are asked for at a time: what one answer can have.
const PAGE: i64 = 1_000;
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(60);
