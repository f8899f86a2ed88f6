//! The Parquet sink: sorted files in Hive folders, and a manifest that says which of them count.
//!
//! Rows wait as the journal's shared batches until they are old or many. A flush sorts their keys,
//! writes each table, currency and UTC day into a hidden file, syncs it, gives it its name, syncs
//! the folder, and at last adds one line to the manifest: that line is the position. A file that
//! the manifest does not know is the rest of a flush that never ended; opening removes it.
//!
//! What becomes of a day once it is over stands in `days`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use journal::disk::Disk;
use schema::{Batch, Now, Partition, tables};

use crate::waiting::Waiting;
use crate::{Accepted, Position, Sink, SinkError};

mod chunks;
mod cursor;
mod days;
mod failure;
mod file;
mod inspection;
mod listing;
mod manifest;
mod marker;
mod merge;
mod name;
mod order;
mod pages;
mod passes;
mod survey;
mod sweep;

pub use inspection::{Inspection, inspect};
pub use listing::{Listed, Listing, list};
pub use marker::{open, successor};
pub use merge::{FAN_IN, Merge, Merged, Selection, merge};
pub use survey::{Holding, Hole, Survey, survey};

use days::Days;
use manifest::{Contents, Entry, Manifest, Stored};
use name::FileName;
use order::Order;
use sweep::Found;

/// The Parquet sink.
#[derive(Debug)]
pub struct Parquet {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    options: Options,
    opened: Option<Opened>,
}

/// When the Parquet sink makes files of what it holds, and what it does with days that are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long rows wait at most, counted from the first flush call that saw them.
    pub age_max: Duration,
    /// How much waits at most, as [`Batch::bytes`] counts; the batch that crosses it still waits.
    pub bytes_max: usize,
    /// How long after its end a UTC day is over: until then, late rows are usual.
    pub settle: Duration,
    /// How long files that a merged one has replaced are left for readers that had begun to list
    /// their folder.
    pub grace: Duration,
    /// How long the names of files that were replaced or removed stand as markers: readers that
    /// listed them before must fail, and some leave out in silence a name that is gone.
    pub markers: Duration,
    /// How many days a day is kept after its end; `None` for ever.
    pub keep_days: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            age_max: Duration::from_secs(600),
            bytes_max: 24 << 20,
            settle: Duration::from_secs(3_600),
            grace: Duration::from_secs(30),
            markers: Duration::from_secs(10),
            keep_days: None,
        }
    }
}

/// Everything between `open` and the first error.
#[derive(Debug)]
struct Opened {
    journal: String,
    manifest: Manifest,
    days: Days,
    /// The newest record that the manifest holds.
    durable: u64,
    /// The newest record taken; those after `durable` wait in `waiting`.
    accepted: u64,
    /// Nothing was taken yet: the journal may have forgotten what would come next.
    fresh: bool,
    waiting: Waiting,
    /// Folders that were made, or found, and synced from the root down.
    folders: BTreeSet<PathBuf>,
}

