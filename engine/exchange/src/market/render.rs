//! What an event looks like on each channel: the data part of the notifications.

use crate::channel::{Channel, Group, Interval, states_of};
use crate::market::book::{BookChange, Ladder, Touch};
use crate::market::instrument::{Contract, Instrument, More, Stage, Stats, Ticker};
use crate::market::tape::Wanted;
use crate::market::{Event, INDEXES, Market, Trade};
use crate::wire::Value;

impl Market {
    /// The channels on which an event is told.
    pub(crate) fn channels_of(&self, event: &Event) -> Vec<Channel> {
        let mut channels = Vec::with_capacity(20);
        match event {
            Event::Quote { instrument, book, slow } => {
                channels.push(Channel::Ticker(*instrument, Interval::Raw));
                channels.push(Channel::Ticker(*instrument, Interval::Hundred));
                if *slow {
                    channels.push(Channel::Ticker(*instrument, Interval::Agg2));
                }
                if book.is_some() {
                    self.book_channels(*instrument, &mut channels);
                }
            }
            Event::Trades { instrument, book, .. } => {
                let (group, currency) = self.group_of(*instrument);
                for interval in Interval::ALL {
                    channels.push(Channel::Trades(*instrument, interval));
                    for group in [group, Group::Any] {
                        channels.push(Channel::GroupTrades(group, Some(currency), interval));
                        channels.push(Channel::GroupTrades(group, None, interval));
                    }
                }
                if book.is_some() {
                    self.book_channels(*instrument, &mut channels);
                }
            }
            Event::Index(currency) => channels.push(Channel::Index(*currency)),
            Event::State(instrument, _) => {
                let (group, currency) = self.group_of(*instrument);
                let coin = self.coins().get(usize::from(currency)).into_iter();
                channels.extend(coin.flat_map(|coin| states_of(group.word(), &coin.name)));
            }
            Event::Platform(_) => channels.push(Channel::Platform),
            Event::Last(instrument) => {
                channels
                    .extend(Interval::ALL.map(|interval| Channel::Ticker(*instrument, interval)));
            }
            Event::Interest(instrument) => {
                let told = Interval::ALL.map(|interval| Channel::Perpetual(*instrument, interval));
                channels.extend(told);
            }
        }
        channels
    }

    fn book_channels(&self, instrument: u32, channels: &mut Vec<Channel>) {
        channels.push(Channel::Quote(instrument));
        for interval in Interval::ALL {
            channels.push(Channel::Book(instrument, interval));
        }
        for depth in [1, 10, 20] {
            channels.push(Channel::Window(instrument, depth, Interval::Hundred));
            channels.push(Channel::Window(instrument, depth, Interval::Agg2));
        }
    }

    fn group_of(&self, instrument: u32) -> (Group, u8) {
        let it = self.at(instrument);
        let group = match it.contract {
            Contract::Perpetual => Group::Future,
            Contract::Option { .. } => Group::Option,
        };
        (group, it.currency)
    }

    /// An event's data on one of its channels.
    pub(crate) fn data<'a>(&'a self, event: &'a Event, channel: Channel) -> Option<Value<'a>> {
        match (event, channel) {
            (Event::Trades { instrument, trades, .. }, Channel::Trades(..))
            | (Event::Trades { instrument, trades, .. }, Channel::GroupTrades(..)) => {
                let it = self.at(*instrument);
                Some(Value::Array(trades.iter().map(|trade| tell_trade(it, trade)).collect()))
            }
            (
                Event::Quote { instrument, book: Some(change), .. }
                | Event::Trades { instrument, book: Some(change), .. },
                Channel::Book(..),
            ) => Some(self.tell_change(*instrument, change)),
            (Event::Platform(at), _) => Some(Value::Object(vec![
                ("price_index", Value::Text(INDEXES.get(*at)?)),
                ("locked", Value::Bool(false)),
            ])),
            (Event::State(instrument, state), _) => Some(Value::Object(vec![
                ("timestamp", Value::Int(self.now_ms())),
                ("state", Value::Text(state)),
                ("instrument_name", Value::Text(&self.at(*instrument).name)),
            ])),
            _ => self.state(channel),
        }
    }

