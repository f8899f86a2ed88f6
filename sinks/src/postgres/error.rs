//! What can go wrong with a database, said so that a program and a person know what to do.

use std::error::Error;
use std::fmt;

use tokio_postgres::error::SqlState;

/// Trouble with the database.
#[derive(Debug)]
pub struct DatabaseError {
    /// What kind of trouble.
    pub kind: DatabaseErrorKind,
    /// What was being done, with the place.
    pub doing: String,
    /// What came in the way; nothing when `doing` says it all.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseErrorKind {
    /// The address cannot be understood: a matter of configuration.
    Address,
    /// Nobody answers, or not yet, or the session was lost: the same may work later.
    Away,
    /// The server takes no writes: it is a standby, or read-only, or its disk is full.
    Unwritable,
    /// User, password or the database's name is wrong.
    Login,
    /// Somebody else holds what is needed: the same may work later.
    Busy,
    /// The role may not do this.
    Denied,
    /// The server refused a value.
    Data,
    /// The database is newer than this program can use, or changed behind its back.
    Incompatible,
    /// Anything else that the server refused.
    Refused,
}

impl DatabaseError {
    /// An error that is a sentence of ours.
    pub(super) fn said(kind: DatabaseErrorKind, sentence: String) -> Self {
        Self { kind, doing: sentence, source: None }
    }

    /// An error of the library's.
    pub(super) fn of(doing: String, source: tokio_postgres::Error) -> Self {
        Self { kind: kind(&source), doing, source: Some(Box::new(source)) }
    }

    /// Whether the server's certificate came in the way.
    pub(super) fn is_about_a_certificate(&self) -> bool {
        let mut next = self.source.as_ref().map(|source| &**source as &dyn Error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<std::io::Error>()
                && let Some(inner) = error.get_ref()
                && matches!(inner.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
            {
                return true;
            }
            next = error.source();
        }
        false
    }
}

fn kind(error: &tokio_postgres::Error) -> DatabaseErrorKind {
    let Some(code) = error.code() else { return DatabaseErrorKind::Away };
    match code.code().get(..2).unwrap_or_default() {
        // Connection exceptions, operator intervention (a restart, a terminated session).
        "08" | "57" => DatabaseErrorKind::Away,
        "28" | "3D" => DatabaseErrorKind::Login,
        "22" | "23" => DatabaseErrorKind::Data,
        _ if *code == SqlState::TOO_MANY_CONNECTIONS => DatabaseErrorKind::Away,
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION || code.code().starts_with("53") => {
            DatabaseErrorKind::Unwritable
        }
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => DatabaseErrorKind::Denied,
        "40" | "55" => DatabaseErrorKind::Busy,
        _ => DatabaseErrorKind::Refused,
    }
}

/// The whole chain in one line: the library's own texts name the source without showing it.
impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)?;
        let Some(source) = &self.source else { return Ok(()) };
        let server = source.downcast_ref().and_then(tokio_postgres::Error::as_db_error);
        if let Some(error) = server {
            write!(f, ": the server says: {} ({})", error.message(), error.code().code())?;
            for more in error.detail().iter().chain(error.hint().iter()) {
                write!(f, "; {}", more.replace('\n', " "))?;
            }
            return Ok(());
        }
        let mut next: Option<&dyn Error> = Some(&**source);
        while let Some(error) = next {
            write!(f, ": {error}")?;
            next = error.source();
        }
        Ok(())
    }
}

impl Error for DatabaseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
