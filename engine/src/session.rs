//! The conversation with an exchange: what reader, protocol and decoder agree on.
//!
//! Everything here is a state machine without sockets, clocks or threads: bytes and [`Now`] go in,
//! rows and messages come out.

mod outage;

use std::fmt;
use std::time::Duration;

use lifecycle::{ChannelSet, Swap};
use schema::tables::Rows;
use schema::{Micros, Now};

pub use outage::Outage;
pub(crate) use outage::{Gap, SET_BACK_MIN_US, latest, set_us, whose};

/// One shard's conversation with an exchange, over as many sockets as it takes.
///
/// The reader calls, in a loop: [`receive`](Self::receive) for each message, then
/// [`transmit`](Self::transmit) until it says false; [`tick`](Self::tick) when
/// [`deadline`](Self::deadline) is past, then `transmit` again.
pub trait Session {
    /// A new socket is open, its websocket handshake done. Nothing is acknowledged or pending.
    fn connected(&mut self, now: Now);

    /// One whole message, which may be overwritten while parsing; appends its rows.
    ///
    /// # Errors
    /// The connection is of no more use: see [`SessionError::policy`].
    fn receive(
        &mut self,
        message: &mut [u8],
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), SessionError>;

    /// Starts moving to the goal of `swap`; a later swap supersedes an unfinished one. Generations
    /// never go back: that is a programmer's error and panics.
    fn swap(&mut self, swap: Swap);

    /// Appends the next message to send, one JSON text, and says whether there was one.
    fn transmit(&mut self, now: Now, out: &mut Vec<u8>) -> bool;

    /// When [`tick`](Self::tick) is due if nothing arrives before, on the monotonic clock.
    fn deadline(&self) -> Duration;

    /// Lets time pass, with a connection or without.
    ///
    /// # Errors
    /// The connection is dead and must be replaced.
    fn tick(&mut self, now: Now, rows: &mut Rows) -> Result<(), SessionError>;

    /// The socket is gone, and why. Opens a gap if anything was being received.
    fn disconnected(&mut self, cause: Cause, now: Now);

    /// Nothing has been received since `since`, although it should have been: what the journal
    /// knows after a restart. It went on until `until` at least, on the clock of that time. The gap
    /// closes when the goal is acknowledged.
    fn outage(&mut self, since: Micros, until: Micros, cause: Cause);

    /// Trades since then may be missing, too, and were not asked for: what the journal knows after
    /// a restart. They are asked for once the goal is acknowledged.
    fn unasked(&mut self, since: Micros);

    /// The process ends: names what is missing, writes a gap that is still open, without an end,
    /// and ends the gaps of refused channels and broken books, which the gap of the restart takes
    /// over.
    fn finish(&mut self, now: Now, rows: &mut Rows);

    /// The channels that the exchange has acknowledged on this connection, for the journal.
    fn acknowledged(&self) -> &ChannelSet;

    /// Up to when this shard is known to have received everything: what a restart takes for the
    /// beginning of its gap. It stands still while a gap is open. `None` while nothing has ever
    /// been acknowledged.
    fn alive_until(&self, now: Now) -> Option<Micros>;

    /// Since when trades may be missing that were not asked for yet, for the journal: a restart
    /// hands it to [`unasked`](Self::unasked).
    fn unasked_since(&self) -> Option<Micros>;

    /// Counts the changes of [`acknowledged`](Self::acknowledged): equal means nothing is new.
    fn changes(&self) -> u64;

    /// The generation whose goal is acknowledged, apart from refused channels, with nothing left
    /// to let go.
    fn reached(&self) -> Option<u64>;

    /// Channels that the exchange was asked for and did not acknowledge: an alarm.
    fn refused(&self) -> impl Iterator<Item = &str>;

    /// When the newest data arrived, on any connection.
    fn last_data(&self) -> Option<Now>;

    /// For how long data has flowed on this connection, or on the last one if there is none: from
    /// its first data to its newest. What [`Backoff`](crate::backoff::Backoff) asks.
    fn flowed(&self) -> Duration;

    /// What has been counted since the program's start.
    fn counters(&self) -> &Counters;
}

/// Turns one notification into rows.
pub trait Decode {
    /// What is known of a channel, for whoever takes it over.
    type Estate: fmt::Debug + Send;

    /// Appends the rows of one notification: `data` is its JSON text. What it was to a book.
    fn decode(&mut self, channel: &str, data: &str, now: Now, rows: &mut Rows) -> Chain;

