//! What there is to record: the exchange's instruments, or a list of channels.

use std::time::Duration;

use lifecycle::{Choices, Group};
use schema::Now;
use schema::tables::Rows;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Channels, Wishes, choices};
use crate::config::Config;
use crate::deribit::instruments::{self, Listed};
use crate::endpoint::Endpoint;
use crate::failure::{Failure, FailureKind};
use crate::rest::Rest;
use crate::selection::{self, Candidate, SelectionError};
use crate::stop::Stop;
use crate::tls::Trust;

/// The instruments that the exchange lists, and the channels of every group of shards.
#[derive(Debug)]
pub struct Catalogue {
    /// The lists as they were answered.
    pub lists: Vec<List>,
    /// What each group of shards is to listen to.
    pub groups: Vec<Group>,
}

/// What the exchange lists of one currency.
#[derive(Debug)]
pub struct List {
    /// The currency.
    pub currency: String,
    /// Its open instruments.
    pub(crate) listed: Vec<Listed>,
}

/// Why there is no list.
#[derive(Debug)]
pub struct Unlisted {
    /// What went wrong, in a sentence.
    pub failure: Failure,
    /// Whether the exchange says that we ask too often.
    pub throttled: bool,
}

/// Nothing that the exchange says of how often we ask.
impl From<Failure> for Unlisted {
    fn from(failure: Failure) -> Self {
        Self { failure, throttled: false }
    }
}

impl Catalogue {
    /// [`ask`](Self::ask) on a thread, so that a signal need not wait for a slow answer.
    pub(super) fn ask_unless(
        stop: &Stop,
        wishes: &Wishes,
        choices: &Choices,
        endpoint: &Endpoint,
        trust: &Trust,
    ) -> Result<Self, Failure> {
        let (wishes, choices) = (wishes.clone(), choices.clone());
        let (endpoint, trust) = (endpoint.clone(), trust.clone());
        let asking = std::thread::spawn(move || Self::ask(&wishes, &choices, &endpoint, &trust));
        while !asking.is_finished() {
            if stop.raised() {
                let sentence = "stopped before the exchange had answered; nothing was recorded";
                return Err(Failure::new(FailureKind::Stopped, sentence));
            }
            std::thread::sleep(LOOK);
        }
        asking.join().unwrap_or_else(|_| Err(Failure::panicked("asking the exchange")))
    }

    /// Asks the exchange, and selects.
    pub(super) fn ask(
        wishes: &Wishes,
        choices: &Choices,
        endpoint: &Endpoint,
        trust: &Trust,
    ) -> Result<Self, Failure> {
        let config = &wishes.config;
        let rest = rest(config, endpoint, trust);
        match &wishes.channels {
            Channels::Selected => {
                let lists = config.exchange.currencies.iter();
                let lists: Result<Vec<List>, Failure> =
                    lists.map(|currency| patiently(&PAUSES, || list(&rest, currency))).collect();
                Self::select(config, choices, lists?)
            }
            Channels::From(place) => {
                let channels = selection::channels_in(&fetch(&rest, place)?);
                // The list of channels decides; the instruments are only described, if they can be.
                let lists = list(&rest, "any").map(|list| vec![list]).unwrap_or_else(|unlisted| {
                    tracing::warn!("instruments are not described: {}", unlisted.failure);
                    Vec::new()
                });
                Self::of(lists, selection::from_channels(config, &channels))
            }
        }
    }

    /// What the configuration and the choices select of the lists.
    ///
    /// # Errors
    /// When a group of shards is missing, a named instrument is not listed, or nothing is left.
    pub fn select(config: &Config, choices: &Choices, lists: Vec<List>) -> Result<Self, Failure> {
        let candidates: Vec<Candidate> = lists.iter().flat_map(List::candidates).collect();
        Self::of(lists, choices::select(config, choices, candidates))
    }

    fn of(lists: Vec<List>, groups: Result<Vec<Group>, SelectionError>) -> Result<Self, Failure> {
        let groups = groups.map_err(|error| Failure::new(kind(&error), error))?;
        Ok(Self { lists, groups })
    }

    /// The instruments as rows of `instruments`.
    pub fn push(&self, now: Now, rows: &mut Rows) {
        for listed in self.lists.iter().flat_map(|list| &list.listed) {
            listed.push(now.utc, now, rows);
        }
    }
}