    /// What a channel says to a new listener at once: nothing where only events matter.
    pub(crate) fn state(&self, channel: Channel) -> Option<Value<'_>> {
        match channel {
            Channel::Ticker(instrument, _) => {
                let it = self.at(instrument);
                Some(self.tell_ticker(it, it.ticker.as_ref()?))
            }
            // A brand-new book begins with a change, and there is nothing to show before it.
            Channel::Book(instrument, _) if self.at(instrument).book.change_id == 0 => None,
            Channel::Book(instrument, _) => Some(self.tell_snapshot(instrument)),
            Channel::Window(instrument, depth, _) => Some(self.tell_window(instrument, depth)),
            Channel::Quote(instrument) => {
                let it = self.at(instrument);
                let mut fields = vec![
                    ("timestamp", Value::Int(self.now_ms())),
                    ("instrument_name", Value::Text(&it.name)),
                ];
                fields.extend(best(it, it.book.bids.best(), it.book.asks.best()));
                Some(Value::Object(fields))
            }
            Channel::Perpetual(instrument, _) => {
                let ticker = self.at(instrument).ticker.as_ref()?;
                let More::Perpetual { interest, .. } = ticker.more else { return None };
                Some(Value::Object(vec![
                    ("timestamp", Value::Int(self.now_ms())),
                    ("interest", Value::Float(interest)),
                    ("index_price", Value::Float(ticker.index)),
                ]))
            }
            Channel::Index(currency) => {
                let coin = self.coins().get(usize::from(currency))?;
                Some(Value::Object(vec![
                    ("timestamp", Value::Int(self.now_ms())),
                    ("price", Value::Float(coin.index)),
                    ("index_name", Value::Text(&coin.index_name)),
                ]))
            }
            Channel::Trades(..)
            | Channel::GroupTrades(..)
            | Channel::Volatility(_)
            | Channel::State(..)
            | Channel::Platform
            | Channel::PlatformMethods
            | Channel::Recorded(_) => None,
        }
    }

    /// The trades of an instrument that are asked for, and whether there are more.
    pub(crate) fn trades(&self, instrument: u32, wanted: &Wanted) -> (Value<'_>, bool) {
        let it = self.at(instrument);
        let (trades, more) = it.tape.find(wanted, self.now_ms());
        (Value::Array(trades.into_iter().map(|trade| tell_trade(it, trade)).collect()), more)
    }

    /// Trades of any instruments, in this order.
    pub(crate) fn tell_trades<'a>(&'a self, trades: &'a [(u32, Trade)]) -> Value<'a> {
        Value::Array(trades.iter().map(|(id, trade)| tell_trade(self.at(*id), trade)).collect())
    }

    fn tell_ticker<'a>(&'a self, it: &'a Instrument, ticker: &'a Ticker) -> Value<'a> {
        // Seen on the wire: the word in the place of the number, at first with the state open.
        let (state, estimated) = match it.stage {
            Stage::Open => ("open", Value::Float(ticker.index)),
            Stage::Settling => ("open", Value::Text("expired")),
            Stage::Delivered(_) => ("closed", Value::Text("expired")),
        };
        let mut fields = vec![
            ("timestamp", Value::Int(ticker.timestamp_ms)),
            ("state", Value::Text(state)),
            ("stats", tell_stats(&it.stats, it.contract == Contract::Perpetual)),
        ];
        if let More::Option { greeks, .. } = &ticker.more {
            let greeks = vec![
                ("delta", Value::Float(greeks.delta)),
                ("gamma", Value::Float(greeks.gamma)),
                ("vega", Value::Float(greeks.vega)),
                ("theta", Value::Float(greeks.theta)),
                ("rho", Value::Float(greeks.rho)),
            ];
            fields.push(("greeks", Value::Object(greeks)));
        }
        fields.push(("index_price", Value::Float(ticker.index)));
        fields.push(("instrument_name", Value::Text(&it.name)));
        fields.push(("last_price", maybe(it.stats.last_price)));
        if let Some(price) = it.settlement_price {
            fields.push(("settlement_price", Value::Float(price)));
        }
        fields.push(("min_price", Value::Float(ticker.min)));
        fields.push(("max_price", Value::Float(ticker.max)));
        // The exchange counts an inverse perpetual's dollars in whole numbers.
        let open_interest = it.grid.amount(it.open_interest_lots);
        fields.push(match it.contract {
            Contract::Perpetual => ("open_interest", Value::Int(open_interest as i64)),
            Contract::Option { .. } => ("open_interest", Value::Float(open_interest)),
        });
        fields.push(("mark_price", Value::Float(ticker.mark)));
        fields.push(("estimated_delivery_price", estimated));
        if let Stage::Delivered(price) = it.stage {
            fields.push(("delivery_price", Value::Float(price)));
        }
        fields.extend(best(it, ticker.bid, ticker.ask));
        self.tell_more(it, ticker, &mut fields);
        Value::Object(fields)
    }

    fn tell_more<'a>(
        &'a self,
        it: &'a Instrument,
        ticker: &Ticker,
        fields: &mut Vec<(&'static str, Value<'a>)>,
    ) {
        match &ticker.more {
            More::Option { underlying, mark_iv, bid_iv, ask_iv, .. } => {
                fields.push(("interest_rate", Value::Float(0.0)));
                fields.push(("mark_iv", Value::Float(*mark_iv)));
                fields.push(("bid_iv", Value::Float(*bid_iv)));
                fields.push(("ask_iv", Value::Float(*ask_iv)));
                fields.push(("underlying_price", Value::Float(*underlying)));
                fields.push(("underlying_index", Value::Text(it.underlying())));
            }
            More::Perpetual { current_funding, funding_8h, interest } => {
                fields.push(("interest_value", Value::Float(*interest)));
                fields.push(("current_funding", Value::Float(*current_funding)));
                fields.push(("funding_8h", Value::Float(*funding_8h)));
            }
        }
    }

    fn tell_snapshot(&self, instrument: u32) -> Value<'_> {
        let it = self.at(instrument);
        let side = |ladder: &Ladder| {
            let level = |(ticks, lots): &(i64, i64)| {
                let (price, amount) = (it.grid.price(*ticks), it.grid.amount(*lots));
                Value::Array(vec![Value::Text("new"), Value::Float(price), Value::Float(amount)])
            };
            Value::Array(ladder.levels().iter().map(level).collect())
        };
        Value::Object(vec![
            ("timestamp", Value::Int(self.now_ms())),
            ("type", Value::Text("snapshot")),
            ("change_id", Value::Int(it.book.change_id)),
            ("instrument_name", Value::Text(&it.name)),
            ("bids", side(&it.book.bids)),
            ("asks", side(&it.book.asks)),
        ])
    }

    pub(crate) fn tell_change(&self, instrument: u32, change: &BookChange) -> Value<'_> {
        let it = self.at(instrument);
        let side = |touched: &[Touch]| {
            let level = |(action, ticks, lots): &Touch| {
                let (price, amount) = (it.grid.price(*ticks), it.grid.amount(*lots));
                let word = Value::Text(action.word());
                Value::Array(vec![word, Value::Float(price), Value::Float(amount)])
            };
            Value::Array(touched.iter().map(level).collect())
        };
        Value::Object(vec![
            ("timestamp", Value::Int(self.now_ms())),
            ("type", Value::Text("change")),
            ("change_id", Value::Int(change.change_id)),
            ("instrument_name", Value::Text(&it.name)),
            ("bids", side(&change.bids)),
            ("asks", side(&change.asks)),
            ("prev_change_id", Value::Int(change.prev_change_id)),
        ])
    }

    fn tell_window(&self, instrument: u32, depth: u8) -> Value<'_> {
        let it = self.at(instrument);
        let side = |ladder: &Ladder| {
            let level = |(ticks, lots): &(i64, i64)| {
                let (price, amount) = (it.grid.price(*ticks), it.grid.amount(*lots));
                Value::Array(vec![Value::Float(price), Value::Float(amount)])
            };
            Value::Array(ladder.levels().iter().take(depth.into()).map(level).collect())
        };
        Value::Object(vec![
            ("timestamp", Value::Int(self.now_ms())),
            ("change_id", Value::Int(it.book.change_id)),
            ("instrument_name", Value::Text(&it.name)),
            ("bids", side(&it.book.bids)),
            ("asks", side(&it.book.asks)),
        ])
    }
}

