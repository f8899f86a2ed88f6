//! The currency of a table's name.

use std::fmt;
use std::str::FromStr;

/// A currency as the names of tables spell it: `btc`, `btc_usdc`.
///
/// Invariant: lower-case letters, digits and underscores, at most 24, a letter first; so that
/// every name made with it is a valid one that needs no quotes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Currency(String);

impl Currency {
    /// As it stands in a table's name.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.0
    }
}

/// From what stands before an instrument's first dash, in any case.
impl FromStr for Currency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let letter = text.starts_with(|first: char| first.is_ascii_alphabetic());
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !letter || text.len() > LENGTH_MAX || !text.bytes().all(fits) {
            let shown: String = text.chars().take(LENGTH_MAX).collect();
            return Err(format!("{shown:?} is no currency that a table could be named after"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// In capitals, as the exchange has it.
impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_ascii_uppercase())
    }
}

const LENGTH_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_name_can_hold_is_a_currency() {
        assert_eq!("BTC".parse::<Currency>().unwrap().sql(), "btc");
        assert_eq!("BTC_USDC".parse::<Currency>().unwrap().to_string(), "BTC_USDC");
        for text in ["", "1INCH", "BTC-1", "a\"; drop", "ÄTH", "_X", &"x".repeat(25)] {
            assert!(text.parse::<Currency>().is_err(), "{text}");
        }
    }
}
