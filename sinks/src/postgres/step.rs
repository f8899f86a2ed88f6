//! What guards a transaction: a statement that changes one row, or the transaction stores nothing.

use tokio_postgres::Client;
use tokio_postgres::SimpleQueryMessage::CommandComplete;

use super::error::{DatabaseError, DatabaseErrorKind};

/// The first of a transaction's statements, and others that go with it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    doing: String,
    /// Statements; the first one changes a row.
    sql: Option<String>,
    /// What is so when it changes none.
    lost: String,
}

impl Step {
    /// Guarded by the first statement of `sql`. If that changes no row, `lost` says why.
    pub(super) fn new(doing: String, sql: String, lost: String) -> Self {
        Self { doing, sql: Some(sql), lost }
    }

    /// Unguarded.
    pub(super) fn none() -> Self {
        Self { doing: "beginning a transaction".to_owned(), sql: None, lost: String::new() }
    }

    /// Begins the transaction.
    pub(super) async fn begin(&self, client: &Client) -> Result<(), DatabaseError> {
        let failed = |error| DatabaseError::of(self.doing.clone(), error);
        let Some(sql) = &self.sql else {
            return client.batch_execute("BEGIN").await.map_err(failed);
        };
        // In one message, so that the server is waited for once.
        let answers = client.simple_query(&format!("BEGIN; {sql}")).await.map_err(failed)?;
        let mut changed = answers.iter().filter_map(|answer| match answer {
            CommandComplete(rows) => Some(*rows),
            _ => None,
        });
        if changed.nth(1) == Some(1) {
            return Ok(());
        }
        let what = format!("{}: {}", self.doing, self.lost);
        Err(DatabaseError::said(DatabaseErrorKind::Busy, what))
    }
}

/// A text as SQL takes it whatever is in it: a session of ours has standard strings.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
