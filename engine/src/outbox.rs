//! A reader's way to the journal: builders, then the queue, and what happens when it is full.
//!
//! A reader never waits. While the queue is full its batches are held here, up to a bound; beyond
//! the bound the ladder begins: book depth is shed first, then quotes, at last everything. Each
//! step is a `data_gaps` row with its cause, and those rows use room that nothing else may use.

use std::collections::VecDeque;
use std::time::Duration;

use schema::tables::{DataGap, Rows};
use schema::{Draft, Micros, Now, Origin, Row};

use crate::queue::{Inlet, Item, Refused, Urgency};

/// The rows of one reader on their way out.
#[derive(Debug)]
pub struct Outbox {
    /// Where sessions put their rows.
    pub rows: Rows,
    inlet: Inlet,
    origin: Origin,
    batch_age_max: Duration,
    flushed_at: Duration,
    held: VecDeque<Draft>,
    held_bytes: usize,
    held_bytes_max: usize,
    /// What was shed and not yet said, by class.
    shed: [Option<Shed>; 3],
    /// Times that the end has been tried.
    endings: u32,
    /// Whether the journal has stopped.
    closed: bool,
}

/// Rows that were given up.
#[derive(Clone, Copy, Debug)]
struct Shed {
    from: Micros,
    through: Micros,
    rows: u64,
}

/// What a table's rows are worth when not all can be kept, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Depth,
    Quotes,
    Rest,
}

impl Outbox {
    /// An empty outbox. A row waits at most `batch_age_max` before it is offered to the journal.
    #[must_use]
    pub fn new(inlet: Inlet, origin: Origin, batch_age_max: Duration) -> Self {
        Self {
            rows: Rows::default(),
            inlet,
            origin,
            batch_age_max,
            flushed_at: Duration::ZERO,
            held: VecDeque::new(),
            held_bytes: 0,
            held_bytes_max: HELD_BYTES_MAX,
            shed: [None; 3],
            endings: 0,
            closed: false,
        }
    }

    /// The same with another bound of what is held while the queue is full.
    #[must_use]
    pub fn holding(self, held_bytes_max: usize) -> Self {
        Self { held_bytes_max, ..self }
    }

    /// Hands over what is due: large batches at once, all of them when the oldest row has waited
    /// long enough. `now` must not be before any row's `received_at`.
    pub fn turn(&mut self, now: Now) {
        self.collect(BATCH_ROWS_MAX);
        if now.monotonic.saturating_sub(self.flushed_at) >= self.batch_age_max {
            self.flush(now);
        }
    }

    /// Hands over every row, then says that everything received up to `now` was handed over:
    /// kept, or given up and named.
    pub fn flush(&mut self, now: Now) {
        self.flushed_at = now.monotonic;
        self.say_what_was_shed(now);
        self.collect(1);
        if self.is_empty() {
            self.offer(Item::Through { reader: self.origin.reader, at: now.utc });
        }
    }

    /// The end: hands over everything, and says whether that is done. Try again after a moment if
    /// not; when the queue has taken nothing for too long, what is held is given up and named.
    pub fn end(&mut self, now: Now) -> bool {
        self.flush(now);
        if self.is_empty() || self.closed {
            return true;
        }
        self.endings += 1;
        if self.endings >= ENDINGS_MAX {
            self.give_up(now);
        }
        self.endings >= ENDINGS_MAX
    }

    /// Gives up what is held and says so.
    fn give_up(&mut self, now: Now) {
        self.collect(1);
        for class in [Class::Depth, Class::Quotes, Class::Rest] {
            self.shed(class);
        }
        self.say_what_was_shed(now);
        self.collect(1);
    }

    /// Hands over a fact that is not a row; whether it was taken. It never overtakes a gap: it may
    /// say that a shard is alive again, and a process that dies before the gap's row is in the
    /// journal would leave that outage without a name.
    pub fn fact(&mut self, item: Item) -> bool {
        if let Some(draft) = self.rows.data_gaps.take(self.origin) {
            self.held_bytes += draft.bytes();
            self.held.push_back(draft);
            self.drain();
        }
        let waiting = self.held.iter().any(|draft| draft.table().name == DataGap::TABLE.name);
        !waiting && self.offer(item)
    }

