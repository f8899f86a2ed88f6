//! Keeps what is recorded right while instruments are listed and expire: asks for the exchange's
//! lists, hears what the readers overhear, and leaves a swap in every mailbox when the plan has
//! changed. No thread, no socket, no clock: who holds it says what time it is and brings the lists.

mod asking;
mod moving;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use journal::Told;
use lifecycle::{
    Crossings, Event, Failed, Group, Handover, Listed, Manager, Overflow, Plan, State, Swap,
    Universe, What, Why,
};
use schema::instrument::listed_under;
use schema::{Micros, Now};

use super::catalogue::{Catalogue, List, Unlisted};
use super::choices;
use super::desk::Desk;
use super::events::Events;
use crate::config::Config;
use crate::control::Overview;
use crate::deribit::{Estate, Overheard, Roster, Said, Word, instruments};
use crate::ferry::Ferry;
use crate::fleet::End;
use crate::queue::Inlet;
use crate::reader::{Board, LineSetup, Mailbox};
use crate::selection::{Candidate, SelectionError};
use crate::session::{CauseKind, Gap};
pub(super) use asking::start;
pub use moving::Apart;
use moving::Ways;
pub use wishes::Wishes;

/// What a steward is made of.
#[derive(Debug)]
pub struct Setup {
    /// What is to be recorded.
    pub config: Config,
    /// The way to the plan that the lines were made from.
    pub handover: Handover,
    /// Where the shards are elsewhere.
    pub apart: Option<Apart>,
    /// How it speaks with the lines.
    pub ties: Ties,
    /// What the plan was made from.
    pub catalogue: Catalogue,
    /// When that was asked for.
    pub asked: Micros,
    /// Where rows go.
    pub inlet: Inlet,
    /// What somebody chooses instrument by instrument.
    pub wishes: Wishes,
}

/// How a steward speaks with the lines.
#[derive(Debug)]
pub struct Ties {
    /// Where each shard's swaps go.
    mailboxes: BTreeMap<Arc<str>, Mailbox>,
    /// Where each shard shows what is acknowledged.
    boards: BTreeMap<Arc<str>, Board>,
    /// Where what shards know of a channel crosses to others.
    ferry: Arc<dyn Crossings + Send + Sync>,
    /// What is told of the options, from what the lines show.
    events: Events,
    /// What the exchange says of instruments unasked.
    overheard: Overheard,
    /// Where the lines see what is recorded.
    roster: Roster,
}

impl Ties {
    /// Those to the lines, which are not started yet. `told` is what was told before.
    #[must_use]
    pub fn new(lines: &mut [LineSetup], told: &Told) -> Self {
        let (ferry, overheard, roster) = join(lines);
        let ends: Vec<End> = lines.iter().map(End::from).collect();
        Self::to(&ends, Arc::new(ferry), (overheard, roster), told)
    }

    /// Those to shards, wherever they are, in the plan's order.
    #[must_use]
    pub fn to(
        ends: &[End],
        ferry: Arc<dyn Crossings + Send + Sync>,
        (overheard, roster): (Overheard, Roster),
        told: &Told,
    ) -> Self {
        let mailbox = |end: &End| (Arc::clone(&end.shard), end.mailbox.clone());
        let board = |end: &End| (Arc::clone(&end.shard), end.board.clone());
        let mailboxes = ends.iter().map(mailbox).collect();
        let boards = ends.iter().map(board).collect();
        let events = Events::new(told, ends);
        Self { mailboxes, boards, ferry, events, overheard, roster }
    }
}

/// Joins lines that are not started yet: where channels cross between them, what all of them
/// overhear, and where all of them see what is recorded.
#[must_use]
pub fn join(lines: &mut [LineSetup]) -> (Ferry<Estate>, Overheard, Roster) {
    let (ferry, overheard, roster) = (Ferry::default(), Overheard::default(), Roster::default());
    for line in lines {
        line.session.cross(ferry.clone());
        line.session.decoder_mut().overhear(overheard.clone());
        line.session.decoder_mut().enrol(roster.clone());
    }
    (ferry, overheard, roster)
}

