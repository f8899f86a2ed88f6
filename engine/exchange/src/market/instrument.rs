//! One tradable instrument: its contract, its book, and the ticker that it last showed.

use std::sync::Arc;

use crate::black::{Greeks, Right, Terms};
use crate::market::book::{Book, Grid};
use crate::market::calendar::Period;
use crate::market::chain::{Coin, cents};
use crate::market::tape::Tape;
use crate::random::Random;

/// What is traded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Contract {
    Perpetual,
    Option { expiry_ms: i64, strike: f64, right: Right, period: Period },
}

/// Where an instrument is in its life. Who is past `Open` never comes back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Stage {
    Open,
    /// Expired, and not yet paid out.
    Settling,
    /// Paid out at this many dollars for a coin.
    Delivered(f64),
}

/// One instrument of the market.
#[derive(Debug, Clone)]
pub(crate) struct Instrument {
    pub(crate) name: Arc<str>,
    /// The coin's number in the market.
    pub(crate) currency: u8,
    pub(crate) contract: Contract,
    pub(crate) stage: Stage,
    /// ms since 1970.
    pub(crate) created_ms: i64,
    pub(crate) grid: Grid,
    pub(crate) book: Book,
    /// The newest trade's sequence; the next one is exactly one more.
    pub(crate) trade_seq: i64,
    pub(crate) tape: Tape,
    pub(crate) stats: Stats,
    pub(crate) open_interest_lots: i64,
    /// Absent on a fresh instrument.
    pub(crate) settlement_price: Option<f64>,
    /// Nobody bids for it.
    pub(crate) shy: bool,
    /// Nothing is quoted or traded before this, ms since 1970.
    pub(crate) quiet_until_ms: i64,
    /// Always there once the market has started.
    pub(crate) ticker: Option<Ticker>,
}

/// The last 24 hours, as far as anything was traded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stats {
    pub(crate) last_price: Option<f64>,
    pub(crate) open: Option<f64>,
    pub(crate) high: Option<f64>,
    pub(crate) low: Option<f64>,
    /// Coins.
    pub(crate) volume: f64,
    /// Dollars.
    pub(crate) volume_usd: f64,
}

/// What one ticker says beside the book; dollars, coins and fractions as on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Ticker {
    pub(crate) timestamp_ms: i64,
    pub(crate) index: f64,
    pub(crate) mark: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// (ticks, lots) of both sides.
    pub(crate) bid: Option<(i64, i64)>,
    pub(crate) ask: Option<(i64, i64)>,
    pub(crate) more: More,
}

/// What only one kind's ticker says.
#[derive(Debug, Clone)]
pub(crate) enum More {
    Perpetual {
        current_funding: f64,
        funding_8h: f64,
        interest: f64,
    },
    /// Volatilities in percent.
    Option {
        greeks: Greeks,
        underlying: f64,
        mark_iv: f64,
        bid_iv: f64,
        ask_iv: f64,
    },
}

impl Stats {
    pub(crate) fn traded(price: f64, grid: &Grid, random: &mut Random) -> Stats {
        let on_grid = |price: f64| Some(grid.price(grid.floor(price)));
        let usd = (random.between(3e8, 2e9) / 10.0).round() * 10.0;
        Stats {
            last_price: on_grid(price),
            open: on_grid(price * random.between(0.97, 1.03)),
            high: on_grid(price * 1.035),
            low: on_grid(price * 0.965),
            volume: round(usd / price, 8),
            volume_usd: usd,
        }
    }

    pub(crate) fn record(&mut self, price: f64, coins: f64, dollars: f64) {
        self.last_price = Some(price);
        self.open = self.open.or(Some(price));
        self.high = Some(self.high.map_or(price, |high| high.max(price)));
        self.low = Some(self.low.map_or(price, |low| low.min(price)));
        self.volume = round(self.volume + coins, 8);
        self.volume_usd = cents(self.volume_usd + dollars);
    }

    /// Percent since a day ago.
    pub(crate) fn price_change(&self) -> Option<f64> {
        let (last, open) = self.last_price.zip(self.open)?;
        Some(round((last / open - 1.0) * 100.0, 4))
    }
}

impl Instrument {
    pub(crate) fn is_open(&self, now_ms: i64) -> bool {
        match self.contract {
            Contract::Perpetual => true,
            Contract::Option { expiry_ms, .. } => now_ms < expiry_ms,
        }
    }

    /// `BTC-6OCT26` of `BTC-6OCT26-86000-C`.
    pub(crate) fn underlying(&self) -> &str {
        let cut = self.name.match_indices('-').nth(1).map_or(0, |(at, _)| at);
        self.name.get(..cut).unwrap_or_default()
    }

    /// Whether it can be quoted or traded at a time.
    pub(crate) fn speaks(&self, now_ms: i64) -> bool {
        self.is_open(now_ms) && now_ms >= self.quiet_until_ms
    }

    /// Goes on to a stage that quotes do not reach any more; the ticker says so.
    pub(crate) fn enter(&mut self, stage: Stage, now_ms: i64) {
        self.stage = stage;
        if let Some(ticker) = &mut self.ticker {
            ticker.timestamp_ms = now_ms;
        }
    }

