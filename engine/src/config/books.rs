//! `[books]`: how much is recorded of the order books.

use std::time::Duration;

use serde::Deserialize;

use super::ConfigError;
use crate::duration;

/// `[books]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Books {
    /// How much.
    pub mode: BookMode,
    /// Levels of a sample, each side: 1, 10 or 20.
    pub depth: u8,
    /// How often a book is sampled; at least 10 s.
    #[serde(with = "duration")]
    pub every: Duration,
}

/// How much is recorded of the order books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BookMode {
    /// Nothing.
    Off,
    /// The best levels now and then: of an option at the start and at an interval, of a perpetual
    /// at the start.
    #[default]
    Sampled,
    /// Every change.
    Incremental,
}

impl Default for Books {
    fn default() -> Self {
        Self { mode: BookMode::default(), depth: 20, every: Duration::from_secs(300) }
    }
}

impl Books {
    /// Refuses what the exchange does not have, and what would be asking too often.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |text: &str| Err(ConfigError::Value(text.to_owned()));
        if ![1, 10, 20].contains(&self.depth) {
            return refuse("books.depth is 1, 10 or 20: the exchange has no other windows");
        }
        if self.every < EVERY_MIN {
            return refuse("books.every is at least 10s");
        }
        Ok(())
    }
}

const EVERY_MIN: Duration = Duration::from_secs(10);
