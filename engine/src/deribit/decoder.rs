//! The decoder: one notification in, rows out.

use std::fmt;
use std::sync::Arc;

use schema::tables::Rows;
use schema::{Digest, Micros, Now};

use super::channel::Channel;
use super::echoes::Echoes;
use super::holes::Waiting;
use super::identities::{Identities, Kind, Repeats};
use super::latecomers::Latecomers;
use super::mending::Mending;
use super::nesting;
use super::quarantine::Quarantine;
use super::refusal::Refusal;
use super::sequence::{Missing, Recorded};
use super::states::Overheard;
use super::tally::Tally;
use crate::session::Chain;

/// Turns notifications into rows, and drops what was recorded before.
///
/// It owns no clock and does no I/O. Text from outside never makes it fail: what cannot be
/// decoded goes to `rows.quarantine` and disturbs nothing else.
pub struct Decoder {
    pub(super) limits: Limits,
    pub(super) identities: Identities,
    pub(super) tally: Tally,
    pub(super) digest: Digest,
    /// Room for the texts of a depth row.
    pub(super) sides: (String, String),
    /// Instruments with trades missing that are not named yet.
    pub(super) waiting: Waiting,
    /// Gaps of missing trades that were filled before a restart, and that no row says so of.
    pub(super) untold: Vec<(Box<str>, (Micros, Micros))>,
    /// Instruments whose trades are asked for again.
    pub(super) mending: Mending,
    /// Options that were listed while nothing was received, and that are not known yet.
    pub(super) latecomers: Latecomers,
    /// Of channels that go from one connection to another, what both may hear.
    pub(super) echoes: Echoes,
    /// Whose connection's messages these are.
    pub(super) shard: Arc<str>,
    /// Who hears of states.
    pub(super) overheard: Option<Overheard>,
    quarantine: Quarantine,
}

/// What a decoder may hold on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instruments and indices whose past is remembered; about 500 bytes each.
    pub instruments: usize,
    /// Holes in the trades of one instrument.
    pub holes: usize,
    /// How deeply a message may be nested.
    pub nesting: usize,
}

/// What was last recorded of an instrument before this process, as the journal knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastIdentity {
    /// The highest trade_seq.
    pub trade_seq: Option<i64>,
    /// When that trade happened.
    pub traded_at: Option<Micros>,
    /// The lowest trade_seq and when it happened: from there on everything is recorded but for the
    /// holes. Where it is missing, everything below the highest is taken as recorded.
    pub lowest: Option<(i64, Micros)>,
    /// When the first of these trades was received.
    pub begun: Option<Micros>,
    /// The change_id of the newest book message.
    pub change_id: Option<i64>,
    /// The digest of the newest ticker's row.
    pub ticker: Option<u128>,
    /// When the newest of these was received: a trade that happened later is no repeat of one.
    pub received_at: Option<Micros>,
}

/// Trades that were skipped: `first..=last` of the instrument's trade_seq are not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole<'a> {
    /// The instrument.
    pub instrument: &'a str,
    /// The first trade_seq missing.
    pub first: i64,
    /// The last trade_seq missing.
    pub last: i64,
}

