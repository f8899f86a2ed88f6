//! Where batches go: the sinks that a configuration asks for, and what the journal keeps for them.

use std::path::Path;
use std::sync::Arc;

use journal::Feed;
use journal::disk::Disk;
use rustls::ClientConfig;
use sinks::postgres::{self, Address, migrations};
use sinks::{Memory, Parquet, Postgres, Sink, SinkErrorKind};

use super::Wishes;
use crate::config::Config;
use crate::failure::{Failure, FailureKind};
use crate::tls::Trust;

/// The sinks, those that can be checked beforehand checked.
///
/// # Errors
/// When one can never be written as it is configured.
pub(super) fn sinks(
    wishes: &Wishes,
    disk: &Arc<dyn Disk>,
    trust: &Trust,
    journal: &str,
) -> Result<Vec<Box<dyn Sink>>, Failure> {
    let config = &wishes.config;
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    if config.sinks.parquet.enabled {
        let options = sinks::parquet::Options {
            age_max: config.sinks.parquet.file_age_max,
            bytes_max: config.sinks.parquet.buffer_bytes_max,
            keep_days: config.sinks.parquet.keep_days,
            ..sinks::parquet::Options::default()
        };
        sinks.push(Box::new(Parquet::new(Arc::clone(disk), &config.journal.data, options)));
    }
    if let Some(mut database) = database(config, trust)? {
        prepare(&mut database, journal)?;
        // So that its place is kept when it is no longer configured.
        let folder = config.journal.data.join("sinks").join(database.name());
        disk.create_folder(&folder).map_err(|error| {
            let sentence = format!("cannot make {}: {error}", folder.display());
            Failure::new(FailureKind::Storage, sentence)
        })?;
        sinks.push(Box::new(database));
    }
    if wishes.memory {
        sinks.push(Box::new(Memory::new(0)));
    }
    Ok(sinks)
}

fn database(config: &Config, trust: &Trust) -> Result<Option<Postgres>, Failure> {
    let database = Database::of(config, trust)?;
    Ok(database.map(|Database { address, trust, options }| Postgres::new(address, trust, options)))
}

/// The database that a configuration names.
#[derive(Clone, Debug)]
pub struct Database {
    /// Where it is.
    pub address: Address,
    /// Whom it is trusted by.
    pub trust: Arc<ClientConfig>,
    /// How it is written.
    pub options: postgres::Options,
}

impl Database {
    /// What the configuration says; `None` if no database is written. `trust` is what everybody is
    /// trusted by that has no authorities of its own.
    ///
    /// # Errors
    /// When a file of authorities cannot be used, or a currency can have no table.
    pub fn of(config: &Config, trust: &Trust) -> Result<Option<Self>, Failure> {
        let usage = |error: &dyn std::fmt::Display| Failure::new(FailureKind::Usage, error);
        let postgres = &config.sinks.postgres;
        let Some(address) = postgres.target() else { return Ok(None) };
        let trust = match &postgres.ca_file {
            Some(file) => Trust::of(Some(file)).map_err(|error| usage(&error))?.config,
            None => Arc::clone(&trust.config),
        };
        let currencies = config.exchange.currencies.iter().map(|name| name.parse());
        let currencies: Result<_, String> = currencies.collect();
        let migrations = migrations::Options {
            currencies: currencies.map_err(|error| usage(&error))?,
            compress_after: postgres.compress_after,
            ..migrations::Options::default()
        };
        let options = postgres::Options {
            age_max: postgres.commit_age_max,
            bytes_max: postgres.transaction_bytes_max,
            migrations: postgres.migrate.then_some(migrations),
        };
        Ok(Some(Self { address: address.clone(), trust, options }))
    }
}

/// A database that is away is waited for while the recording goes on; what waiting cannot mend is
/// told now.
fn prepare(database: &mut Postgres, journal: &str) -> Result<(), Failure> {
    match database.prepare(journal) {
        Ok(_) => Ok(()),
        Err(error) if error.kind == SinkErrorKind::Retry => {
            tracing::warn!("{error}; recording goes on, the database is tried again");
            Ok(())
        }
        Err(error) => Err(Failure::new(FailureKind::Database, error)),
    }
}

/// Keeps in the journal what a sink may still need that has not said yet how far it is: one that
/// cannot be opened, and one that has worked here and is not configured now. The latter's place is
/// kept until `tapedeck sinks forget` removes its folder in `DATA/sinks`.
pub(super) fn hold(data: &Path, feed: &Feed, sinks: &[Box<dyn Sink>]) {
    let keep = |name: &str| {
        // The oldest record is there, so that the place can be held.
        if let Err(error) = feed.attach(name, feed.oldest().saturating_sub(1)) {
            tracing::warn!("{error}");
        }
    };
    sinks.iter().filter(|sink| sink.durable()).for_each(|sink| keep(sink.name()));
    let absent = |name: &String| sinks.iter().all(|sink| sink.name() != name);
    for name in known_sinks(data).into_iter().filter(absent) {
        tracing::warn!(
            "sink {name} is not configured: the journal keeps all for it until tapedeck sinks \
             forget {name}"
        );
        keep(&name);
    }
}

/// The names of the sinks that have worked in this data folder, in their order.
#[must_use]
pub fn known_sinks(data: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(data.join("sinks")).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        folders.map(|folder| folder.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