    /// Appends the row of a window of a book, even if nothing has happened since the last one.
    fn sample(&mut self, channel: &str, data: &str, now: Now, rows: &mut Rows);

    /// Whether the instrument's ticker was seen, so that a sample of its book has its marks.
    fn has_marks(&self, instrument: &str) -> bool;

    /// Keeps a message that is not understood; `channel` is empty where it could not be read.
    fn quarantine(&mut self, channel: &str, reason: &str, raw: &[u8], now: Now, rows: &mut Rows);

    /// Trades of the channel may have been missed since then.
    fn missed(&mut self, channel: &str, since: Micros, now: Now);

    /// Since when trades may be missing that the exchange was not asked for yet.
    fn unasked_since(&self) -> Option<Micros>;

    /// When [`question`](Self::question) has one, on the monotonic clock.
    fn question_at(&self) -> Duration;

    /// Trades to ask the exchange for. The answer, or that there is none, is awaited.
    fn question(&mut self, now: Duration) -> Option<Question>;

    /// Takes in what the exchange answered: the JSON array of the trades and whether it has more
    /// of them, or nothing where it does not answer such a question.
    fn answered(
        &mut self,
        question: &Question,
        trades: Option<(&str, bool)>,
        now: Now,
        rows: &mut Rows,
    );

    /// The question found no answer: it is asked again after a while.
    fn unanswered(&mut self, question: &Question, now: Duration);

    /// A channel is about to go to another connection: what is recorded of it is noted.
    fn watch(&mut self, channel: &str);

    /// It stays after all.
    fn unwatch(&mut self, channel: &str, now: Now);

    /// Lets go of what is known of a channel. Its trades may have been missed since `missed`.
    fn give(&mut self, channel: &str, missed: Option<Micros>) -> Self::Estate;

    /// Goes on from what another connection knew of a channel. What is left of what was `held` of
    /// it is decoded next. Here too its trades may have been missed since `missed`.
    fn adopt(
        &mut self,
        channel: &str,
        estate: Self::Estate,
        held: &mut Vec<Held>,
        missed: Option<Micros>,
        now: Now,
    );

    /// Names what is missing: after a while, or at once when nothing more will come.
    fn settle(&mut self, last: bool, now: Now, rows: &mut Rows);

    /// When [`settle`](Self::settle) has something to do if nothing arrives, on the monotonic
    /// clock.
    fn deadline(&self) -> Duration;
}

/// A notification that is not decoded yet.
#[derive(Debug)]
pub struct Held {
    /// The JSON text of its data.
    pub data: Box<str>,
    /// When it came.
    pub now: Now,
}

/// Trades of an instrument that are missing, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The instrument.
    pub instrument: Box<str>,
    /// Which of its trades.
    pub trades: Wanted,
}

/// Which trades are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those from the one trade_seq to the other, inclusive.
    Between(i64, i64),
    /// Those from this trade_seq on.
    From(i64),
    /// The newest, of which those count that happened then or later: none before is known.
    Since(Micros),
    /// Those from the one trade_seq to the other, inclusive, below all that are known; of them
    /// those count that happened then or later.
    Below(i64, i64, Micros),
}

/// What a notification was to the chain of a book's changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Chain {
    /// Nothing that concerns one, or the change that follows.
    #[default]
    Quiet,
    /// The whole book as of then, by the exchange's clock: a chain begins.
    Begun(Micros),
    /// A change that does not follow what was recorded: the book is unknown until a chain begins,
    /// and each change until then says so again.
    Broken {
        /// When the newest message came that could be relied on.
        since: Option<Micros>,
        /// The time of this change, by the exchange's clock.
        at: Micros,
        /// The newest change_id before.
        last: Option<i64>,
        /// The change_id that this one follows.
        prev: Option<i64>,
    },
}

/// What a session counts, since the program's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages received.
    pub messages: u64,
    /// Messages that carried data.
    pub notifications: u64,
    /// Messages that were not understood and quarantined.
    pub malformed: u64,
    /// Messages sent.
    pub requests: u64,
    /// Requests that were not answered in time.
    pub unanswered: u64,
    /// Requests answered with an error.
    pub errors: u64,
    /// Errors that name no request.
    pub errors_without_id: u64,
    /// Replies to no pending request: late, or not ours.
    pub replies_unknown: u64,
    /// Times that the exchange asked whether we are alive.
    pub test_requests: u64,
    /// Books whose chain of changes broke.
    pub books_broken: u64,
    /// Times that a book was subscribed anew because of that.
    pub books_renewed: u64,
    /// Times that missing trades were asked for.
    pub questions: u64,
    /// Samples of books that were taken.
    pub samples: u64,
    /// Samples that found no answer, or no turn within their round.
    pub samples_missed: u64,
}

