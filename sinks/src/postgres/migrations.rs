//! Brings a database to the shape that this program needs, and says what it did.
//!
//! The facts are read (`catalog`), a plan is made from them (`plan`), and carried out in one
//! transaction under an advisory lock. Afterwards a plan made anew must be empty: so a change that
//! did not do what it said is found before it is committed. Only old rows that are merged into a
//! new table (`merge`) move in many transactions.
//!
//! This is ours because no library we know holds a lock while it migrates, knows files that are
//! run once a currency, or can tell an older program whether it may use a newer database.

mod adoption;
mod aggregates;
mod beside;
mod catalog;
mod cost;
mod currency;
mod lock;
mod merge;
mod moving;
mod plan;
mod release;
mod steps;
mod storage;
mod views;

use std::time::Duration;

use tokio_postgres::{Client, GenericClient};

use self::catalog::Catalog;
use self::lock::Lock;
use super::error::{DatabaseError, DatabaseErrorKind};
pub use currency::Currency;
pub use plan::{Change, Merge, Plan};
pub use steps::{READABLE_FROM, VERSION};

/// What is wished beyond the shape itself.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whose options have tables from the start.
    pub currencies: Vec<Currency>,
    /// Chunks older than this are compressed; if missing: 7 days, and what is there stays.
    pub compress_after: Option<Duration>,
    /// Run every migration again: what somebody removed by hand comes back, and texts that were
    /// applied by another build are accepted.
    pub repair: bool,
    /// Make the roles [`READER`] and [`WRITER`]. Once they are there, every migration lets them at
    /// the tables it makes.
    pub roles: bool,
    /// Give the predecessor back what its statements need, and do nothing else.
    pub release: bool,
    /// Let rows move: what has stood beside a new table since it was taken over is merged into
    /// it, and plain tables are cut into chunks.
    pub allow_rewrite: bool,
}

/// A role that may read everything.
pub const READER: &str = "tapedeck_reader";
/// A role that may do what a sink does.
pub const WRITER: &str = "tapedeck_writer";

/// What would be done, and about how long it would take. Nothing is changed.
///
/// # Errors
/// When the database cannot be read, or is not for this program.
pub async fn plan(client: &mut Client, options: &Options) -> Result<Plan, DatabaseError> {
    let failed = |error| DatabaseError::of("looking at the database".into(), error);
    let transaction = client.transaction().await.map_err(failed)?;
    let mut catalog = Catalog::read(&transaction).await?;
    let patience = format!("SET LOCAL lock_timeout TO '{LOOK_MAX}'");
    transaction.batch_execute(&patience).await.map_err(failed)?;
    let measured = catalog.measure(&transaction).await;
    let mut plan = decide(&catalog, options)?;
    match measured {
        Err(error) if error.kind == DatabaseErrorKind::Busy => {
            plan.warn("somebody holds a table: how long all this takes is not known");
        }
        measured => measured?,
    }
    Ok(plan)
}

/// Does it, and says what was done. On a database that has all of it, it only reads.
///
/// # Errors
/// Nothing has changed then.
pub async fn migrate(client: &mut Client, options: &Options) -> Result<Plan, DatabaseError> {
    let first = decide(&Catalog::read(client).await?, options)?;
    if first.changes.is_empty() {
        return Ok(first);
    }
    let lock = Lock::take(client).await?;
    let done = carry_out(client, options).await;
    lock.release(client).await;
    done
}

/// Does it, and then merges what may be merged, in steps that are each whole or not at all. `said`
/// is told of each.
///
/// # Errors
/// What was merged until then stays so; run again, it goes on from there.
pub async fn rewrite(
    client: &mut Client,
    options: &Options,
    mut said: impl FnMut(&str),
) -> Result<Plan, DatabaseError> {
    let mut done = migrate(client, options).await?;
    for merge in &done.merges {
        merge::carry_out(client, &merge.name, &mut said).await?;
    }
    let after = migrate(client, options).await?;
    done.changes.extend(after.changes);
    done.warnings = after.warnings;
    Ok(done)
}

/// Makes the tables of a currency whose options are seen for the first time.
///
/// # Errors
/// As [`migrate`].
pub async fn add_currency(client: &mut Client, currency: Currency) -> Result<Plan, DatabaseError> {
    migrate(client, &Options { currencies: vec![currency], ..Options::default() }).await
}

