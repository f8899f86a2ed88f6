//! In a recorder whose shards a lifecycle manages: does what it is told, and says what is.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{ChannelSet, Crossings, Swap, has_expired, instrument};
use schema::Now;
use serde_json::value::RawValue;

use super::End;
use super::goals::{Goals, Kept};
use super::wire::{self, Brief, Goal, News, Passage, Passing, Seen, Shard};
use super::wishes::Passed;
use crate::control::{Overview, Planned, Published};
use crate::deribit::{Estate, Overheard, Roster, Word};
use crate::ferry::Ferry;
use crate::metrics;

/// What a deputy is made of.
#[derive(Debug)]
pub struct Parts {
    /// The recorder's run, unlike any other.
    pub run: String,
    /// Its shards, what they listen to, and how many channels they may have.
    pub shards: Vec<(End, (ChannelSet, usize))>,
    /// The number of the swaps that they were given.
    pub generation: u64,
    /// Where channels cross.
    pub ferry: Ferry<Estate>,
    /// What the exchange says of instruments.
    pub overheard: Overheard,
    /// Where the shards see what is recorded.
    pub roster: Roster,
    /// Where goals are kept.
    pub goals: Goals,
    /// What recorders elsewhere have recorded last.
    pub heard: BTreeMap<String, u128>,
    /// Where goals are shown.
    pub published: Published,
    /// Wishes that are passed on.
    pub passed: Passed,
}

/// Does what a lifecycle says.
#[derive(Debug)]
pub struct Deputy {
    run: String,
    shards: BTreeMap<Arc<str>, Managed>,
    /// Of the newest swaps.
    generation: u64,
    ferry: Ferry<Estate>,
    overheard: Overheard,
    roster: Roster,
    goals: Goals,
    heard: BTreeMap<String, u128>,
    published: Published,
    passed: Passed,
    /// Whose word counts.
    manager: Option<Manager>,
    passages: BTreeMap<String, Known>,
    /// The edition of the names that are set.
    names: u64,
    words: VecDeque<(u64, Word)>,
    last_word: u64,
    missed: u64,
    returned: u64,
}

/// A lifecycle.
#[derive(Debug)]
struct Manager {
    id: String,
    run: u64,
    /// Of the newest brief.
    number: u64,
    /// When it was heard last, on the monotonic clock.
    heard: Duration,
}

#[derive(Debug)]
struct Managed {
    end: End,
    capacity: usize,
    goal: ChannelSet,
    /// The goal's number within the lifecycle's run.
    generation: Option<u64>,
}

/// A passage from or to a shard of this recorder.
#[derive(Debug)]
struct Known {
    /// None if that was of another run of the lifecycle.
    number: Option<u64>,
    from: String,
    to: String,
    /// The giver, if it is elsewhere, notes what it records.
    watched: bool,
    leaves: bool,
    /// What the giver knew was left for the taker.
    brought: bool,
    /// What the giver has recorded last.
    last: Option<u128>,
    /// The taker has gone on.
    over: bool,
}

/// Why a brief is not followed.
#[derive(Debug)]
pub enum Refused {
    /// Another lifecycle manages this recorder.
    Managed,
    /// A newer brief was followed.
    Late,
    /// The goals cannot be kept on the disk.
    Unkept(String),
    /// It makes no sense.
    Strange(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Managed => {
                let seconds = ALONE_AFTER.as_secs();
                write!(f, "another lifecycle manages this recorder: end it, and wait {seconds} s")
            }
            Self::Late => write!(f, "a newer brief was followed"),
            Self::Unkept(why) => write!(f, "the goals cannot be kept: {why}"),
            Self::Strange(why) => write!(f, "the brief is not understood: {why}"),
        }
    }
}

impl std::error::Error for Refused {}