/// Why data was not received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The kind, stored as `data_gaps.cause`.
    pub kind: CauseKind,
    /// Close code, error text: stored as `data_gaps.detail`.
    pub detail: String,
}

/// The kinds of [`Cause`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CauseKind {
    /// The program was not running.
    Restart,
    /// The connection ended, or could not be made.
    Disconnected,
    /// The server stopped answering.
    Silent,
    /// The server answers, but sends no data.
    SilentData,
    /// The exchange will not serve us: credentials, rights.
    Refused,
    /// The exchange does not acknowledge a channel.
    SubscriptionRefused,
    /// We asked too often.
    Throttled,
    /// We read too slowly for the exchange.
    TooSlow,
    /// Changes of a book were skipped.
    BookChain,
    /// Trades of an instrument were skipped.
    TradeSeq,
    /// A group of shards has more channels than its connections may have.
    NoRoom,
    /// A channel came from another shard, and what that one has recorded is not known.
    TakeoverUnverified,
}

impl CauseKind {
    /// The name in `data_gaps.cause`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Disconnected => "disconnected",
            Self::Silent => "silent",
            Self::SilentData => "silent_data",
            Self::Refused => "refused",
            Self::SubscriptionRefused => "subscription_refused",
            Self::Throttled => "throttled",
            Self::TooSlow => "too_slow",
            Self::BookChain => "book_chain",
            Self::TradeSeq => journal::MISSING_TRADES,
            Self::NoRoom => "no_room",
            Self::TakeoverUnverified => "takeover_unverified",
        }
    }
}

impl Cause {
    /// The other side closed the connection; `code` is the close frame's, if there was one.
    #[must_use]
    pub fn closed(code: Option<u16>, reason: &str) -> Self {
        // The close code of a slow reader is not documented; its word is.
        let kind = match reason.contains("too_slow") {
            true => CauseKind::TooSlow,
            false => CauseKind::Disconnected,
        };
        let detail = match code {
            Some(code) => format!("close {code} {reason}"),
            None => format!("no close frame {reason}"),
        };
        Self { kind, detail: detail.trim_end().to_owned() }
    }
}

/// Why a connection is of no more use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// The exchange will not serve us with this configuration.
    Refused {
        /// What we asked for.
        method: &'static str,
        /// The exchange's error code.
        code: i64,
        /// What it said.
        message: String,
    },
    /// We asked too often; the exchange hangs up after saying so.
    Throttled {
        /// What it said.
        message: String,
    },
    /// Nothing has arrived, not even an answer to a probe.
    Silent {
        /// When the last message arrived.
        since: Micros,
    },
    /// The server answers, but sends no data of channels that never rest.
    SilentData {
        /// When the last such data arrived, or its channel was acknowledged.
        since: Micros,
    },
    /// A request without which nothing goes on has found no useful answer.
    Unanswered {
        /// What we asked for.
        method: &'static str,
    },
}

/// What to do about a [`SessionError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Connect again after a pause.
    Retry,
    /// Connect again after a long pause.
    RetryLater,
    /// Connecting again cannot help: somebody must change the configuration.
    Stop,
}

impl SessionError {
    /// What to do about it.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        match self {
            Self::Refused { .. } => Policy::Stop,
            Self::Throttled { .. } => Policy::RetryLater,
            Self::Silent { .. } | Self::SilentData { .. } | Self::Unanswered { .. } => {
                Policy::Retry
            }
        }
    }

    /// The cause of the gap that it opens.
    #[must_use]
    pub fn cause(&self) -> Cause {
        let kind = match self {
            Self::Refused { .. } => CauseKind::Refused,
            Self::Throttled { .. } => CauseKind::Throttled,
            Self::Silent { .. } | Self::Unanswered { .. } => CauseKind::Silent,
            Self::SilentData { .. } => CauseKind::SilentData,
        };
        Cause { kind, detail: self.to_string() }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { method, code, message } => {
                write!(f, "the exchange refuses {method} with error {code}: {message}")
            }
            Self::Throttled { message } => {
                write!(f, "the exchange says we ask too often: {message}")
            }
            Self::Silent { since } => write!(f, "the exchange is silent since {since}"),
            Self::SilentData { since } => write!(f, "no data since {since} on an open connection"),
            Self::Unanswered { method } => write!(f, "the exchange does not answer {method}"),
        }
    }
}

impl std::error::Error for SessionError {}
