//! The numbered SQL in `migrations/`, built into the program.

use std::borrow::Cow;

use super::Currency;

/// One file of `migrations/`. It is written so that running it again does nothing.
#[derive(Debug)]
pub(super) struct Step {
    /// Its number.
    pub(super) version: i32,
    /// What stands behind the number.
    pub(super) name: &'static str,
    /// Whether it is run once a currency.
    pub(super) per_currency: bool,
    text: &'static str,
}

impl Step {
    /// What is run.
    pub(super) fn sql(&self, currency: Option<&Currency>) -> Cow<'static, str> {
        assert_eq!(currency.is_some(), self.per_currency, "{} knows its scope", self.name);
        match currency {
            Some(currency) => self.text.replace(CURRENCY, currency.sql()).into(),
            None => self.text.into(),
        }
    }

    /// Tells one text from another.
    pub(super) fn checksum(&self) -> String {
        format!("{:08x}", crc32fast::hash(self.text.as_bytes()))
    }
}

macro_rules! step {
    ($version:literal, $file:literal, $name:literal, $per_currency:literal) => {
        Step {
            version: $version,
            name: $name,
            per_currency: $per_currency,
            text: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../migrations/",
                $file,
                "_",
                $name,
                ".sql"
            )),
        }
    };
}

/// In the order of their numbers.
pub(super) const STEPS: &[Step] = &[
    step!(1, "0001", "tables", false),
    step!(2, "0002", "options", true),
    step!(3, "0003", "options_known", false),
    step!(4, "0004", "option_chain", false),
    step!(5, "0005", "holes", false),
];

/// Run before anything is read of them.
pub(super) const LEDGER: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/0000_ledger.sql"));

/// Whose being there says that there is a ledger.
pub(super) const LEDGER_TABLE: &str = "tapedeck_migrations";

/// The newest migration that this program knows.
pub const VERSION: i32 = 5;

/// The oldest program, by the newest migration it knew, that can use what [`VERSION`] makes. It
/// moves a release after the change that an older program could not bear.
pub const READABLE_FROM: i32 = 1;

const CURRENCY: &str = "CURRENCY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_without_a_hole() {
        let numbers: Vec<i32> = STEPS.iter().map(|step| step.version).collect();
        assert_eq!(numbers, (1..=VERSION).collect::<Vec<_>>());
        for step in STEPS {
            assert_eq!(step.text.contains(CURRENCY), step.per_currency, "{}", step.name);
        }
    }
}
