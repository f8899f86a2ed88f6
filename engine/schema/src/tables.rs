//! Every table that is stored.
//!
//! Prices, amounts, greeks and volatilities are the exchange's numbers, untouched. A missing cell
//! means that the exchange did not send the field, or sent null; "no bid" is 0.0, as it is sent.

mod books;
mod operations;
mod quotes;
mod reference;
mod trades;

pub use books::{BookChange, OptionOrderbookDepth, PerpetualOrderbookDepth};
pub use operations::{CollectorStatus, DataGap, LifecycleEvent, Quarantined};
pub use quotes::{IndexTick, OptionQuote, PerpetualInterest, PerpetualQuote};
pub use reference::{InstrumentMetadata, InstrumentRow};
pub use trades::{OptionTrade, PerpetualTrade};

use crate::tables;

tables! {
    recorded {
        option_quotes: OptionQuote,
        option_trades: OptionTrade,
        option_orderbook_depth: OptionOrderbookDepth,
        perpetual_quotes: PerpetualQuote,
        perpetual_trades: PerpetualTrade,
        perpetual_orderbook_depth: PerpetualOrderbookDepth,
        perpetual_interest: PerpetualInterest,
        book_changes: BookChange,
        index_ticks: IndexTick,
        instruments: InstrumentRow,
        lifecycle_events: LifecycleEvent,
        data_gaps: DataGap,
        collector_status: CollectorStatus,
        quarantine: Quarantined,
    }
    sql_only { InstrumentMetadata }
}

/// The table of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static crate::Table> {
    ALL.iter().copied().find(|table| table.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Micros, Origin, Row};

    fn trade(seq: i64) -> OptionTrade<'static> {
        OptionTrade {
            timestamp: Micros(1_000),
            received_at: Micros(2_000),
            instrument: "BTC-6OCT26-86000-C",
            trade_id: "42",
            price: 0.05,
            amount: 1.5,
            direction: "buy",
            iv: Some(52.5),
            index_price: Some(85_000.0),
            trade_seq: seq,
            tick_direction: Some(1),
            mark_price: None,
            contracts: Some(1.5),
            liquidation: None,
            block_trade_id: None,
            block_trade_leg_count: None,
            combo_id: None,
            combo_trade_id: None,
            block_rfq_id: None,
            starbase_match_id: Some(225_046_781_992_378_368),
            starbase_timestamp: None,
            repaired: None,
        }
    }

    #[test]
    fn a_batch_holds_the_rows_pushed() {
        let mut rows = Rows::default();
        assert!(rows.option_trades.take(Origin::default()).is_none());
        rows.option_trades.push(&trade(7));
        rows.option_trades.push(&trade(8));
        let mut drafts = Vec::new();
        rows.take_from(1, Origin { reader: 3, read_coalesce_us: 0 }, |draft| drafts.push(draft));
        assert_eq!(drafts.len(), 1);
        assert_eq!(rows.rows(), 0);
        let batch = drafts.remove(0).number(9, 100);
        assert_eq!(batch.columns().schema(), OptionTrade::TABLE.arrow());
        assert_eq!((batch.position(), batch.sequence(), batch.rows()), (9, 100, 2));
        assert_eq!(batch.origin().reader, 3);
    }

    #[test]
    fn a_stored_row_has_the_digest_of_its_row() {
        let mut rows = Rows::default();
        let mut digest = Digest::default();
        let mut expected = Vec::new();
        for seq in 0..3 {
            expected.push(trade(seq).digest(&mut digest));
            rows.option_trades.push(&trade(seq));
        }
        let batch = rows.option_trades.take(Origin::default()).unwrap().number(1, 0);
        let stored: Vec<u128> = (0..3).map(|row| digest.of(&batch, row)).collect();
        assert_eq!(stored, expected);
        assert_ne!(expected[0], expected[1]);
        let late = OptionTrade { received_at: Micros(9), ..trade(0) };
        assert_eq!(late.digest(&mut digest), expected[0], "the local clock is not on the wire");
    }

    #[test]
    fn names_are_unique() {
        for table in ALL {
            assert_eq!(ALL.iter().filter(|other| other.name == table.name).count(), 1);
            assert!(!table.doc.trim().is_empty(), "{} says what it is", table.name);
            for column in table.columns {
                assert!(!column.doc.trim().is_empty(), "{}.{}", table.name, column.name);
            }
        }
    }
}
