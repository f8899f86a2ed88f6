//! A journal that is open: its ends for the threads that write, sync and read.

use std::path::Path;
use std::sync::Arc;

use schema::Now;

use crate::appender::Appender;
use crate::disk::Disk;
use crate::feed::Feed;
use crate::ledger::Ledger;
use crate::recovery::{self, Recovery};
use crate::resume::Watermark;
use crate::syncer::Syncer;
use crate::{JournalError, Options};

/// An open journal, ready to be handed out to its threads.
#[derive(Debug)]
pub struct Journal {
    /// For the thread that takes rows in.
    pub appender: Appender,
    /// For the thread that waits for the disk.
    pub syncer: Syncer,
    /// For the sinks: one clone each.
    pub feed: Feed,
    /// What was found.
    pub recovery: Recovery,
}

/// Opens the journal in `folder` (`DATA/journal`), or mints one there. The caller holds the lock
/// of the data folder: one process at a time.
///
/// # Errors
/// `Damaged`, `Newer` and `Folder` when what is there cannot be gone on with: nothing was changed.
/// `Io` and `Full` when the disk refuses.
pub fn open(
    disk: Arc<dyn Disk>,
    folder: &Path,
    options: Options,
    now: Now,
) -> Result<Journal, JournalError> {
    let opened = recovery::open(&disk, folder, now)?;
    let recovery = opened.recovery;
    let through = recovery.watermark.map_or(now.utc, |watermark| watermark.through);
    let watermark = Watermark { position: recovery.position, through };
    let ledger = Ledger::new(disk, opened.folder, options, watermark, opened.older, &opened.last);
    let ledger = Arc::new(ledger);
    Ok(Journal {
        appender: Appender::new(Arc::clone(&ledger), opened.last, recovery.resume.clone()),
        syncer: Syncer::new(Arc::clone(&ledger)),
        feed: Feed::new(ledger),
        recovery,
    })
}
