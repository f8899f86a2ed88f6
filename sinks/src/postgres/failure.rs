//! What trouble with the database means for the sink: try again, stop, or a row is to blame.

use std::error::Error;

use tokio_postgres::error::SqlState;

use super::error::{DatabaseError, DatabaseErrorKind};
use crate::{SinkError, SinkErrorKind};

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The same may succeed later.
    Retry,
    /// Somebody has to do something first.
    Stop,
    /// The server does not take a row: it is looked for.
    Row,
}

/// The one place that decides.
pub(super) fn meaning(error: &DatabaseError) -> Meaning {
    use DatabaseErrorKind::{
        Address, Away, Busy, Data, Denied, Incompatible, Login, Refused, Unwritable,
    };
    let library = error.source.as_ref().and_then(|source| source.downcast_ref());
    let code = library.and_then(tokio_postgres::Error::code).map_or("", SqlState::code);
    match error.kind {
        Away if error.is_about_a_certificate() || library.is_some_and(is_about_us) => Meaning::Stop,
        Away | Unwritable | Busy => Meaning::Retry,
        Data => Meaning::Row,
        Address | Login | Denied | Incompatible => Meaning::Stop,
        // A trigger's own exception; a row or an index entry beyond the server's limits.
        Refused if code.starts_with("P0") || code.starts_with("54") => Meaning::Row,
        // The server's system or the server itself failed.
        Refused if code.starts_with("58") || code.starts_with("XX") => Meaning::Retry,
        Refused => Meaning::Stop,
    }
}

/// Errors that the library finds before the server can: no password, an unknown way to log in.
fn is_about_us(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    let authentication = text.starts_with("authentication") && !error.is_closed();
    authentication || text.starts_with("invalid configuration")
}

/// The error as the worker understands it. A row that is to blame and was not found stops, too.
pub(super) fn sink_error(error: DatabaseError) -> SinkError {
    let kind = match meaning(&error) {
        Meaning::Retry => SinkErrorKind::Retry,
        Meaning::Stop | Meaning::Row => SinkErrorKind::Stop,
    };
    SinkError { kind, doing: "storing in the database".into(), source: Box::new(error) }
}

/// The row of a COPY that the server blames, counted from 0, if it says so. It is only a hint.
pub(super) fn blamed_row(error: &DatabaseError) -> Option<usize> {
    let library: &tokio_postgres::Error = error.source.as_ref()?.downcast_ref()?;
    let place = library.as_db_error()?.where_()?;
    let (_, line) = place.split_once(", line ")?;
    let digits = line.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse::<usize>().ok()?.checked_sub(1)
}

/// What the server said, in one line, for the quarantine.
pub(super) fn sentence(error: &DatabaseError) -> String {
    let library: Option<&tokio_postgres::Error> =
        error.source.as_ref().and_then(|source| source.downcast_ref());
    let server = library.and_then(tokio_postgres::Error::as_db_error);
    let text = server.map_or_else(
        || library.map(|error| error as &dyn Error).map_or_else(String::new, ToString::to_string),
        |error| format!("{} ({})", error.message(), error.code().code()),
    );
    text.replace(['\n', '\0'], " ")
}
