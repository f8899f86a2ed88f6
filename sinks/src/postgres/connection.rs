//! The way to the database: its address, and a session there.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde::Deserialize;
use tokio::runtime::Builder;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config};

use super::error::{DatabaseError, DatabaseErrorKind};
use super::tls::Encryption;

/// Where the database is and who we are there: `postgres://USER:PASSWORD@HOST:PORT/NAME`.
///
/// Invariant: it names a user and at least one host. What is printed of it never holds the
/// password.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Address(Config);

impl FromStr for Address {
    type Err = DatabaseError;

    fn from_str(text: &str) -> Result<Self, DatabaseError> {
        // The text may hold a password, so that no error repeats it.
        let refuse = |why: &dyn fmt::Display| {
            let what = format!(
                "the database's address is not understood ({why}): write it as \
                 postgres://USER:PASSWORD@HOST:PORT/NAME"
            );
            DatabaseError::said(DatabaseErrorKind::Address, what)
        };
        let mut config: Config = text.trim().parse().map_err(|error| refuse(&reason(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(refuse(&"it names no host"));
        }
        if config.get_user().is_none() {
            return Err(refuse(&"it names no user"));
        }
        if config.get_application_name().is_none() {
            config.application_name("tapedeck");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(PATIENCE);
        }
        Ok(Self(config))
    }
}

impl Address {
    /// The same, for a session that lasts: a server that is gone is noticed within a minute.
    pub(super) fn kept_alive(&self) -> Self {
        let mut config = self.0.clone();
        config.tcp_user_timeout(DEAD).keepalives_idle(DEAD).keepalives_retries(3);
        config.keepalives_interval(PATIENCE);
        Self(config)
    }
}

impl TryFrom<String> for Address {
    type Error = DatabaseError;

    fn try_from(text: String) -> Result<Self, DatabaseError> {
        text.parse()
    }
}

/// As `HOST:PORT/NAME`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.0.get_ports();
        for (at, host) in self.0.get_hosts().iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                Host::Unix(path) => write!(f, "{comma}{}:{port}", path.display())?,
            }
        }
        match self.0.get_dbname().or(self.0.get_user()) {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Opens a session. Its I/O runs as a task of the current runtime until the client is dropped.
///
/// The server's certificate is always verified. `sslmode=prefer`, the default, goes on in plain
/// text with a server that has no TLS; `require` does not; `disable` never encrypts.
///
/// # Errors
/// A sentence that names the database, and what kind of trouble it is.
pub async fn connect(
    address: &Address,
    trust: &Arc<ClientConfig>,
) -> Result<Client, DatabaseError> {
    let encryption = Encryption::new(Arc::clone(trust));
    let (client, connection) = address.0.connect(encryption).await.map_err(|error| {
        let mut error = DatabaseError::of(format!("connecting to the database {address}"), error);
        if address.0.get_ssl_mode() != SslMode::Disable && error.is_about_a_certificate() {
            error.doing.push_str(
                " (name its authority with [tls] ca_file, or say sslmode=disable in its address)",
            );
        }
        error
    })?;
    // How it ends is told by the next call on the client.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// Opens a session for this work alone and waits for its end; for threads that have no runtime.
///
/// # Errors
/// The session's, or the work's.
pub fn with_session<T>(
    address: &Address,
    trust: &Arc<ClientConfig>,
    work: impl AsyncFnOnce(&mut Client) -> Result<T, DatabaseError>,
) -> Result<T, DatabaseError> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| DatabaseError {
        kind: DatabaseErrorKind::Away,
        doing: "preparing to speak with the database".into(),
        source: Some(Box::new(error)),
    })?;
    runtime.block_on(async {
        let mut client = connect(address, trust).await?;
        work(&mut client).await
    })
}

/// The library's sentence without its own "invalid connection string: ".
fn reason(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

const PORT: u16 = 5432;
const DEAD: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (text, shown) in [
            ("postgres://me:secret@db:5439/tape", "db:5439/tape"),
            ("postgresql://me:secret@db/tape?sslmode=disable", "db:5432/tape"),
            ("host=10.0.0.1 user=me password=secret", "10.0.0.1:5432/me"),
            ("postgres://me:secret@a,b:5433/tape", "a:5432,b:5433/tape"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("secret"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for text in ["postgres://secret@", "secret", "", "host=secret", "user=me password=secret"] {
            let error = text.parse::<Address>().unwrap_err();
            let sentence = error.to_string();
            assert_eq!(error.kind, DatabaseErrorKind::Address);
            assert!(sentence.contains("postgres://USER") && !sentence.contains("secret"));
        }
    }
}
