//! Instrument names and what they say: `BTC-6OCT26-86000-C` is a call on BTC at 86,000 dollars.

use jiff::civil::{Date, date};

use crate::black::Right;

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

const DAY_MS: i64 = 86_400_000;

/// The exchange's end of time for what never expires: 3000-01-01, ms since 1970.
pub(crate) const NEVER_MS: i64 = 32_503_708_800_000;

/// What an instrument's name says of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Name {
    /// The coin in which the instrument is named: `BTC`, and `XRP` in `XRP_USDC-PERPETUAL`.
    pub(crate) base: String,
    /// The other coin of a linear instrument or a spot pair: `USDC`.
    pub(crate) counter: Option<String>,
    pub(crate) kind: Kind,
}

/// The exchange's kinds, with what only that kind has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Option { expiry_ms: i64, strike: f64, right: Right },
    Future { expiry_ms: i64 },
    Perpetual,
    Spot,
    OptionCombo,
    FutureCombo,
}

impl Kind {
    /// The exchange's word; a perpetual is a future.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Option { .. } => "option",
            Kind::Future { .. } | Kind::Perpetual => "future",
            Kind::Spot => "spot",
            Kind::OptionCombo => "option_combo",
            Kind::FutureCombo => "future_combo",
        }
    }

    pub(crate) fn expiry_ms(self) -> i64 {
        match self {
            Kind::Option { expiry_ms, .. } | Kind::Future { expiry_ms } => expiry_ms,
            Kind::Perpetual | Kind::Spot | Kind::OptionCombo | Kind::FutureCombo => NEVER_MS,
        }
    }
}

impl Name {
    /// Reads a name; `None` where it follows none of the exchange's patterns.
    pub(crate) fn parse(text: &str) -> Option<Name> {
        let parts: Vec<&str> = text.split('-').collect();
        let (pair, rest) = parts.split_first()?;
        let (base, counter) = match pair.split_once('_') {
            Some((base, counter)) => (base, Some(counter.to_owned())),
            None => (*pair, None),
        };
        if base.is_empty() || counter.as_deref() == Some("") {
            return None;
        }
        let kind = match rest {
            [] if counter.is_some() => Kind::Spot,
            [] => return None,
            ["PERPETUAL"] => Kind::Perpetual,
            [day] => Kind::Future { expiry_ms: parse_day(day)? },
            [day, strike, right @ ("C" | "P")] if parse_day(day).is_some() => Kind::Option {
                expiry_ms: parse_day(day)?,
                strike: parse_strike(strike)?,
                right: if *right == "C" { Right::Call } else { Right::Put },
            },
            ["FS", ..] => Kind::FutureCombo,
            [_, _, ..] => Kind::OptionCombo,
        };
        Some(Name { base: base.to_owned(), counter, kind })
    }

    /// `btc_usd` for what is priced in dollars, `xrp_usdc` for what is linear.
    pub(crate) fn index(&self) -> String {
        let counter = self.counter.as_deref().unwrap_or("usd");
        format!("{}_{}", self.base, counter).to_lowercase()
    }

    /// The currency under which `get_instruments` lists it.
    pub(crate) fn currency(&self) -> &str {
        self.counter.as_deref().unwrap_or(&self.base)
    }

    /// Whether a list for this currency holds it; a spot pair is in the lists of both.
    pub(crate) fn is_of(&self, currency: &str) -> bool {
        let either = self.kind == Kind::Spot && currency == self.base;
        currency == "any" || currency == self.currency() || either
    }
}

/// `6OCT26` for an expiry in ms since 1970; the day has no leading zero.
pub(crate) fn day_of(expiry_ms: i64) -> String {
    let day = date_of(expiry_ms);
    let month = MONTHS.get(day.month() as usize - 1).copied().unwrap_or("???");
    format!("{}{month}{:02}", day.day(), day.year() % 100)
}

/// The UTC date of a time in ms since 1970.
pub(crate) fn date_of(time_ms: i64) -> Date {
    let days = i32::try_from(time_ms.div_euclid(DAY_MS)).unwrap_or(0);
    let epoch = date(1970, 1, 1);
    epoch.checked_add(jiff::Span::new().days(days)).unwrap_or(epoch)
}

/// 08:00 UTC of a date, ms since 1970: every expiry is at that time of day.
pub(crate) fn eight_oclock_ms(day: Date) -> i64 {
    let days = day.since(date(1970, 1, 1)).map_or(0, |span| i64::from(span.get_days()));
    days * DAY_MS + 8 * 3_600_000
}

/// `0d625` is 0.625; digits alone otherwise.
fn parse_strike(text: &str) -> Option<f64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'd');
    digits.then(|| text.replace('d', ".").parse().ok()).flatten()
}

fn parse_day(text: &str) -> Option<i64> {
    if !text.is_ascii() || !(6..=7).contains(&text.len()) {
        return None;
    }
    let (head, year) = text.split_at(text.len() - 2);
    let (day, month) = head.split_at(head.len() - 3);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let year = 2000 + year.parse::<i16>().ok()?;
    let day = Date::new(year, i8::try_from(month).ok()?, day.parse().ok()?).ok()?;
    Some(eight_oclock_ms(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, word: &str, currency: &str, index: &str, expiry_ms: i64) {
        let name = Name::parse(text).unwrap_or_else(|| panic!("{text} is a name"));
        assert_eq!(
            (name.kind.word(), name.currency(), name.index().as_str(), name.kind.expiry_ms()),
            (word, currency, index, expiry_ms),
            "{text}"
        );
    }

    #[test]
    fn names_say_what_they_are() {
        check("BTC-15SEP26-77000-C", "option", "BTC", "btc_usd", 1_789_459_200_000);
        check("BTC-25DEC26", "future", "BTC", "btc_usd", 1_798_185_600_000);
        check("BTC-PERPETUAL", "future", "BTC", "btc_usd", NEVER_MS);
        check("ETH_USDC-PERPETUAL", "future", "USDC", "eth_usdc", NEVER_MS);
        check("XRP_USDC-30JUN23-0d625-C", "option", "USDC", "xrp_usdc", 1_688_112_000_000);
        check("BTC_USDT", "spot", "USDT", "btc_usdt", NEVER_MS);
        check("BTC-FS-25DEC26_PERP", "future_combo", "BTC", "btc_usd", NEVER_MS);
        check("BTC-CS-19MAY26-70000_75000", "option_combo", "BTC", "btc_usd", NEVER_MS);
        check("BTC-STRD-30SEP22-20000", "option_combo", "BTC", "btc_usd", NEVER_MS);
        let spot = Name::parse("BTC_USDT").unwrap();
        assert!(spot.is_of("any") && spot.is_of("BTC") && spot.is_of("USDT"));
        let linear = Name::parse("BTC_USDC-PERPETUAL").unwrap();
        assert!(linear.is_of("USDC") && !linear.is_of("BTC"));
        let linear = Name::parse("MATIC_USDC-9MAR24-1d02-P").map(|name| name.kind);
        assert!(matches!(linear, Some(Kind::Option { strike: 1.02, right: Right::Put, .. })));
    }

    #[test]
    fn others_are_no_names() {
        for text in [
            "",
            "BTC",
            "-PERPETUAL",
            "BTC-31FEB26",
            "BTC-DVOL",
            "BTC-1JAN26-x-C",
            "BTC-1JAN26-inf-C",
        ] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }

    #[test]
    fn days_print_as_they_are_read() {
        for text in ["6OCT26", "25DEC26", "1JAN27", "29FEB28"] {
            assert_eq!(day_of(parse_day(text).unwrap()), text);
        }
    }
}
