//! Where the data comes from: a market or a recording, behind the same questions.

use crate::channel::{Channel, Directory, Group, Interval, parse};
use crate::listing::Listed;
use crate::market::Market;
use crate::market::instrument::Contract;
use crate::name::{Kind, Name};
use crate::replay::Replay;

/// One of the two sources.
#[derive(Debug)]
pub(crate) enum Venue {
    Market(Box<Market>),
    Replay(Box<Replay>),
}

impl Venue {
    /// A channel by its name; `None` for one that does not exist here.
    pub(crate) fn parse(&self, channel: &str) -> Option<Channel> {
        match self {
            Venue::Market(market) => parse(channel, market.as_ref()),
            Venue::Replay(replay) => replay.parse(channel),
        }
    }

    /// Every channel that can be sent here; raw ones only where somebody may subscribe them.
    pub(crate) fn channels(&self, raw: bool) -> Vec<String> {
        match self {
            Venue::Market(market) => market_channels(market, raw),
            Venue::Replay(replay) => replay.channels().to_vec(),
        }
    }

    /// The instruments that are listed at a time.
    pub(crate) fn listed(&self, now_ms: i64) -> Vec<Listed> {
        match self {
            Venue::Market(market) => list_market(market, now_ms),
            Venue::Replay(replay) => {
                let named = replay.instruments().iter().enumerate();
                let listed = named.filter_map(|(at, name)| {
                    let what = Name::parse(name)?;
                    let period = if what.kind == Kind::Perpetual { "perpetual" } else { "day" };
                    // What was recorded was open then, and is open as long as it is replayed.
                    let id = 1 + at as u64;
                    let created_ms = 1_534_167_754_000;
                    Some(Listed { name: name.clone(), what, id, created_ms, period, is_open: true })
                });
                listed.collect()
            }
        }
    }
}

fn list_market(market: &Market, now_ms: i64) -> Vec<Listed> {
    let listed = market.instruments().iter().enumerate().filter_map(|(at, it)| {
        let period = match it.contract {
            Contract::Perpetual => "perpetual",
            Contract::Option { period, .. } => period.word(),
        };
        Some(Listed {
            name: it.name.to_string(),
            what: Name::parse(&it.name)?,
            id: 500_000 + at as u64,
            created_ms: it.created_ms,
            period,
            is_open: it.is_open(now_ms),
        })
    });
    // The exchange's lists are unsorted: an order that means nothing, but stays.
    let mut listed: Vec<Listed> = listed.collect();
    listed.sort_by_key(|it| it.id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    listed
}

fn market_channels(market: &Market, raw: bool) -> Vec<String> {
    let intervals = Interval::ALL.map(|interval| (interval, interval.word()));
    let intervals = intervals.into_iter().filter(|(interval, _)| raw || *interval != Interval::Raw);
    let intervals: Vec<&str> = intervals.map(|(_, word)| word).collect();
    let mut channels = Vec::new();
    for (id, it) in (0..).zip(market.instruments()) {
        let name = &it.name;
        channels.push(format!("quote.{name}"));
        for interval in &intervals {
            for prefix in ["ticker", "trades", "book"] {
                channels.push(format!("{prefix}.{name}.{interval}"));
            }
            if market.is_perpetual(id) {
                channels.push(format!("perpetual.{name}.{interval}"));
            }
        }
        for depth in [1, 10, 20] {
            channels.push(format!("book.{name}.none.{depth}.100ms"));
            channels.push(format!("book.{name}.none.{depth}.agg2"));
        }
    }
    let coins = market.coins().iter();
    let currencies = coins.clone().map(|coin| coin.name.as_str()).chain(["any"]);
    for currency in currencies {
        for group in Group::ALL.map(Group::word) {
            for interval in &intervals {
                channels.push(format!("trades.{group}.{currency}.{interval}"));
            }
        }
    }
    channels.extend(coins.map(|coin| format!("deribit_price_index.{}", coin.index_name)));
    channels
}