fn tell_stats(stats: &Stats, perpetual: bool) -> Value<'_> {
    let mut fields = vec![
        ("high", maybe(stats.high)),
        ("low", maybe(stats.low)),
        ("price_change", maybe(stats.price_change())),
        ("volume", Value::Float(stats.volume)),
        ("volume_usd", Value::Float(stats.volume_usd)),
    ];
    if perpetual {
        fields.push(("volume_notional", Value::Float(stats.volume_usd)));
    }
    Value::Object(fields)
}

fn tell_trade<'a>(it: &'a Instrument, trade: &'a Trade) -> Value<'a> {
    let mut fields = vec![("timestamp", Value::Int(trade.timestamp_ms))];
    if let Some(iv) = trade.iv {
        fields.push(("iv", Value::Float(iv)));
    }
    fields.extend([
        ("price", Value::Float(trade.price)),
        ("amount", Value::Float(trade.amount)),
        ("direction", Value::Text(if trade.buy { "buy" } else { "sell" })),
        ("index_price", Value::Float(trade.index)),
        ("instrument_name", Value::Text(&it.name)),
        ("trade_seq", Value::Int(trade.trade_seq)),
        ("mark_price", Value::Float(trade.mark)),
        ("tick_direction", Value::Int(trade.tick_direction)),
    ]);
    if let Some(sides) = trade.liquidation {
        fields.push(("liquidation", Value::Text(sides)));
    }
    if let Some((id, legs)) = &trade.block {
        fields.push(("block_trade_id", Value::Text(id)));
        fields.push(("block_trade_leg_count", Value::Int(*legs)));
    }
    if let Some((match_id, time_ns)) = trade.starbase {
        fields.push(("starbase_match_id", Value::Int(match_id)));
        fields.push(("starbase_timestamp", Value::Int(time_ns)));
    }
    fields.push(("contracts", Value::Float(trade.contracts)));
    fields.push(("trade_id", Value::Text(&trade.trade_id)));
    Value::Object(fields)
}

/// The best levels; an empty side is 0.0, as the wire has it, and not null.
fn best(
    it: &Instrument,
    bid: Option<(i64, i64)>,
    ask: Option<(i64, i64)>,
) -> [(&'static str, Value<'static>); 4] {
    let price = |level: Option<(i64, i64)>| {
        Value::Float(level.map_or(0.0, |(ticks, _)| it.grid.price(ticks)))
    };
    let amount = |level: Option<(i64, i64)>| {
        Value::Float(level.map_or(0.0, |(_, lots)| it.grid.amount(lots)))
    };
    [
        ("best_ask_price", price(ask)),
        ("best_bid_price", price(bid)),
        ("best_ask_amount", amount(ask)),
        ("best_bid_amount", amount(bid)),
    ]
}

fn maybe(number: Option<f64>) -> Value<'static> {
    number.map_or(Value::Null, Value::Float)
}
