//! Channels: what can be subscribed, as types instead of text.

/// Which instrument of a venue: an index into its list.
pub(crate) type InstrumentId = u32;

/// How often a channel may speak. `Agg2` is about once a second (measured; the documentation
/// gives one and two seconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Interval {
    Raw,
    Hundred,
    Agg2,
}

impl Interval {
    pub(crate) const ALL: [Interval; 3] = [Interval::Raw, Interval::Hundred, Interval::Agg2];

    pub(crate) fn parse(word: &str) -> Option<Interval> {
        Interval::ALL.into_iter().find(|interval| interval.word() == word)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Interval::Raw => "raw",
            Interval::Hundred => "100ms",
            Interval::Agg2 => "agg2",
        }
    }
}

/// `option` or `future` in a channel for a whole kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Group {
    Option,
    Future,
    Any,
}

impl Group {
    pub(crate) const ALL: [Group; 3] = [Group::Option, Group::Future, Group::Any];

    pub(crate) fn parse(word: &str) -> Option<Group> {
        Group::ALL.into_iter().find(|group| group.word() == word)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Group::Option => "option",
            Group::Future => "future",
            Group::Any => "any",
        }
    }
}

/// The kinds of `instrument.state.KIND.CURRENCY`.
const STATE_KINDS: [&str; 6] = ["any", "option", "future", "spot", "option_combo", "future_combo"];

/// The currencies of `instrument.state.KIND.CURRENCY`, traded here or not.
const STATE_CURRENCIES: [&str; 6] = ["any", "BTC", "ETH", "USDC", "USDT", "EURR"];

/// A channel that exists on this exchange. Currencies are indexes into the market's list, `None`
/// is `any`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Channel {
    Ticker(InstrumentId, Interval),
    Trades(InstrumentId, Interval),
    GroupTrades(Group, Option<u8>, Interval),
    Book(InstrumentId, Interval),
    /// The best levels of a book, ungrouped: instrument, depth, interval.
    Window(InstrumentId, u8, Interval),
    Quote(InstrumentId),
    Perpetual(InstrumentId, Interval),
    Index(u8),
    Volatility(u8),
    /// States of instruments, by kind and currency: places in the lists below.
    State(u8, u8),
    Platform,
    PlatformMethods,
    /// A channel of a recording, by its number there.
    Recorded(u32),
}

impl Channel {
    /// How often it may speak, where its name says so.
    pub(crate) fn interval(self) -> Option<Interval> {
        match self {
            Channel::Ticker(_, interval)
            | Channel::Trades(_, interval)
            | Channel::GroupTrades(_, _, interval)
            | Channel::Book(_, interval)
            | Channel::Window(_, _, interval)
            | Channel::Perpetual(_, interval) => Some(interval),
            Channel::Quote(_)
            | Channel::Index(_)
            | Channel::Volatility(_)
            | Channel::State(_, _)
            | Channel::Platform
            | Channel::PlatformMethods
            | Channel::Recorded(_) => None,
        }
    }

    /// Whether only an authenticated connection may subscribe it.
    pub(crate) fn is_raw(self) -> bool {
        self.interval() == Some(Interval::Raw)
    }
}

/// The channels on which an instrument's states are told.
pub(crate) fn states_of(kind: &str, currency: &str) -> Vec<Channel> {
    let kinds = ["any", kind].into_iter().filter_map(|word| place(&STATE_KINDS, word));
    let currencies = || ["any", currency].into_iter().filter_map(|it| place(&STATE_CURRENCIES, it));
    kinds
        .flat_map(|kind| currencies().map(move |currency| Channel::State(kind, currency)))
        .collect()
}

/// Channels as text, for a venue that knows its instruments and currencies.
pub(crate) trait Directory {
    fn instrument(&self, name: &str) -> Option<InstrumentId>;
    /// Whether this instrument is a perpetual.
    fn is_perpetual(&self, instrument: InstrumentId) -> bool;
    /// `BTC` to its number.
    fn currency(&self, name: &str) -> Option<u8>;
    /// `btc_usd` to its currency's number.
    fn index(&self, name: &str) -> Option<u8>;
}

