//! What goes wrong on purpose: the faults that a file lists, as `docs/exchange.md` describes them.

use std::fmt;
use std::time::Duration;

use crate::clock::Now;

mod file;

/// A list of faults. The default is none: an exchange on its best day.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    pub(crate) rules: Vec<Rule>,
}

/// Why a text is no list of faults: where, what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultsError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub reason: String,
}

/// One entry of `[[fault]]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    /// Where it begins in the file; its name in the truth.
    pub(crate) line: usize,
    pub(crate) from: Moment,
    pub(crate) to: Option<Moment>,
    /// At `from` alone.
    pub(crate) once: bool,
    /// Of each chance.
    pub(crate) probability: f64,
    /// How often at most.
    pub(crate) times: u64,
    /// Only these connections; all where it is empty.
    pub(crate) connections: Vec<u64>,
    /// Only channels of this pattern.
    pub(crate) channel: Option<String>,
    /// Only answers to methods of this pattern.
    pub(crate) reply: Option<String>,
    pub(crate) deed: Deed,
}

/// A time in a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Moment {
    /// After the exchange's start.
    After(Duration),
    /// µs since 1970, UTC, on the exchange's clock.
    At(i64),
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deed {
    /// To a message.
    Message(Mishap),
    /// To a request.
    Request(Denial),
    /// To a connection, once a second.
    Connection(Cut),
    /// To a handshake or an HTTP request; without a status it is hung up.
    Refuse { status: Option<u16>, door: Door },
    /// To the platform, for the whole of the window.
    Platform(Trouble),
}

/// What happens to a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mishap {
    Drop,
    Delay { by: Duration },
    Reorder,
    Duplicate,
    Gap,
    Fragment { pieces: usize },
    Dribble { bytes: usize, every: Duration },
    Garbage { form: Garbage, instead: bool },
}

/// What comes instead of sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Garbage {
    /// A text that is no JSON.
    Json,
    /// The first half of a text.
    Truncated,
    /// A binary frame.
    Binary,
    /// A text frame that is not UTF-8.
    Utf8,
    /// Bytes that are no frame.
    Frame,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Denial {
    /// Of a subscription's channels only this share is accepted.
    Partial { keep: f64 },
    /// This error is the answer.
    Error { code: i64, message: String },
    /// 10028, and hung up.
    Spent,
}

/// What happens to a connection.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cut {
    /// A close frame with this code; without a code there is no frame.
    Close { code: Option<u16>, reason: String },
    /// Nothing is sent for so long.
    Stall { length: Duration },
}

/// Where a refusal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Websocket,
    Rest,
    Any,
}

/// What is wrong with the platform.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Trouble {
    /// This index is locked.
    Locked {
        index: String,
    },
    Maintenance,
}

impl Faults {
    /// Reads the text of a faults file.
    ///
    /// # Errors
    /// The first thing that is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Faults, FaultsError> {
        file::read(text).map(|rules| Faults { rules })
    }

    /// Whether nothing goes wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Rule {
    /// Whether a time is in the rule's window; `start` is when the exchange began.
    pub(crate) fn covers(&self, now: Now, start: Now) -> bool {
        let reached = |moment: Moment| match moment {
            Moment::After(after) => now.monotonic >= start.monotonic + after,
            Moment::At(at_us) => now.utc_us >= at_us,
        };
        reached(self.from) && !self.to.is_some_and(reached)
    }

    pub(crate) fn is_for(&self, connection: u64) -> bool {
        self.connections.is_empty() || self.connections.contains(&connection)
    }
}

impl Deed {
    /// Its word in a file.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Deed::Message(mishap) => match mishap {
                Mishap::Drop => "drop",
                Mishap::Delay { .. } => "delay",
                Mishap::Reorder => "reorder",
                Mishap::Duplicate => "duplicate",
                Mishap::Gap => "gap",
                Mishap::Fragment { .. } => "fragment",
                Mishap::Dribble { .. } => "dribble",
                Mishap::Garbage { .. } => "garbage",
            },
            Deed::Request(Denial::Partial { .. }) => "partial",
            Deed::Request(Denial::Error { .. }) => "error",
            Deed::Request(Denial::Spent) => "spent",
            Deed::Connection(Cut::Close { .. }) => "close",
            Deed::Connection(Cut::Stall { .. }) => "stall",
            Deed::Refuse { .. } => "refuse",
            Deed::Platform(Trouble::Locked { .. }) => "locked",
            Deed::Platform(Trouble::Maintenance) => "maintenance",
        }
    }
}

impl fmt::Display for FaultsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for FaultsError {}

/// Whether a name follows a pattern, in which `*` is any text and `?` any one letter.
pub(crate) fn follows(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut here) = (0, 0);
    // Where the newest star stands, and how far it reaches.
    let mut star: Option<(usize, usize)> = None;
    while here < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, here));
                at += 1;
            }
            Some(letter) if *letter == b'?' || Some(letter) == name.get(here) => {
                at += 1;
                here += 1;
            }
            Some(_) | None => match &mut star {
                Some((back, reach)) => {
                    *reach += 1;
                    (at, here) = (*back + 1, *reach);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|letter| *letter == b'*'))
}

#[cfg(test)]
mod tests;
