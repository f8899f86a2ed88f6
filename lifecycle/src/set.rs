//! The channels one connection is subscribed to.

use std::collections::BTreeSet;

/// A set of channel names. Iterates in name order, so that equal sets make equal requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelSet(BTreeSet<String>);

impl ChannelSet {
    /// Adds a channel; whether it was new.
    pub fn insert(&mut self, channel: impl Into<String>) -> bool {
        self.0.insert(channel.into())
    }

    /// Takes a channel out; whether it was there.
    pub fn remove(&mut self, channel: &str) -> bool {
        self.0.remove(channel)
    }

    /// Whether the channel is in the set.
    #[must_use]
    pub fn contains(&self, channel: &str) -> bool {
        self.0.contains(channel)
    }

    /// How many channels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The channels in name order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The channels of `self` that are not in `other`, in name order.
    pub fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        self.0.difference(&other.0).map(String::as_str)
    }
}

impl<S: Into<String>> FromIterator<S> for ChannelSet {
    fn from_iter<I: IntoIterator<Item = S>>(channels: I) -> Self {
        Self(channels.into_iter().map(Into::into).collect())
    }
}

impl<S: Into<String>> Extend<S> for ChannelSet {
    fn extend<I: IntoIterator<Item = S>>(&mut self, channels: I) {
        self.0.extend(channels.into_iter().map(Into::into));
    }
}
