//! Instrument names: what a name alone says about an instrument.
//!
//! PROTOCOL: names are case-sensitive; `BTC-PERPETUAL`, `BTC-25DEC26`, `BTC-6OCT26-86000-C`,
//! `XRP_USDC-30JUN23-0d625-C` (`d` is the decimal point), spot `BTC_USDT`, combos such as
//! `BTC-CS-19MAY26-70000_75000`. Combos contain pieces like `-C`, so the shape of the whole name
//! decides.

use crate::Date;

/// An instrument's name, taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instrument<'a> {
    /// What stands before the first dash: `BTC`, or `XRP_USDC` for a linear instrument. Inverse
    /// and linear instruments of one coin differ here, because their prices differ in unit.
    pub currency: &'a str,
    /// What kind of instrument the name's shape says it is.
    pub shape: Shape,
}

/// The kinds of instrument that a name can show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// `BTC-6OCT26-86000-C`.
    Option {
        /// The day of expiry; the exchange's hour is 08:00 UTC.
        expiry: Date,
        /// The strike, in the index currency.
        strike: f64,
        /// A call, or else a put.
        call: bool,
    },
    /// `BTC-PERPETUAL`.
    Perpetual,
    /// `BTC-25DEC26`.
    Future {
        /// The day of expiry.
        expiry: Date,
    },
    /// `BTC_USDT`.
    Spot,
    /// Anything else: combos, and kinds not known yet.
    Other,
}

impl<'a> Instrument<'a> {
    /// Takes a name apart. Never fails: a name of unknown shape is [`Shape::Other`].
    #[must_use]
    pub fn parse(name: &'a str) -> Self {
        let mut parts = name.split('-');
        let currency = parts.next().unwrap_or_default();
        let parts = [parts.next(), parts.next(), parts.next(), parts.next()];
        let shape = match parts {
            [None, ..] if currency.contains('_') => Shape::Spot,
            [Some("PERPETUAL"), None, ..] => Shape::Perpetual,
            [Some(expiry), None, ..] => {
                date(expiry).map_or(Shape::Other, |expiry| Shape::Future { expiry })
            }
            [Some(expiry), Some(strike), Some(side @ ("C" | "P")), None] => {
                match (date(expiry), number(strike)) {
                    (Some(expiry), Some(strike)) => {
                        Shape::Option { expiry, strike, call: side == "C" }
                    }
                    _ => Shape::Other,
                }
            }
            _ => Shape::Other,
        };
        Self { currency, shape }
    }
}

/// The currency folder of an instrument or index name: `BTC` of `BTC-PERPETUAL` and of `btc_usd`,
/// `XRP_USDC` of `XRP_USDC-30JUN23-0d625-C`.
#[must_use]
pub fn currency(name: &str) -> String {
    let instrument = name.split('-').next().unwrap_or_default();
    if instrument.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return instrument.split('_').next().unwrap_or_default().to_ascii_uppercase();
    }
    instrument.to_owned()
}

/// The currency under which the exchange lists an instrument: `BTC` for `BTC-PERPETUAL`, `USDC` for
/// `SOL_USDC-PERPETUAL`, which is settled in it (PROTOCOL 10).
#[must_use]
pub fn listed_under(name: &str) -> &str {
    let pair = Instrument::parse(name).currency;
    pair.split_once('_').map_or(pair, |(_, settled)| settled)
}

/// `6OCT26`: day without a leading zero, month, year of this century.
fn date(text: &str) -> Option<Date> {
    let month_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (day, rest) = text.split_at_checked(month_at)?;
    let (month, year) = rest.split_at_checked(3)?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    if year.len() != 2 || !year.bytes().all(|byte| byte.is_ascii_digit()) || day.len() > 2 {
        return None;
    }
    let (day, year) = (day.parse::<i64>().ok()?, year.parse::<i64>().ok()?);
    let month = i64::try_from(month).ok()? + 1;
    let date = Date::from_civil(2000 + year, month, day);
    (date.civil() == (2000 + year, month, day)).then_some(date)
}

/// `86000` or `0d625`.
fn number(text: &str) -> Option<f64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'd') {
        return None;
    }
    text.replacen('d', ".", 1).parse().ok()
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, currency: &str, shape: Shape) {
        assert_eq!(Instrument::parse(name), Instrument { currency, shape });
    }

    #[test]
    fn names_are_taken_apart() {
        let option = |y, m, d, strike, call| Shape::Option {
            expiry: Date::from_civil(y, m, d),
            strike,
            call,
        };
        check("BTC-6OCT26-86000-C", "BTC", option(2026, 10, 6, 86000.0, true));
        check("XRP_USDC-30JUN23-0d625-P", "XRP_USDC", option(2023, 6, 30, 0.625, false));
        check("ETH_USDC-PERPETUAL", "ETH_USDC", Shape::Perpetual);
        let expiry = Date::from_civil(2026, 12, 25);
        check("BTC-25DEC26", "BTC", Shape::Future { expiry });
        check("BTC_USDT", "BTC_USDT", Shape::Spot);
    }

    #[test]
    fn combos_and_garbage_are_other() {
        for name in [
            "BTC-CS-19MAY26-70000_75000",
            "BTC-CSR12-16SEP22-21000_23000",
            "BTC-STRD-30SEP22-20000",
            "BTC-FS-25DEC26_PERP",
            "BTC-31FEB26-1-C",
            "BTC-6OCT26-1-C-P",
            "BTC",
            "",
            "BTC-é",
        ] {
            assert_eq!(Instrument::parse(name).shape, Shape::Other, "{name}");
        }
    }

    #[test]
    fn a_currency_is_read_from_instruments_and_indices() {
        let cases =
            [("BTC-PERPETUAL", "BTC"), ("eth_usd", "ETH"), ("XRP_USDC-1JAN26-1-C", "XRP_USDC")];
        for (name, expected) in cases {
            assert_eq!(currency(name), expected);
        }
    }
}
