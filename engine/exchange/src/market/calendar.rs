//! Which expiries are listed on a day: 3 dailies, 3 weeklies, 3 monthlies, 4 quarterlies.

use jiff::Span;
use jiff::civil::{Date, Weekday};

use crate::name::{date_of, eight_oclock_ms};

/// Why an expiry is listed; the longest reason names its `settlement_period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Period {
    Day,
    Week,
    Month,
    Quarter,
}

impl Period {
    /// The exchange's word; it calls a quarter a month.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Period::Day => "day",
            Period::Week => "week",
            Period::Month | Period::Quarter => "month",
        }
    }
}

/// The expiries listed at a time, soonest first: ms since 1970, always 08:00 UTC.
pub(crate) fn expiries(now_ms: i64) -> Vec<(i64, Period)> {
    let today = date_of(now_ms);
    // What expires today at 08:00 is over once it is 08:00.
    let first = if now_ms < eight_oclock_ms(today) { today } else { after(today, 1) };
    let mut listed: Vec<(i64, Period)> = Vec::new();
    let mut add = |day: Date, period: Period| {
        let expiry_ms = eight_oclock_ms(day);
        match listed.iter_mut().find(|(known, _)| *known == expiry_ms) {
            Some((_, known)) => *known = (*known).max(period),
            None => listed.push((expiry_ms, period)),
        }
    };
    let days = (0..800).map(|ahead| after(first, ahead));
    days.clone().take(3).for_each(|day| add(day, Period::Day));
    let fridays = days.filter(|day| day.weekday() == Weekday::Friday);
    fridays.clone().take(3).for_each(|day| add(day, Period::Week));
    let months = fridays.filter(|day| after(*day, 7).month() != day.month());
    months.clone().take(3).for_each(|day| add(day, Period::Month));
    let quarters = months.filter(|day| day.month() % 3 == 0);
    quarters.take(4).for_each(|day| add(day, Period::Quarter));
    listed.sort_unstable();
    listed
}

/// The next 08:00 UTC after a time, ms since 1970.
pub(crate) fn next_eight_ms(now_ms: i64) -> i64 {
    let eight_ms = eight_oclock_ms(date_of(now_ms));
    if now_ms < eight_ms { eight_ms } else { eight_ms + 86_400_000 }
}

fn after(day: Date, days: i32) -> Date {
    day.checked_add(Span::new().days(days)).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::day_of;

    #[test]
    fn the_listing_of_a_day() {
        // 2026-05-19 09:00 UTC; the exchange's own list of that day had these expiries too, and
        // one daily more.
        let now_ms = 1_779_181_200_000;
        let names: Vec<String> = expiries(now_ms).iter().map(|(at, _)| day_of(*at)).collect();
        assert_eq!(
            names,
            [
                "20MAY26", "21MAY26", "22MAY26", "29MAY26", "5JUN26", "26JUN26", "31JUL26",
                "25SEP26", "25DEC26", "26MAR27"
            ]
        );
    }

    #[test]
    fn an_expiry_leaves_at_eight() {
        let eight = expiries(1_779_181_200_000)[0].0;
        assert_eq!(expiries(eight - 1)[0].0, eight);
        assert!(expiries(eight)[0].0 > eight);
    }
}
