//! What is recorded: from the exchange's list of instruments, or a list of channels, to the
//! channels of every group of shards.

use std::fmt;

use lifecycle::{ChannelSet, Group};
use schema::Instrument;
use schema::instrument::Shape;

use crate::config::{BookMode, Class, Config, Shard};

/// An instrument that is on the exchange's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// The currency for which it was asked.
    pub currency: String,
}

/// Why nothing can be selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectionError {
    /// An instrument that was named is not on the list.
    Unknown {
        /// What was named.
        instrument: String,
        /// The name on the list that looks most like it.
        nearest: Option<String>,
    },
    /// No group of shards takes the channels of this currency.
    Homeless {
        /// The currency.
        currency: String,
    },
    /// There is nothing to record.
    Nothing,
}

/// The groups that record every candidate, or only those that the configuration names.
///
/// # Errors
/// When a named instrument is not a candidate, a group is missing, or nothing is left.
pub fn from_instruments(
    config: &Config,
    candidates: &[Candidate],
) -> Result<Vec<Group>, SelectionError> {
    let wanted = &config.exchange.instruments;
    for instrument in wanted {
        if !candidates.iter().any(|candidate| candidate.name == *instrument) {
            let nearest = nearest(instrument, candidates);
            return Err(SelectionError::Unknown { instrument: instrument.clone(), nearest });
        }
    }
    let mut groups = Groups::new(config);
    let mut perpetuals = false;
    for candidate in candidates {
        if !wanted.is_empty() && !wanted.contains(&candidate.name) {
            continue;
        }
        match Instrument::parse(&candidate.name).shape {
            Shape::Option { .. } => groups.option(config, candidate, wanted.is_empty())?,
            Shape::Perpetual => {
                groups.perpetual(config, &candidate.name)?;
                perpetuals = true;
            }
            Shape::Future { .. } | Shape::Spot | Shape::Other => {}
        }
    }
    if config.exchange.channels.contains(&Class::Index) && (perpetuals || wanted.is_empty()) {
        for currency in &config.exchange.currencies {
            let index = format!("deribit_price_index.{}_usd", currency.to_lowercase());
            groups.add(None, index, currency)?;
        }
    }
    if wanted.is_empty() && !groups.is_empty() {
        // Where nobody takes it, the exchange's lists alone tell of new instruments.
        for channel in [STATES, PLATFORM] {
            let _ = groups.add(None, channel.into(), channel);
        }
    }
    groups.finish()
}

/// The groups that record exactly these channels.
///
/// # Errors
/// When a group is missing, or there is no channel.
pub fn from_channels(config: &Config, channels: &[String]) -> Result<Vec<Group>, SelectionError> {
    let mut groups = Groups::new(config);
    for channel in channels {
        let subject = channel.split('.').nth(1).unwrap_or_default();
        let instrument = Instrument::parse(subject);
        let currency = match instrument.shape {
            Shape::Option { .. } => Some(instrument.currency),
            Shape::Perpetual | Shape::Future { .. } | Shape::Spot | Shape::Other => None,
        };
        groups.add(currency, channel.clone(), instrument.currency)?;
    }
    groups.finish()
}

/// Channels from a text: one a line, or a recording, whose frames name their channels. Blank
/// lines and lines that begin with `#` are passed over.
#[must_use]
pub fn channels_in(text: &str) -> Vec<String> {
    let mut channels = ChannelSet::default();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.starts_with('{') {
            true => channels.extend(channel_of(line)),
            false => channels.extend([line]),
        }
    }
    channels.iter().map(String::from).collect()
}

/// The channel of a bare frame, or of a line of a recording.
fn channel_of(line: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    let frame = match value.get("frame").and_then(serde_json::Value::as_str) {
        Some(frame) => serde_json::from_str(frame).ok()?,
        None => value,
    };
    Some(frame.get("params")?.get("channel")?.as_str()?.to_owned())
}

/// Channels gathered by group.
struct Groups(Vec<(Shard, ChannelSet)>);

