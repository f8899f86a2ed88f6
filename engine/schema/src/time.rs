//! Instants: what time is called in every other file.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00 UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize,
)]
pub struct Micros(pub i64);

impl Micros {
    /// The instant of a millisecond timestamp, as the exchange sends them. `None` beyond the
    /// range of microseconds (the year 294246), which only garbage reaches.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Option<Self> {
        match millis.checked_mul(1_000) {
            Some(micros) => Some(Self(micros)),
            None => None,
        }
    }

    /// The UTC day this instant lies in.
    #[must_use]
    pub const fn date(self) -> Date {
        Date(self.0.div_euclid(DAY_US))
    }

    /// The instant `duration` later, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// RFC 3339 with microseconds: `2026-11-24T08:00:00.000000Z`.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day_us = self.0.rem_euclid(DAY_US);
        let (seconds, us) = (day_us / 1_000_000, day_us % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{}T{hour:02}:{minute:02}:{second:02}.{us:06}Z", self.date())
    }
}

/// A UTC day, as days since 1970-01-01. Prints as `2026-11-24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i64);

impl Date {
    /// Midnight at which the day begins.
    #[must_use]
    pub const fn start(self) -> Micros {
        Micros(self.0.saturating_mul(DAY_US))
    }

    /// The day of a civil date of the proleptic Gregorian calendar.
    ///
    /// Formula: Howard Hinnant, "chrono-compatible low-level date algorithms", days_from_civil.
    #[must_use]
    pub const fn from_civil(year: i64, month: i64, day: i64) -> Self {
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year - era * 400;
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self(era * 146_097 + day_of_era - 719_468)
    }

    /// Year, month 1 to 12, day 1 to 31 (the inverse: Hinnant's civil_from_days).
    #[must_use]
    pub const fn civil(self) -> (i64, i64, i64) {
        let days = self.0 + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days - era * 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        (year, month, day)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// One reading of the clock. Deadlines use `monotonic`, rows use `utc`: a step of the wall clock
/// must neither kill a connection nor keep a dead one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Time since the program's start; never goes back.
    pub monotonic: Duration,
    /// The wall clock.
    pub utc: Micros,
}

const DAY_US: i64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_prints_as_rfc_3339() {
        assert_eq!(Micros(0).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Micros(1_582_934_400_000_001).to_string(), "2020-02-29T00:00:00.000001Z");
        assert_eq!(Micros(-1).to_string(), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn civil_dates_go_there_and_back() {
        for day in -1_000_000..1_000_000 {
            let (year, month, dom) = Date(day).civil();
            assert_eq!(Date::from_civil(year, month, dom), Date(day));
        }
    }
}