impl Parquet {
    /// A sink that writes below `data`, to be opened before use.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, data: &Path, options: Options) -> Self {
        Self { disk, data: data.to_owned(), options, opened: None }
    }

    fn root(&self) -> PathBuf {
        self.data.join(NAME)
    }

    /// Makes files of everything that waits. After an error the sink is closed.
    fn store(&mut self) -> Result<Position, SinkError> {
        let mut opened = self.opened.take().expect(OPEN_FIRST);
        if !opened.waiting.batches().is_empty() {
            let entry = self.write_files(&mut opened)?;
            let durable = entry.to;
            opened.manifest.append(&*self.disk, entry)?;
            opened.durable = durable;
            opened.waiting.clear();
        }
        assert_eq!(opened.durable, opened.accepted, "nothing waits after a flush");
        let durable = opened.durable;
        self.opened = Some(opened);
        Ok(Position(durable))
    }

    fn write_files(&self, opened: &mut Opened) -> Result<Entry, SinkError> {
        let first = opened.waiting.batches().first().expect("a flush has rows").position();
        let (from, to) = (first, opened.accepted);
        let name = FileName::new(&opened.journal, from, to);
        let mut files = Vec::new();
        let mut folders = BTreeSet::new();
        for table in tables::ALL {
            let batches = opened.waiting.batches().iter();
            let batches = batches.filter(|batch| batch.table().name == table.name);
            let batches: Vec<&Batch> = batches.map(Arc::as_ref).collect();
            let order = Order::new(table, batches);
            for (below, run) in order.runs() {
                let folder = self.root().join(below);
                self.prepare(&mut opened.folders, &folder)?;
                files.push(self.write_file(below, &name, run)?);
                folders.insert(folder);
            }
        }
        for folder in folders {
            let synced = self.disk.sync_folder(&folder);
            synced.map_err(|error| failure::io(&*self.disk, "syncing", &folder, error))?;
        }
        let waiting: usize = opened.waiting.batches().iter().map(|batch| batch.rows()).sum();
        let written: u64 = files.iter().map(|file| file.rows).sum();
        assert_eq!(waiting as u64, written, "rows in, rows out");
        Ok(Entry { journal: opened.journal.clone(), from, to, files })
    }

    fn write_file(
        &self,
        below: &str,
        name: &FileName,
        run: order::Run<'_>,
    ) -> Result<Stored, SinkError> {
        let (table, folder) = (run.table(), self.root().join(below));
        let unfinished = folder.join(name.unfinished());
        let bytes = file::write(&*self.disk, &unfinished, run, &name.facts(table))?;
        let path = folder.join(name.to_string());
        let renamed = self.disk.rename(&unfinished, &path);
        renamed.map_err(|error| failure::io(&*self.disk, "naming", &path, error))?;
        Ok(Stored {
            path: format!("{below}/{name}"),
            table: table.name.to_owned(),
            rows: run.keys().len() as u64,
            bytes,
            time: run.times(),
            sequence: run.sequences(),
        })
    }

    /// Makes a folder below the root, and makes its name and those above it durable.
    ///
    /// A folder that is already there is synced once too: a process that was killed may have made
    /// it and not synced it.
    fn prepare(&self, known: &mut BTreeSet<PathBuf>, folder: &Path) -> Result<(), SinkError> {
        if known.contains(folder) {
            return Ok(());
        }
        let below = folder.ancestors().take_while(|above| *above != self.root());
        if let Some(link) = below.clone().find(|above| sweep::is_link(above)) {
            let hint = "it is a symbolic link, which this sink does not follow; mount the disk \
                        there, or make all of DATA/parquet the link";
            return Err(failure::stop(format!("writing below {}", link.display()), hint));
        }
        let failed = |error| failure::io(&*self.disk, "making", folder, error);
        self.disk.create_folder(folder).map_err(failed)?;
        for made in below {
            if known.insert(made.to_owned()) {
                let above = made.parent().expect("the root is above it");
                self.disk.sync_folder(above).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Makes files of what waits once that is old.
    fn store_old(&mut self, now: Now) -> Result<Position, SinkError> {
        let opened = self.opened.as_mut().expect(OPEN_FIRST);
        match opened.waiting.is_old(now, self.options.age_max) {
            true => self.store(),
            false => Ok(Position(opened.durable)),
        }
    }

    fn prepare_root(&self) -> std::io::Result<()> {
        let (root, sinks) = (self.root(), self.data.join("sinks"));
        self.disk.create_folder(&root)?;
        self.disk.create_folder(&sinks.join(NAME))?;
        self.disk.sync_folder(&sinks)?;
        self.disk.sync_folder(&self.data)
    }
}

impl Sink for Parquet {
    fn name(&self) -> &str {
        NAME
    }

    fn open(&mut self, journal: &str) -> Result<Position, SinkError> {
        self.opened = None;
        assert!(name::journal_id(journal), "a journal's id is a UUID, not {journal:?}");
        let (disk, root) = (&*self.disk, self.root());
        let contents = Contents::read(disk, &self.data)?;
        let failed = |error| failure::io(disk, "preparing", &root, error);
        let found = Found::read(disk, &root).map_err(failed)?;
        if contents.is_none() && !found.finished.is_empty() {
            let path = Manifest::path(&self.data);
            let what = "it is gone, but files of this sink are not: restore it, or move \
                        DATA/parquet away to begin anew";
            return Err(failure::stop(format!("reading {}", path.display()), what));
        }
        self.prepare_root().map_err(failed)?;
        let mut contents = contents.unwrap_or_default();
        days::settle(disk, &self.data, &mut contents, found.finished.is_empty())?;
        let manifest = Manifest::open(disk, &self.data, contents)?;
        let contents = manifest.contents();
        let (removed, markers) = found.sweep(disk, &root, &contents.files).map_err(failed)?;
        report(contents, &found, removed);
        let durable = contents.positions.get(journal).copied().unwrap_or(0);
        self.opened = Some(Opened {
            journal: journal.to_owned(),
            manifest,
            days: Days::new(&self.disk, &self.data, self.options, markers),
            durable,
            accepted: durable,
            fresh: true,
            waiting: Waiting::default(),
            folders: BTreeSet::new(),
        });
        Ok(Position(durable))
    }

    fn write(&mut self, batches: &[Arc<Batch>]) -> Result<Accepted, SinkError> {
        for batch in batches {
            let opened = self.opened.as_mut().expect(OPEN_FIRST);
            opened.take(batch);
            if opened.waiting.bytes() >= self.options.bytes_max {
                self.store()?;
            }
        }
        Ok(Accepted(self.opened.as_ref().expect(OPEN_FIRST).accepted))
    }

    fn flush(&mut self, now: Now) -> Result<Position, SinkError> {
        let position = self.store_old(now)?;
        let mut opened = self.opened.take().expect(OPEN_FIRST);
        opened.days.step(now, &mut opened.manifest, &mut opened.folders)?;
        self.opened = Some(opened);
        Ok(position)
    }

    fn close(&mut self) -> Result<Position, SinkError> {
        self.store()
    }
}

impl Opened {
    fn take(&mut self, batch: &Arc<Batch>) {
        let next = self.accepted + 1;
        let first = std::mem::take(&mut self.fresh);
        assert!(
            batch.position() == next || first && batch.position() > next,
            "record {} after {}",
            batch.position(),
            self.accepted
        );
        assert!(
            batch.table().partition != Partition::SqlOnly,
            "{} is SQL only",
            batch.table().name
        );
        self.accepted = batch.position();
        self.waiting.push(Arc::clone(batch));
    }
}

/// Says what was not as the last flush left it.
fn report(contents: &Contents, found: &Found, removed: u64) {
    if contents.torn_bytes > 0 {
        tracing::warn!(bytes = contents.torn_bytes, "the manifest's torn end was cut");
    }
    if removed > 0 {
        tracing::warn!(files = removed, "files of a flush that never ended were removed");
    }
    let changed =
        |(path, file): &(&String, &Stored)| found.finished.get(*path) != Some(&file.bytes);
    let mut changed = contents.files.iter().filter(changed);
    if let Some((first, _)) = changed.next() {
        let files = 1 + changed.count();
        tracing::warn!(files, first, "files that the manifest names are missing or have changed");
    }
}

/// The sink's name, and that of its folder in `DATA` and in `DATA/sinks`.
const NAME: &str = "parquet";
const OPEN_FIRST: &str = "a sink is opened before use, and again after an error";

#[cfg(test)]
pub(crate) mod tests;
