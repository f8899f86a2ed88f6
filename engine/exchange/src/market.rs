//! A seeded market of options and perpetuals: no clock, no sockets, the same from the same seed.
//!
//! It moves one event at a time: whoever drives it says what time it is, and how often it moves
//! does not depend on who listens. An event is a quote, a few trades, an index price or a
//! funding notice; `render` says what it looks like on each channel.

pub(crate) mod book;
mod calendar;
mod chain;
mod eight;
pub(crate) mod instrument;
mod render;
mod summary;
pub(crate) mod tape;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::channel::{Directory, InstrumentId};
use crate::error::ExchangeError;
use crate::random::Random;
use book::{BookChange, Side};
use calendar::next_eight_ms;
use chain::{CURRENCIES, Coin, cents};
use eight::Due;
use instrument::{Contract, Instrument, round};

/// What market to make.
#[derive(Debug, Clone, PartialEq)]
pub struct MarketConfig {
    /// The same seed gives the same market.
    pub seed: u64,
    /// Options over all currencies; BTC and ETH share them as 728 to 820.
    pub options: usize,
    /// Events a second over all instruments; 0 is the natural pace of a ticker a second for each
    /// option. Book channels come on top, where somebody subscribed them.
    pub rate: u32,
    /// `BTC`, `ETH` or both.
    pub currencies: Vec<String>,
    /// What two connections see of one channel.
    pub frames: Frames,
    /// What 08:00 UTC looks like.
    pub expiry: Expiry,
    /// Options that are listed in a day beside those of 08:00, a call and a put at a time.
    pub strikes: u32,
    /// How many times as often as an option a perpetual quotes.
    pub busy: u32,
}

/// What two connections see of one channel that speaks at most once in 100 ms or a second; nothing
/// says which it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Frames {
    /// The same frames, one for each event.
    #[default]
    Identical,
    /// Each connection gathers for the interval, from a moment of its own.
    Shifted,
}

/// The order of states at 08:00 UTC; nothing says which it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expiry {
    /// What expires is in settlement for a moment, then delivered; what lives stays open.
    #[default]
    Settlement,
    /// What expires is delivered at once; what lives is in settlement for a moment, then open.
    Delivery,
}