impl Deputy {
    /// Of a recorder that starts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { run, shards, generation, ferry, overheard, roster, .. } = parts;
        let Parts { goals, heard, published, passed, .. } = parts;
        let managed = |(end, (goal, capacity)): (End, (ChannelSet, usize))| {
            (Arc::clone(&end.shard), Managed { end, capacity, goal, generation: None })
        };
        Self {
            run,
            shards: shards.into_iter().map(managed).collect(),
            generation,
            ferry,
            overheard,
            roster,
            goals,
            heard,
            published,
            passed,
            manager: None,
            passages: BTreeMap::new(),
            names: 0,
            words: VecDeque::new(),
            last_word: 0,
            missed: 0,
            returned: 0,
        }
    }

    /// Does what a brief says, and says what is.
    ///
    /// # Errors
    /// Then nothing of it was done that is not to be done anyway.
    pub fn follow(&mut self, brief: Brief, now: Now) -> Result<News, Refused> {
        self.obey(&brief, now.monotonic)?;
        let (answers, seen) = match brief.to.as_ref() == Some(&self.run) {
            true => (brief.answers, brief.seen),
            false => Default::default(),
        };
        self.passed.answer(answers);
        if !brief.asks {
            // First: a taker that has gone on is not to be told to begin again.
            self.arrive(now)?;
            let wanted: BTreeSet<&str> =
                brief.passages.iter().map(|passage| &*passage.channel).collect();
            for passage in &brief.passages {
                self.pass(passage, now)?;
            }
            self.set_goals(&brief.goals, now)?;
            // After the goals: whoever looks now cannot find older ones.
            let over: Vec<String> =
                self.passages.keys().filter(|it| !wanted.contains(&***it)).cloned().collect();
            over.iter().for_each(|channel| self.forget(channel));
            if let Some(names) = brief.names {
                self.enrol(&names, now);
            }
        }
        Ok(self.news(&seen, brief.asks, &brief.passages, now))
    }

    /// Whose word counts from now on.
    fn obey(&mut self, brief: &Brief, now: Duration) -> Result<(), Refused> {
        let mut same = false;
        if let Some(known) = &self.manager {
            let ours = known.id == brief.manager;
            if !ours && now.saturating_sub(known.heard) < ALONE_AFTER {
                return Err(Refused::Managed);
            }
            if ours && (brief.run, brief.number) <= (known.run, known.number) {
                return Err(Refused::Late);
            }
            same = ours && known.run == brief.run;
        }
        if !same {
            tracing::info!("a lifecycle manages this recorder from now on");
            // Its numbers have nothing to do with those of the one before.
            self.shards.values_mut().for_each(|shard| shard.generation = None);
            self.passages.values_mut().for_each(|known| known.number = None);
            self.names = 0;
        }
        let (id, run, number) = (brief.manager.clone(), brief.run, brief.number);
        self.manager = Some(Manager { id, run, number, heard: now });
        Ok(())
    }

    /// A passage is open. One that a lifecycle before this one has begun goes on.
    fn pass(&mut self, passage: &Passage, now: Now) -> Result<(), Refused> {
        let Passage { channel, number, from, to, watched, leaves, estate, .. } = passage;
        let (from_here, to_here) = (self.has(from), self.has(to));
        let new = !self.passages.contains_key(channel);
        let number = Some(*number);
        if let Some(known) = self.passages.get_mut(channel).filter(|it| it.number != number) {
            // The taker is to forget what it holds: the giver may have begun anew. That is nothing
            // to the giver itself, and nothing to a taker that has gone on.
            let same = known.from == *from && known.to == *to;
            let gives = from_here && (known.number.is_none() || known.leaves);
            let goes_on = same && (known.over || gives);
            match goes_on {
                true => known.number = number,
                false => self.forget(channel),
            }
        }
        let blind = |known: &Known| !from_here && !known.over && !known.watched;
        if *watched && self.passages.get(channel).is_some_and(blind) {
            // What was held until now, the giver may have recorded and not noted.
            self.forget(channel);
        }
        if !self.passages.contains_key(channel) {
            // What is in a goal that was kept has arrived, before this recorder began anew.
            let goal = self.shards.get(&**to).map(|shard| &shard.goal);
            let over = new && goal.is_some_and(|goal| goal.contains(channel));
            if !over && (from_here || to_here) {
                self.ferry.announce(channel, &from.as_str().into(), &to.as_str().into());
            }
            let (from, to) = (from.clone(), to.clone());
            let (watched, leaves) = (*watched, false);
            let (brought, last) = (false, None);
            let known = Known { number, from, to, watched, leaves, brought, last, over };
            self.passages.insert(channel.clone(), known);
        }
        let Some(known) = self.passages.get_mut(channel).filter(|known| !known.over) else {
            return Ok(());
        };
        if *leaves && !known.leaves {
            known.leaves = true;
            self.ferry.let_go(channel);
        }
        if let Some(estate) = estate.as_ref().filter(|_| to_here && !from_here && !known.brought) {
            let failed =
                |error| Refused::Strange(format!("what is known of {channel} is not: {error}"));
            let (at, estate): (Duration, Estate) =
                serde_json::from_str(estate.get()).map_err(failed)?;
            let estate = estate.reset_clock(at, now.monotonic);
            known.last = estate.last();
            known.brought = self.ferry.bring(channel, estate);
        }
        Ok(())
    }

    fn has(&self, shard: &str) -> bool {
        self.shards.contains_key(shard)
    }

    /// A passage is over, or given up.
    fn forget(&mut self, channel: &str) {
        if self.passages.remove(channel).is_some() {
            self.ferry.cancel(channel);
        }
    }

    /// First on the disk, then to the shards.
    fn set_goals(&mut self, goals: &[Goal], now: Now) -> Result<(), Refused> {
        let new = |goal: &&Goal| {
            let shard = self.shards.get(&*goal.shard);
            shard.is_some_and(|shard| shard.generation != Some(goal.generation))
        };
        let new: Vec<&Goal> = goals.iter().filter(new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let set = |goal: &&Goal| -> (String, ChannelSet) {
            (goal.shard.clone(), goal.channels.iter().cloned().collect())
        };
        let set: BTreeMap<String, ChannelSet> = new.iter().map(set).collect();
        self.goals.write(&self.kept(&set, &BTreeSet::new(), now)).map_err(Refused::Unkept)?;
        self.generation += 1;
        for Goal { shard, generation, .. } in new {
            let (Some(shard), Some(goal)) = (self.shards.get_mut(&**shard), set.get(shard)) else {
                continue;
            };
            shard.generation = Some(*generation);
            shard.goal.clone_from(goal);
            let swap = Swap { generation: self.generation, goal: goal.clone() };
            shard.end.mailbox.leave(swap);
        }
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        let planned = |(shard, managed): (&Arc<str>, &Managed)| Planned {
            shard: Arc::clone(shard),
            capacity: managed.capacity,
            goal: managed.goal.clone(),
        };
        let shards = self.shards.iter().map(planned).collect();
        let (generation, instruments) = (self.generation, Vec::new());
        self.published.publish(Overview { generation, shards, instruments });
    }

    /// What is kept when these are the shards' goals, and these channels have arrived.
    fn kept(
        &self,
        goals: &BTreeMap<String, ChannelSet>,
        arrived: &BTreeSet<String>,
        now: Now,
    ) -> Kept {
        let kept = |(name, shard): (&Arc<str>, &Managed)| {
            let goal = goals.get(&**name).unwrap_or(&shard.goal);
            let comes = |channel: &str| {
                let passage = self.passages.get(channel);
                let here = passage.filter(|it| !it.over && it.to == **name);
                here.is_some() && !arrived.contains(channel)
            };
            let own = goal.iter().filter(|channel| !comes(channel));
            (name.to_string(), own.collect::<ChannelSet>())
        };
        let shards: BTreeMap<String, ChannelSet> = self.shards.iter().map(kept).collect();
        let last = |channel: &String| Some((channel.clone(), self.passages.get(channel)?.last?));
        let mut heard = self.heard.clone();
        heard.extend(arrived.iter().filter_map(last));
        // Also of what is here no more: it may come back, and the journal here will not know it.
        heard.retain(|channel, _| !has_expired(instrument(channel), now.utc.date()));
        Kept { shards, heard }
    }

    /// What is to be done now and then, whoever speaks: notes which channels have arrived, and
    /// refuses wishes that nobody is there to follow.
    ///
    /// # Errors
    /// When arrivals cannot be noted.
    pub fn tend(&mut self, now: Now) -> Result<(), Refused> {
        let heard = self.manager.as_ref().map(|it| it.heard);
        if heard.is_none_or(|at| now.monotonic.saturating_sub(at) > SILENT_AFTER) {
            self.passed.refuse(NOBODY);
        }
        self.arrive(now)
    }

    /// Notes which channels have arrived at shards of this recorder: first on the disk, so that it
    /// goes on with them after a restart, too. If that fails they have not arrived yet.
    fn arrive(&mut self, now: Now) -> Result<(), Refused> {
        let arrived = |(channel, known): (&String, &Known)| {
            let here = !known.over && self.has(&known.to);
            (here && self.ferry.is_over(channel)).then(|| channel.clone())
        };
        let arrived: BTreeSet<String> = self.passages.iter().filter_map(arrived).collect();
        if arrived.is_empty() {
            return Ok(());
        }
        let kept = self.kept(&BTreeMap::new(), &arrived, now);
        self.goals.write(&kept).map_err(Refused::Unkept)?;
        self.heard = kept.heard;
        for channel in &arrived {
            if let Some(known) = self.passages.get_mut(channel) {
                known.over = true;
            }
        }
        Ok(())
    }

    /// Shows the shards what is recorded.
    fn enrol(&mut self, names: &wire::Names, now: Now) {
        self.roster.set(names.names.iter().map(String::as_str), now.utc);
        for (currency, at) in &names.listed {
            self.roster.listed(currency, Duration::from_micros(*at));
        }
        self.names = names.edition;
    }

    fn news(&mut self, seen: &Seen, asks: bool, passages: &[Passage], now: Now) -> News {
        self.hear(seen.words);
        let (wishes, waits) = self.passed.tell(seen.wishes);
        let kept = asks.then(|| self.kept(&BTreeMap::new(), &BTreeSet::new(), now));
        let shard = |(name, managed): (&Arc<str>, &Managed)| {
            let seen = seen.boards.get(&**name).copied();
            let keeps = kept.as_ref().and_then(|kept| kept.shards.get(&**name).cloned());
            Shard { keeps, ..managed.shard(seen) }
        };
        News {
            run: self.run.clone(),
            at_us: u64::try_from(now.monotonic.as_micros()).unwrap_or(u64::MAX),
            shards: self.shards.iter().map(shard).collect(),
            passages: self.passing(passages, now),
            names: self.names,
            words: self.words.iter().cloned().collect(),
            wishes,
            waits,
            missed: self.missed,
            returned: self.returned,
        }
    }

    /// Numbers what the exchange has said; what has arrived is forgotten.
    fn hear(&mut self, arrived: u64) {
        self.words.retain(|(number, _)| *number > arrived);
        while self.words.len() < WORDS_MAX
            && let Some(word) = self.overheard.next()
        {
            self.last_word += 1;
            self.words.push_back((self.last_word, word));
        }
        self.missed += u64::from(self.overheard.has_missed());
        self.returned += u64::from(self.overheard.has_returned());
    }

    fn passing(&self, passages: &[Passage], now: Now) -> Vec<Passing> {
        let open = self.ferry.passages();
        let open: BTreeMap<&str, _> = open.iter().map(|it| (&*it.channel, it)).collect();
        let wanted = passages.iter().filter(|passage| passage.wanted);
        let wanted: BTreeSet<&str> = wanted.map(|passage| &*passage.channel).collect();
        let passing = |(channel, known): (&String, &Known)| {
            let seen = open.get(&**channel);
            let pack = |estate: &Estate| {
                let packed = serde_json::to_string(&(now.monotonic, estate));
                packed.and_then(RawValue::from_string).expect("numbers and names are JSON")
            };
            let estate = seen.filter(|_| wanted.contains(&**channel));
            let estate = estate.and_then(|it| self.ferry.look(channel, it.number, pack));
            Passing {
                channel: channel.clone(),
                number: known.number.unwrap_or_default(),
                from: known.from.clone(),
                to: known.to.clone(),
                watched: seen.is_some_and(|it| it.watched),
                held: seen.is_some_and(|it| it.held) && (known.watched || self.has(&known.from)),
                leaves: known.leaves,
                over: known.over,
                estate,
            }
        };
        self.passages.iter().map(passing).collect()
    }
}

impl Managed {
    /// How it is; without what has arrived already.
    fn shard(&self, seen: Option<u64>) -> Shard {
        let End { shard, board, meters, .. } = &self.end;
        // Before the channels: what changes meanwhile is told again.
        let changes = board.changes();
        let all = || board.channels().iter().map(String::from).collect();
        Shard {
            name: shard.to_string(),
            generation: self.generation,
            keeps: None,
            changes,
            acknowledged: (seen != Some(changes)).then(all),
            state: meters.state(),
            refused: meters.refused.get(),
            counts: [&meters.messages, &meters.bytes, &meters.rows, &meters.attempts, &meters.lost]
                .map(metrics::Counter::get),
            last_message: meters.last_message().map(|at| at.0),
            trouble: meters.trouble(),
        }
    }
}

/// Of a lifecycle that speaks ten times a second.
const SILENT_AFTER: Duration = Duration::from_secs(5);
const NOBODY: &str =
    "no lifecycle speaks to this recorder now, and only a lifecycle changes what it records";
/// How long a lifecycle's word counts after it was heard last.
const ALONE_AFTER: Duration = Duration::from_secs(30);
/// More than the exchange lists in a day.
const WORDS_MAX: usize = 4_096;
