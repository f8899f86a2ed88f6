//! What PROTOCOL says of the exchange and nobody here could try, with a judgement of each.
//!
//! A judgement is pure: evidence in, finding out. What was not asked, not answered or did not
//! happen is said as such and is never taken for a confirmation.

mod cadence;
mod edges;
mod framing;
mod heartbeat;
mod instruments;
mod subscriptions;
#[cfg(test)]
mod tests;
mod trades;
mod twins;

use std::fmt;

use serde_json::Value;

use super::evidence::{Evidence, Reply};

/// An uncertain fact.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// A short name.
    pub id: &'static str,
    /// What is believed.
    pub sentence: &'static str,
    /// Where PROTOCOL says so.
    pub section: &'static str,
    judge: Judge,
}

/// A missing answer is a finding too.
type Judge = fn(&Evidence) -> Result<Finding, Finding>;

/// How a fact fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The exchange does what is believed.
    Confirmed,
    /// It does something else.
    Different,
    /// Nothing happened that could tell.
    NotSeen,
    /// It was not tried.
    NotTried,
}

/// A verdict, with what it rests on.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How it fared.
    pub verdict: Verdict,
    /// What was seen, or why nothing was.
    pub seen: String,
    /// Questions, answers, frames, numbers.
    pub evidence: Vec<Value>,
}

/// Every fact, in the order in which it is printed.
#[must_use]
pub(super) fn all() -> Vec<Fact> {
    [
        &twins::FACTS[..],
        &framing::FACTS[..],
        &subscriptions::FACTS[..],
        &heartbeat::FACTS[..],
        &cadence::FACTS[..],
        &trades::FACTS[..],
        &instruments::FACTS[..],
        &edges::FACTS[..],
    ]
    .concat()
}

impl Fact {
    /// Judges by what was recorded.
    #[must_use]
    pub(super) fn judge(&self, evidence: &Evidence) -> Finding {
        match (self.judge)(evidence) {
            Ok(finding) | Err(finding) => finding,
        }
    }
}

impl Finding {
    fn new(verdict: Verdict, seen: impl fmt::Display) -> Self {
        Self { verdict, seen: seen.to_string(), evidence: Vec::new() }
    }

    pub(super) fn confirmed(seen: impl fmt::Display) -> Self {
        Self::new(Verdict::Confirmed, seen)
    }

    pub(super) fn different(seen: impl fmt::Display) -> Self {
        Self::new(Verdict::Different, seen)
    }

    pub(super) fn not_seen(why: impl fmt::Display) -> Self {
        Self::new(Verdict::NotSeen, why)
    }

    pub(super) fn not_tried(why: impl fmt::Display) -> Self {
        Self::new(Verdict::NotTried, why)
    }

    /// Confirmed if it holds, else different.
    fn of(holds: bool, seen: impl fmt::Display) -> Self {
        if holds { Self::confirmed(seen) } else { Self::different(seen) }
    }

    /// Adds what it rests on.
    pub(super) fn with(mut self, evidence: Value) -> Self {
        self.evidence.push(evidence);
        self
    }

    /// Adds a question and its answer.
    fn on(self, reply: &Reply<'_>) -> Self {
        self.with(reply.asked.shown())
    }
}

impl Verdict {
    /// As it is printed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Different => "different",
            Self::NotSeen => "not seen",
            Self::NotTried => "not tried",
        }
    }
}

/// The value in the middle; none of nothing.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The distances between neighbours.
fn steps(times: &[f64]) -> Vec<f64> {
    times.iter().zip(times.iter().skip(1)).map(|(one, next)| next - one).collect()
}
