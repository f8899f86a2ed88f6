//! A channel's name, taken apart.
//!
//! PROTOCOL: names of instruments contain no dots, and the interval is the last part.

/// What a channel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel<'a> {
    /// `ticker.X.interval`.
    Ticker(&'a str),
    /// `trades.X.interval` and `trades.kind.currency.interval`: each trade names its instrument.
    Trades,
    /// `book.X.interval`: a snapshot, then changes.
    Book(&'a str),
    /// `book.X.group.depth.interval`: the best levels, whole each time.
    Depth(&'a str),
    /// `perpetual.X.interval`.
    Perpetual(&'a str),
    /// `deribit_price_index.NAME`.
    Index(&'a str),
    /// `instrument.state.KIND.CURRENCY`.
    State,
    /// `platform_state`.
    Platform,
    /// Anything else, with the part of the name that says what it is.
    Other(&'a str),
}

impl<'a> Channel<'a> {
    /// Takes a channel's name apart. Never fails.
    pub(super) fn parse(name: &'a str) -> Self {
        let mut parts = name.split('.');
        let topic = parts.next().unwrap_or_default();
        let rest = [parts.next(), parts.next(), parts.next(), parts.next(), parts.next()];
        match (topic, rest) {
            ("ticker", [Some(instrument), Some(_), None, ..]) => Self::Ticker(instrument),
            ("trades", [Some(_), Some(_), None, ..] | [Some(_), Some(_), Some(_), None, _]) => {
                Self::Trades
            }
            ("book", [Some(instrument), Some(_), None, ..]) => Self::Book(instrument),
            ("book", [Some(instrument), Some(_), Some(_), Some(_), None]) => {
                Self::Depth(instrument)
            }
            ("perpetual", [Some(instrument), Some(_), None, ..]) => Self::Perpetual(instrument),
            ("deribit_price_index", [Some(index), None, ..]) => Self::Index(index),
            ("instrument", [Some("state"), Some(_), Some(_), None, _]) => Self::State,
            ("platform_state", [None, ..]) => Self::Platform,
            ("chart" | "markprice" | "instrument" | "user" | "block_rfq", [Some(second), ..]) => {
                let end = topic.len() + 1 + second.len();
                Self::Other(name.get(..end).unwrap_or(topic))
            }
            _ => Self::Other(topic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_taken_apart() {
        let option = "XRP_USDC-1JAN27-0d625-C";
        for (name, expected) in [
            ("ticker.XRP_USDC-1JAN27-0d625-C.100ms", Channel::Ticker(option)),
            ("trades.XRP_USDC-1JAN27-0d625-C.raw", Channel::Trades),
            ("trades.option.BTC.agg2", Channel::Trades),
            ("book.BTC-PERPETUAL.raw", Channel::Book("BTC-PERPETUAL")),
            ("book.BTC-PERPETUAL.none.20.100ms", Channel::Depth("BTC-PERPETUAL")),
            ("perpetual.BTC-PERPETUAL.100ms", Channel::Perpetual("BTC-PERPETUAL")),
            ("deribit_price_index.btc_usd", Channel::Index("btc_usd")),
            ("quote.BTC-PERPETUAL", Channel::Other("quote")),
            ("chart.trades.BTC-PERPETUAL.1", Channel::Other("chart.trades")),
            ("markprice.options.btc_usd", Channel::Other("markprice.options")),
            ("instrument.state.any.any", Channel::State),
            ("instrument.state.any", Channel::Other("instrument.state")),
            ("platform_state", Channel::Platform),
            ("platform_state.any", Channel::Other("platform_state")),
            ("ticker.X", Channel::Other("ticker")),
            ("book.X.none.20", Channel::Other("book")),
            ("trades.a.b.c.d", Channel::Other("trades")),
            ("", Channel::Other("")),
            ("..", Channel::Other("")),
        ] {
            assert_eq!(Channel::parse(name), expected, "{name}");
        }
    }
}
