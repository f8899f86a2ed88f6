//! What guards a transaction: a statement that changes one row, or the transaction stores nothing.

use tokio_postgres::Client;
use tokio_postgres::SimpleQueryMessage::CommandComplete;

use super::error::{DatabaseError, DatabaseErrorKind};

/// The first of a transaction's statements, and others that go with it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    doing: String,
    /// The statement that changes a row.
    guard: Option<String>,
    /// What is done with it.
    others: String,
    /// What is so when it changes none.
    lost: String,
}

impl Step {
    /// Guarded by a statement. If that changes no row, `lost` says why.
    pub(super) fn new(doing: String, guard: String, lost: String) -> Self {
        Self { doing, guard: Some(guard), others: String::new(), lost }
    }

    /// The same with other statements behind it.
    pub(super) fn and(self, others: String) -> Self {
        Self { others, ..self }
    }

    /// Unguarded.
    pub(super) fn none() -> Self {
        Self {
            doing: "beginning a transaction".to_owned(),
            guard: None,
            others: String::new(),
            lost: String::new(),
        }
    }

    /// Begins the transaction.
    pub(super) async fn begin(&self, client: &Client) -> Result<(), DatabaseError> {
        let failed = |error| DatabaseError::of(self.doing.clone(), error);
        let Some(guard) = &self.guard else {
            return client.batch_execute("BEGIN").await.map_err(failed);
        };
        // In one message, so that the server is waited for once.
        let answers = client.simple_query(&format!("BEGIN; {guard}")).await.map_err(failed)?;
        let mut changed = answers.iter().filter_map(|answer| match answer {
            CommandComplete(rows) => Some(*rows),
            _ => None,
        });
        if changed.nth(1) != Some(1) {
            let what = format!("{}: {}", self.doing, self.lost);
            return Err(DatabaseError::said(DatabaseErrorKind::Busy, what));
        }
        match self.others.is_empty() {
            true => Ok(()),
            false => client.batch_execute(&self.others).await.map_err(failed),
        }
    }
}

/// A text as SQL takes it whatever is in it: a session of ours has standard strings.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
