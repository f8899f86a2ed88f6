//! `instrument.state.KIND.CURRENCY`: what the exchange says of an instrument unasked. It makes no
//! row here: whoever keeps the plan hears it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;
use schema::{Micros, Now};

use super::decoder::Decoder;
use super::field::{Text, Whole};
use super::refusal::Refusal;
use super::wire::wire;

wire! {
    /// An instrument's new state.
    struct Change {
        timestamp: Whole = "timestamp",
        state: Text<'a> = "state",
        instrument_name: Text<'a> = "instrument_name",
    }
    ignored []
}

/// The exchange's word that an instrument has a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The instrument.
    pub instrument: String,
    /// The state, as the exchange wrote it.
    pub state: String,
    /// When it was received.
    pub at: Micros,
}

/// Words on their way from any number of decoders to one listener.
#[derive(Clone, Debug)]
pub struct Overheard(Arc<Waiting>);

#[derive(Debug)]
struct Waiting {
    words: ArrayQueue<Word>,
    missed: AtomicBool,
}

impl Default for Overheard {
    fn default() -> Self {
        let words = ArrayQueue::new(WORDS_MAX);
        Self(Arc::new(Waiting { words, missed: AtomicBool::new(false) }))
    }
}

impl Overheard {
    fn say(&self, word: Word) {
        if self.0.words.push(word).is_err() {
            self.0.missed.store(true, Ordering::Release);
        }
    }

    /// The oldest word that was not taken yet.
    #[must_use]
    pub fn next(&self) -> Option<Word> {
        self.0.words.pop()
    }

    /// Whether words found no room since this was asked last: the exchange's lists have to be asked
    /// for.
    #[must_use]
    pub fn has_missed(&self) -> bool {
        self.0.missed.swap(false, Ordering::Acquire)
    }
}

impl Decoder {
    /// Lets somebody hear what the exchange says of instruments.
    pub fn overhear(&mut self, overheard: Overheard) {
        self.overheard = Some(overheard);
    }

    pub(super) fn state(&mut self, data: &str, now: Now) -> Result<(), Refusal> {
        let Some(overheard) = &self.overheard else {
            self.tally.unsupported("instrument.state");
            return Ok(());
        };
        let change: Change<'_> = sonic_rs::from_str(data).map_err(|error| Refusal::of(&error))?;
        let instrument = change.instrument_name.required_text("instrument_name")?;
        let state = change.state.required_text("state")?;
        // Not needed, but a message with a broken one is no message.
        change.timestamp.instant("timestamp")?;
        let word = Word { instrument: instrument.into(), state: state.into(), at: now.utc };
        overheard.say(word);
        self.tally.strangers("instrument.state", &change.strangers);
        Ok(())
    }
}

/// More than the exchange lists in a day.
const WORDS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use schema::tables::Rows;

    use super::*;
    use crate::deribit::Limits;

    const CHANNEL: &str = "instrument.state.any.any";

    fn heard(data: &str, decoder: &mut Decoder) -> usize {
        let mut rows = Rows::default();
        decoder.decode(CHANNEL, data, Now::default(), &mut rows);
        rows.quarantine.rows()
    }

    #[test]
    fn a_state_is_passed_on_and_no_row() {
        let (mut decoder, overheard) = (Decoder::new(Limits::default()), Overheard::default());
        let said = r#"{"timestamp":1,"state":"open","instrument_name":"BTC-6OCT26-86000-C"}"#;
        assert_eq!(heard(said, &mut decoder), 0, "nobody listens");
        assert_eq!(decoder.tally().unsupported.get("instrument.state"), Some(&1));
        decoder.overhear(overheard.clone());
        assert_eq!(heard(said, &mut decoder), 0);
        let word = overheard.next().unwrap();
        assert_eq!((&*word.instrument, &*word.state), ("BTC-6OCT26-86000-C", "open"));
        assert_eq!(overheard.next(), None);
        let (soon, stateless) =
            (said.replace("1", "\"soon\""), said.replace("\"state\"", "\"status\""));
        for broken in ["{}", "7", &soon, &stateless] {
            assert_eq!(heard(broken, &mut decoder), 1, "{broken}");
        }
        assert_eq!(overheard.next(), None);
    }

    #[test]
    fn words_without_room_are_noticed() {
        let overheard = Overheard::default();
        let word = Word { instrument: "A".into(), state: "open".into(), at: Micros(1) };
        (0..WORDS_MAX).for_each(|_| overheard.say(word.clone()));
        assert!(!overheard.has_missed());
        overheard.say(word);
        assert!(overheard.has_missed() && !overheard.has_missed());
    }
}
