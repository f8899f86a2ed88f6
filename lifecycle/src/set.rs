//! The channels one connection is subscribed to.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::plan::instrument;

/// A set of channel names. Iterates in name order, so that equal sets make equal requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
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

    /// The channels that are an instrument's own, in name order, each after its instrument.
    pub fn owned(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.iter().map(|channel| (instrument(channel), channel));
        named.filter(|(name, channel)| name != channel && !channel.starts_with(INDEX))
    }

    /// The instruments that have channels of their own in the set, in name order.
    #[must_use]
    pub fn instruments(&self) -> BTreeSet<&str> {
        self.owned().map(|(name, _)| name).collect()
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

/// Channels that are about an index, which is no instrument.
const INDEX: &str = "deribit_price_index.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruments_are_those_with_channels_of_their_own() {
        let channels = [
            "book.A.100ms",
            "deribit_price_index.btc_usd",
            "instrument.state.any.any",
            "ticker.A.100ms",
            "ticker.B.100ms",
            "trades.option.BTC.100ms",
        ];
        let set: ChannelSet = channels.into_iter().collect();
        assert_eq!(set.instruments().into_iter().collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(set.owned().next(), Some(("A", "book.A.100ms")));
    }
}
