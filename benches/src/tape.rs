//! What a recorder's journal holds, without touching it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use journal::disk::System;
use journal::{Feed, Options};
use schema::{Batch, Micros, Now};
use tempfile::TempDir;

/// A journal to read from, and the folder that it lies in as long as that is needed.
#[derive(Debug)]
pub struct Tape {
    /// Where to read.
    pub feed: Feed,
    _copy: TempDir,
}

/// The journal in `data`. One that is opened is gone on with: so it is a copy.
///
/// # Panics
/// When there is no journal that can be read.
#[must_use]
pub fn feed(data: &Path) -> Tape {
    let copy = tempfile::tempdir().expect("a temporary folder");
    copy_folder(&data.join("journal"), copy.path());
    let now = Now { monotonic: Duration::ZERO, utc: Micros(0) };
    let journal = journal::open(Arc::new(System), copy.path(), Options::default(), now);
    Tape { feed: journal.expect("a journal of ours").feed, _copy: copy }
}

/// Every batch of the journal in `data`, in its order.
///
/// # Panics
/// When there is no journal that can be read.
#[must_use]
pub fn batches(data: &Path) -> Vec<Arc<Batch>> {
    let Tape { mut feed, _copy } = feed(data);
    let (mut batches, mut after) = (Vec::new(), feed.oldest().saturating_sub(1));
    while after < feed.durable() {
        batches.extend(feed.read(after, BYTES_MAX, Duration::ZERO).expect("a journal of ours"));
        after = batches.last().map_or(after, |batch: &Arc<Batch>| batch.position());
    }
    batches
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())) {
        let entry = entry.expect("a readable folder");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&to).expect("a temporary folder");
            copy_folder(&entry.path(), &to);
        } else {
            let _ = fs::copy(entry.path(), &to).expect("a readable file");
        }
    }
}

const BYTES_MAX: usize = 64 << 20;