impl Default for MarketConfig {
    fn default() -> MarketConfig {
        let currencies = CURRENCIES.map(str::to_owned).to_vec();
        let (frames, expiry) = (Frames::default(), Expiry::default());
        MarketConfig {
            seed: 1,
            options: 1548,
            rate: 0,
            currencies,
            frames,
            expiry,
            strikes: 0,
            busy: 3,
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// The quotes moved; `slow` when a channel of once a second is due.
    Quote {
        instrument: InstrumentId,
        book: Option<BookChange>,
        slow: bool,
    },
    /// Trades of one instrument in one millisecond.
    Trades {
        instrument: InstrumentId,
        trades: Vec<Trade>,
        book: Option<BookChange>,
    },
    Index(u8),
    /// A perpetual's interest.
    Interest(InstrumentId),
    /// An instrument's new state, in the exchange's word.
    State(InstrumentId, &'static str),
    /// A ticker that comes with expiry and not with a quote.
    Last(InstrumentId),
    /// That the platform is not locked for this index: a place in `INDEXES`.
    Platform(usize),
}

/// The indexes that `platform_state` speaks of, traded here or not.
const INDEXES: [&str; 8] =
    ["btc_usd", "eth_usd", "btc_usdc", "eth_usdc", "sol_usdc", "xrp_usdc", "btc_usdt", "eth_usdt"];

/// One trade, as on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Trade {
    pub(crate) timestamp_ms: i64,
    pub(crate) trade_seq: i64,
    pub(crate) trade_id: String,
    pub(crate) price: f64,
    pub(crate) amount: f64,
    pub(crate) contracts: f64,
    /// The taker's side.
    pub(crate) buy: bool,
    pub(crate) index: f64,
    pub(crate) mark: f64,
    /// 0 up, 1 same after up, 2 down, 3 same after down.
    pub(crate) tick_direction: i64,
    /// Percent; options only.
    pub(crate) iv: Option<f64>,
    pub(crate) liquidation: Option<&'static str>,
    pub(crate) block: Option<(String, i64)>,
    /// Match id beyond 2^53, time in ns.
    pub(crate) starbase: Option<(i64, i64)>,
}

/// The whole market.
#[derive(Debug)]
pub(crate) struct Market {
    random: Random,
    coins: Vec<Coin>,
    instruments: Vec<Instrument>,
    by_name: HashMap<Arc<str>, InstrumentId>,
    perpetuals: Vec<InstrumentId>,
    /// The order in which options quote, and whose turn it is.
    turns: Vec<InstrumentId>,
    turn: usize,
    /// When each instrument was last told on a channel of once a second, ms.
    slow_ms: Vec<i64>,
    /// The exchange's one counter of book changes.
    change_id: i64,
    starbase: i64,
    now_ms: i64,
    again: Option<InstrumentId>,
    /// What the days bring, by time and then in the order in which it was foreseen.
    calendar: BTreeMap<(i64, u64), Due>,
    expected: u64,
    pub(crate) frames: Frames,
    expiry: Expiry,
    /// The time between two strikes, ms.
    strikes_ms: i64,
    busy: usize,
}

impl Market {
    /// The market of a seed as it stands at a time, every instrument quoted once.
    pub(crate) fn new(config: &MarketConfig, now_ms: i64) -> Result<Market, ExchangeError> {
        let mut random = Random::new(config.seed);
        let mut coins = Vec::new();
        for name in &config.currencies {
            let coin = Coin::new(name, &mut random).ok_or_else(|| {
                ExchangeError::Config(format!("there is no market of {name}: use BTC or ETH"))
            })?;
            if coins.iter().all(|known: &Coin| known.name != coin.name) {
                coins.push(coin);
            }
        }
        if coins.is_empty() {
            let reason = "a market needs a currency: use BTC, ETH or both".to_owned();
            return Err(ExchangeError::Config(reason));
        }
        let mut instruments = Vec::new();
        for (at, count) in chain::split(config.options, &coins).into_iter().enumerate() {
            let coin = coins.get(at).into_iter();
            coin.for_each(|coin| {
                instruments.extend(chain::list(coin, at as u8, count, now_ms, &mut random));
            });
        }
        let ids = || (0..).zip(&instruments);
        let by_name = ids().map(|(id, it)| (Arc::clone(&it.name), id)).collect();
        let is_perpetual = |it: &Instrument| it.contract == Contract::Perpetual;
        let perpetuals = ids().filter(|(_, it)| is_perpetual(it)).map(|(id, _)| id).collect();
        let mut turns: Vec<_> =
            ids().filter(|(_, it)| !is_perpetual(it)).map(|(id, _)| id).collect();
        random.shuffle(&mut turns);
        let mut market = Market {
            change_id: 118_850_000_000 + random.below(1_000_000) as i64,
            starbase: 225_046_781_992_378_368 + random.below(1_000_000) as i64,
            slow_ms: vec![i64::MIN; instruments.len()],
            random,
            coins,
            instruments,
            by_name,
            perpetuals,
            turns,
            turn: 0,
            now_ms,
            again: None,
            calendar: BTreeMap::new(),
            expected: 0,
            frames: config.frames,
            expiry: config.expiry,
            strikes_ms: 2 * 86_400_000 / i64::from(config.strikes.max(1)),
            busy: config.busy as usize,
        };
        market.expect(next_eight_ms(now_ms), Due::Expiry);
        market.expect(now_ms, Due::Platform);
        market.expect(now_ms + eight::SILENCE_MS.0, Due::Silence);
        if config.strikes > 0 {
            market.expect(now_ms + market.strikes_ms, Due::Strike);
        }
        for id in 0..market.instruments.len() as InstrumentId {
            market.quote(id);
        }
        Ok(market)
    }

    /// The next thing that happens, at this time; time never runs backwards here.
    pub(crate) fn advance(&mut self, now_ms: i64) -> Event {
        self.now_ms = self.now_ms.max(now_ms);
        let again = self.again.take().filter(|id| self.at(*id).speaks(self.now_ms));
        if let Some(instrument) = again {
            return self.quote(instrument);
        }
        match self.random.below(1000) {
            0..950 => {
                let instrument = self.whose_turn();
                // Two different tickers of one instrument can share a millisecond.
                self.again = self.random.once_in(100).then_some(instrument);
                self.quote(instrument)
            }
            950..986 => self.trade(),
            986..994 => self.move_index(),
            _ => {
                let at = self.random.index(self.perpetuals.len());
                Event::Interest(self.perpetuals.get(at).copied().unwrap_or(0))
            }
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub(crate) fn coins(&self) -> &[Coin] {
        &self.coins
    }

    pub(crate) fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// An instrument by an id that this market gave out.
    pub(crate) fn at(&self, instrument: InstrumentId) -> &Instrument {
        &self.instruments[instrument as usize]
    }

    /// An instrument by its name, whether it is still open or not.
    pub(crate) fn find(&self, name: &str) -> Option<InstrumentId> {
        self.by_name.get(name).copied()
    }

    /// Events a second at the natural pace.
    pub(crate) fn natural_rate(&self) -> u32 {
        (self.instruments.len() as f64 * 1.06 + 10.0) as u32
    }

    /// Options in turn with a little disorder, and a perpetual so many times as often.
    fn whose_turn(&mut self) -> InstrumentId {
        let open_options = self.turns.len();
        let busy = self.busy * self.perpetuals.len();
        if open_options == 0 || self.random.index(open_options + busy) < busy {
            let at = self.random.index(self.perpetuals.len());
            return self.perpetuals.get(at).copied().unwrap_or(0);
        }
        self.turn = (self.turn + 1) % open_options;
        if self.random.once_in(4) {
            let other = self.random.index(open_options);
            self.turns.swap(self.turn, other);
        }
        let instrument = self.turns[self.turn];
        if !self.at(instrument).is_open(self.now_ms) {
            self.turns.swap_remove(self.turn);
            return self.perpetuals.first().copied().unwrap_or(0);
        }
        if !self.at(instrument).speaks(self.now_ms) {
            return self.perpetuals.first().copied().unwrap_or(0);
        }
        instrument
    }

    fn quote(&mut self, instrument: InstrumentId) -> Event {
        // Seen on the wire: a ticker that is older than the book's change before it.
        let lag_ms = if self.random.once_in(8) { 1 + self.random.below(40) as i64 } else { 0 };
        let it = &mut self.instruments[instrument as usize];
        let last_ms = it.ticker.as_ref().map_or(i64::MIN, |ticker| ticker.timestamp_ms);
        let told_ms = last_ms.max(self.now_ms - lag_ms);
        it.requote(&self.coins[usize::from(it.currency)], told_ms, &mut self.random);
        let book = it.book.told(&mut self.change_id, &mut self.random);
        let slow_ms = &mut self.slow_ms[instrument as usize];
        let slow = self.now_ms >= slow_ms.saturating_add(1000);
        if slow {
            *slow_ms = self.now_ms;
        }
        Event::Quote { instrument, book, slow }
    }

    fn move_index(&mut self) -> Event {
        let at = self.random.index(self.coins.len());
        let step = self.random.normal();
        let drift = self.random.normal();
        let coin = &mut self.coins[at];
        coin.index = cents(coin.index * (1.0 + step * 4e-5)).max(1.0);
        coin.volatility = (coin.volatility * (1.0 + drift * 2e-4)).clamp(0.2, 1.2);
        Event::Index(at as u8)
    }

    fn trade(&mut self) -> Event {
        // Seen on the wire: up to 139 trades of one perpetual in one millisecond.
        let burst = self.random.once_in(1_500);
        let instrument = if burst || self.random.once_in(3) {
            let at = self.random.index(self.perpetuals.len());
            self.perpetuals.get(at).copied().unwrap_or(0)
        } else {
            self.whose_turn()
        };
        let buy = self.random.once_in(2);
        let side = if buy { Side::Ask } else { Side::Bid };
        let count = match self.random.below(40) {
            _ if burst => 101 + self.random.below(39),
            0 => 5 + self.random.below(20),
            1..8 => 2 + self.random.below(3),
            _ => 1,
        };
        let mut trades = Vec::new();
        for _ in 0..count {
            let it = &mut self.instruments[instrument as usize];
            let wanted = if burst { 1 } else { 1 + self.random.below(120) as i64 };
            let Some((ticks, lots)) = it.book.take(side, wanted) else { break };
            trades.push(self.trade_once(instrument, buy, ticks, lots));
        }
        if trades.is_empty() {
            return self.quote(instrument);
        }
        let it = &mut self.instruments[instrument as usize];
        let book = it.book.told(&mut self.change_id, &mut self.random);
        Event::Trades { instrument, trades, book }
    }

    fn trade_once(&mut self, instrument: InstrumentId, buy: bool, ticks: i64, lots: i64) -> Trade {
        let (random, now_ms) = (&mut self.random, self.now_ms);
        let it = &mut self.instruments[instrument as usize];
        let coin = &mut self.coins[usize::from(it.currency)];
        let (price, amount) = (it.grid.price(ticks), it.grid.amount(lots));
        let option = it.contract != Contract::Perpetual;
        coin.trade_id += 1;
        it.trade_seq += 1;
        self.starbase += 1;
        let tick_direction = match it.stats.last_price {
            Some(last) if price == last => 1 + 2 * i64::from(!buy),
            Some(last) if price < last => 2,
            _ => 0,
        };
        let mark = it.ticker.as_ref().map_or(price, |ticker| ticker.mark);
        let (coins, dollars) =
            if option { (amount, amount * price * coin.index) } else { (amount / price, amount) };
        it.stats.record(price, coins, dollars);
        it.open_interest_lots =
            (it.open_interest_lots + lots * random.below(3) as i64 - lots).max(0);
        let iv = it.terms().map(|terms| {
            terms.volatility(price).map_or(0.0, |volatility| round(volatility * 100.0, 2))
        });
        let digits = coin.trade_id;
        let trade = Trade {
            timestamp_ms: now_ms,
            trade_seq: it.trade_seq,
            trade_id: if coin.name == "BTC" {
                digits.to_string()
            } else {
                format!("{}-{digits}", coin.name)
            },
            price,
            amount,
            contracts: if option { amount } else { amount / it.grid.lot_times },
            buy,
            index: coin.index,
            mark,
            tick_direction,
            iv,
            liquidation: random
                .once_in(if option { 400 } else { 60 })
                .then(|| ["T", "M", "MT"][random.index(3)]),
            block: random.once_in(80).then(|| {
                (format!("BLOCK-{}", 200_000 + digits % 90_000), 1 + random.below(3) as i64)
            }),
            starbase: random
                .once_in(3)
                .then(|| (self.starbase, now_ms * 1_000_000 + random.below(999_999) as i64)),
        };
        it.tape.keep(&trade);
        trade
    }
}

impl Directory for Market {
    fn instrument(&self, name: &str) -> Option<InstrumentId> {
        // What has expired is as unknown as what never was.
        self.by_name.get(name).copied().filter(|id| self.at(*id).is_open(self.now_ms))
    }

    fn is_perpetual(&self, instrument: InstrumentId) -> bool {
        self.at(instrument).contract == Contract::Perpetual
    }

    fn currency(&self, name: &str) -> Option<u8> {
        self.coins.iter().position(|coin| coin.name == name).map(|at| at as u8)
    }

    fn index(&self, name: &str) -> Option<u8> {
        self.coins.iter().position(|coin| coin.index_name == name).map(|at| at as u8)
    }
}

#[cfg(test)]
mod tests;