    /// Whether the journal has stopped, so that nothing will ever be taken again.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Whether everything is handed over, and everything given up is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.rows.rows() == 0 && self.shed.iter().all(Option::is_none)
    }

    fn collect(&mut self, rows: usize) {
        let (held, bytes) = (&mut self.held, &mut self.held_bytes);
        self.rows.take_from(rows, self.origin, |draft| {
            *bytes += draft.bytes();
            held.push_back(draft);
        });
        self.drain();
        for class in [Class::Depth, Class::Quotes, Class::Rest] {
            if self.held_bytes > self.held_bytes_max {
                self.shed(class);
            }
        }
    }

    /// Offers what is held, oldest first. Once a batch finds no room, only those that may use the
    /// reserve are still offered: a trade or a gap never waits behind a book.
    fn drain(&mut self) {
        let mut full = false;
        let mut kept = VecDeque::new();
        for draft in std::mem::take(&mut self.held) {
            let bytes = draft.bytes();
            let urgency = match Class::of(&draft) {
                Class::Depth | Class::Quotes => Urgency::Ordinary,
                Class::Rest => Urgency::Reserved,
            };
            if full && urgency == Urgency::Ordinary {
                kept.push_back(draft);
                continue;
            }
            match self.inlet.offer(Item::Rows(draft), urgency) {
                Ok(()) => self.held_bytes -= bytes,
                Err(Refused::Full(item)) => {
                    full = true;
                    kept.extend(item.into_draft());
                }
                Err(Refused::Closed) => {
                    self.held_bytes -= bytes;
                    self.closed = true;
                }
            }
        }
        self.held = kept;
    }

    fn shed(&mut self, class: Class) {
        let mut kept = VecDeque::with_capacity(self.held.len());
        for draft in self.held.drain(..) {
            if Class::of(&draft) != class || draft.table().name == DataGap::TABLE.name {
                kept.push_back(draft);
                continue;
            }
            self.held_bytes -= draft.bytes();
            let (from, through) = draft.received();
            // The tape is read by the rows' own time, and they were under way.
            let from = draft.said_from().map_or(from, |said| said.min(from));
            let shed = self.shed[class as usize].get_or_insert(Shed { from, through, rows: 0 });
            shed.from = shed.from.min(from);
            shed.through = shed.through.max(through);
            shed.rows += draft.rows() as u64;
        }
        self.held = kept;
    }

    fn say_what_was_shed(&mut self, now: Now) {
        let shard = format!("reader-{}", self.origin.reader);
        for class in [Class::Depth, Class::Quotes, Class::Rest] {
            let Some(shed) = self.shed[class as usize].take() else { continue };
            tracing::error!(cause = class.cause(), "{} rows were given up", shed.rows);
            let seconds = shed.through.since(shed.from).as_secs();
            self.rows.data_gaps.push(&DataGap {
                start_time: shed.from,
                received_at: now.utc,
                instrument: "*",
                end_time: Some(shed.through),
                duration_sec: i64::try_from(seconds).ok(),
                cause: class.cause(),
                shard: &shard,
                detail: Some(&format!(
                    "{} rows were given up: the journal took no more",
                    shed.rows
                )),
                created_at: now.utc,
            });
        }
    }

    /// Offers what is no row. A marker that finds no room is sent again with the next flush.
    fn offer(&mut self, item: Item) -> bool {
        match self.inlet.offer(item, Urgency::Reserved) {
            Ok(()) => true,
            Err(Refused::Full(_)) => false,
            Err(Refused::Closed) => {
                self.closed = true;
                false
            }
        }
    }
}

impl Class {
    fn of(draft: &Draft) -> Self {
        match draft.table().name {
            "book_changes" | "option_orderbook_depth" | "perpetual_orderbook_depth" => Self::Depth,
            "option_quotes" | "perpetual_quotes" | "perpetual_interest" | "index_ticks" => {
                Self::Quotes
            }
            _ => Self::Rest,
        }
    }

    fn cause(self) -> &'static str {
        match self {
            Self::Depth => "overload_depth",
            Self::Quotes => "overload_quotes",
            Self::Rest => "overload_all",
        }
    }
}

