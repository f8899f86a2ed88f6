//! The commands, one file each: flags to settings, settings to the engine, results to words.

pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod inspect;
pub(crate) mod lifecycle;
pub(crate) mod migrate;
pub(crate) mod probe;
pub(crate) mod record;
pub(crate) mod refill;
pub(crate) mod simulate;
pub(crate) mod sinks;
pub(crate) mod status;