/// Keeps what is recorded right.
#[derive(Debug)]
pub struct Steward {
    config: Config,
    manager: Manager,
    universe: Universe,
    /// The universe's changes that the plan has followed.
    followed: u64,
    /// The way to the plan.
    handover: Handover,
    ways: Ways,
    /// Where the shards are elsewhere.
    apart: Option<Apart>,
    groups: Vec<Group>,
    mailboxes: BTreeMap<Arc<str>, Mailbox>,
    boards: BTreeMap<Arc<str>, Board>,
    ferry: Arc<dyn Crossings + Send + Sync>,
    /// Lists taken, by currency.
    cycles: BTreeMap<String, u64>,
    /// Groups that have no room for all of their channels, and since when.
    cramped: BTreeMap<String, (Micros, Overflow)>,
    events: Events,
    overheard: Overheard,
    roster: Roster,
    /// What the exchange has locked: what follows an index, or everything.
    locks: BTreeSet<Option<String>>,
    /// Instruments that were announced and whose description is not known yet.
    undescribed: BTreeSet<String>,
    /// When their description is asked for, on the monotonic clock.
    describe_at: Option<Duration>,
    desk: Desk,
    wishes: Wishes,
}

/// A list to ask the exchange for.
#[derive(Debug)]
pub struct Question {
    /// The currency whose instruments it lists.
    pub currency: String,
    asked: Now,
}

impl Steward {
    /// What knows of everything that the catalogue lists.
    #[must_use]
    pub fn new(setup: Setup, now: Now) -> Self {
        let Setup { config, handover, mut apart, ties, catalogue, asked, inlet, wishes } = setup;
        let Ties { mailboxes, boards, ferry, mut events, overheard, roster } = ties;
        let mut desk = Desk::new(inlet);
        let Catalogue { lists, groups } = catalogue;
        let mut manager = Manager::new(&config.exchange.currencies, config.lifecycle.refresh);
        let mut universe = Universe::new(config.lifecycle.linger);
        universe.choose(wishes.choices.clone());
        for List { currency, listed } in &lists {
            let _ = manager.ask(now);
            manager.answered(currency, now);
            for event in universe.list(currency, &entries(listed), asked) {
                events.appeared(&event.name, event.at, now, &mut desk.rows);
            }
            tracing::info!("{currency}: Found {} active options on exchange", options(listed));
        }
        events.end_missed(&universe, now, &mut desk.rows);
        let steward = Self {
            config,
            manager,
            followed: universe.changes(),
            universe,
            ways: apart.as_mut().map(|it| Ways::resume(&handover, it)).unwrap_or_default(),
            handover,
            apart,
            groups,
            mailboxes,
            boards,
            ferry,
            cycles: BTreeMap::new(),
            cramped: BTreeMap::new(),
            events,
            overheard,
            roster,
            locks: BTreeSet::new(),
            undescribed: BTreeSet::new(),
            describe_at: None,
            desk,
            wishes,
        };
        steward.enrol(now);
        steward.publish();
        steward
    }

