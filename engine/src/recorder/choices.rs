//! What was chosen instrument by instrument, on the disk and over the configuration.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use journal::disk::Disk;
use lifecycle::Choices;
use schema::Micros;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::failure::Failure;
use crate::recorder::state::State;
use crate::selection::{self, Candidate, SelectionError};

/// Where choices are kept: `DATA/state/choices.json`.
#[derive(Debug)]
pub struct Keeping(State);

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    pinned: BTreeSet<String>,
    excluded: BTreeSet<String>,
}

impl Keeping {
    /// Choices are kept below this data folder.
    #[must_use]
    pub fn new(disk: &Arc<dyn Disk>, data: &Path) -> Self {
        Self(State::new(disk, data))
    }

    /// What was kept, without what has expired since.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(&self, now: Micros) -> Result<Choices, Failure> {
        let kept = self.0.read(FILE, "what is pinned and excluded")?;
        let Kept { pinned, excluded } = kept.unwrap_or_default();
        let mut choices = Choices::new(pinned, excluded);
        choices.forget_expired(now.date());
        Ok(choices)
    }

    /// Keeps these instead; they survive a power cut.
    pub(super) fn write(&self, choices: &Choices) -> Result<(), String> {
        let owned = |names: &mut dyn Iterator<Item = &str>| names.map(String::from).collect();
        let kept =
            Kept { pinned: owned(&mut choices.pinned()), excluded: owned(&mut choices.excluded()) };
        let text = serde_json::to_string_pretty(&kept).expect("sets of names are JSON");
        let path = self.0.path(FILE);
        let failed = |error| format!("the wish cannot be kept in {}: {error}", path.display());
        self.0.write(FILE, &text).map_err(failed)
    }
}

/// The groups that record what the configuration selects and what was chosen.
///
/// # Errors
/// As [`selection::from_instruments`]: also when the configuration names what is not listed.
pub(super) fn select(
    config: &Config,
    choices: &Choices,
    candidates: Vec<Candidate>,
) -> Result<Vec<lifecycle::Group>, SelectionError> {
    let listed = |name: &String| candidates.iter().any(|candidate| candidate.name == *name);
    match config.exchange.instruments.iter().all(listed) {
        true => follow(config, choices, candidates),
        false => selection::from_instruments(config, &candidates),
    }
}

/// The same while the lists change: what the configuration names and the exchange lists no longer
/// is no error.
pub(super) fn follow(
    config: &Config,
    choices: &Choices,
    candidates: Vec<Candidate>,
) -> Result<Vec<lifecycle::Group>, SelectionError> {
    let excluded = |name: &str| choices.is_excluded(name);
    let candidates: Vec<Candidate> =
        candidates.into_iter().filter(|candidate| !excluded(&candidate.name)).collect();
    let mut config = config.clone();
    let wanted = &mut config.exchange.instruments;
    if !wanted.is_empty() {
        let named = |name: &String| candidates.iter().any(|candidate| candidate.name == *name);
        wanted.retain(named);
        let pinned = choices.pinned().map(String::from).filter(named);
        let pinned: Vec<String> = pinned.filter(|name| !wanted.contains(name)).collect();
        wanted.extend(pinned);
        if wanted.is_empty() {
            return Err(SelectionError::Nothing);
        }
    }
    selection::from_instruments(&config, &candidates)
}

const FILE: &str = "choices.json";

#[cfg(test)]
mod tests {
    use super::*;
    use journal::disk::System;

    const CALL: &str = "BTC-6OCT26-86000-C";
    const PUT: &str = "BTC-6OCT26-86000-P";

    fn keeping(data: &Path) -> Keeping {
        let disk: Arc<dyn Disk> = Arc::new(System);
        Keeping::new(&disk, data)
    }

    #[test]
    fn choices_are_kept_until_they_expire() {
        let data = tempfile::tempdir().unwrap();
        let keeping = keeping(data.path());
        assert!(keeping.read(Micros(0)).unwrap().is_empty());
        let mut choices = Choices::default();
        choices.pin(CALL);
        keeping.write(&choices).unwrap();
        choices.exclude("BTC-PERPETUAL");
        keeping.write(&choices).unwrap();
        assert_eq!(keeping.read(Micros(0)).unwrap(), choices);
        let later = schema::Date::from_civil(2026, 10, 7).start();
        assert_eq!(keeping.read(later).unwrap().len(), 1);
        std::fs::write(data.path().join("state/choices.json"), "{").unwrap();
        let sentence = keeping.read(Micros(0)).unwrap_err().to_string();
        assert!(sentence.contains("choices.json"), "{sentence}");
    }

    #[test]
    fn choices_lie_over_the_configuration() {
        let candidate = |name: &str| Candidate { name: name.into(), currency: "BTC".into() };
        let candidates = || [CALL, PUT].map(candidate).to_vec();
        let channels = |config: &Config, choices: &Choices| {
            let groups =
                select(config, choices, candidates()).map_err(|error| error.to_string())?;
            let own = groups.iter().flat_map(|group| group.channels.instruments());
            Ok::<_, String>(own.map(String::from).collect::<Vec<_>>())
        };
        let (mut config, mut choices) = (Config::default(), Choices::default());
        config.exchange.currencies = vec!["BTC".into()];
        assert_eq!(channels(&config, &choices).unwrap(), [CALL, PUT]);
        choices.exclude(CALL);
        assert_eq!(channels(&config, &choices).unwrap(), [PUT]);
        config.exchange.instruments = vec![CALL.into()];
        assert!(channels(&config, &choices).is_err(), "nothing is left, and not everything taken");
        choices.pin(PUT);
        assert_eq!(channels(&config, &choices).unwrap(), [PUT]);
        choices.pin("BTC-6OCT26-1-C");
        assert_eq!(channels(&config, &choices).unwrap(), [PUT], "what is not listed is not asked");
    }
}
