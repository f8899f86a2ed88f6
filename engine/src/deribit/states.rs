//! What the exchange says unasked of which instruments there are: `instrument.state.KIND.CURRENCY`,
//! `platform_state`, and trades in instruments that nothing was said of. It makes no row here:
//! whoever keeps the plan hears it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_queue::ArrayQueue;
use schema::{Micros, Now};
use serde::{Deserialize, Serialize};

use super::decoder::Decoder;
use super::field::{Field, Text, Whole};
use super::refusal::Refusal;
use super::wire::{number, wire};

wire! {
    /// An instrument's new state.
    struct Change {
        timestamp: Whole = "timestamp",
        state: Text<'a> = "state",
        instrument_name: Text<'a> = "instrument_name",
    }
    ignored []
}

wire! {
    /// Whether the platform, or what follows one index, is locked (PROTOCOL 9).
    struct Platform {
        locked: Field<bool> = "locked",
        maintenance: Field<bool> = "maintenance",
        price_index: Text<'a> = "price_index",
    }
    ignored ["reasons"]
}

/// What the exchange said of which instruments there are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Word {
    /// What.
    pub said: Said,
    /// When it was received.
    pub at: Micros,
}

/// The kinds of [`Word`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Said {
    /// An instrument has a state.
    State {
        /// The instrument.
        instrument: String,
        /// The state, as the exchange wrote it.
        state: String,
    },
    /// An instrument was traded of which this decoder knew nothing.
    Traded {
        /// The instrument.
        instrument: String,
    },
    /// The platform is locked, or is no longer.
    Platform {
        /// What follows this index, or everything.
        index: Option<String>,
        /// Whether it is locked.
        locked: bool,
    },
}

/// Words on their way from any number of decoders to one listener.
#[derive(Clone, Debug)]
pub struct Overheard(Arc<Waiting>);

#[derive(Debug)]
struct Waiting {
    words: ArrayQueue<Word>,
    missed: AtomicBool,
    returned: AtomicBool,
}

impl Default for Overheard {
    fn default() -> Self {
        let words = ArrayQueue::new(WORDS_MAX);
        Self(Arc::new(Waiting { words, missed: false.into(), returned: false.into() }))
    }
}

impl Overheard {
    pub(crate) fn say(&self, word: Word) {
        if self.0.words.push(word).is_err() {
            self.miss();
        }
    }

    /// Words were missed.
    pub(crate) fn miss(&self) {
        self.0.missed.store(true, Ordering::Release);
    }

    /// A channel of words is back.
    pub(crate) fn come_back(&self) {
        self.0.returned.store(true, Ordering::Release);
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

    /// Whether a channel of words is back since this was asked last: nobody heard those that were
    /// said meanwhile, and the exchange can be reached.
    #[must_use]
    pub fn has_returned(&self) -> bool {
        self.0.returned.swap(false, Ordering::Acquire)
    }
}

impl Decoder {
    /// Lets somebody hear what the exchange says of instruments.
    pub fn overhear(&mut self, overheard: Overheard) {
        self.overheard = Some(overheard);
    }

    /// A channel of words is back.
    pub(super) fn hears_again(&self) {
        if let Some(overheard) = &self.overheard {
            overheard.come_back();
        }
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
        let said = Said::State { instrument: instrument.into(), state: state.into() };
        overheard.say(Word { said, at: now.utc });
        self.tally.strangers("instrument.state", &change.strangers);
        Ok(())
    }

    pub(super) fn platform(&mut self, data: &str, now: Now) -> Result<(), Refusal> {
        let Some(overheard) = &self.overheard else {
            self.tally.unsupported("platform_state");
            return Ok(());
        };
        let state: Platform<'_> = sonic_rs::from_str(data).map_err(|error| Refusal::of(&error))?;
        let index = state.price_index.text("price_index")?.map(str::to_owned);
        let (locked, maintained) = (number!(state.locked), number!(state.maintenance));
        let locked = locked.or(maintained).ok_or(Refusal::Missing("locked"))?;
        overheard.say(Word { said: Said::Platform { index, locked }, at: now.utc });
        self.tally.strangers("platform_state", &state.strangers);
        Ok(())
    }

