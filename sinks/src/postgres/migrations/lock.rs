//! One program migrates a database at a time.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::Client;

use crate::postgres::error::{DatabaseError, DatabaseErrorKind};

/// The advisory lock of one session. The server lets go of it when the session ends, however it
/// ends.
#[derive(Debug)]
pub(super) struct Lock(());

impl Lock {
    /// Waits for whoever has it.
    pub(super) async fn take(client: &Client) -> Result<Self, DatabaseError> {
        let doing = "taking the lock of migrations";
        let failed = |error| DatabaseError::of(doing.into(), error);
        for attempt in 0..ATTEMPTS_MAX {
            let question = format!("SELECT pg_try_advisory_lock({KEY})");
            if client.query_one(&question, &[]).await.map_err(failed)?.get(0) {
                return Ok(Self(()));
            }
            if attempt == 0 {
                tracing::info!("another tapedeck is migrating the database: waiting for it");
            }
            sleep(PAUSE).await;
        }
        let sentence = format!(
            "{doing}: another session has held it for {} s (see pg_locks where locktype is \
             advisory and objid is {KEY})",
            PAUSE.as_secs_f64() * f64::from(ATTEMPTS_MAX)
        );
        Err(DatabaseError::said(DatabaseErrorKind::Busy, sentence))
    }

    /// Gives it back. If that fails, the session has ended, and the lock with it.
    pub(super) async fn release(self, client: &Client) {
        let _ = client.batch_execute(&format!("SELECT pg_advisory_unlock({KEY})")).await;
    }
}

/// "tape" in ASCII.
const KEY: i64 = 0x7461_7065;
const PAUSE: Duration = Duration::from_millis(200);
const ATTEMPTS_MAX: u32 = 3_000;