/// A batch this large is handed over at once.
const BATCH_ROWS_MAX: usize = 4_096;
/// At the end, how often the queue is given a moment to take the last rows.
const ENDINGS_MAX: u32 = 40;
/// What a reader holds while the queue is full.
const HELD_BYTES_MAX: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Next, queue};
    use arrow_array::cast::AsArray;
    use arrow_array::types::TimestampMicrosecondType;
    use schema::tables::{BookChange, IndexTick};

    /// Between what the exchange said and what was read.
    const UNDER_WAY_US: i64 = 300_000;

    fn now(second: u64) -> Now {
        let monotonic = Duration::from_secs(second);
        Now { monotonic, utc: Micros(0).plus(monotonic) }
    }

    fn tick(rows: &mut Rows, at: Micros) {
        rows.index_ticks.push(&IndexTick {
            timestamp: Micros(at.0 - UNDER_WAY_US),
            received_at: at,
            index_name: "btc_usd",
            price: 1.0,
        });
    }

    fn level(rows: &mut Rows, at: Micros) {
        rows.book_changes.push(&BookChange {
            timestamp: at,
            received_at: at,
            instrument: "BTC-PERPETUAL",
            change_id: 1,
            prev_change_id: None,
            snapshot: true,
            side: Some("bid"),
            action: Some("new"),
            price: Some(1.0),
            amount: Some(1.0),
        });
    }

    #[test]
    fn a_row_waits_for_its_age_and_a_marker_follows() {
        let (inlet, outlet) = queue(1 << 20);
        let mut outbox = Outbox::new(inlet, Origin::default(), Duration::from_secs(5));
        tick(&mut outbox.rows, now(1).utc);
        outbox.turn(now(1));
        assert!(matches!(outlet.take(Duration::ZERO), Next::Idle));
        outbox.turn(now(6));
        assert!(matches!(outlet.take(Duration::ZERO), Next::Item(Item::Rows(_))));
        let Next::Item(Item::Through { at, .. }) = outlet.take(Duration::ZERO) else { panic!() };
        assert_eq!(at, now(6).utc);
    }

    /// Depth goes before quotes, what goes is named, and no marker claims what is still held.
    #[test]
    fn overload_sheds_depth_first_and_says_so() {
        let (inlet, outlet) = queue(1);
        let mut first = Rows::default();
        tick(&mut first, now(0).utc);
        let first = first.index_ticks.take(Origin::default()).unwrap();
        inlet.offer(Item::Rows(first), crate::queue::Urgency::Ordinary).unwrap();
        let mut outbox = Outbox::new(inlet, Origin::default(), Duration::from_secs(1));
        let mut second = 0;
        while outbox.shed[Class::Depth as usize].is_none() {
            second += 1;
            for _ in 0..BATCH_ROWS_MAX {
                level(&mut outbox.rows, now(second).utc);
            }
            tick(&mut outbox.rows, now(second).utc);
            outbox.flush(now(second));
        }
        assert!(outbox.held.iter().all(|draft| draft.table().name != "book_changes"));
        assert!(outbox.held.iter().any(|draft| draft.table().name == "index_ticks"));
        outbox.flush(now(second + 1));
        let mut taken = Vec::new();
        while let Next::Item(item) = outlet.take(Duration::ZERO) {
            let draft = item.into_draft().expect("no marker claims what is still held");
            taken.push(draft.table().name);
        }
        assert_eq!(taken, ["index_ticks", "data_gaps"], "it is said although rows still wait");
    }

    /// Rows that were given up are not claimed before the gap that names them is on its way.
    #[test]
    fn the_end_names_what_it_gives_up() {
        let (inlet, outlet) = queue(1);
        let mut outbox = Outbox::new(inlet, Origin::default(), Duration::from_secs(1));
        for second in 1..=2 {
            tick(&mut outbox.rows, now(second).utc);
            outbox.flush(now(second));
        }
        assert!(!outbox.is_empty(), "the second tick found the queue full");
        let tries = (0..).take_while(|_| !outbox.end(now(3))).count();
        assert_eq!(tries, 39, "the queue is given two seconds");
        assert!(outbox.is_empty());
        let mut taken = Vec::new();
        while let Next::Item(item) = outlet.take(Duration::ZERO) {
            taken.extend(item.into_draft().map(|draft| draft.table().name));
        }
        assert_eq!(taken, ["index_ticks", "data_gaps"]);
    }

    /// Who reads the tape by the exchange's time must find the gap there.
    #[test]
    fn what_is_given_up_is_named_from_the_time_when_it_was_said() {
        let (inlet, outlet) = queue(1);
        let mut outbox = Outbox::new(inlet, Origin::default(), Duration::ZERO).holding(1);
        for second in 1..=3 {
            tick(&mut outbox.rows, now(second).utc);
            outbox.flush(now(second));
        }
        let mut starts = Vec::new();
        while let Next::Item(item) = outlet.take(Duration::ZERO) {
            let gap = item.into_draft().filter(|draft| draft.table().name == DataGap::TABLE.name);
            let start = |batch: schema::Batch| {
                let column = batch.columns().column_by_name("start_time").unwrap().clone();
                column.as_primitive::<TimestampMicrosecondType>().value(0)
            };
            starts.extend(gap.map(|draft| start(draft.number(1, 0))));
        }
        assert_eq!(starts, [now(2).utc.0 - UNDER_WAY_US]);
    }

    /// A process that dies between the two must not have said that the shard is alive again.
    #[test]
    fn a_fact_does_not_overtake_a_gap() {
        let (inlet, outlet) = queue(1 << 20);
        let mut outbox = Outbox::new(inlet, Origin::default(), Duration::from_secs(5));
        tick(&mut outbox.rows, now(1).utc);
        let mut outage = crate::session::Outage::new("btc".into());
        let cause = crate::session::Cause::closed(None, "");
        outage.open(now(1).utc, cause);
        outage.close(now(2), &mut outbox.rows);
        let fact = || Item::Shard {
            shard: "btc".into(),
            channels: lifecycle::ChannelSet::default(),
            at: now(2).utc,
            unasked_since: None,
        };
        assert!(outbox.fact(fact()));
        let Next::Item(first) = outlet.take(Duration::ZERO) else { panic!("nothing was said") };
        assert_eq!(first.into_draft().map(|draft| draft.table().name), Some("data_gaps"));
        assert!(matches!(outlet.take(Duration::ZERO), Next::Item(Item::Shard { .. })));
        assert!(!outbox.is_empty(), "other rows wait for their age");
    }

    #[test]
    fn a_journal_that_stopped_is_noticed() {
        let (inlet, outlet) = queue(1 << 20);
        drop(outlet);
        let mut outbox = Outbox::new(inlet, Origin::default(), Duration::from_secs(1));
        tick(&mut outbox.rows, now(1).utc);
        outbox.flush(now(2));
        assert!(outbox.closed() && outbox.is_empty());
    }
}