async fn carry_out(client: &mut Client, options: &Options) -> Result<Plan, DatabaseError> {
    let doing = |what: &str| format!("migrating the database: {what}");
    let transaction = client.transaction();
    let transaction =
        transaction.await.map_err(|error| DatabaseError::of(doing("beginning"), error))?;
    let mut done = Plan::default();
    let mut options = options.clone();
    for _ in 0..ROUNDS_MAX {
        // Another program may have done it while we waited for the lock.
        let catalog = Catalog::read(&transaction).await?;
        prepare(&transaction, &catalog).await?;
        let next = decide(&catalog, &options)?;
        done.warnings = next.warnings;
        done.merges = next.merges;
        if next.changes.is_empty() {
            let committed = transaction.commit().await;
            committed.map_err(|error| DatabaseError::of(doing("committing"), error))?;
            return Ok(done);
        }
        for change in next.changes {
            let changed = transaction.batch_execute(&change.sql).await;
            changed.map_err(|error| DatabaseError::of(doing(&change.what), error))?;
            done.changes.push(change);
        }
        // Once is enough; asking again would never end.
        options.repair = false;
        options.roles = false;
    }
    let still = plan_of(&Catalog::read(&transaction).await?, &options);
    let still = still.changes.first().map_or_else(String::new, ToString::to_string);
    Err(DatabaseError::said(
        DatabaseErrorKind::Refused,
        format!("migrating the database: \"{still}\" was done and is still to be done"),
    ))
}

/// Names mean `public`, and nobody is waited for without end.
async fn prepare(client: &impl GenericClient, catalog: &Catalog) -> Result<(), DatabaseError> {
    let mut path = "public".to_owned();
    if let Some(timescale) = &catalog.timescale
        && timescale.schema != "public"
    {
        path = format!("public, {}", timescale.schema);
    }
    // TimescaleDB takes few compressed rows from one statement unless it is told otherwise.
    let settings = format!(
        "SET LOCAL search_path TO {path}; SET LOCAL lock_timeout TO '{BUSY_MAX}'; \
         SELECT set_config(name, '0', true) FROM pg_settings \
         WHERE name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'"
    );
    let set = client.batch_execute(&settings).await;
    set.map_err(|error| DatabaseError::of("preparing the database".into(), error))
}

/// The plan, unless this program must keep away.
fn decide(catalog: &Catalog, options: &Options) -> Result<Plan, DatabaseError> {
    let refuse = |sentence| Err(DatabaseError::said(DatabaseErrorKind::Incompatible, sentence));
    if catalog.server < SERVER_MIN {
        return refuse(format!(
            "this is PostgreSQL {}: tapedeck needs 15 or newer",
            catalog.server / 10_000
        ));
    }
    if let Some((version, readable_from)) = catalog.version
        && version > VERSION
    {
        if readable_from > VERSION {
            return refuse(format!(
                "the database is at version {version} and cannot be used by a program that \
                 knows less than {readable_from}; this one knows {VERSION}: use a newer tapedeck"
            ));
        }
        let warning = format!(
            "the database is at version {version}, newer than this program's {VERSION}, which \
             can use it as it is"
        );
        return Ok(Plan { warnings: vec![warning], ..Plan::default() });
    }
    for step in steps::STEPS {
        let mut applied = catalog.applied.iter().filter(|applied| applied.version == step.version);
        if let Some(other) = applied.find(|applied| applied.checksum != step.checksum())
            && !options.repair
        {
            return refuse(format!(
                "migration {:04} {} was applied by tapedeck {} with another text than this \
                 program has: tapedeck migrate --repair applies this one",
                step.version, step.name, other.program
            ));
        }
    }
    let plan = plan_of(catalog, options);
    match plan.refusals.first() {
        Some(sentence) => refuse(sentence.clone()),
        None => Ok(plan),
    }
}

fn plan_of(catalog: &Catalog, options: &Options) -> Plan {
    Plan::new(catalog, options)
}

const SERVER_MIN: i32 = 150_000;
const BUSY_MAX: &str = "30s";
const LOOK_MAX: &str = "2s";
/// The first round does it, the second finds nothing to do, or what the first has made possible.
const ROUNDS_MAX: usize = 4;