    /// Moves the quotes to where the coin is now.
    pub(crate) fn requote(&mut self, coin: &Coin, now_ms: i64, random: &mut Random) {
        match self.contract {
            Contract::Perpetual => self.requote_perpetual(coin, now_ms, random),
            Contract::Option { expiry_ms, strike, right, .. } => {
                let years = (expiry_ms - now_ms).max(1) as f64 / 3.1536e10;
                let forward = cents(coin.index * (0.03 * years).exp());
                let terms = Terms { right, forward, strike, years };
                self.requote_option(coin, &terms, now_ms, random);
            }
        }
    }

    fn requote_perpetual(&mut self, coin: &Coin, now_ms: i64, random: &mut Random) {
        let mark = cents(coin.index * (1.0 + random.normal() * 5e-5));
        let bid = self.grid.floor(mark - random.between(0.0, 1.0) / self.grid.ticks_per_unit);
        let ask = self.grid.above(bid + random.below(2) as i64);
        self.book.requote(Some(bid), Some(ask), &self.grid, random);
        let funding = (random.normal() * 2e-5).clamp(-5e-4, 5e-4);
        self.ticker = Some(Ticker {
            timestamp_ms: now_ms,
            index: coin.index,
            mark,
            min: self.grid.price(self.grid.floor(mark * 0.985)),
            max: self.grid.price(self.grid.floor(mark * 1.015)),
            bid: self.book.bids.best(),
            ask: self.book.asks.best(),
            more: More::Perpetual {
                current_funding: if random.once_in(2) { 0.0 } else { round(funding, 8) },
                funding_8h: round(funding / 3.0, 8),
                interest: funding * 1.7,
            },
        });
    }

    fn requote_option(&mut self, coin: &Coin, terms: &Terms, now_ms: i64, random: &mut Random) {
        let mark_iv = round(smile(coin.volatility, terms) * 100.0, 2);
        let volatility = mark_iv / 100.0;
        let exact = terms.price(volatility);
        let half = exact * random.between(0.01, 0.04) + random.between(0.5, 1.5) / 10_000.0;
        let bid = self.grid.floor(exact - half);
        let bid = (bid > 0 && !self.shy).then_some(bid);
        let ask = self.grid.above(self.grid.floor(exact + half));
        self.book.requote(bid, Some(ask), &self.grid, random);
        let (bid, ask) = (self.book.bids.best(), self.book.asks.best());
        if self.settlement_price == Some(0.0) {
            self.settlement_price = Some(round(exact * random.between(0.8, 1.2), 8));
        }
        if self.trade_seq > 0 && self.stats.last_price.is_none() && !random.once_in(4) {
            let coins = self.grid.amount(1 + random.below(3000) as i64);
            let price = self.grid.price(self.grid.floor(exact).max(1));
            self.stats.record(price, coins, coins * price * terms.forward);
        }
        // Where the price is below what the option is worth at expiry, the wire says 0.0.
        let implied = |level: Option<(i64, i64)>| {
            let price = level.map(|(ticks, _)| self.grid.price(ticks));
            let implied = price.and_then(|price| terms.volatility(price));
            implied.map_or(0.0, |implied| round(implied * 100.0, 2))
        };
        let greeks = terms.greeks(volatility);
        let widest = (exact * 0.35).max(0.01);
        self.ticker = Some(Ticker {
            timestamp_ms: now_ms,
            index: coin.index,
            mark: round(exact, 4),
            min: self.grid.price(self.grid.floor(exact - widest).max(1)),
            max: self.grid.price(self.grid.floor(exact + widest)),
            bid,
            ask,
            more: More::Option {
                greeks: Greeks {
                    delta: round(greeks.delta, 5),
                    gamma: round(greeks.gamma, 5),
                    vega: round(greeks.vega, 5),
                    theta: round(greeks.theta, 5),
                    rho: round(greeks.rho, 5),
                },
                underlying: terms.forward,
                mark_iv,
                bid_iv: implied(bid),
                ask_iv: implied(ask),
            },
        });
    }

    /// What the option terms are at the newest ticker, for a trade's own volatility.
    pub(crate) fn terms(&self) -> Option<Terms> {
        let Contract::Option { expiry_ms, strike, right, .. } = self.contract else { return None };
        let ticker = self.ticker.as_ref()?;
        let More::Option { underlying, .. } = ticker.more else { return None };
        let years = (expiry_ms - ticker.timestamp_ms).max(1) as f64 / 3.1536e10;
        Some(Terms { right, forward: underlying, strike, years })
    }
}

/// The volatility at a strike: a skew to the downside and wings, flatter for long expiries.
fn smile(level: f64, terms: &Terms) -> f64 {
    let away = (terms.strike / terms.forward).ln() / (terms.years + 0.02).sqrt();
    let shape = 1.0 - 0.12 * away + 0.35 * away * away;
    (level * shape.clamp(0.6, 3.5)).max(0.05)
}

pub(crate) fn round(number: f64, places: i32) -> f64 {
    let scale = 10f64.powi(places);
    (number * scale).round() / scale
}
