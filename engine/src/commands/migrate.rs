//! `tapedeck migrate`: make the database what this program needs.

use std::path::PathBuf;

use clap::Args;
use sinks::postgres::migrations::{self, Currency, Options, Plan};
use sinks::postgres::{Address, DatabaseError, DatabaseErrorKind, with_session};
use tapedeck::config::{self, Config};
use tapedeck::failure::{Failure, FailureKind};
use tapedeck::logging;
use tapedeck::tls::Trust;

use super::record::{environment, say};

/// Flags of `tapedeck migrate`. The database is DATABASE_URL, or [sinks.postgres] url.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// The configuration (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Run every migration again: what was removed by hand comes back.
    #[arg(long)]
    repair: bool,
    /// Give the predecessor back the keys that its statements need; the next migration takes them
    /// away again.
    #[arg(long, conflicts_with_all = ["repair", "roles", "currency"])]
    release: bool,
    /// Let rows move: those that stand beside a new table are merged into it, and plain tables are
    /// cut into chunks, in steps; a run that is interrupted is gone on with by the next.
    #[arg(long, conflicts_with = "release")]
    allow_rewrite: bool,
    /// Also make the roles tapedeck_reader and tapedeck_writer, for logins that may do no more.
    #[arg(long)]
    roles: bool,
    /// Make the option tables of these currencies [default: those that are recorded].
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    currency: Vec<String>,
}

/// Plans, and unless it is a dry run carries the plan out.
pub(crate) fn run(flags: &Flags) -> Result<(), Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::new(FailureKind::Usage, error);
    let config =
        config::load(flags.config.as_deref(), environment()).map_err(|error| usage(&error))?;
    logging::start(&config.telemetry);
    let options = flags.options(&config)?;
    let address = config.sinks.postgres.url.as_ref().ok_or_else(|| usage(&NO_ADDRESS))?;
    let trust = trust(&config)?;
    let plan = with_session(address, &trust.config, async |client| {
        match (flags.dry_run, flags.allow_rewrite) {
            (true, _) => migrations::plan(client, &options).await,
            (false, false) => migrations::migrate(client, &options).await,
            (false, true) => {
                migrations::rewrite(client, &options, |step| say(&format_args!("{step}"))).await
            }
        }
    });
    report(&plan.map_err(|error| failure(&error))?, address, flags.dry_run);
    Ok(())
}

/// Whom the database is trusted by: its own authorities, or those that the exchange has too.
pub(super) fn trust(config: &Config) -> Result<Trust, Failure> {
    let ca_file = config.sinks.postgres.ca_file.as_ref().or(config.tls.ca_file.as_ref());
    let trust = Trust::of(ca_file.map(PathBuf::as_path));
    trust.map_err(|error| Failure::new(FailureKind::Usage, error))
}

impl Flags {
    fn options(&self, config: &Config) -> Result<Options, Failure> {
        let names = match self.currency.is_empty() {
            true => &config.exchange.currencies,
            false => &self.currency,
        };
        let currencies: Result<Vec<Currency>, String> =
            names.iter().map(|name| name.parse()).collect();
        Ok(Options {
            currencies: currencies.map_err(|error| Failure::new(FailureKind::Usage, error))?,
            compress_after: config.sinks.postgres.compress_after,
            repair: self.repair,
            roles: self.roles,
            release: self.release,
            allow_rewrite: self.allow_rewrite,
        })
    }
}

fn report(plan: &Plan, address: &Address, dry_run: bool) {
    for warning in &plan.warnings {
        eprintln!("warning: {warning}");
    }
    let (count, version) = (plan.changes.len() + plan.merges.len(), migrations::VERSION);
    match (count, dry_run) {
        (0, _) => say(&format_args!("{address} is at version {version}: nothing to do")),
        (_, true) => say(&format_args!("{address} would be changed ({count} changes):")),
        (_, false) => say(&format_args!("{address} has been changed ({count} changes):")),
    }
    // How long it has taken, one has seen.
    let changes = plan.changes.iter().map(|change| (&change.what, change.estimate()));
    let merges = plan.merges.iter().map(|merge| (&merge.what, merge.estimate()));
    for (what, estimate) in changes.chain(merges) {
        match dry_run {
            true => say(&format_args!("  {what} ({estimate})")),
            false => say(&format_args!("  {what}")),
        }
    }
}

/// The database's trouble as the reason why a command ends.
pub(crate) fn failure(error: &DatabaseError) -> Failure {
    let kind = match error.kind {
        DatabaseErrorKind::Address => FailureKind::Usage,
        DatabaseErrorKind::Away
        | DatabaseErrorKind::Unwritable
        | DatabaseErrorKind::Login
        | DatabaseErrorKind::Busy
        | DatabaseErrorKind::Denied
        | DatabaseErrorKind::Data
        | DatabaseErrorKind::Incompatible
        | DatabaseErrorKind::Refused => FailureKind::Database,
    };
    Failure::new(kind, error)
}

pub(super) const NO_ADDRESS: &str = "no database is named: set DATABASE_URL, or url under \
    [sinks.postgres], to postgres://USER:PASSWORD@HOST:PORT/NAME";