    /// The first trade of an instrument that this decoder knew nothing of.
    pub(super) fn traded(&self, instrument: &str, now: Now) {
        if let Some(overheard) = &self.overheard {
            let said = Said::Traded { instrument: instrument.to_owned() };
            overheard.say(Word { said, at: now.utc });
        }
    }
}

/// More than the exchange lists in a day.
const WORDS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use schema::tables::Rows;

    use super::*;
    use crate::deribit::Limits;

    const CALL: &str = "BTC-6OCT26-86000-C";

    fn heard(data: &str, decoder: &mut Decoder) -> usize {
        heard_on("instrument.state.any.any", data, decoder)
    }

    fn heard_on(channel: &str, data: &str, decoder: &mut Decoder) -> usize {
        let mut rows = Rows::default();
        decoder.decode(channel, data, Now::default(), &mut rows);
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
        let state = Said::State { instrument: CALL.into(), state: "open".into() };
        assert_eq!(overheard.next().unwrap().said, state);
        assert_eq!(overheard.next(), None);
        let (soon, stateless) =
            (said.replace("1", "\"soon\""), said.replace("\"state\"", "\"status\""));
        for broken in ["{}", "7", &soon, &stateless] {
            assert_eq!(heard(broken, &mut decoder), 1, "{broken}");
        }
        assert_eq!(overheard.next(), None);
    }

    #[test]
    fn a_locked_platform_is_passed_on() {
        let (mut decoder, overheard) = (Decoder::new(Limits::default()), Overheard::default());
        decoder.overhear(overheard.clone());
        for (said, index, locked) in [
            (r#"{"locked":true,"price_index":"btc_usd","reasons":[]}"#, Some("btc_usd"), true),
            (r#"{"locked":false,"price_index":"eth_usdc"}"#, Some("eth_usdc"), false),
            (r#"{"maintenance":true}"#, None, true),
        ] {
            assert_eq!(heard_on("platform_state", said, &mut decoder), 0, "{said}");
            let said = Said::Platform { index: index.map(str::to_owned), locked };
            assert_eq!(overheard.next().unwrap().said, said);
        }
        for broken in ["{}", r#"{"locked":1}"#, r#"{"locked":true,"price_index":[]}"#] {
            assert_eq!(heard_on("platform_state", broken, &mut decoder), 1, "{broken}");
        }
        assert_eq!(overheard.next(), None);
    }

    #[test]
    fn the_first_trade_of_an_instrument_is_passed_on() {
        let (mut decoder, overheard) = (Decoder::new(Limits::default()), Overheard::default());
        decoder.overhear(overheard.clone());
        for seq in [7, 8] {
            let trade = format!(
                r#"[{{"timestamp":1795507140000,"instrument_name":"{CALL}","trade_id":"{seq}",
                "trade_seq":{seq},"price":0.1,"amount":1.0,"direction":"buy"}}]"#
            );
            assert_eq!(heard_on("trades.option.BTC.100ms", &trade, &mut decoder), 0);
        }
        let said = Said::Traded { instrument: CALL.into() };
        assert_eq!(overheard.next().unwrap().said, said);
        assert_eq!(overheard.next(), None, "once");
    }

    #[test]
    fn words_without_room_are_noticed() {
        let overheard = Overheard::default();
        let word = Word { said: Said::Traded { instrument: "A".into() }, at: Micros(1) };
        (0..WORDS_MAX).for_each(|_| overheard.say(word.clone()));
        assert!(!overheard.has_missed());
        overheard.say(word);
        assert!(overheard.has_missed() && !overheard.has_missed());
    }
}
