//! Why a row cannot be stored as it is: what the quarantine says about it.

use std::fmt;

/// What is wrong with one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// NaN or an infinity.
    NotFinite,
    /// Beyond what the column's type holds.
    TooLarge,
    /// More digits behind the point than the column keeps: rounding would change the number.
    Decimals {
        /// Digits behind the point.
        needs: i32,
        /// How many the column has.
        scale: i32,
    },
    /// The column holds floats of 32 bits or integers, and these would be other digits.
    Digits,
    /// A text with more characters than the column has room for.
    TooLong {
        /// Characters.
        has: usize,
        /// Room.
        max: usize,
    },
    /// A text with the character NUL, which PostgreSQL has no place for.
    Nul,
    /// A text that is not JSON, for a column that is.
    NotJson,
    /// An instant outside of what the server can say.
    Time,
    /// No value, and the column must have one.
    Missing,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite => f.write_str("it is not a finite number"),
            Self::TooLarge => f.write_str("the number is too large for the column"),
            Self::Decimals { needs, scale } => {
                write!(f, "the number has {needs} digits behind the point, the column {scale}")
            }
            Self::Digits => f.write_str("the column's type would change its digits"),
            Self::TooLong { has, max } => {
                write!(f, "the text has {has} characters, the column room for {max}")
            }
            Self::Nul => f.write_str("the text holds a NUL, which PostgreSQL cannot store"),
            Self::NotJson => f.write_str("the text is not JSON"),
            Self::Time => f.write_str("the instant is outside of what PostgreSQL can say"),
            Self::Missing => f.write_str("it is missing, and the column must not be null"),
        }
    }
}
