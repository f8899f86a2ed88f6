//! In a lifecycle: the shards of one recorder elsewhere, as if they were lines of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifecycle::Swap;
use schema::{Micros, Now};
use serde_json::value::RawValue;

use super::End;
use super::wire::{Brief, Goal, Names, News, Passage, Passing, Seen, Shard};
use super::wishes::{Desk, Pursued};
use crate::deribit::{Overheard, Roster};
use crate::ferry::Ferry;
use crate::metrics;
use crate::sync::lock;

/// Shards that have begun anew, each with when it was heard last before: for whoever plans.
#[derive(Clone, Debug, Default)]
pub struct Anew(Arc<Mutex<Begun>>);

type Begun = Vec<(Arc<str>, Micros)>;

impl Anew {
    fn say(&self, shard: &Arc<str>, since: Micros) {
        lock(&self.0).push((Arc::clone(shard), since));
    }

    /// Those since this was asked last. What recorders say of channels on their way waits.
    pub fn settle(&self, mut settle: impl FnMut(&str, Micros)) {
        for (shard, since) in lock(&self.0).drain(..) {
            settle(&shard, since);
        }
    }

    fn is_settled(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

/// Which recorder has a shard, by its address: the first one that says so.
#[derive(Clone, Debug, Default)]
pub struct Claims(Arc<Mutex<BTreeMap<Arc<str>, Arc<str>>>>);

/// One recorder, from the lifecycle's side.
#[derive(Debug)]
pub struct Relay {
    /// The lifecycle, and its run.
    manager: (String, u64),
    /// Briefs made.
    briefs: u64,
    /// The recorder's address.
    url: Arc<str>,
    /// Every shard there is.
    all: Arc<BTreeMap<Arc<str>, End>>,
    claims: Claims,
    /// Those of this recorder, each with its newest goal.
    mine: BTreeMap<Arc<str>, Option<Swap>>,
    ferry: Ferry<Box<RawValue>>,
    overheard: Overheard,
    roster: Roster,
    anew: Anew,
    /// The recorder's run, once it has answered.
    run: Option<String>,
    /// When it answered last.
    heard: Option<Micros>,
    seen: Seen,
    wishes: Pursued,
    /// What the recorder said of itself last: goals and names that it has.
    generations: BTreeMap<Arc<str>, Option<u64>>,
    names: u64,
    counts: (u64, u64),
    /// When answers came, on our monotonic clock, and what they said of the recorder's.
    answers: VecDeque<(Duration, u64)>,
    /// Whether anybody was told that it does not answer.
    lost: bool,
    /// What was said of shards that are not this recorder's.
    refused: BTreeSet<String>,
}

impl Relay {
    /// Of a recorder that was not heard yet.
    #[must_use]
    pub fn new(
        (manager, run): (&str, u64),
        url: &str,
        all: &Arc<BTreeMap<Arc<str>, End>>,
        claims: &Claims,
        ferry: &Ferry<Box<RawValue>>,
        (overheard, roster, anew, desk): (&Overheard, &Roster, &Anew, &Desk),
    ) -> Self {
        Self {
            manager: (manager.to_owned(), run),
            briefs: 0,
            url: url.into(),
            all: Arc::clone(all),
            claims: claims.clone(),
            mine: BTreeMap::new(),
            ferry: ferry.clone(),
            overheard: overheard.clone(),
            roster: roster.clone(),
            anew: anew.clone(),
            run: None,
            heard: None,
            seen: Seen::default(),
            wishes: Pursued::new(desk.clone()),
            generations: BTreeMap::new(),
            names: 0,
            counts: (0, 0),
            answers: VecDeque::new(),
            lost: false,
            refused: BTreeSet::new(),
        }
    }

    /// Where the recorder is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What to say to the recorder now.
    pub fn brief(&mut self) -> Brief {
        let (manager, run) = self.manager.clone();
        self.briefs += 1;
        let number = self.briefs;
        let passages = loop {
            let edition = self.ferry.edition();
            for (shard, swap) in &mut self.mine {
                let newer = self.all.get(shard).and_then(|end| end.mailbox.fetch());
                *swap = newer.or(swap.take());
            }
            let passages = self.passages();
            // Goals and passages of one moment.
            if self.ferry.edition() == edition {
                break passages;
            }
        };
        let to = self.run.clone();
        let question = Brief { manager, run, number, to, asks: true, ..Brief::default() };
        // Whoever has no shard here, or was planned for by nobody yet, is only asked.
        if self.run.is_none() || self.mine.is_empty() || self.mine.values().any(Option::is_none) {
            return question;
        }
        let goal = |(shard, swap): (&Arc<str>, &Option<Swap>)| {
            let Swap { generation, goal } = swap.as_ref()?;
            let has = self.generations.get(shard).copied().flatten() == Some(*generation);
            let channels = || goal.iter().map(String::from).collect();
            let shard = shard.to_string();
            (!has).then(|| Goal { shard, generation: *generation, channels: channels() })
        };
        Brief {
            asks: false,
            goals: self.mine.iter().filter_map(goal).collect(),
            passages,
            names: self.names(),
            answers: self.wishes.answers(),
            seen: Seen { wishes: self.wishes.arrived(), ..self.seen.clone() },
            ..question
        }
    }

    fn passages(&self) -> Vec<Passage> {
        let passages = self.ferry.passages().into_iter();
        let concerns = passages.filter_map(|it| {
            let (from, to) = (self.mine.contains_key(&it.from), self.mine.contains_key(&it.to));
            let bring = to && !from && it.given;
            let estate = || self.ferry.look(&it.channel, it.number, Clone::clone);
            (from || to).then(|| Passage {
                channel: it.channel.to_string(),
                number: it.number,
                from: it.from.to_string(),
                to: it.to.to_string(),
                watched: it.watched || it.given,
                leaves: it.leaves,
                wanted: from && !to && !it.given,
                estate: if bring { estate() } else { None },
            })
        });
        concerns.collect()
    }

    /// What is recorded, unless the recorder has it.
    fn names(&self) -> Option<Names> {
        // Nothing was set before the first edition.
        let edition = self.roster.edition();
        if edition == self.names {
            return None;
        }
        let (names, asked) = self.roster.copy();
        let listed = asked.into_iter().filter_map(|(currency, asked)| {
            let before = self.answers.iter().rev().find(|(came, _)| *came <= asked);
            before.map(|(_, at)| (currency, *at))
        });
        Some(Names { edition, names, listed: listed.collect() })
    }

    /// What the recorder has said.
    pub fn hear(&mut self, news: News, now: Now) {
        if self.run.as_ref() != Some(&news.run) {
            self.begin(&news);
        }
        if std::mem::take(&mut self.lost) {
            tracing::info!("the recorder at {} answers", self.url);
        }
        self.heard = Some(now.utc);
        self.answers.push_back((now.monotonic, news.at_us));
        let old = |at: &Duration| now.monotonic.saturating_sub(*at) > ANSWERS_KEPT;
        while self.answers.front().is_some_and(|(at, _)| old(at)) {
            self.answers.pop_front();
        }
        self.names = news.names;
        for shard in &news.shards {
            self.show(shard);
        }
        for passing in news.passages {
            self.follow(passing);
        }
        for (number, word) in news.words {
            if number > self.seen.words {
                self.seen.words = number;
                self.overheard.say(word);
            }
        }
        self.wishes.take(news.wishes, &news.waits, now.monotonic);
        self.wishes.pursue(&self.all, now.monotonic);
        let (missed, returned) = std::mem::replace(&mut self.counts, (news.missed, news.returned));
        if news.missed > missed {
            self.overheard.miss();
        }
        if news.returned > returned {
            self.overheard.come_back();
        }
    }

    /// The recorder runs, or runs anew: it knows nothing of what it was told before.
    fn begin(&mut self, news: &News) {
        if self.run.is_some() {
            let since = self.heard.unwrap_or_default();
            self.mine.keys().for_each(|shard| self.anew.say(shard, since));
            // It may have missed words while it was away.
            self.overheard.come_back();
        }
        self.run = Some(news.run.clone());
        let has = |name: &Arc<str>| news.shards.iter().any(|shard| *shard.name == **name);
        for shard in self.mine.extract_if(.., |name, _| !has(name)).map(|(shard, _)| shard) {
            tracing::error!("the recorder at {} has shard {shard} no longer", self.url);
            lock(&self.claims.0).remove(&shard);
        }
        self.seen = Seen::default();
        self.wishes.begin_anew();
        self.generations.clear();
        self.counts = (0, 0);
        self.answers.clear();
        for shard in &news.shards {
            self.claim(&shard.name);
        }
    }

    fn claim(&mut self, name: &str) {
        let Some((shard, _)) = self.all.get_key_value(name) else {
            if self.refused.insert(name.to_owned()) {
                let url = &self.url;
                tracing::error!("the recorder at {url} has a shard {name} that is not configured");
            }
            return;
        };
        let mut claims = lock(&self.claims.0);
        let owner = claims.entry(Arc::clone(shard)).or_insert_with(|| Arc::clone(&self.url));
        if *owner == self.url {
            self.mine.entry(Arc::clone(shard)).or_default();
        } else if self.refused.insert(name.to_owned()) {
            tracing::error!(
                "shard {name} is at {owner} already: what {} records of it is not managed",
                self.url
            );
        }
    }

    /// How a shard is.
    fn show(&mut self, shard: &Shard) {
        let Some((name, _)) = self.mine.get_key_value(&*shard.name) else { return };
        let (name, Some(end)) = (Arc::clone(name), self.all.get(name)) else { return };
        self.generations.insert(Arc::clone(&name), shard.generation);
        if let Some(acknowledged) = &shard.acknowledged {
            self.seen.boards.insert(name.to_string(), shard.changes);
            end.board.show(&acknowledged.iter().cloned().collect());
        }
        let goal = self.mine.get(&name).and_then(Option::as_ref).map_or(0, |it| it.goal.len());
        let meters = &end.meters;
        meters.goal.set(goal as u64);
        meters.acknowledged.set(end.board.channels().len() as u64);
        meters.refused.set(shard.refused);
        let counts =
            [&meters.messages, &meters.bytes, &meters.rows, &meters.attempts, &meters.lost];
        std::iter::zip(counts, shard.counts).for_each(|(counter, to)| counter.set(to));
        meters.set_last_message(shard.last_message.map(Micros));
        meters.set_state(shard.state);
        if let Some(trouble) = &shard.trouble {
            meters.set_trouble(trouble);
        }
    }

    /// What has become of a passage.
    fn follow(&self, passing: Passing) {
        let Passing { channel, number, from, to, watched, held, over, estate, .. } = passing;
        let has = |shard: &str| self.mine.contains_key(shard);
        if watched && has(&from) {
            self.ferry.watch(&channel, number);
        }
        if held && has(&to) {
            self.ferry.hold(&channel, number);
        }
        // One who has begun anew does not know what it recorded before: the taker forgets that.
        if let Some(estate) = estate.filter(|_| has(&from) && self.anew.is_settled()) {
            self.ferry.give(&channel, number, estate);
        }
        if over && has(&to) {
            // It has the channel, whatever the one who had it does.
            self.ferry.hold(&channel, number);
            if self.ferry.leaves(&channel, number) {
                self.ferry.end(&channel, number);
            }
        }
    }

    /// The recorder does not answer.
    pub fn failed(&mut self, why: &str) {
        if !std::mem::replace(&mut self.lost, true) {
            tracing::error!("no news of the recorder at {}, it is waited for: {why}", self.url);
        }
        for end in self.mine.keys().filter_map(|shard| self.all.get(shard)) {
            end.meters.set_state(metrics::State::Connecting);
            end.meters.set_trouble(&format!("no news of its recorder: {why}"));
        }
    }
}

/// No list is on its way for longer.
const ANSWERS_KEPT: Duration = Duration::from_mins(1);
