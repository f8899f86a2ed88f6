//! `trades.X.interval` and `trades.kind.currency.interval`: an array of trades.

use std::time::Duration;

use schema::tables::{OptionTrade, PerpetualTrade, Rows};
use schema::{Micros, Now};

use super::decoder::Decoder;
use super::field::{Float, Text, Whole};
use super::holes::{LATE, name, write};
use super::identities::Kind;
use super::refusal::Refusal;
use super::sequence::Verdict;
use super::tally::Stored;
use super::wire::{number, wire};

wire! {
    /// One trade.
    struct Trade {
        timestamp: Whole = "timestamp",
        instrument_name: Text<'a> = "instrument_name",
        trade_id: Text<'a> = "trade_id",
        trade_seq: Whole = "trade_seq",
        price: Float = "price",
        amount: Float = "amount",
        direction: Text<'a> = "direction",
        tick_direction: Whole = "tick_direction",
        iv: Float = "iv",
        index_price: Float = "index_price",
        mark_price: Float = "mark_price",
        contracts: Float = "contracts",
        liquidation: Text<'a> = "liquidation",
        block_trade_id: Text<'a> = "block_trade_id",
        block_trade_leg_count: Whole = "block_trade_leg_count",
        combo_id: Text<'a> = "combo_id",
        combo_trade_id: Text<'a> = "combo_trade_id",
        block_rfq_id: Whole = "block_rfq_id",
        starbase_match_id: Whole = "starbase_match_id",
        starbase_timestamp: Whole = "starbase_timestamp",
    }
    // A combo's legs come again as trades of their own instruments.
    ignored ["legs"]
}

/// The elements of an array. Not `to_array_iter`: it does not look at what follows the array.
pub(super) fn elements(data: &str) -> Result<Vec<sonic_rs::LazyValue<'_>>, Refusal> {
    sonic_rs::from_str(data).map_err(|error| Refusal::of(&error))
}

impl Decoder {
    pub(super) fn trades(
        &mut self,
        channel: &str,
        data: &str,
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), Refusal> {
        for element in &elements(data)? {
            let raw = element.as_raw_str();
            if let Err(refusal) = self.trade(raw, now, rows) {
                self.refuse(channel, refusal, raw, now, rows);
            }
        }
        Ok(())
    }

    pub(super) fn trade(&mut self, raw: &str, now: Now, rows: &mut Rows) -> Result<(), Refusal> {
        let trade: Trade<'_> = sonic_rs::from_str(raw).map_err(|error| Refusal::of(&error))?;
        let repaired = self.mending.answers().then_some(true);
        let instrument = trade.instrument_name.required_text("instrument_name")?;
        match self.kind(instrument, now) {
            Kind::Option => {
                self.tally.strangers("trade", &trade.strangers);
                let row = OptionTrade { repaired, ..trade.option_trade(now.utc)? };
                let sequence = (row.trade_seq, row.timestamp);
                if self.is_new(instrument, sequence, Stored::OptionTrades, now, rows)? {
                    rows.option_trades.push(&row);
                }
                Ok(())
            }
            Kind::Perpetual => {
                self.tally.strangers("trade", &trade.strangers);
                let row = PerpetualTrade { repaired, ..trade.perpetual_trade(now.utc)? };
                let sequence = (row.trade_seq, row.timestamp);
                if self.is_new(instrument, sequence, Stored::PerpetualTrades, now, rows)? {
                    rows.perpetual_trades.push(&row);
                }
                Ok(())
            }
            Kind::Future => self.without_table("trades of a future"),
            Kind::Spot => self.without_table("trades of a spot pair"),
            Kind::Combo => self.without_table("trades of a combo"),
        }
    }