impl Groups {
    fn new(config: &Config) -> Self {
        Self(
            config.shard_groups().into_iter().map(|shard| (shard, ChannelSet::default())).collect(),
        )
    }

    fn option(
        &mut self,
        config: &Config,
        candidate: &Candidate,
        all: bool,
    ) -> Result<(), SelectionError> {
        let Candidate { name, currency } = candidate;
        let interval = config.exchange.interval;
        for class in &config.exchange.channels {
            let channel = match class {
                Class::Ticker => format!("ticker.{name}.{interval}"),
                // One channel carries every option of the currency, those listed later too.
                Class::Trades if all => format!("trades.option.{currency}.{interval}"),
                Class::Trades => format!("trades.{name}.{interval}"),
                Class::Book | Class::Perpetual | Class::Index => continue,
            };
            self.add(Some(currency), channel, currency)?;
        }
        if config.book_mode() == BookMode::Incremental {
            self.add(Some(currency), format!("book.{name}.{interval}"), currency)?;
        }
        Ok(())
    }

    fn perpetual(&mut self, config: &Config, name: &str) -> Result<(), SelectionError> {
        let interval = config.exchange.interval;
        for class in &config.exchange.channels {
            let channel = match class {
                Class::Ticker => format!("ticker.{name}.{interval}"),
                Class::Trades => format!("trades.{name}.{interval}"),
                Class::Perpetual => format!("perpetual.{name}.{interval}"),
                Class::Book | Class::Index => continue,
            };
            self.add(None, channel, name)?;
        }
        if config.book_mode() == BookMode::Incremental {
            self.add(None, format!("book.{name}.{interval}"), name)?;
        }
        Ok(())
    }

    /// Adds a channel to the group of its currency, else to the group of everything else.
    fn add(
        &mut self,
        currency: Option<&str>,
        channel: String,
        of: &str,
    ) -> Result<(), SelectionError> {
        let home = |wanted: Option<&str>| {
            self.0.iter().position(|(shard, _)| shard.currency.as_deref() == wanted)
        };
        let Some(group) = home(currency).or_else(|| home(None)) else {
            return Err(SelectionError::Homeless { currency: of.to_owned() });
        };
        self.0[group].1.insert(channel);
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, channels)| channels.is_empty())
    }

    fn finish(self) -> Result<Vec<Group>, SelectionError> {
        if self.is_empty() {
            return Err(SelectionError::Nothing);
        }
        let group = |(shard, channels): (Shard, ChannelSet)| Group {
            name: shard.name,
            shards: shard.count,
            capacity: shard.capacity,
            channels,
        };
        Ok(self.0.into_iter().map(group).collect())
    }
}

/// What the exchange says of instruments unasked. PROTOCOL 10: it acknowledges `any.any`.
const STATES: &str = "instrument.state.any.any";
/// While a currency is locked its states are not announced (PROTOCOL 9).
const PLATFORM: &str = "platform_state";

/// The candidate whose name shares the longest beginning, if it is long enough to be meant.
fn nearest(name: &str, candidates: &[Candidate]) -> Option<String> {
    let shared = |candidate: &&Candidate| {
        std::iter::zip(candidate.name.chars(), name.to_uppercase().chars())
            .take_while(|(a, b)| a == b)
            .count()
    };
    candidates
        .iter()
        .max_by_key(shared)
        .filter(|candidate| shared(candidate) >= 4)
        .map(|candidate| candidate.name.clone())
}

impl fmt::Display for SelectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { instrument, nearest: Some(nearest) } => write!(
                f,
                "the exchange lists no instrument {instrument:?}; did you mean {nearest}?"
            ),
            Self::Unknown { instrument, nearest: None } => {
                write!(f, "the exchange lists no instrument {instrument:?} among these currencies")
            }
            Self::Homeless { currency } => {
                write!(f, "no [[shards]] entry takes {currency}: add one without a currency")
            }
            Self::Nothing => {
                f.write_str("there is nothing to record: no instrument matches the configuration")
            }
        }
    }
}

