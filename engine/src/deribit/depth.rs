//! `book.X.group.depth.interval`: the best levels of a book, whole each time.

use std::fmt::Write;

use schema::tables::{OptionOrderbookDepth, PerpetualOrderbookDepth, Rows};
use schema::{Now, Row};

use super::decoder::Decoder;
use super::echoes::Voice;
use super::identities::Kind;
use super::levels::Level;
use super::refusal::Refusal;
use super::tally::Stored;

impl Decoder {
    /// The message carries no mark, interest or volume: they come from the newest ticker.
    pub(super) fn depth(
        &mut self,
        instrument: &str,
        data: &str,
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), Refusal> {
        match self.kind(instrument, now) {
            Kind::Option => self.option_depth(instrument, data, now, rows),
            Kind::Perpetual => self.perpetual_depth(instrument, data, now, rows),
            Kind::Future => self.without_table("depth of a future"),
            Kind::Spot => self.without_table("depth of a spot pair"),
            Kind::Combo => self.without_table("depth of a combo"),
        }
    }

    fn option_depth(
        &mut self,
        instrument: &str,
        data: &str,
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), Refusal> {
        let book = self.read_book(instrument, data)?;
        write_side(book.bids.read("bids")?, &mut self.sides.0);
        write_side(book.asks.read("asks")?, &mut self.sides.1);
        let row = OptionOrderbookDepth {
            timestamp: book.timestamp.moment("timestamp")?,
            received_at: now.utc,
            instrument,
            bids: &self.sides.0,
            asks: &self.sides.1,
            mark_price: None,
            underlying_price: None,
            open_interest: None,
            volume_24h: None,
            change_id: book.change_id.optional("change_id")?,
        };
        let known = self.identities.of(instrument, now, self.limits.instruments);
        // Only what was sent decides whether it is a repeat: the marks are filled in after.
        let digest = row.digest(&mut self.digest);
        if self.echoes.repeats(Voice::Depth, instrument, known, digest, now) {
            self.tally.duplicates_dropped.add(Stored::OptionDepth, 1);
            return Ok(());
        }
        rows.option_orderbook_depth.push(&OptionOrderbookDepth {
            mark_price: known.marks.mark_price,
            underlying_price: known.marks.underlying_price,
            open_interest: known.marks.open_interest,
            volume_24h: known.marks.volume_24h,
            ..row
        });
        self.tally.rows.add(Stored::OptionDepth, 1);
        Ok(())
    }

    fn perpetual_depth(
        &mut self,
        instrument: &str,
        data: &str,
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), Refusal> {
        let book = self.read_book(instrument, data)?;
        write_side(book.bids.read("bids")?, &mut self.sides.0);
        write_side(book.asks.read("asks")?, &mut self.sides.1);
        let row = PerpetualOrderbookDepth {
            timestamp: book.timestamp.moment("timestamp")?,
            received_at: now.utc,
            instrument,
            bids: &self.sides.0,
            asks: &self.sides.1,
            mark_price: None,
            index_price: None,
            funding_rate: None,
            open_interest: None,
            volume_24h: None,
            change_id: book.change_id.optional("change_id")?,
        };
        let known = self.identities.of(instrument, now, self.limits.instruments);
        let digest = row.digest(&mut self.digest);
        if self.echoes.repeats(Voice::Depth, instrument, known, digest, now) {
            self.tally.duplicates_dropped.add(Stored::PerpetualDepth, 1);
            return Ok(());
        }
        rows.perpetual_orderbook_depth.push(&PerpetualOrderbookDepth {
            mark_price: known.marks.mark_price,
            index_price: known.marks.index_price,
            funding_rate: known.marks.funding_rate,
            open_interest: known.marks.open_interest,
            volume_24h: known.marks.volume_24h,
            ..row
        });
        self.tally.rows.add(Stored::PerpetualDepth, 1);
        Ok(())
    }
}

/// `[{"price":p,"amount":a},…]`, in the order sent.
fn write_side(levels: &[Level<'_>], text: &mut String) {
    text.clear();
    text.push('[');
    for (index, level) in levels.iter().enumerate() {
        text.push_str(if index == 0 { "{\"price\":" } else { ",{\"price\":" });
        write_number(level.price, text);
        text.push_str(",\"amount\":");
        write_number(level.amount, text);
        text.push('}');
    }
    text.push(']');
}

/// The shortest digits that read back as the same f64; an exponent where zeros would be many.
fn write_number(number: f64, text: &mut String) {
    let size = number.abs();
    let plain = size == 0.0 || (1e-7..1e21).contains(&size);
    // Writing to a String cannot fail.
    let _ = if plain { write!(text, "{number}") } else { write!(text, "{number:e}") };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        for (number, expected) in [
            (0.0, "0"),
            (88123.0, "88123"),
            (0.0375, "0.0375"),
            (-1.5, "-1.5"),
            (1e300, "1e300"),
            (2.5e-9, "2.5e-9"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
        ] {
            let mut text = String::new();
            write_number(number, &mut text);
            assert_eq!(text, expected);
            assert_eq!(sonic_rs::from_str::<f64>(&text).unwrap().to_bits(), number.to_bits());
        }
    }
}