    /// Whether the trade is to be stored; it is counted either way.
    fn is_new(
        &mut self,
        instrument: &str,
        (seq, timestamp): (i64, Micros),
        table: Stored,
        now: Now,
        rows: &mut Rows,
    ) -> Result<bool, Refusal> {
        if self.mending.passes_over(timestamp) {
            return Ok(false);
        }
        let limit = self.limits.holes;
        let known = self.identities.of(instrument, now, self.limits.instruments);
        if known.trades.is_full(limit) {
            name(&mut known.trades, (&self.shard, instrument), Duration::MAX, now, rows);
            self.mending.want(instrument, now.monotonic);
        }
        let (tally, first) = (&mut self.tally, known.trades.highest().is_none());
        match known.trades.take(seq, timestamp, now, limit) {
            Verdict::New { skipped: 0 } => {}
            Verdict::New { skipped } => {
                tally.holes_opened += 1;
                tally.trades_missed = tally.trades_missed.saturating_add(skipped);
                self.waiting.add(instrument, known);
            }
            Verdict::Late { named } => {
                tally.late_trades += 1;
                if let Some(hole) = named
                    && !self.mending.touch(hole.from, hole.to)
                {
                    let place = (&*self.shard, instrument);
                    write(&known.trades, place, (hole.from, hole.to), LATE, now, rows);
                }
                self.waiting.add(instrument, known);
            }
            Verdict::Repeat => {
                tally.duplicates_dropped.add(table, 1);
                return Ok(false);
            }
            Verdict::WentBack => return Err(Refusal::CounterWentBack),
            Verdict::Forgotten => return Err(Refusal::HoleForgotten),
        }
        tally.rows.add(table, 1);
        tally.trades_repaired += u64::from(self.mending.answers());
        if first {
            self.traded(instrument, now);
        }
        Ok(true)
    }
}

impl Trade<'_> {
    fn option_trade(&self, received_at: Micros) -> Result<OptionTrade<'_>, Refusal> {
        Ok(OptionTrade {
            timestamp: self.timestamp.moment("timestamp")?,
            received_at,
            instrument: self.instrument_name.required_text("instrument_name")?,
            trade_id: self.trade_id.required_text("trade_id")?,
            price: self.price.required("price")?,
            amount: self.amount.required("amount")?,
            direction: self.direction()?,
            iv: number!(self.iv),
            index_price: number!(self.index_price),
            trade_seq: self.trade_seq.required("trade_seq")?,
            tick_direction: number!(self.tick_direction),
            mark_price: number!(self.mark_price),
            contracts: number!(self.contracts),
            liquidation: self.liquidation.text("liquidation")?,
            block_trade_id: self.block_trade_id.text("block_trade_id")?,
            block_trade_leg_count: number!(self.block_trade_leg_count),
            combo_id: self.combo_id.text("combo_id")?,
            combo_trade_id: self.combo_trade_id.text("combo_trade_id")?,
            block_rfq_id: number!(self.block_rfq_id),
            starbase_match_id: number!(self.starbase_match_id),
            starbase_timestamp: number!(self.starbase_timestamp),
            repaired: None,
        })
    }

    fn perpetual_trade(&self, received_at: Micros) -> Result<PerpetualTrade<'_>, Refusal> {
        let liquidation_side = self.liquidation.text("liquidation")?;
        Ok(PerpetualTrade {
            timestamp: self.timestamp.moment("timestamp")?,
            received_at,
            instrument: self.instrument_name.required_text("instrument_name")?,
            trade_id: self.trade_id.required_text("trade_id")?,
            price: self.price.required("price")?,
            amount: self.amount.required("amount")?,
            direction: self.direction()?,
            tick_direction: number!(self.tick_direction),
            liquidation: liquidation_side.is_some(),
            liquidation_side,
            index_price: number!(self.index_price),
            trade_seq: self.trade_seq.required("trade_seq")?,
            mark_price: number!(self.mark_price),
            contracts: number!(self.contracts),
            block_trade_id: self.block_trade_id.text("block_trade_id")?,
            block_trade_leg_count: number!(self.block_trade_leg_count),
            combo_id: self.combo_id.text("combo_id")?,
            combo_trade_id: self.combo_trade_id.text("combo_trade_id")?,
            block_rfq_id: number!(self.block_rfq_id),
            starbase_match_id: number!(self.starbase_match_id),
            starbase_timestamp: number!(self.starbase_timestamp),
            repaired: None,
        })
    }

    fn direction(&self) -> Result<&str, Refusal> {
        match self.direction.required_text("direction")? {
            side @ ("buy" | "sell") => Ok(side),
            _ => Err(Refusal::Wrong("direction")),
        }
    }
}
