//! `deribit_price_index.NAME` and `perpetual.X.interval`: an index, and a perpetual's interest.

use schema::tables::{IndexTick, PerpetualInterest, Rows};
use schema::{Now, Row};

use super::decoder::Decoder;
use super::echoes::Voice;
use super::field::{Float, Text, Whole};
use super::identities::Kind;
use super::refusal::Refusal;
use super::tally::Stored;
use super::wire::{number, wire};

wire! {
    /// One price of an index.
    struct Price {
        timestamp: Whole = "timestamp",
        price: Float = "price",
        index_name: Text<'a> = "index_name",
    }
    ignored []
}

wire! {
    /// The index and the interest rate of a perpetual.
    struct Interest {
        timestamp: Whole = "timestamp",
        index_price: Float = "index_price",
        interest: Float = "interest",
    }
    ignored []
}

impl Decoder {
    pub(super) fn index(
        &mut self,
        index: &str,
        data: &str,
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), Refusal> {
        let price: Price<'_> = sonic_rs::from_str(data).map_err(|error| Refusal::of(&error))?;
        if price.index_name.text("index_name")?.is_some_and(|name| name != index) {
            return Err(Refusal::OtherInstrument);
        }
        self.tally.strangers("index", &price.strangers);
        let row = IndexTick {
            timestamp: price.timestamp.moment("timestamp")?,
            received_at: now.utc,
            index_name: index,
            price: price.price.required("price")?,
        };
        let known = self.identities.of(index, now, self.limits.instruments);
        let digest = row.digest(&mut self.digest);
        if self.echoes.repeats(Voice::Ticker, index, known, digest, now) {
            self.tally.duplicates_dropped.add(Stored::IndexTicks, 1);
            return Ok(());
        }
        rows.index_ticks.push(&row);
        self.tally.rows.add(Stored::IndexTicks, 1);
        Ok(())
    }

    pub(super) fn interest(
        &mut self,
        instrument: &str,
        data: &str,
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), Refusal> {
        if self.kind(instrument, now) != Kind::Perpetual {
            return self.without_table("perpetual of another instrument");
        }
        let interest: Interest<'_> =
            sonic_rs::from_str(data).map_err(|error| Refusal::of(&error))?;
        self.tally.strangers("perpetual", &interest.strangers);
        let row = PerpetualInterest {
            timestamp: interest.timestamp.moment("timestamp")?,
            received_at: now.utc,
            instrument,
            index_price: number!(interest.index_price),
            interest: number!(interest.interest),
        };
        let known = self.identities.of(instrument, now, self.limits.instruments);
        let digest = row.digest(&mut self.digest);
        if self.echoes.repeats(Voice::Interest, instrument, known, digest, now) {
            self.tally.duplicates_dropped.add(Stored::PerpetualInterest, 1);
            return Ok(());
        }
        rows.perpetual_interest.push(&row);
        self.tally.rows.add(Stored::PerpetualInterest, 1);
        Ok(())
    }
}
