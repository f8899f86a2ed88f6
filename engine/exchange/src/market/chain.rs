//! The instruments of a fresh market: a perpetual and exactly so many options for each currency.

use crate::black::Right;
use crate::market::book::{Book, Grid};
use crate::market::calendar::{Period, expiries};
use crate::market::instrument::{Contract, Instrument, Stage, Stats};
use crate::market::tape::Tape;
use crate::name::day_of;
use crate::random::Random;

/// What sets one coin apart from another.
#[derive(Debug, Clone)]
pub(crate) struct Coin {
    pub(crate) name: String,
    /// `btc_usd`.
    pub(crate) index_name: String,
    /// Dollars for one coin, to the cent.
    pub(crate) index: f64,
    /// The volatility at the money, a fraction.
    pub(crate) volatility: f64,
    /// The id of the newest trade; unique in the currency.
    pub(crate) trade_id: u64,
    /// Multiplies every distance between strikes.
    strike_scale: f64,
    option_grid: Grid,
    perpetual_grid: Grid,
}

/// The trades that an instrument keeps to be asked for again.
const PERPETUAL_TRADES_MAX: usize = 50_000;
const OPTION_TRADES_MAX: usize = 4_000;

/// The currencies that have a market of options here.
pub(crate) const CURRENCIES: [&str; 2] = ["BTC", "ETH"];

impl Coin {
    /// A coin at a price that the seed chooses; `None` for a currency without options here.
    pub(crate) fn new(name: &str, random: &mut Random) -> Option<Coin> {
        let grid = |ticks_per_unit, lot_times, lot_over| Grid {
            ticks_per_unit,
            coarse: None,
            lot_times,
            lot_over,
        };
        let coin =
            |index, volatility, trade_id, strike_scale, option_lot_over, perpetual_grid| Coin {
                name: name.to_owned(),
                index_name: format!("{}_usd", name.to_lowercase()),
                index,
                volatility,
                trade_id,
                strike_scale,
                option_grid: Grid { coarse: Some((50, 5)), ..grid(10_000.0, 1.0, option_lot_over) },
                perpetual_grid,
            };
        match name {
            "BTC" => {
                let (index, trade_id) =
                    (random.between(8e4, 1e5), 440_000_000 + random.below(9_999));
                Some(coin(cents(index), 0.42, trade_id, 500.0, 10.0, grid(2.0, 10.0, 1.0)))
            }
            "ETH" => {
                let (index, trade_id) =
                    (random.between(2.5e3, 4e3), 310_000_000 + random.below(9_999));
                Some(coin(cents(index), 0.61, trade_id, 25.0, 1.0, grid(20.0, 1.0, 1.0)))
            }
            _ => None,
        }
    }
}

/// How many of the options each currency gets: 728 to 820 for BTC and ETH, everything for one.
pub(crate) fn split(options: usize, coins: &[Coin]) -> Vec<usize> {
    match coins {
        [_, _] => {
            let first = (options * 728 + 774) / 1548;
            vec![first, options - first]
        }
        _ => coins.iter().map(|_| options / coins.len().max(1)).collect(),
    }
}

/// One coin's perpetual, then its options, nearest expiry first.
pub(crate) fn list(
    coin: &Coin,
    currency: u8,
    options: usize,
    now_ms: i64,
    random: &mut Random,
) -> Vec<Instrument> {
    let mut listed = vec![perpetual(coin, currency, random)];
    let expiries = expiries(now_ms);
    let mut left = options;
    for (at, (expiry_ms, period)) in expiries.iter().copied().enumerate() {
        let count = left / (expiries.len() - at);
        // Pairs of a call and a put; an odd one goes to the last expiry.
        let count = if at + 1 == expiries.len() { left } else { count - count % 2 };
        left -= count;
        for (name, contract) in contracts(coin, expiry_ms, period, now_ms).take(count) {
            let days = days_until(expiry_ms, now_ms);
            let age_days = if days < 4.0 { 4.0 - days } else { days * random.unit() };
            let created_ms = now_ms - (age_days * 8.64e7) as i64 - random.below(60_000) as i64;
            listed.push(option(coin, currency, &name, contract, created_ms, random));
        }
    }
    listed
}

