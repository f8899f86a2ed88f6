//! What somebody has chosen instrument by instrument, whatever the configuration says.

use std::collections::BTreeSet;

use schema::instrument::Shape;
use schema::{Date, Instrument};

/// Instruments that are pinned, so that they are recorded although the configuration names others,
/// and instruments that are excluded, so that they are not.
///
/// Invariant: no instrument is both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    pinned: BTreeSet<String>,
    excluded: BTreeSet<String>,
}

impl Choices {
    /// These are pinned and excluded; what is named as both is pinned.
    #[must_use]
    pub fn new(pinned: BTreeSet<String>, mut excluded: BTreeSet<String>) -> Self {
        excluded.retain(|name| !pinned.contains(name));
        Self { pinned, excluded }
    }

    /// Pins an instrument; whether that changes anything.
    pub fn pin(&mut self, name: &str) -> bool {
        let freed = self.excluded.remove(name);
        self.pinned.insert(name.to_owned()) || freed
    }

    /// Excludes an instrument; whether that changes anything.
    pub fn exclude(&mut self, name: &str) -> bool {
        let freed = self.pinned.remove(name);
        self.excluded.insert(name.to_owned()) || freed
    }

    /// An instrument has ended: nothing is to be remembered of it. Whether anything was.
    pub fn forget(&mut self, name: &str) -> bool {
        self.pinned.remove(name) | self.excluded.remove(name)
    }

    /// Forgets what has expired before this day, by its name; whether anything has.
    pub fn forget_expired(&mut self, today: Date) -> bool {
        let before = self.len();
        self.pinned.retain(|name| !has_expired(name, today));
        self.excluded.retain(|name| !has_expired(name, today));
        self.len() != before
    }

    /// Whether the instrument is pinned.
    #[must_use]
    pub fn is_pinned(&self, name: &str) -> bool {
        self.pinned.contains(name)
    }

    /// Whether the instrument is excluded.
    #[must_use]
    pub fn is_excluded(&self, name: &str) -> bool {
        self.excluded.contains(name)
    }

    /// Those that are pinned, in name order.
    pub fn pinned(&self) -> impl Iterator<Item = &str> {
        self.pinned.iter().map(String::as_str)
    }

    /// Those that are excluded, in name order.
    pub fn excluded(&self) -> impl Iterator<Item = &str> {
        self.excluded.iter().map(String::as_str)
    }

    /// How many choices were made.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pinned.len() + self.excluded.len()
    }

    /// Whether nothing was chosen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether an instrument has expired before this day, by its name.
#[must_use]
pub fn has_expired(name: &str, today: Date) -> bool {
    match Instrument::parse(name).shape {
        Shape::Option { expiry, .. } | Shape::Future { expiry } => expiry < today,
        Shape::Perpetual | Shape::Spot | Shape::Other => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "BTC-6OCT26-86000-C";

    #[test]
    fn no_instrument_is_pinned_and_excluded() {
        let mut choices = Choices::default();
        assert!(choices.exclude(CALL) && !choices.exclude(CALL));
        assert!(choices.pin(CALL) && !choices.pin(CALL));
        assert!(choices.is_pinned(CALL) && !choices.is_excluded(CALL));
        assert!(choices.exclude(CALL));
        assert_eq!((choices.pinned().count(), choices.excluded().count()), (0, 1));
        let both = BTreeSet::from([CALL.to_owned()]);
        assert_eq!(Choices::new(both.clone(), both).len(), 1);
        assert!(choices.forget(CALL) && !choices.forget(CALL) && choices.is_empty());
    }

    #[test]
    fn what_has_expired_is_forgotten() {
        let mut choices = Choices::default();
        choices.pin(CALL);
        choices.exclude("BTC-PERPETUAL");
        assert!(!choices.forget_expired(Date::from_civil(2026, 10, 6)), "it expires today");
        assert!(choices.forget_expired(Date::from_civil(2026, 10, 7)));
        assert_eq!(choices.excluded().collect::<Vec<_>>(), ["BTC-PERPETUAL"]);
    }
}
