//! A span of time, and how people write its ends.

use std::fmt;

use jiff::Timestamp;
use jiff::civil;
use schema::{Date, Micros};
use serde::{Deserialize, Serialize};

/// From an instant up to, but not including, a later one.
///
/// Invariant: `from < to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Ends", into = "Ends")]
pub struct Interval {
    from: Micros,
    to: Micros,
}

/// An interval as a manifest writes it.
#[derive(Serialize, Deserialize)]
struct Ends {
    from: String,
    to: String,
}

impl Interval {
    /// # Errors
    /// A sentence, when there is nothing between the two.
    pub fn new(from: Micros, to: Micros) -> Result<Self, String> {
        if from >= to {
            return Err(format!(
                "there is no time from {from} to {to}: --to must be later than --from, and is not \
                 part of the interval (a day is --from 2026-11-24 --to 2026-11-25)"
            ));
        }
        Ok(Self { from, to })
    }

    /// The whole UTC day.
    #[must_use]
    pub fn day(date: Date) -> Self {
        Self { from: date.start(), to: Date(date.0 + 1).start() }
    }

    /// The first instant that belongs to it.
    #[must_use]
    pub fn from(self) -> Micros {
        self.from
    }

    /// The first instant after it.
    #[must_use]
    pub fn to(self) -> Micros {
        self.to
    }

    /// The last instant that belongs to it.
    #[must_use]
    pub fn last(self) -> Micros {
        Micros(self.to.0 - 1)
    }

    /// Everything before the end, since 1970.
    #[must_use]
    pub fn back_to_the_beginning(self) -> Self {
        Self { from: self.from.min(Micros(0)), to: self.to }
    }

    /// Whether the instant belongs to it.
    #[must_use]
    pub fn contains(self, at: Micros) -> bool {
        self.from <= at && at < self.to
    }

    /// What both have in common.
    #[must_use]
    pub fn and(self, other: Self) -> Option<Self> {
        Self::new(self.from.max(other.from), self.to.min(other.to)).ok()
    }
}

impl TryFrom<Ends> for Interval {
    type Error = String;

    fn try_from(ends: Ends) -> Result<Self, String> {
        Self::new(instant(&ends.from)?, instant(&ends.to)?)
    }
}

impl From<Interval> for Ends {
    fn from(interval: Interval) -> Self {
        Self { from: interval.from.to_string(), to: interval.to.to_string() }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

/// An RFC 3339 instant, or a date for the beginning of its UTC day.
///
/// # Errors
/// A sentence that shows what is expected.
pub fn instant(text: &str) -> Result<Micros, String> {
    let is_date = text.len() == DATE.len() && !text.contains('T');
    let at = match text.parse::<civil::Date>().ok().filter(|_| is_date) {
        Some(date) => {
            let (year, month, day) = (date.year(), date.month(), date.day());
            Some(Date::from_civil(year.into(), month.into(), day.into()).start())
        }
        None => text.parse::<Timestamp>().ok().map(|at| Micros(at.as_microsecond())),
    };
    if let Some(at) = at.filter(|at| *at >= Micros(0)) {
        return Ok(at);
    }
    Err(format!("{text:?} is no time: write {DATE} (its beginning in UTC) or {DATE}T08:00:00Z"))
}

/// For `#[serde(with = "as_text")]`: an instant as RFC 3339.
pub(super) mod as_text {
    use schema::Micros;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in super::super) fn serialize<S: Serializer>(
        at: &Micros,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_str(at)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Micros, D::Error> {
        super::instant(&String::deserialize(input)?).map_err(de::Error::custom)
    }
}

/// The same for an instant that may be missing.
pub(super) mod as_text_or_null {
    use schema::Micros;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in super::super) fn serialize<S: Serializer>(
        at: &Option<Micros>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => out.collect_str(at),
            None => out.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Option<Micros>, D::Error> {
        let text = Option::<String>::deserialize(input)?;
        text.map(|text| super::instant(&text)).transpose().map_err(de::Error::custom)
    }
}

const DATE: &str = "2026-11-24";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let midnight = Micros(1_795_478_400_000_000);
        assert_eq!(instant("2026-11-24"), Ok(midnight));
        assert_eq!(instant("2026-11-24T00:00:00Z"), Ok(midnight));
        assert_eq!(instant("2026-11-24T01:00:00.000001+01:00"), Ok(Micros(midnight.0 + 1)));
        for wrong in [
            "",
            "yesterday",
            "1969-12-31",
            "2026-11-31",
            "2026-11-24T08:00:00",
            "20261124",
            "2026-11",
        ] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_interval_has_its_first_instant_and_not_its_last() {
        let day = Interval::day(Date(1));
        assert!(day.contains(day.from()) && !day.contains(day.to()));
        assert_eq!(day.and(Interval::day(Date(2))), None);
        let noon = Micros(day.from().0 + 12 * 3_600_000_000);
        let afternoon = Interval::new(noon, Date(9).start()).unwrap();
        assert_eq!(day.and(afternoon), Interval::new(noon, day.to()).ok());
        assert!(Interval::new(noon, noon).is_err());
    }
}
