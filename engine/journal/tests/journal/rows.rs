//! Random rows of every table, by seed.

use std::sync::Arc;
use std::time::Duration;

use schema::tables::{
    BookChange, CollectorStatus, DataGap, IndexTick, InstrumentRow, LifecycleEvent,
    OptionOrderbookDepth, OptionQuote, OptionTrade, PerpetualInterest, PerpetualOrderbookDepth,
    PerpetualQuote, PerpetualTrade, Quarantined,
};
use schema::{Builder, Draft, Micros, Now, Origin};

/// Seeded numbers (splitmix64).
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Whether something of `percent` happens.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What a cell can be filled with.
trait Filled<'a>: Sized {
    fn filled(dice: &mut Dice, texts: &'a [String]) -> Self;
}

impl Filled<'_> for bool {
    fn filled(dice: &mut Dice, _: &[String]) -> Self {
        dice.chance(50)
    }
}

impl Filled<'_> for f64 {
    fn filled(dice: &mut Dice, _: &[String]) -> Self {
        match dice.below(6) {
            0 => 0.0,
            1 => -0.0,
            2 => f64::MAX,
            3 => f64::MIN_POSITIVE,
            4 => 0.0565,
            _ => f64::from_bits(dice.next() & !(0x7FF << 52) | (1023 << 52)),
        }
    }
}

impl Filled<'_> for i64 {
    fn filled(dice: &mut Dice, _: &[String]) -> Self {
        match dice.below(4) {
            0 => i64::MIN,
            1 => i64::MAX,
            _ => i64::try_from(dice.below(1_000)).unwrap(),
        }
    }
}

impl Filled<'_> for Micros {
    fn filled(dice: &mut Dice, _: &[String]) -> Self {
        Micros(1_700_000_000_000_000 + i64::try_from(dice.below(1 << 40)).unwrap())
    }
}

impl<'a> Filled<'a> for &'a str {
    fn filled(dice: &mut Dice, texts: &'a [String]) -> Self {
        &texts[usize::try_from(dice.below(texts.len() as u64)).unwrap()]
    }
}

impl<'a, T: Filled<'a>> Filled<'a> for Option<T> {
    fn filled(dice: &mut Dice, texts: &'a [String]) -> Self {
        dice.chance(70).then(|| T::filled(dice, texts))
    }
}

macro_rules! tables {
    ($($table:ident: $Row:ident { $($column:ident)+ })+) => {
        /// How many tables there are to draw from.
        pub(crate) const TABLES: u64 = [$(stringify!($table)),+].len() as u64;

        /// A draft of the `table`-th table with `rows` rows, texts drawn from `texts`.
        pub(crate) fn draft(table: u64, rows: u64, dice: &mut Dice, texts: &[String]) -> Draft {
            let mut at = 0..TABLES;
            $(if at.next() == Some(table) {
                let mut builder = Builder::<$Row<'static>>::default();
                for _ in 0..rows {
                    builder.push(&$Row { $($column: Filled::filled(dice, texts)),+ });
                }
                return builder.take(origin(dice)).unwrap();
            })+
            panic!("there is no table {table}");
        }
    };
}

tables! {
    index_ticks: IndexTick { timestamp received_at index_name price }
    option_trades: OptionTrade {
        timestamp received_at instrument trade_id price amount direction iv index_price trade_seq
        tick_direction mark_price contracts liquidation block_trade_id block_trade_leg_count
        combo_id combo_trade_id block_rfq_id starbase_match_id starbase_timestamp repaired
    }
    book_changes: BookChange {
        timestamp received_at instrument change_id prev_change_id snapshot side action price amount
    }
    quarantine: Quarantined { received_at channel reason raw source }
    option_quotes: OptionQuote {
        timestamp received_at instrument best_bid_price best_bid_amount best_ask_price
        best_ask_amount underlying_price mark_price delta gamma theta vega rho implied_volatility
        bid_iv ask_iv mark_iv open_interest last_price volume_24h state underlying_index
        index_price settlement_price delivery_price estimated_delivery_price min_price max_price
        interest_rate high_24h low_24h price_change_24h volume_usd_24h
    }
    option_orderbook_depth: OptionOrderbookDepth {
        timestamp received_at instrument bids asks mark_price underlying_price open_interest
        volume_24h change_id
    }
    perpetual_quotes: PerpetualQuote {
        timestamp received_at instrument best_bid_price best_bid_amount best_ask_price
        best_ask_amount mark_price index_price funding_rate open_interest current_funding
        interest_value last_price state settlement_price delivery_price estimated_delivery_price
        min_price max_price high_24h low_24h price_change_24h volume_24h volume_usd_24h
        volume_notional_24h
    }
    perpetual_trades: PerpetualTrade {
        timestamp received_at instrument trade_id price amount direction tick_direction liquidation
        liquidation_side index_price trade_seq mark_price contracts block_trade_id
        block_trade_leg_count combo_id combo_trade_id block_rfq_id starbase_match_id
        starbase_timestamp repaired
    }
    perpetual_orderbook_depth: PerpetualOrderbookDepth {
        timestamp received_at instrument bids asks mark_price index_price funding_rate
        open_interest volume_24h change_id
    }
    perpetual_interest: PerpetualInterest {
        timestamp received_at instrument index_price interest
    }
    instruments: InstrumentRow {
        observed_at received_at instrument_name kind currency state is_active instrument_type
        instrument_id option_type strike expiration_timestamp creation_timestamp settlement_period
        base_currency quote_currency counter_currency settlement_currency price_index tick_size
        tick_size_steps contract_size min_trade_amount maker_commission taker_commission
    }
    lifecycle_events: LifecycleEvent {
        event_time received_at event_type instrument_name currency collector_id details success
        error_message created_at
    }
    data_gaps: DataGap {
        start_time received_at instrument end_time duration_sec cause shard detail created_at
    }
    collector_status: CollectorStatus {
        timestamp received_at collector_id status ticks_per_sec active_subscriptions
        buffer_usage_pct last_error started_at restarts errors_total rss_bytes
    }
}

fn origin(dice: &mut Dice) -> Origin {
    Origin {
        reader: u16::try_from(dice.below(4)).unwrap(),
        read_coalesce_us: u32::try_from(dice.below(10_000)).unwrap(),
    }
}

/// Names as they come from an exchange.
pub(crate) fn names() -> Vec<String> {
    ["BTC-PERPETUAL", "BTC-6OCT26-86000-C", "XRP_USDC-30JUN23-0d625-C"].map(str::to_owned).into()
}

/// A draft of a few rows of one of the smaller tables.
pub(crate) fn small_draft(dice: &mut Dice) -> Draft {
    let (table, rows) = (dice.below(4), 1 + dice.below(5));
    draft(table, rows, dice, &names())
}

/// The clock at a microsecond after a fixed instant.
pub(crate) fn at(micros: i64) -> Now {
    let utc = Micros(1_700_000_000_000_000 + micros);
    Now { monotonic: Duration::from_micros(micros.unsigned_abs()), utc }
}

/// Whether two batches are the same to the bit: place, origin, columns.
pub(crate) fn same(one: &Arc<schema::Batch>, other: &Arc<schema::Batch>) -> bool {
    one.position() == other.position()
        && one.sequence() == other.sequence()
        && one.origin() == other.origin()
        && one.table().name == other.table().name
        && one.columns() == other.columns()
}
