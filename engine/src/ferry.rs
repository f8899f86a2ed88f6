//! Where shards meet while channels go from one to another: the giver leaves there what it knows
//! of a channel, and the taker goes on from it. Shared by threads; nobody waits here.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use lifecycle::Crossings;

use crate::sync::{AtomicU64, Mutex, Ordering};

/// The passages of a process's channels, each with what crosses: `E`. Clones are the same place.
#[derive(Debug)]
pub struct Ferry<E>(Arc<Shared<E>>);

#[derive(Debug)]
struct Shared<E> {
    edition: AtomicU64,
    passages: Mutex<Passages<E>>,
}

#[derive(Debug)]
struct Passages<E> {
    last: u64,
    open: BTreeMap<Box<str>, Passage<E>>,
}

/// A channel's way from one shard to another.
#[derive(Debug)]
struct Passage<E> {
    /// Tells it from an earlier one of the same channel.
    number: u64,
    from: Arc<str>,
    to: Arc<str>,
    /// The giver notes what it records.
    watched: bool,
    /// The taker hears it, and holds what it hears.
    held: bool,
    /// The giver is to let go.
    leaves: bool,
    estate: Option<E>,
}

/// A passage, as others see it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) channel: Box<str>,
    pub(crate) number: u64,
    pub(crate) from: Arc<str>,
    pub(crate) to: Arc<str>,
    pub(crate) watched: bool,
    pub(crate) held: bool,
    pub(crate) leaves: bool,
    /// Whether the giver has left what it knew.
    pub(crate) given: bool,
}

impl<E> Clone for Ferry<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E> Default for Ferry<E> {
    fn default() -> Self {
        let passages = Passages { last: 0, open: BTreeMap::new() };
        Self(Arc::new(Shared { edition: AtomicU64::new(0), passages: Mutex::new(passages) }))
    }
}

impl<E> Ferry<E> {
    /// Counts the changes: equal means that nothing is new.
    pub(crate) fn edition(&self) -> u64 {
        self.0.edition.load(Ordering::Acquire)
    }

    /// The channels that a shard is to give, each with its passage's number.
    pub(crate) fn leaving(&self, shard: &str) -> BTreeMap<Box<str>, u64> {
        self.those(|passage| *passage.from == *shard)
    }

    /// The channels that a shard is to take, each with its passage's number.
    pub(crate) fn coming(&self, shard: &str) -> BTreeMap<Box<str>, u64> {
        self.those(|passage| *passage.to == *shard)
    }

    /// The giver notes what it records of a channel from now on.
    pub(crate) fn watch(&self, channel: &str, number: u64) {
        if self.with(channel, number, |passage| passage.watched = true).is_some() {
            self.changed();
        }
    }

    /// The giver has let go, and this is what it knew. Whether somebody expects it.
    pub(crate) fn give(&self, channel: &str, number: u64, estate: E) -> bool {
        let given = self.with(channel, number, |passage| passage.estate = Some(estate)).is_some();
        if given {
            self.changed();
        }
        given
    }

    /// What the giver, which is elsewhere, knew, for whichever passage of the channel is open.
    /// Whether somebody expects it.
    pub(crate) fn bring(&self, channel: &str, estate: E) -> bool {
        let number = self.lock().open.get(channel).map(|passage| passage.number);
        number.is_some_and(|number| self.give(channel, number, estate))
    }

    /// What the giver has left, which ends the passage.
    pub(crate) fn take(&self, channel: &str, number: u64) -> Option<E> {
        let taken = {
            let mut passages = self.lock();
            let left = |passage: &Passage<E>| passage.number == number && passage.estate.is_some();
            passages.open.get(channel).is_some_and(left).then(|| passages.open.remove(channel))
        };
        let estate = taken.flatten().and_then(|passage| passage.estate);
        if estate.is_some() {
            self.changed();
        }
        estate
    }

    /// The taker hears the channel and holds what it hears.
    pub(crate) fn hold(&self, channel: &str, number: u64) {
        let held = |passage: &mut Passage<E>| !std::mem::replace(&mut passage.held, true);
        if self.with(channel, number, held) == Some(true) {
            self.changed();
        }
    }

    /// Every passage.
    pub(crate) fn passages(&self) -> Vec<Seen> {
        let passages = self.lock();
        let seen = |channel: &str, passage: &Passage<E>| Seen {
            channel: channel.into(),
            number: passage.number,
            from: Arc::clone(&passage.from),
            to: Arc::clone(&passage.to),
            watched: passage.watched,
            held: passage.held,
            leaves: passage.leaves,
            given: passage.estate.is_some(),
        };
        passages.open.iter().map(|(channel, passage)| seen(channel, passage)).collect()
    }

    /// Looks at what the giver has left, and leaves it there.
    pub(crate) fn look<T>(
        &self,
        channel: &str,
        number: u64,
        look: impl FnOnce(&E) -> T,
    ) -> Option<T> {
        self.with(channel, number, |passage| passage.estate.as_ref().map(look)).flatten()
    }

