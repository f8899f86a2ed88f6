//! The states of an instrument, in the exchange's own words.

/// A state of an instrument's life. PROTOCOL 10: today's words, and those of older documentation
/// and recordings (created, started, terminated, closed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Exists, and does not trade yet (older word).
    Created,
    /// Trades (older word).
    Started,
    /// Trades.
    Open,
    /// Orders can only be cancelled.
    Locked,
    /// The pause of a daily settlement, or the beginning of a delivery.
    Settlement,
    /// Stopped by an error.
    Halted,
    /// Does not trade now.
    Inactive,
    /// Paid out: it never trades again.
    Delivered,
    /// The same in older recordings.
    Closed,
    /// The same in older documentation.
    Terminated,
    /// Moved to the exchange's archive.
    Archivized,
    /// A word that was not known when this was written; taken as alive.
    Unknown,
}

impl State {
    /// The state of a word. The exchange's words are lower case.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        WORDS.iter().find(|(known, _)| *known == word).map_or(Self::Unknown, |(_, state)| *state)
    }

    /// The exchange's word; `unknown` for a word that was not known.
    #[must_use]
    pub fn word(self) -> &'static str {
        WORDS.iter().find(|(_, state)| *state == self).map_or("unknown", |(word, _)| word)
    }

    /// Whether nothing follows but the archive.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Delivered | Self::Closed | Self::Terminated | Self::Archivized => true,
            Self::Created
            | Self::Started
            | Self::Open
            | Self::Locked
            | Self::Settlement
            | Self::Halted
            | Self::Inactive
            | Self::Unknown => false,
        }
    }
}

const WORDS: [(&str, State); 11] = [
    ("created", State::Created),
    ("started", State::Started),
    ("open", State::Open),
    ("locked", State::Locked),
    ("settlement", State::Settlement),
    ("halted", State::Halted),
    ("inactive", State::Inactive),
    ("delivered", State::Delivered),
    ("closed", State::Closed),
    ("terminated", State::Terminated),
    ("archivized", State::Archivized),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_written() {
        for (word, state) in WORDS {
            assert_eq!((State::parse(word), state.word()), (state, word));
        }
        assert_eq!(State::parse("Open"), State::Unknown, "words are case-sensitive");
        assert!(!State::Unknown.is_final(), "what is not understood goes on being recorded");
        let finals = WORDS.iter().filter(|(_, state)| state.is_final());
        let finals: Vec<&str> = finals.map(|(word, _)| *word).collect();
        assert_eq!(finals, ["delivered", "closed", "terminated", "archivized"]);
    }
}
