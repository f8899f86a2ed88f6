//! `book.X.interval`: a snapshot of the whole book, then changes.

use schema::Now;
use schema::tables::{BookChange, Rows};

use super::decoder::Decoder;
use super::field::{Text, Whole};
use super::identities::Step;
use super::levels::Levels;
use super::refusal::Refusal;
use super::tally::Stored;
use super::wire::wire;
use crate::session::Chain;

wire! {
    /// One message of either book channel; a grouped one has neither type nor prev_change_id.
    struct BookMessage {
        timestamp: Whole = "timestamp",
        instrument_name: Text<'a> = "instrument_name",
        kind: Text<'a> = "type",
        change_id: Whole = "change_id",
        prev_change_id: Whole = "prev_change_id",
        bids: Levels<'a> = "bids",
        asks: Levels<'a> = "asks",
    }
    ignored []
}

impl Decoder {
    /// Books of any instrument are kept: their table does not depend on its kind.
    pub(super) fn book(
        &mut self,
        instrument: &str,
        data: &str,
        now: Now,
        rows: &mut Rows,
    ) -> Result<Chain, Refusal> {
        let book = self.read_book(instrument, data)?;
        let timestamp = book.timestamp.moment("timestamp")?;
        let change_id = book.change_id.required("change_id")?;
        let prev_change_id = book.prev_change_id.optional("prev_change_id")?;
        // A new book may begin with a change of version 0; before 2020 there was no type.
        let snapshot =
            book.kind.text("type")? == Some("snapshot") || matches!(prev_change_id, None | Some(0));
        let (bids, asks) = (book.bids.read("bids")?, book.asks.read("asks")?);

        let known = self.identities.of(instrument, now, self.limits.instruments);
        let (since, last) = (known.book.good_until, known.book.change_id);
        let chain = match known.book.take(change_id, prev_change_id, snapshot, timestamp, now.utc) {
            Step::Next => Chain::Quiet,
            Step::Begin => Chain::Begun(timestamp),
            step @ (Step::Break | Step::Loose) => {
                self.tally.book_breaks += u64::from(step == Step::Break);
                Chain::Broken { since, at: timestamp, last, prev: prev_change_id }
            }
            Step::Restart => {
                self.tally.books_restarted += 1;
                Chain::Begun(timestamp)
            }
            Step::Repeat => {
                self.tally.duplicates_dropped.add(Stored::BookChanges, 1);
                return Ok(Chain::Quiet);
            }
        };
        let message = BookChange {
            timestamp,
            received_at: now.utc,
            instrument,
            change_id,
            prev_change_id,
            snapshot,
            side: None,
            action: None,
            price: None,
            amount: None,
        };
        for (side, levels) in [("bid", bids), ("ask", asks)] {
            for level in levels {
                rows.book_changes.push(&BookChange {
                    side: Some(side),
                    action: level.action.as_deref(),
                    price: Some(level.price),
                    amount: Some(level.amount),
                    ..message
                });
            }
        }
        let levels = bids.len() + asks.len();
        if levels == 0 {
            rows.book_changes.push(&message);
        }
        self.tally.rows.add(Stored::BookChanges, levels.max(1) as u64);
        Ok(chain)
    }

    pub(super) fn read_book<'a>(
        &mut self,
        instrument: &str,
        data: &'a str,
    ) -> Result<BookMessage<'a>, Refusal> {
        let book = BookMessage::of(instrument, data)?;
        self.tally.strangers("book", &book.strangers);
        Ok(book)
    }
}

impl<'a> BookMessage<'a> {
    /// The message that is said to be of an instrument.
    pub(super) fn of(instrument: &str, data: &'a str) -> Result<Self, Refusal> {
        let book: Self = sonic_rs::from_str(data).map_err(|error| Refusal::of(&error))?;
        match book.instrument_name.required_text("instrument_name")? {
            name if name == instrument => Ok(book),
            _ => Err(Refusal::OtherInstrument),
        }
    }
}
