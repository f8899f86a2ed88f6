//! A session with the database, made ready to store one journal: fenced, migrated, checked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use schema::tables::Quarantined;
use schema::{Partition, Row, SqlName, Table, tables};
use tokio_postgres::{Client, Statement};

use super::catalog::Relation;
use super::column::SqlKind;
use super::connection::{Address, connect};
use super::error::{DatabaseError, DatabaseErrorKind};
use super::load::Load;
use super::migrations;
use super::parcel::Chunks;
use super::target::Target;
use super::writer::in_time;

/// A session that only this sink of this journal has.
pub(super) struct Session {
    pub(super) client: Client,
    /// For what is encoded here and not where it was gathered.
    pub(super) chunks: Chunks,
    catalog: Statement,
    destinations: HashMap<String, Destination>,
}

/// For how long a database is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Until it answers.
    pub(super) opening: Duration,
    /// While it is migrated.
    pub(super) migrating: Duration,
}

/// A table that was found fit, and the statement that takes rows into it.
#[derive(Clone)]
pub(super) struct Destination {
    pub(super) target: Arc<Target>,
    pub(super) copy: Statement,
    /// What the table was when it was found fit.
    found: Arc<Relation>,
}

impl Session {
    /// Opens a session of that name and ends what is left of earlier ones.
    async fn open(
        address: &Address,
        trust: &Arc<ClientConfig>,
        name: &str,
    ) -> Result<Self, DatabaseError> {
        let client = connect(&address.kept_alive(), trust).await?;
        prepare(&client, name).await?;
        let catalog = Relation::question(&client).await?;
        let (chunks, destinations) = (Chunks::default(), HashMap::new());
        Ok(Self { client, chunks, catalog, destinations })
    }

    /// The same, with the database brought to its shape; each in its time.
    pub(super) async fn ready(
        address: &Address,
        trust: &Arc<ClientConfig>,
        name: &str,
        migrations: Option<&migrations::Options>,
        patience: Patience,
    ) -> Result<Self, DatabaseError> {
        let opening = Self::open(address, trust, name);
        let mut session = in_time(patience.opening, "opening a session", opening).await?;
        if let Some(options) = migrations {
            let migrating = session.migrate(options);
            in_time(patience.migrating, "migrating the database", migrating).await?;
        }
        Ok(session)
    }

    /// Brings the database to the shape that this program needs.
    async fn migrate(&mut self, options: &migrations::Options) -> Result<(), DatabaseError> {
        let plan = migrations::migrate(&mut self.client, options).await?;
        for warning in &plan.warnings {
            tracing::warn!("{warning}");
        }
        for change in &plan.changes {
            tracing::info!("the database was changed: {change}");
        }
        Ok(())
    }

    /// Holds every table that is always there against its declaration; forgets the others.
    pub(super) async fn look_again(&mut self) -> Result<(), DatabaseError> {
        self.destinations.clear();
        for table in tables::ALL {
            if let SqlName::One(name) = table.sql
                && table.partition != Partition::SqlOnly
            {
                let _ = self.find(table, name).await?;
            }
        }
        self.check_quarantine()
    }

    /// Where a load goes. The tables of a currency that is new are made.
    pub(super) async fn destination(&mut self, load: &Load) -> Result<Destination, DatabaseError> {
        if let Some(known) = self.destinations.get(&load.name) {
            return Ok(known.clone());
        }
        if let Some(currency) = &load.currency
            && Relation::read(&self.client, &self.catalog, &[&load.name]).await?.is_empty()
        {
            tracing::info!(%currency, "making the tables of a currency that is new");
            migrations::add_currency(&mut self.client, currency.clone()).await?;
        }
        self.find(load.table, &load.name).await
    }

    async fn find(
        &mut self,
        table: &'static Table,
        name: &str,
    ) -> Result<Destination, DatabaseError> {
        let wrong = |what: String| {
            let what = format!("the database's table {name} cannot be written: {what}");
            DatabaseError::said(DatabaseErrorKind::Incompatible, what)
        };
        let mut relations = Relation::read(&self.client, &self.catalog, &[name]).await?;
        let relation = relations
            .remove(name)
            .ok_or_else(|| wrong("there is none; run tapedeck migrate --repair".into()))?;
        if !matches!(relation.kind.as_str(), "r" | "p") {
            return Err(wrong("it is no table but a view or the like".into()));
        }
        let target =
            Target::new(table, relation.name.clone(), relation.columns.clone()).map_err(wrong)?;
        let copy = self.client.prepare(&target.copy()).await.map_err(|error| {
            DatabaseError::of(format!("preparing to write the database's table {name}"), error)
        })?;
        let found = Destination { target: Arc::new(target), copy, found: Arc::new(relation) };
        self.destinations.insert(name.to_owned(), found.clone());
        Ok(found)
    }

    /// Makes sure that the tables are still what they were found to be: bytes that are meant for a
    /// `double precision` would pass for a `bigint`. Asked behind the COPY whose locks keep them
    /// as they are until the transaction ends.
    pub(super) async fn verify(
        &self,
        destinations: &[(String, Destination)],
    ) -> Result<(), DatabaseError> {
        let names: Vec<&str> = destinations.iter().map(|(name, _)| name.as_str()).collect();
        let now = Relation::read(&self.client, &self.catalog, &names).await?;
        let same = |name: &str, known: &Destination| now.get(name) == Some(&known.found);
        let changed = destinations.iter().find(|(name, known)| !same(name, known));
        changed.map_or(Ok(()), |(name, _)| {
            let what =
                format!("the database's table {name} was changed meanwhile: it is read again");
            Err(DatabaseError::said(DatabaseErrorKind::Busy, what))
        })
    }

    /// What is refused elsewhere must find a place here, whatever it is.
    fn check_quarantine(&self) -> Result<(), DatabaseError> {
        let name = Quarantined::TABLE.name;
        let mut columns = self.destinations[name].target.columns().iter();
        let narrow =
            columns.find(|(_, column)| matches!(column.kind, Some(SqlKind::Text(Some(_)))));
        narrow.map_or(Ok(()), |(_, column)| {
            let (column, spelled) = (&column.name, &column.spelled);
            let what =
                format!("the database's table {name}: {column} is {spelled}, and must be text");
            Err(DatabaseError::said(DatabaseErrorKind::Incompatible, what))
        })
    }
}

/// Makes a session safe to rely on: what is committed is on disk, nobody is waited for without
/// end, a connection that is dead is noticed by both sides, and no earlier session of this journal
/// can still store anything.
async fn prepare(client: &Client, name: &str) -> Result<(), DatabaseError> {
    let failed = |error| DatabaseError::of("preparing a session of the database".into(), error);
    client.batch_execute(SETTINGS).await.map_err(failed)?;
    client.execute(END_OTHERS, &[&name]).await.map_err(failed)?;
    client.execute(TAKE_NAME, &[&name]).await.map_err(failed).map(drop)
}

const SETTINGS: &str = "\
    SET search_path = public; SET standard_conforming_strings = on; \
    SET synchronous_commit = on; SET TimeZone = 'UTC'; \
    SET statement_timeout = 0; SET lock_timeout = '30s'; \
    SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = warning; \
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";
/// One recorder has a journal, so that another session with its name is one that has lost us.
const END_OTHERS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE application_name = $1 AND pid <> pg_backend_pid() AND datname = current_database() \
    AND usename = current_user";
const TAKE_NAME: &str = "SELECT set_config('application_name', $1, false)";
