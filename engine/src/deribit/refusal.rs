//! Why a message, or a part of one, is not stored as what it claims to be.

use std::fmt;

/// The reason of a quarantine. There are few, so that each can be counted and budgeted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Broken JSON, or a number beyond the range of f64.
    Json,
    /// JSON of another shape: a text or a number where an object or an array belongs.
    Shape,
    /// Objects and arrays nested deeper than any message of the exchange.
    Nesting,
    /// A field without which the row cannot be stored.
    Missing(&'static str),
    /// A field whose value cannot be what its name says.
    Wrong(&'static str),
    /// The message speaks of another instrument than its channel.
    OtherInstrument,
    /// A trade_seq that was passed long ago, with a timestamp newer than every trade recorded:
    /// not a repeat, so the instrument's counter has started again.
    CounterWentBack,
    /// A late trade in a hole that is no longer remembered: nobody can say whether it is stored.
    HoleForgotten,
}

impl Refusal {
    /// What sonic-rs says, in our terms.
    pub(super) fn of(error: &sonic_rs::Error) -> Self {
        if error.is_unmatched_type() { Self::Shape } else { Self::Json }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json => f.write_str("not JSON, or a number beyond f64"),
            Self::Shape => f.write_str("JSON of an unexpected shape"),
            Self::Nesting => f.write_str("nested too deeply"),
            Self::Missing(field) => write!(f, "{field} is missing"),
            Self::Wrong(field) => write!(f, "{field} cannot be understood"),
            Self::OtherInstrument => f.write_str("instrument_name differs from the channel"),
            Self::CounterWentBack => f.write_str("trade_seq went back"),
            Self::HoleForgotten => f.write_str("late trade in a hole no longer remembered"),
        }
    }
}

impl std::error::Error for Refusal {}