impl List {
    /// Takes the answer to `get_instruments`, a whole JSON-RPC answer, apart.
    ///
    /// # Errors
    /// When it is no list.
    pub fn parse(currency: &str, answer: &str) -> Result<Self, Unlisted> {
        let strange = |why: &dyn std::fmt::Display| {
            let why = format_args!("the list of {currency} instruments is not understood: {why}");
            Unlisted::from(Failure::new(FailureKind::Exchange, why))
        };
        let result = result_of(answer).map_err(|error| strange(&error))?;
        let listing = instruments::parse(result.get()).map_err(|error| strange(&error))?;
        for (name, refusal) in &listing.named {
            tracing::warn!("the description of {name} is not understood: {refusal}");
        }
        Ok(Self { currency: currency.to_owned(), listed: listing.listed })
    }

    fn candidates(&self) -> impl Iterator<Item = Candidate> {
        let currency = &self.currency;
        self.listed
            .iter()
            .map(|listed| Candidate { name: listed.name.clone(), currency: currency.clone() })
    }
}

/// The exchange's REST interface.
pub(super) fn rest(config: &Config, endpoint: &Endpoint, trust: &Trust) -> Rest {
    let base = config.exchange.rest_url.clone().unwrap_or_else(|| endpoint.rest_base());
    Rest::new(&base, &trust.certificates)
}

/// Every open instrument of a currency.
pub(super) fn list(rest: &Rest, currency: &str) -> Result<List, Unlisted> {
    let question = format!("get_instruments?currency={currency}&expired=false");
    let answer = rest.ask(&question).map_err(|error| Unlisted {
        throttled: error.throttled(),
        failure: Failure::new(FailureKind::Exchange, error),
    })?;
    List::parse(currency, &answer)
}

/// Asks an exchange that may say that it is asked too often: again, after a pause. Who ended and
/// began anew instead would ask for all lists from the first one on, and might never get the last.
fn patiently<T>(
    pauses: &[Duration],
    mut ask: impl FnMut() -> Result<T, Unlisted>,
) -> Result<T, Failure> {
    for pause in pauses {
        match ask() {
            Err(Unlisted { failure, throttled: true }) => {
                tracing::warn!("the exchange is asked again in {} s: {failure}", pause.as_secs());
                std::thread::sleep(*pause);
            }
            answer => return answer.map_err(|unlisted| unlisted.failure),
        }
    }
    ask().map_err(|unlisted| unlisted.failure)
}

/// The `result` of a JSON-RPC answer, as its text.
fn result_of(answer: &str) -> serde_json::Result<&RawValue> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        result: &'a RawValue,
    }
    Ok(serde_json::from_str::<Answer<'_>>(answer)?.result)
}

fn fetch(rest: &Rest, place: &str) -> Result<String, Failure> {
    if place.starts_with("http://") || place.starts_with("https://") {
        return rest.get(place).map_err(|error| Failure::new(FailureKind::Exchange, error));
    }
    std::fs::read_to_string(place).map_err(|error| {
        Failure::new(FailureKind::Usage, format_args!("cannot read channels from {place}: {error}"))
    })
}

fn kind(error: &SelectionError) -> FailureKind {
    match error {
        SelectionError::Unknown { .. }
        | SelectionError::Homeless { .. }
        | SelectionError::Nothing => FailureKind::Usage,
    }
}

const LOOK: Duration = Duration::from_millis(10);
/// How long a start waits for an exchange that says that it is asked too often.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(throttled: [bool; 3]) -> (Option<&'static str>, usize) {
        let mut asked = 0;
        let answer = patiently(&[Duration::ZERO, Duration::ZERO], || {
            asked += 1;
            let failure = Failure::new(FailureKind::Exchange, "no");
            match asked {
                2 if !throttled[1] => Ok("a list"),
                it => Err(Unlisted { failure, throttled: throttled[it - 1] }),
            }
        });
        (answer.ok(), asked)
    }

    #[test]
    fn an_exchange_that_is_asked_too_often_is_asked_again() {
        assert_eq!(asked([true, false, false]), (Some("a list"), 2));
        assert_eq!(asked([false, false, false]), (None, 1));
        assert_eq!(asked([true, true, true]), (None, 3));
    }
}
