//! The instruments that are recorded, whoever has their channels: what a channel that carries all
//! options of a currency may have missed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Names that the plan's owner writes and the decoders read. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Roster(Arc<Mutex<BTreeSet<Box<str>>>>);

impl Roster {
    /// These are recorded from now on.
    pub fn set<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let names = names.map(Box::from).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// Those that are wanted.
    pub(super) fn filtered(&self, wanted: impl Fn(&str) -> bool) -> Vec<Box<str>> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().filter(|name| wanted(name)).cloned().collect()
    }
}