/// The options of an expiry, nearest the money first, each with its name.
pub(crate) fn contracts(
    coin: &Coin,
    expiry_ms: i64,
    period: Period,
    now_ms: i64,
) -> impl Iterator<Item = (String, Contract)> {
    let step = coin.strike_scale
        * match days_until(expiry_ms, now_ms) {
            ..3.0 => 1.0,
            ..10.0 => 2.0,
            ..60.0 => 4.0,
            _ => 10.0,
        };
    strikes(coin.index, step).map(move |(strike, right)| {
        let contract = Contract::Option { expiry_ms, strike: strike as f64, right, period };
        let letter = if right == Right::Call { "C" } else { "P" };
        (format!("{}-{}-{strike}-{letter}", coin.name, day_of(expiry_ms)), contract)
    })
}

/// An option that was created this moment: never quoted, never traded, never settled.
pub(crate) fn fresh(
    coin: &Coin,
    currency: u8,
    name: &str,
    contract: Contract,
    created_ms: i64,
) -> Instrument {
    Instrument {
        name: name.into(),
        currency,
        contract,
        stage: Stage::Open,
        created_ms,
        grid: coin.option_grid,
        book: Book::new(12),
        trade_seq: 0,
        tape: Tape::new(OPTION_TRADES_MAX),
        stats: Stats::default(),
        open_interest_lots: 0,
        settlement_price: None,
        shy: false,
        quiet_until_ms: i64::MIN,
        ticker: None,
    }
}

fn days_until(expiry_ms: i64, now_ms: i64) -> f64 {
    ((expiry_ms - now_ms) / 86_400_000 + 1) as f64
}

fn perpetual(coin: &Coin, currency: u8, random: &mut Random) -> Instrument {
    Instrument {
        name: format!("{}-PERPETUAL", coin.name).into(),
        currency,
        contract: Contract::Perpetual,
        stage: Stage::Open,
        created_ms: if coin.name == "BTC" { 1_534_167_754_000 } else { 1_552_568_454_000 },
        grid: coin.perpetual_grid,
        book: Book::new(40),
        tape: Tape::new(PERPETUAL_TRADES_MAX),
        trade_seq: 250_000_000 + random.below(1_000_000) as i64,
        stats: Stats::traded(coin.index, &coin.perpetual_grid, random),
        open_interest_lots: 50_000_000 + random.below(50_000_000) as i64,
        settlement_price: Some(cents(coin.index * random.between(0.98, 1.02))),
        shy: false,
        quiet_until_ms: i64::MIN,
        ticker: None,
    }
}

/// An option: some are fresh and never settled, some never traded, some have no bid.
fn option(
    coin: &Coin,
    currency: u8,
    name: &str,
    contract: Contract,
    created_ms: i64,
    random: &mut Random,
) -> Instrument {
    let fresh = random.once_in(12);
    let traded = !fresh && random.below(10) < 7;
    Instrument {
        trade_seq: if traded { 1 + random.below(40_000) as i64 } else { 0 },
        open_interest_lots: if traded { random.below(30_000) as i64 } else { 0 },
        settlement_price: (!fresh).then_some(0.0),
        shy: random.once_in(9),
        ..self::fresh(coin, currency, name, contract, created_ms)
    }
}

/// Strikes around the money, nearest first, each as a call and as a put.
fn strikes(index: f64, step: f64) -> impl Iterator<Item = (i64, Right)> {
    let (step, middle) = (step as i64, (index / step).round() as i64);
    let around = (0..).flat_map(move |away: i64| {
        let below = (away > 0 && middle - away > 0).then_some(middle - away);
        [Some(middle + away), below]
    });
    around.flatten().flat_map(move |at| [(at * step, Right::Call), (at * step, Right::Put)])
}

pub(crate) fn cents(dollars: f64) -> f64 {
    (dollars * 100.0).round() / 100.0
}