    /// The passage is over: the taker, which is elsewhere, has gone on.
    pub(crate) fn end(&self, channel: &str, number: u64) {
        let ended = {
            let mut passages = self.lock();
            let same = passages.open.get(channel).is_some_and(|it| it.number == number);
            same.then(|| passages.open.remove(channel)).is_some()
        };
        if ended {
            self.changed();
        }
    }

    /// Whether the giver is to let go, or has.
    pub(crate) fn leaves(&self, channel: &str, number: u64) -> bool {
        self.with(channel, number, |passage| passage.leaves) == Some(true)
    }

    fn those(&self, wanted: impl Fn(&Passage<E>) -> bool) -> BTreeMap<Box<str>, u64> {
        let passages = self.lock();
        let those = passages.open.iter().filter(|(_, passage)| wanted(passage));
        those.map(|(channel, passage)| (channel.clone(), passage.number)).collect()
    }

    fn with<T>(
        &self,
        channel: &str,
        number: u64,
        change: impl FnOnce(&mut Passage<E>) -> T,
    ) -> Option<T> {
        let mut passages = self.lock();
        let passage = passages.open.get_mut(channel).filter(|it| it.number == number);
        passage.map(change)
    }

    fn changed(&self) {
        self.0.edition.fetch_add(1, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Passages<E>> {
        self.0.passages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: std::fmt::Debug> Crossings for Ferry<E> {
    fn announce(&self, channel: &str, from: &Arc<str>, to: &Arc<str>) {
        let mut passages = self.lock();
        passages.last += 1;
        let passage = Passage {
            number: passages.last,
            from: Arc::clone(from),
            to: Arc::clone(to),
            watched: false,
            held: false,
            leaves: false,
            estate: None,
        };
        passages.open.insert(channel.into(), passage);
        drop(passages);
        self.changed();
    }

    fn cancel(&self, channel: &str) {
        self.lock().open.remove(channel);
        self.changed();
    }

    fn silent(&self, channel: &str) {
        if let Some(passage) = self.lock().open.get_mut(channel) {
            passage.watched = true;
        }
        self.changed();
    }

    fn is_watched(&self, channel: &str) -> bool {
        self.lock().open.get(channel).is_some_and(|passage| passage.watched)
    }

    fn is_held(&self, channel: &str) -> bool {
        self.lock().open.get(channel).is_some_and(|passage| passage.held)
    }

    fn let_go(&self, channel: &str) {
        if let Some(passage) = self.lock().open.get_mut(channel) {
            passage.leaves = true;
        }
        self.changed();
    }

    fn is_over(&self, channel: &str) -> bool {
        !self.lock().open.contains_key(channel)
    }

    fn again(&self, channel: &str) {
        {
            let mut passages = self.lock();
            let Passages { last, open } = &mut *passages;
            if let Some(passage) = open.get_mut(channel) {
                *last += 1;
                // Nobody notes anything for this number yet.
                (passage.number, passage.watched, passage.estate) = (*last, false, None);
            }
        }
        self.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced() -> (Ferry<&'static str>, u64) {
        let ferry = Ferry::default();
        ferry.announce("c", &"a".into(), &"b".into());
        let number = ferry.leaving("a")["c"];
        (ferry, number)
    }

    #[test]
    fn what_is_given_is_taken_once() {
        let (ferry, number) = announced();
        assert_eq!(ferry.coming("b")["c"], number);
        assert!(ferry.leaving("b").is_empty() && !ferry.is_watched("c"));
        ferry.watch("c", number);
        assert!(ferry.is_watched("c"));
        assert_eq!(ferry.take("c", number), None);
        assert!(ferry.give("c", number, "all"));
        assert!(!ferry.is_over("c"));
        let edition = ferry.edition();
        assert_eq!((ferry.take("c", number), ferry.take("c", number)), (Some("all"), None));
        assert!(ferry.is_over("c") && ferry.edition() > edition);
    }

    #[test]
    fn what_was_meant_for_another_passage_is_nobodys() {
        let (ferry, old) = announced();
        ferry.cancel("c");
        ferry.announce("c", &"a".into(), &"b".into());
        ferry.watch("c", old);
        assert!(!ferry.is_watched("c") && !ferry.give("c", old, "all"));
        assert_eq!(ferry.take("c", old), None);
    }

    #[test]
    fn who_lets_go_is_told_after_who_holds() {
        let (ferry, number) = announced();
        assert!(!ferry.is_held("c") && !ferry.leaves("c", number));
        ferry.hold("c", number);
        let edition = ferry.edition();
        ferry.hold("c", number);
        assert!(ferry.is_held("c") && ferry.edition() == edition, "nothing new");
        ferry.let_go("c");
        assert!(ferry.leaves("c", number) && !ferry.leaves("c", number + 1));
    }
}