impl std::error::Error for SelectionError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(names: &[&str]) -> Vec<Candidate> {
        let candidate = |name: &&str| Candidate { name: (*name).into(), currency: "BTC".into() };
        names.iter().map(candidate).collect()
    }

    #[track_caller]
    fn check(config: &Config, names: &[&str], expected: &[&str]) {
        let groups = from_instruments(config, &candidates(names)).unwrap();
        let show = |group: &Group| {
            let channels: Vec<&str> = group.channels.iter().collect();
            format!("{}*{}: {}", group.name, group.shards, channels.join(" "))
        };
        let used = groups.iter().filter(|group| !group.channels.is_empty());
        assert_eq!(used.map(show).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn everything_open_is_selected() {
        let mut config = Config::default();
        config.exchange.currencies = vec!["BTC".into()];
        check(
            &config,
            &["BTC-6OCT26-1-C", "BTC-6OCT26-1-P", "BTC-PERPETUAL", "BTC-6OCT26", "BTC_USDT"],
            &[
                "btc-options*3: ticker.BTC-6OCT26-1-C.100ms ticker.BTC-6OCT26-1-P.100ms \
                 trades.option.BTC.100ms",
                "perpetuals*1: deribit_price_index.btc_usd instrument.state.any.any \
                 perpetual.BTC-PERPETUAL.100ms platform_state ticker.BTC-PERPETUAL.100ms \
                 trades.BTC-PERPETUAL.100ms",
            ],
        );
    }

    #[test]
    fn named_instruments_alone_are_selected() {
        let mut config = Config::default();
        config.exchange.instruments = vec!["BTC-6OCT26-1-C".into()];
        check(
            &config,
            &["BTC-6OCT26-1-C", "BTC-6OCT26-1-P"],
            &["btc-options*3: ticker.BTC-6OCT26-1-C.100ms trades.BTC-6OCT26-1-C.100ms"],
        );
        config.exchange.instruments = vec!["btc-6OCT26-2-C".into()];
        let error = from_instruments(&config, &candidates(&["BTC-6OCT26-1-C"])).unwrap_err();
        assert!(error.to_string().contains("did you mean BTC-6OCT26-1-C?"), "{error}");
    }

    #[test]
    fn every_change_of_a_book_is_a_channel_more() {
        let mut config = Config::default();
        config.exchange.channels = vec![Class::Ticker];
        config.books.mode = BookMode::Incremental;
        let expected = [
            "btc-options*6: book.BTC-6OCT26-1-C.100ms ticker.BTC-6OCT26-1-C.100ms",
            "perpetuals*1: book.BTC-PERPETUAL.100ms instrument.state.any.any \
             platform_state ticker.BTC-PERPETUAL.100ms",
        ];
        check(&config, &["BTC-6OCT26-1-C", "BTC-PERPETUAL"], &expected);
        config.books.mode = BookMode::Off;
        config.exchange.channels.push(Class::Book);
        check(&config, &["BTC-6OCT26-1-C", "BTC-PERPETUAL"], &expected);
    }

    #[test]
    fn channels_are_read_from_lists_and_recordings() {
        let text = "# mine\nticker.A.raw\n\n\
            {\"params\":{\"channel\":\"quote.B\"}}\n\
            {\"received_at\":1,\"connection\":0,\"frame\":\
            \"{\\\"params\\\":{\\\"channel\\\":\\\"book.C.raw\\\"}}\"}\n\
            {\"result\":[]}\n";
        assert_eq!(channels_in(text), ["book.C.raw", "quote.B", "ticker.A.raw"]);
        let groups = from_channels(&Config::default(), &channels_in(text)).unwrap();
        let channels: Vec<usize> = groups.iter().map(|group| group.channels.len()).collect();
        assert_eq!(channels, [0, 0, 3], "a group may be empty now and not later");
    }
}
