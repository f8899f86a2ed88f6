//! What was asked, answered and heard: all that a judgement may look at.

use std::time::Duration;

use schema::Micros;
use serde_json::{Value, json};

use super::bundle::shorten;
use super::facts::Finding;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Asks nearly everything, and listens.
    Main,
    /// Listens to the same channels as the first, to compare.
    Twin,
    /// Subscribes nothing; only the heartbeat speaks.
    Idle,
    /// Subscribes more channels than one call may name.
    Crowd,
    /// Says what is no JSON, which may end it.
    Crude,
    /// Speaks to the host for subscriptions.
    Streams,
    /// No websocket: the REST interface.
    Rest,
}

/// One thing that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The list of options.
    Instruments,
    /// A request with a number as its id.
    IdNumber,
    /// A request with a text as its id.
    IdText,
    /// A request without an id.
    IdNone,
    /// A method that does not exist.
    MethodUnknown,
    /// A text that is no JSON.
    JsonInvalid,
    /// A request after that text.
    JsonAfter,
    /// Everything that is listened to, and channels that do not exist.
    Subscribe,
    /// Only channels that do not exist.
    SubscribeUnknown,
    /// A channel that needs a login, and one that does not.
    SubscribeRaw,
    /// A channel that is subscribed already.
    SubscribeTwice,
    /// That channel again, after it was left.
    SubscribeAgain,
    /// The first half of a crowd of channels.
    CrowdFirst,
    /// The second half.
    CrowdSecond,
    /// One more.
    CrowdMore,
    /// A channel that is subscribed, one that is not, and one that does not exist.
    Unsubscribe,
    /// A heartbeat that is too fast.
    HeartbeatFast,
    /// The fastest heartbeat that is allowed.
    Heartbeat,
    /// The newest trades.
    Trades,
    /// More trades than one answer may hold.
    TradesTooMany,
    /// Ten trades by their first and last number.
    TradesRange,
    /// Fewer of them than there are.
    TradesPage,
    /// Trades that have not happened yet.
    TradesBeyond,
    /// The oldest trade that is kept.
    TradesOldest,
    /// The newest trades once more, at the end.
    TradesEnd,
}

/// A question, and what came back.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Which question.
    pub(super) step: Step,
    /// Verbatim.
    pub(super) request: String,
    /// When it was sent, since the start.
    pub(super) sent: Duration,
    /// Missing if none came in time.
    pub(super) answer: Option<Message>,
}

/// A message of the exchange.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Its place among all messages of its connection.
    pub(super) order: u64,
    /// When it was read, since the start.
    pub(super) at: Duration,
    /// Its channel; none if it is no notification.
    pub(super) channel: Option<String>,
    /// Verbatim.
    pub(super) text: String,
}

/// How much came, whether it was kept or not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// Messages.
    pub(super) frames: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

/// All that happened on one connection.
#[derive(Clone, Debug)]
pub(super) struct Tape {
    /// What it was for.
    pub(super) role: Role,
    /// When it was open, since the start.
    pub(super) opened: Duration,
    /// In the order in which it was asked.
    pub(super) asked: Vec<Asked>,
    /// Everything that answers nothing, in order, as far as there was room.
    pub(super) frames: Vec<Message>,
    /// By channel; `""` for whatever has none.
    pub(super) counts: std::collections::BTreeMap<String, Count>,
    /// Why it ended before the end.
    pub(super) ended: Option<String>,
}

/// Everything together.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    /// The exchange's host, without path.
    pub(super) host: String,
    /// When the run began.
    pub(super) started: Micros,
    /// When it ended.
    pub(super) ended: Micros,
    /// The options that were listened to one by one.
    pub(super) options: Vec<String>,
    /// One for each connection, the REST interface included.
    pub(super) tapes: Vec<Tape>,
}

/// An answer, read.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    /// The question.
    pub(super) asked: &'a Asked,
    /// The answer.
    pub(super) answer: &'a Message,
    /// The answer as JSON; null if it is none.
    pub(super) value: Value,
}

impl Tape {
    /// A connection on which nothing has happened.
    #[must_use]
    pub(super) fn new(role: Role, opened: Duration) -> Self {
        let (asked, frames, counts) = Default::default();
        Self { role, opened, asked, frames, counts, ended: None }
    }

    /// The answer to a question.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn reply(&self, step: Step) -> Result<Reply<'_>, Finding> {
        let Some(asked) = self.asked.iter().find(|asked| asked.step == step) else {
            return Err(match &self.ended {
                Some(why) => Finding::not_tried(format!("the connection had ended: {why}")),
                None => Finding::not_tried("the time was over"),
            });
        };
        let Some(answer) = &asked.answer else {
            let silence = Finding::not_seen("no answer came").with(asked.shown());
            return Err(match &self.ended {
                Some(why) => silence.with(json!({ "ended": why })),
                None => silence,
            });
        };
        let value = serde_json::from_str(&answer.text).unwrap_or_default();
        Ok(Reply { asked, answer, value })
    }

    /// The notifications of a channel.
    pub(super) fn frames<'a>(&'a self, channel: &'a str) -> impl Iterator<Item = &'a Message> {
        self.frames.iter().filter(move |frame| frame.channel.as_deref() == Some(channel))
    }
}

impl Evidence {
    /// What happened on a connection.
    ///
    /// # Errors
    /// That there was none.
    pub(super) fn tape(&self, role: Role) -> Result<&Tape, Finding> {
        let found = self.tapes.iter().find(|tape| tape.role == role);
        found.ok_or_else(|| Finding::not_tried("there was no such connection"))
    }

    /// The answer to a question on a connection.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn reply(&self, role: Role, step: Step) -> Result<Reply<'_>, Finding> {
        self.tape(role)?.reply(step)
    }
}

impl Asked {
    /// Question and answer for the bundle.
    #[must_use]
    pub(super) fn shown(&self) -> Value {
        let answer = self.answer.as_ref();
        json!({
            "request": shorten(&self.request),
            "response": answer.map(|answer| shorten(&answer.text)),
            "answered_ms": answer.map(|answer| millis(answer.at.saturating_sub(self.sent))),
        })
    }
}

impl Message {
    /// What the notification carries; null if it is none.
    #[must_use]
    pub(super) fn data(&self) -> Value {
        let mut value: Value = serde_json::from_str(&self.text).unwrap_or_default();
        value.pointer_mut("/params/data").map(Value::take).unwrap_or_default()
    }
}

impl Reply<'_> {
    /// The good answer.
    #[must_use]
    pub(super) fn result(&self) -> Option<&Value> {
        self.value.get("result")
    }

    /// The good answer as a list of texts.
    #[must_use]
    pub(super) fn names(&self) -> Option<Vec<&str>> {
        self.result()?.as_array()?.iter().map(Value::as_str).collect()
    }

    /// The bad answer's number.
    #[must_use]
    pub(super) fn code(&self) -> Option<i64> {
        self.value.pointer("/error/code")?.as_i64()
    }

    /// The answer in a few words.
    #[must_use]
    pub(super) fn said(&self) -> String {
        match (self.value.get("error"), self.result()) {
            (Some(error), _) => format!("the error {error}"),
            (None, Some(result)) => {
                let text = result.to_string();
                let few: String = text.chars().take(WORDS_MAX).collect();
                format!("{few}{}", if few.len() < text.len() { "…" } else { "" })
            }
            (None, None) => "neither a result nor an error".into(),
        }
    }
}

/// Milliseconds, with their microseconds behind the point.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}

const WORDS_MAX: usize = 120;