    /// Who listens to what from now on.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.handover.plan()
    }

    /// Who is to listen to what at this moment: while a channel goes from one shard to another it
    /// is with both.
    pub fn swaps(&self) -> impl Iterator<Item = (Arc<str>, Swap)> {
        self.handover.swaps()
    }

    /// How many channels are on their way.
    #[must_use]
    pub fn moves(&self) -> usize {
        self.handover.moves().count()
    }

    /// Does what is due, but for asking.
    pub fn turn(&mut self, now: Now) {
        self.begin_anew();
        self.hear(now);
        let events = self.universe.tick(now.utc);
        self.note(&events, &[], now);
        let answers = self.obey();
        if self.followed != self.universe.changes() {
            self.followed = self.universe.changes();
            self.follow(now);
        }
        self.hand_over(now);
        if !answers.is_empty() {
            self.answer(answers);
        }
        self.events.compare(&self.universe, self.handover.plan(), now, &mut self.desk.rows);
        self.desk.hand_over();
    }

    /// Takes in what the exchange said unasked: a new option is recorded at once, and described by
    /// the next list, which is asked for when the announcements of one moment are all there.
    fn hear(&mut self, now: Now) {
        while let Some(Word { said, at }) = self.overheard.next() {
            match said {
                Said::State { instrument, state } => {
                    self.learn(instrument, Some(State::parse(&state)), at, now);
                }
                Said::Traded { instrument } => self.learn(instrument, None, at, now),
                Said::Platform { index, locked } => self.locked(index, locked, now),
            }
        }
        if self.overheard.has_missed() {
            self.describe_at.get_or_insert(now.monotonic);
        }
        if self.overheard.has_returned() {
            self.manager.returned(now);
        }
        if self.describe_at.is_some_and(|at| at <= now.monotonic) {
            self.describe_at = None;
            self.manager.doubt(now);
        }
    }

    /// An instrument has a state, or was traded; nothing may have been known of it.
    fn learn(&mut self, name: String, said: Option<State>, at: Micros, now: Now) {
        let currency = listed_under(&name);
        if !self.config.exchange.currencies.iter().any(|it| it == currency) {
            return;
        }
        let events = match said {
            Some(state) => self.universe.push(&name, currency, state, at),
            None => self.universe.traded(&name, currency, at),
        };
        self.note(&events, &[], now);
        if let Some(event) = events.iter().find(|event| event.what == What::Appeared) {
            if said.is_some() {
                self.push_state(event, said, now);
            }
            self.undescribed.insert(name);
            self.describe_at.get_or_insert(now.monotonic + DESCRIBE_AFTER);
        }
    }

    /// While the platform is locked, states are not announced: what is known is asked for anew when
    /// a lock begins and when it ends. Nothing is believed to be over because of it.
    fn locked(&mut self, index: Option<String>, locked: bool, now: Now) {
        let about = index.as_deref().unwrap_or("the whole platform").to_owned();
        let changed = match locked {
            true => self.locks.insert(index),
            false => self.locks.remove(&index),
        };
        if changed {
            let state = if locked { "locked" } else { "unlocked" };
            tracing::warn!("The exchange says that {about} is {state}");
            self.manager.doubt(now);
        }
    }

    /// Keeps what a list says of instruments that were only announced.
    fn describe(&mut self, listed: &[instruments::Listed], asked: Micros, now: Now) {
        for listed in listed.iter().filter(|listed| self.undescribed.remove(&listed.name)) {
            listed.push(asked, now, &mut self.desk.rows);
        }
    }

    /// What to ask for now. It must be [answered](Self::answered).
    pub fn question(&mut self, now: Now) -> Option<Question> {
        let currency = self.manager.ask(now)?;
        Some(Question { currency, asked: now })
    }

    /// Takes a list, or why there is none.
    pub fn answered(&mut self, question: Question, answer: Result<List, Unlisted>, now: Now) {
        let Question { currency, asked } = question;
        match answer {
            Ok(list) => {
                self.manager.answered(&currency, now);
                let Now { monotonic, utc } = asked;
                let events = self.universe.list(&currency, &entries(&list.listed), utc);
                self.enrol(now);
                self.roster.listed(&currency, monotonic);
                self.note(&events, &list.listed, now);
                self.describe(&list.listed, utc, now);
                self.say_cycle(&currency, &events);
            }
            Err(Unlisted { failure, throttled }) => {
                tracing::warn!("the {currency} instruments are not refreshed: {failure}");
                let failed = if throttled { Failed::Throttled } else { Failed::Unanswered };
                self.manager.failed(&currency, failed, now);
            }
        }
    }

    /// Says what the predecessor's users watch for, and keeps what has changed as rows.
    fn note(&mut self, events: &[Event], listed: &[instruments::Listed], now: Now) {
        for event in events {
            self.tell(event, now);
            let described = listed.iter().find(|listed| listed.name == event.name);
            match (event.what, described) {
                (What::Appeared, described) => {
                    tracing::info!("New instrument listed: {}", event.name);
                    if let Some(described) = described {
                        described.push(event.at, now, &mut self.desk.rows);
                    }
                }
                (What::State(state), _) => self.push_state(event, Some(state), now),
                (What::Ended(why), _) => {
                    self.undescribed.remove(&event.name);
                    if why != Why::Unlisted {
                        self.forget(&event.name);
                    }
                    tracing::info!(
                        "Instrument no longer recorded: {} ({})",
                        event.name,
                        words(why)
                    );
                }
            }
        }
        if !events.is_empty() {
            self.publish();
        }
    }

    /// Tells what is a fact for `lifecycle_events`.
    fn tell(&mut self, event: &Event, now: Now) {
        let Event { name, at, what } = event;
        match what {
            What::Appeared => self.events.appeared(name, *at, now, &mut self.desk.rows),
            What::Ended(why) => self.events.ended(name, *why, *at, now, &mut self.desk.rows),
            What::State(_) => {}
        }
    }

    /// An observation of the state alone.
    fn push_state(&mut self, event: &Event, state: Option<State>, now: Now) {
        let state = state.map(|state| state.word().to_owned());
        let seen = instruments::Listed { name: event.name.clone(), state, ..Default::default() };
        seen.push(event.at, now, &mut self.desk.rows);
    }

    fn say_cycle(&mut self, currency: &str, events: &[Event]) {
        let cycle = self.cycles.entry(currency.to_owned()).or_default();
        *cycle += 1;
        let count = |is: fn(What) -> bool| events.iter().filter(|event| is(event.what)).count();
        let tracked = self.universe.recorded().filter(|(_, of)| *of == currency).count();
        tracing::info!(
            "{currency}: Refresh cycle {cycle} complete | Tracked: {tracked} | Expired: {} | \
             Listed: {}",
            count(|what| matches!(what, What::Ended(_))),
            count(|what| matches!(what, What::Appeared)),
        );
    }

    /// Plans anew, and leaves every shard its goal.
    fn follow(&mut self, now: Now) {
        self.enrol(now);
        let recorded = self.universe.recorded();
        let candidates: Vec<Candidate> = recorded
            .map(|(name, currency)| Candidate { name: name.into(), currency: currency.into() })
            .collect();
        let mut groups = match choices::follow(&self.config, self.universe.choices(), candidates) {
            Ok(groups) => groups,
            Err(SelectionError::Nothing) => Vec::new(),
            Err(error) => return tracing::error!("the plan stays as it was: {error}"),
        };
        for group in &mut self.groups {
            let new = groups.iter_mut().find(|new| new.name == group.name);
            group.channels = new.map(|new| std::mem::take(&mut new.channels)).unwrap_or_default();
        }
        let (plan, overflows) = self.handover.next_plan(&self.groups);
        self.alarm(overflows, now);
        tracing::info!("{} channels are to be recorded from now on", plan.channels());
        self.handover.forget_expired(now.utc.date());
        self.handover.follow(plan);
        self.publish();
    }

    /// Shows the lines what is recorded.
    fn enrol(&self, now: Now) {
        self.roster.set(self.universe.recorded().map(|(name, _)| name), now.utc);
    }

    /// Tells whoever asks what is recorded.
    fn publish(&self) {
        self.wishes.published.publish(Overview::new(self.handover.plan(), &self.universe));
    }

    /// What finds no room is a gap as long as it lasts.
    fn alarm(&mut self, overflows: Vec<Overflow>, now: Now) {
        let mut before = std::mem::take(&mut self.cramped);
        for overflow in overflows {
            let (since, old) =
                before.remove(&overflow.group).map_or((now.utc, None), |(at, old)| (at, Some(old)));
            if old.as_ref() != Some(&overflow) {
                tracing::error!("{overflow}: give it more connections or a larger capacity");
                self.push_gap(&overflow, since, None, now);
            }
            self.cramped.insert(overflow.group.clone(), (since, overflow));
        }
        for (since, overflow) in before.into_values() {
            self.push_gap(&overflow, since, Some(now.utc), now);
        }
    }

    fn push_gap(&mut self, overflow: &Overflow, since: Micros, end: Option<Micros>, now: Now) {
        let (shard, kind) = (overflow.group.as_str(), CauseKind::NoRoom);
        let gap = Gap { shard, instrument: "*", since, kind };
        gap.write(end, &overflow.to_string(), now, &mut self.desk.rows);
    }
}

/// What the universe wants to know of a list.
fn entries(listed: &[instruments::Listed]) -> Vec<Listed> {
    let entry = |listed: &instruments::Listed| Listed {
        name: listed.name.clone(),
        state: listed.state.as_deref().map(State::parse),
        expires: listed.expiration_timestamp,
    };
    listed.iter().map(entry).collect()
}

fn options(listed: &[instruments::Listed]) -> usize {
    listed.iter().filter(|listed| listed.kind.as_deref() == Some("option")).count()
}

fn words(why: Why) -> &'static str {
    match why {
        Why::Final => "its state is final",
        Why::Expired => "it has expired",
        Why::Unlisted => "the exchange lists it no longer",
    }
}

/// Listings come in bursts; one list describes them all.
const DESCRIBE_AFTER: Duration = Duration::from_secs(2);
