//! A pattern for instrument names: `BTC-*-C`, `ETH-25DEC26-?000-P`.

use std::fmt;

use schema::instrument;
use serde::{Deserialize, Serialize};

/// A pattern that a whole name matches or does not: `*` stands for any text, `?` for one character.
///
/// Invariant: the text is not empty and has none of the signs that other globs give a meaning to
/// and this one does not, so that a pattern never means something else than it says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob(String);

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence that says what a pattern can hold.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains(['[', ']', '{', '}', '!', '\\']) {
            return Err(format!("{text:?} is no pattern: write BTC-*-C; there are only * and ?"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether the whole name matches. Names are case-sensitive, as on the exchange.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut in_name) = (0, 0);
        // Where the newest `*` stands, and what it has swallowed up to now.
        let mut star: Option<(usize, usize)> = None;
        while in_name < name.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, in_name));
                    at += 1;
                }
                Some(sign) if *sign == b'?' || *sign == name[in_name] => {
                    at += 1;
                    in_name += 1;
                }
                Some(_) | None => {
                    let Some((star_at, swallowed)) = star else { return false };
                    star = Some((star_at, swallowed + 1));
                    at = star_at + 1;
                    in_name = swallowed + 1;
                }
            }
        }
        pattern[at..].iter().all(|sign| *sign == b'*')
    }

    /// Whether some instrument of the currency can match.
    #[must_use]
    pub fn can_match_in(&self, currency: &str) -> bool {
        let plain = self.0.split(['*', '?']).next().unwrap_or_default();
        !plain.contains('-') || instrument::currency(plain) == currency
    }
}

impl TryFrom<String> for Glob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.0
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let glob = Glob::parse(pattern).unwrap();
        for name in matching {
            assert!(glob.matches(name), "{pattern} {name}");
        }
        for name in others {
            assert!(!glob.matches(name), "{pattern} {name}");
        }
    }

    #[test]
    fn whole_names_match() {
        check("BTC-PERPETUAL", &["BTC-PERPETUAL"], &["BTC-PERPETUAL2", "btc-perpetual", ""]);
        check("BTC-*-C", &["BTC-6OCT26-86000-C", "BTC--C"], &["BTC-6OCT26-86000-P", "BTC-C"]);
        check("*", &["", "anything"], &[]);
        check("ETH-*-?000-*", &["ETH-1JAN27-4000-P"], &["ETH-1JAN27-14000-P", "ETH-1JAN27-400-P"]);
        check("*-C*-C", &["A-C-C", "A-CC-C", "A-C-x-C"], &["A-C", "A-C-P"]);
        check("**a**", &["a", "bab"], &["b"]);
    }

    #[test]
    fn a_beginning_says_the_currency() {
        let can = |pattern: &str| Glob::parse(pattern).unwrap().can_match_in("BTC");
        for pattern in ["BTC-*", "*-C", "B*", "btc_usd", "BTC-PERPETUAL", "???-*"] {
            assert!(can(pattern), "{pattern}");
        }
        for pattern in ["ETH-*", "BTC_USDC-*", "ETH-PERPETUAL"] {
            assert!(!can(pattern), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "BTC-[CP]", "{BTC,ETH}-*", "!BTC"] {
            assert!(Glob::parse(text).is_err(), "{text}");
        }
    }
}