/// Reads a channel's name; `None` for whatever does not exist here.
pub(crate) fn parse(text: &str, directory: &impl Directory) -> Option<Channel> {
    let parts: Vec<&str> = text.split('.').collect();
    let currency = |word: &str| match word {
        "any" => Some(None),
        name => directory.currency(name).map(Some),
    };
    Some(match parts.as_slice() {
        ["ticker", name, interval] => {
            Channel::Ticker(directory.instrument(name)?, Interval::parse(interval)?)
        }
        ["trades", name, interval] => {
            Channel::Trades(directory.instrument(name)?, Interval::parse(interval)?)
        }
        ["trades", group, word, interval] => {
            Channel::GroupTrades(Group::parse(group)?, currency(word)?, Interval::parse(interval)?)
        }
        ["book", name, interval] => {
            Channel::Book(directory.instrument(name)?, Interval::parse(interval)?)
        }
        ["book", name, "none", depth @ ("1" | "10" | "20"), interval @ ("100ms" | "agg2")] => {
            Channel::Window(
                directory.instrument(name)?,
                depth.parse().ok()?,
                Interval::parse(interval)?,
            )
        }
        ["quote", name] => Channel::Quote(directory.instrument(name)?),
        ["perpetual", name, interval] => {
            let instrument = directory.instrument(name)?;
            if !directory.is_perpetual(instrument) {
                return None;
            }
            Channel::Perpetual(instrument, Interval::parse(interval)?)
        }
        ["deribit_price_index", name] => Channel::Index(directory.index(name)?),
        ["deribit_volatility_index", name] => Channel::Volatility(directory.index(name)?),
        ["instrument", "state", kind, currency] => {
            Channel::State(place(&STATE_KINDS, kind)?, place(&STATE_CURRENCIES, currency)?)
        }
        ["platform_state"] => Channel::Platform,
        ["platform_state", "public_methods_state"] => Channel::PlatformMethods,
        _ => return None,
    })
}

fn place(words: &[&str], word: &str) -> Option<u8> {
    words.iter().position(|known| *known == word).map(|at| at as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Directory for One {
        fn instrument(&self, name: &str) -> Option<InstrumentId> {
            ["BTC-PERPETUAL", "BTC-6OCT26-86000-C"]
                .iter()
                .position(|known| *known == name)
                .map(|at| at as u32)
        }
        fn is_perpetual(&self, instrument: InstrumentId) -> bool {
            instrument == 0
        }
        fn currency(&self, name: &str) -> Option<u8> {
            (name == "BTC").then_some(0)
        }
        fn index(&self, name: &str) -> Option<u8> {
            (name == "btc_usd").then_some(0)
        }
    }

    #[test]
    fn channels_that_exist() {
        for (text, expected) in [
            ("ticker.BTC-6OCT26-86000-C.100ms", Channel::Ticker(1, Interval::Hundred)),
            ("trades.BTC-PERPETUAL.raw", Channel::Trades(0, Interval::Raw)),
            (
                "trades.option.BTC.agg2",
                Channel::GroupTrades(Group::Option, Some(0), Interval::Agg2),
            ),
            ("book.BTC-PERPETUAL.100ms", Channel::Book(0, Interval::Hundred)),
            ("book.BTC-PERPETUAL.none.10.100ms", Channel::Window(0, 10, Interval::Hundred)),
            ("instrument.state.any.any", Channel::State(0, 0)),
            ("instrument.state.spot.USDC", Channel::State(3, 3)),
            ("deribit_price_index.btc_usd", Channel::Index(0)),
        ] {
            assert_eq!(parse(text, &One), Some(expected), "{text}");
        }
    }

    #[test]
    fn channels_that_do_not() {
        for text in [
            "book.NOPE.100ms",
            "book.BTC-PERPETUAL.50ms",
            "book.BTC-PERPETUAL.none.50.100ms",
            "bogus.channel",
            "perpetual.BTC-6OCT26-86000-C.100ms",
            "ticker.btc-perpetual.100ms",
            "trades.option.DOGE.100ms",
            "instrument.state.option.DOGE",
            "",
        ] {
            assert_eq!(parse(text, &One), None, "{text}");
        }
    }
}
