//! The instruments that are recorded, whoever has their channels: what a channel that carries all
//! options of a currency may have missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schema::Micros;

/// Names that the plan's owner writes and the decoders read. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Roster(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    names: BTreeSet<Box<str>>,
    /// Those that were recorded within the last day, and until when.
    left: BTreeMap<Box<str>, Micros>,
    /// When the newest list of a currency was asked for whose instruments are here, on the
    /// monotonic clock.
    asked: BTreeMap<Box<str>, Duration>,
    edition: u64,
}

impl Roster {
    /// These are recorded from now on.
    pub fn set<'a>(&self, names: impl Iterator<Item = &'a str>, now: Micros) {
        let names: BTreeSet<Box<str>> = names.map(Box::from).collect();
        let mut content = self.lock();
        let Content { names: before, left, .. } = &mut *content;
        left.extend(before.difference(&names).map(|name| (name.clone(), now)));
        left.retain(|name, at| !names.contains(name) && now.since(*at) < LEFT_MAX);
        content.names = names;
        content.edition += 1;
    }

    /// What a list of the currency's instruments has told is [set](Self::set); it was asked for at
    /// this instant of the monotonic clock.
    pub fn listed(&self, currency: &str, asked: Duration) {
        let mut content = self.lock();
        content.asked.insert(currency.into(), asked);
        content.edition += 1;
    }

    /// Counts the changes: equal means that nothing is new.
    pub(crate) fn edition(&self) -> u64 {
        self.lock().edition
    }

    /// What was [set](Self::set) last, and when the newest list of each currency was
    /// [asked](Self::listed) for.
    pub(crate) fn copy(&self) -> (Vec<String>, Vec<(String, Duration)>) {
        let content = self.lock();
        let names = content.names.iter().map(ToString::to_string).collect();
        let asked = content.asked.iter().map(|(currency, at)| (currency.to_string(), *at));
        (names, asked.collect())
    }

    /// When the newest list of a currency that was taken was asked for. Whatever
    /// [`recorded_since`](Self::recorded_since) says later knows of that list.
    pub(super) fn asked(&self, currency: &str) -> Option<Duration> {
        self.lock().asked.get(currency).copied()
    }

    /// Those that are wanted, of what has been recorded at any time since then.
    pub(super) fn recorded_since(
        &self,
        since: Micros,
        wanted: impl Fn(&str) -> bool,
    ) -> Vec<Box<str>> {
        let content = self.lock();
        let left = content.left.iter().filter(|(_, at)| **at >= since).map(|(name, _)| name);
        content.names.iter().chain(left).filter(|name| wanted(name)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The exchange gives trades back for about a day.
const LEFT_MAX: Duration = Duration::from_hours(25);