impl Decoder {
    /// A decoder that has seen nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            identities: Identities::default(),
            tally: Tally::default(),
            digest: Digest::default(),
            sides: (String::new(), String::new()),
            waiting: Waiting::default(),
            untold: Vec::new(),
            mending: Mending::default(),
            latecomers: Latecomers::default(),
            echoes: Echoes::default(),
            shard: "".into(),
            overheard: None,
            quarantine: Quarantine::default(),
        }
    }

    /// The shard that this decodes for, as gaps name it.
    #[must_use]
    pub fn of_shard(self, shard: Arc<str>) -> Self {
        Self { shard, ..self }
    }

    /// Seeds what was last recorded of an instrument before a restart, or by another connection.
    /// What is missing in `last`, and what was decoded here since, stays as it is.
    pub fn resume(&mut self, instrument: &str, last: LastIdentity) {
        let known = self.identities.of(instrument, Now::default(), self.limits.instruments);
        if let Some(seq) = last.trade_seq {
            let at = last.traded_at.or(last.received_at).unwrap_or_default();
            known.trades.resume(Recorded {
                highest: (seq, at),
                lowest: last.lowest,
                begun: last.begun,
                received_at: last.received_at,
            });
        }
        known.book.resume(last.change_id, last.received_at);
        if known.ticker.0.is_none() {
            known.ticker = Repeats(last.ticker);
        }
    }

    /// Seeds which trades of an instrument below its highest were not recorded before a restart:
    /// first and last trade_seq, and when the trades on both sides happened; ascending, and after
    /// [`resume`](Self::resume). They are asked for once the channel is acknowledged.
    pub fn resume_hole(&mut self, instrument: &str, hole: (i64, i64), span: (Micros, Micros)) {
        if let Some(known) = self.identities.get_mut(instrument) {
            known.trades.resume_hole(hole.0, hole.1, span.0, span.1);
        }
    }

    /// Seeds that a row of a shard names a gap of missing trades, after
    /// [`resume_hole`](Self::resume_hole). If no such hole is left, the process before ended
    /// between storing its trades and saying so.
    pub fn resume_named(&mut self, instrument: &str, shard: &str, span: (Micros, Micros)) {
        let Some(known) = self.identities.get_mut(instrument) else { return };
        if known.trades.holes().any(|hole| hole.from == span.0) {
            known.trades.named_by = Some(shard.into());
        } else if *shard == *self.shard {
            self.untold.push((instrument.into(), span));
        }
    }

    /// Decodes one notification. `data` is the JSON text of its `params.data`.
    pub fn decode(&mut self, channel: &str, data: &str, now: Now, rows: &mut Rows) -> Chain {
        match self.route(channel, data, now, rows) {
            Ok(chain) => chain,
            Err(refusal) => {
                self.refuse(channel, refusal, data, now, rows);
                Chain::Quiet
            }
        }
    }

    /// Decodes a window of a book whose last one is not to be compared with it: a sample.
    pub fn sample(&mut self, channel: &str, data: &str, now: Now, rows: &mut Rows) {
        if let Channel::Depth(instrument) = Channel::parse(channel)
            && let Some(known) = self.identities.get_mut(instrument)
        {
            known.depth = Repeats::default();
        }
        self.decode(channel, data, now, rows);
    }

    /// Keeps a message that is not even a notification, within the quarantine's budget.
    pub fn quarantine(
        &mut self,
        channel: &str,
        reason: &str,
        raw: &[u8],
        now: Now,
        rows: &mut Rows,
    ) {
        self.quarantine.keep((channel, reason), raw, now, &mut self.tally, rows);
    }

    /// What has been counted.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The trades that are known to be missing at this moment, in no order of instruments.
    pub fn holes(&self) -> impl Iterator<Item = Hole<'_>> {
        self.identities.iter().flat_map(|(instrument, known)| {
            let hole = move |hole: &Missing| (hole.first, hole.last);
            let holes = known.trades.holes().map(hole);
            holes.map(move |(first, last)| Hole { instrument, first, last })
        })
    }

    fn route(
        &mut self,
        channel: &str,
        data: &str,
        now: Now,
        rows: &mut Rows,
    ) -> Result<Chain, Refusal> {
        if nesting::deeper_than(self.limits.nesting, data) {
            return Err(Refusal::Nesting);
        }
        match Channel::parse(channel) {
            Channel::Book(instrument) => return self.book(instrument, data, now, rows),
            Channel::Ticker(instrument) => self.ticker(instrument, data, now, rows)?,
            Channel::Trades => self.trades(channel, data, now, rows)?,
            Channel::Depth(instrument) => self.depth(instrument, data, now, rows)?,
            Channel::Perpetual(instrument) => self.interest(instrument, data, now, rows)?,
            Channel::Index(index) => self.index(index, data, now, rows)?,
            Channel::State => self.state(data, now)?,
            Channel::Platform => self.platform(data, now)?,
            Channel::Other(class) => self.tally.unsupported(class),
        }
        Ok(Chain::Quiet)
    }

    pub(super) fn refuse(
        &mut self,
        channel: &str,
        refusal: Refusal,
        raw: &str,
        now: Now,
        rows: &mut Rows,
    ) {
        self.quarantine(channel, &refusal.to_string(), raw.as_bytes(), now, rows);
    }

    /// What kind of instrument it is.
    pub(super) fn kind(&mut self, instrument: &str, now: Now) -> Kind {
        let known = self.identities.of(instrument, now, self.limits.instruments);
        let kind = known.kind;
        self.tally.instruments_forgotten = self.identities.forgotten;
        kind
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { instruments: 32_768, holes: 64, nesting: 32 }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("tally", &self.tally).finish_non_exhaustive()
    }
}
