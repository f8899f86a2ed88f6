//! What becomes of days that are over: merged into one file each, and one day removed.
//!
//! A folder is due when its UTC day is over for [`Options::settle`] and it holds more than one
//! file, so also when late rows have added one; a table without dates when it holds many. It is
//! merged in steps, one a flush, each bounded in rows and memory, so that storing what arrives
//! never waits long. A merge that is interrupted, by an end, an error or a late file, starts over.
//!
//! # Where
//!
//! In `DATA/parquet/.merging/`: on the file system of `DATA/parquet`, wherever that is, and outside
//! of every table's folder, so that neither `TABLE/*/*/*.parquet` nor a recursive scan of a table
//! finds anything of it. `scratch/` holds what passes leave for the next one, `next/` the folder
//! that will take the day's place.
//!
//! # How a merged day is published
//!
//! 1. The merged file is written into `next/`, synced, named; `next/` is synced.
//! 2. The folder must hold exactly the files that were merged. Only this thread adds files.
//! 3. The manifest's line "exchanging" names the folder, the merged file and what it replaces.
//! 4. `next/` and the folder exchange their names: one step for every reader.
//! 5. The folders above both are synced, and the manifest's line "exchanged" ends it.
//! 6. After [`GRACE`], for readers that had begun to list the old folder, what was in it is
//!    removed.
//!
//! A crash before 3 leaves things of which the manifest says nothing: they are swept. After 3 the
//! folder itself says whether 4 happened: it holds the merged file or what that replaces, never a
//! part. Opening looks, syncs the folders above and writes the answer into the manifest before it
//! does anything else. A removed day is the same, with an empty `next/`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use journal::disk::Disk;
use schema::{Date, Micros, Now, Partition, Table, tables};

use super::manifest::{Contents, Exchange, Manifest, Stored};
use super::merge::FAN_IN;
use super::{Options, failure, name, sweep};
use crate::SinkError;

mod merging;

use merging::{Due, Merging};

/// The care for days that are over.
#[derive(Debug)]
pub(super) struct Days {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    options: Options,
    state: State,
    /// Folders that are left alone until then.
    later: BTreeMap<String, Duration>,
    /// Whether the file system can exchange folders; asked before the first merge.
    exchanges: Option<bool>,
}

#[derive(Debug)]
enum State {
    /// Something may lie in `.merging`, since then.
    Littered(Option<Duration>),
    /// Nothing to do that is known; when to look again.
    Idle(Duration),
    Merging(Box<Merging>),
}

impl Days {
    pub(super) fn new(disk: &Arc<dyn Disk>, root: &Path, options: Options) -> Self {
        Self {
            disk: Arc::clone(disk),
            root: root.to_owned(),
            options,
            state: State::Littered(None),
            later: BTreeMap::new(),
            exchanges: None,
        }
    }

    /// Decides whether a pending exchange happened, from the folder itself, and makes that sure.
    pub(super) fn settle(
        disk: &dyn Disk,
        root: &Path,
        contents: &mut Contents,
        found: &BTreeMap<String, u64>,
    ) -> Result<(), SinkError> {
        let Some(exchange) = &contents.pending else { return Ok(()) };
        sync_above(disk, root, &exchange.folder)?;
        let happened = match &exchange.file {
            Some(file) => found.contains_key(&file.path),
            None => !exchange.replaces.iter().any(|path| found.contains_key(path)),
        };
        if happened {
            contents.settle();
        }
        contents.pending = None;
        Ok(())
    }

    /// Does a bounded piece of work. Only an error of the manifest or of an exchange is one of the
    /// sink; whatever else goes wrong is said, and tried again later.
    pub(super) fn step(
        &mut self,
        now: Now,
        manifest: &mut Manifest,
        folders: &mut BTreeSet<PathBuf>,
    ) -> Result<(), SinkError> {
        match &mut self.state {
            State::Littered(since) => {
                let since = *since.get_or_insert(now.monotonic);
                if now.monotonic.saturating_sub(since) >= GRACE {
                    match self.sweep() {
                        Ok(()) => self.state = State::Idle(now.monotonic),
                        Err(error) => self.postpone(&error, now, None),
                    }
                }
            }
            State::Idle(until) if now.monotonic < *until => {}
            State::Idle(_) => match self.due(now, manifest.contents()) {
                Some(due) if self.can_exchange()? => match self.begin(&due) {
                    Ok(None) => self.publish(&due, None, now, manifest, folders)?,
                    Ok(Some(merging)) => self.state = State::Merging(Box::new(merging)),
                    Err(error) => self.postpone(&error, now, Some(&due.folder)),
                },
                _ => self.state = State::Idle(now.monotonic + LOOK_EVERY),
            },
            State::Merging(merging) => match merging.step(&self.disk) {
                Ok(None) => {}
                Ok(Some(merged)) => {
                    let due = merging.due.clone();
                    self.publish(&due, Some(merged), now, manifest, folders)?;
                }
                Err(error) => {
                    let folder = merging.due.folder.clone();
                    self.postpone(&error, now, Some(&folder));
                }
            },
        }
        Ok(())
    }

    /// The oldest folder that is due.
    fn due(&mut self, now: Now, contents: &Contents) -> Option<Due> {
        if self.exchanges == Some(false) {
            return None;
        }
        self.later.retain(|_, until| *until > now.monotonic);
        let mut groups = BTreeMap::<&str, Vec<&Stored>>::new();
        for (path, stored) in &contents.files {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            groups.entry(folder).or_default().push(stored);
        }
        let mut dues = Vec::new();
        for (folder, files) in groups {
            let Some(table) = tables::named(&files[0].table) else { continue };
            let date = Micros(files[0].time[0]).date();
            let (merge, drop) = self.is_due(now, table, date, files.len());
            if (merge || drop) && !self.later.contains_key(folder) {
                let files: Vec<Stored> = files.into_iter().cloned().collect();
                let drop = drop && !merge;
                dues.push((date, Due { folder: folder.to_owned(), table, files, drop }));
            }
        }
        dues.into_iter().min_by_key(|(date, _)| *date).map(|(_, due)| due)
    }

    /// Whether a folder is to be merged, and whether it is to be removed.
    fn is_due(&self, now: Now, table: &Table, date: Date, files: usize) -> (bool, bool) {
        if table.partition == Partition::Whole {
            return (files > WHOLE_FILES_MAX, false);
        }
        let end = date.start().plus(DAY);
        let over = now.utc >= end.plus(self.options.settle);
        let kept = self.options.keep_days.map(|days| DAY.saturating_mul(days));
        let gone = kept.is_some_and(|kept| now.utc >= end.plus(kept));
        (over && files > 1, over && gone && files == 1)
    }

    /// Whether the file system can exchange two folders: tried once, with two empty ones.
    fn can_exchange(&mut self) -> Result<bool, SinkError> {
        if let Some(known) = self.exchanges {
            return Ok(known);
        }
        let place = self.root.join(PLACE);
        let failed = |error| failure::io(&*self.disk, "preparing", &place, error);
        let (next, scratch) = (self.root.join(NEXT), self.root.join(SCRATCH));
        self.disk.create_folder(&next).map_err(failed)?;
        self.disk.create_folder(&scratch).map_err(failed)?;
        let able = match self.disk.exchange(&next, &scratch) {
            Ok(()) => true,
            Err(error) if is_unable(&error) => {
                tracing::warn!(
                    "the file system of {} cannot exchange two folders in one step ({error}): \
                     days that are over stay in many files, and sinks.parquet.keep_days removes \
                     nothing",
                    self.root.display()
                );
                false
            }
            Err(error) => return Err(failed(error)),
        };
        self.disk.sync_folder(&place).map_err(failed)?;
        self.exchanges = Some(able);
        Ok(able)
    }

    /// Prepares a merge; `None` if there is nothing to merge because the day is to be removed.
    fn begin(&self, due: &Due) -> Result<Option<Merging>, SinkError> {
        let (next, scratch) = (self.root.join(NEXT), self.root.join(SCRATCH));
        let failed = |error| failure::io(&*self.disk, "preparing", &next, error);
        self.disk.create_folder(&next).map_err(failed)?;
        if due.drop {
            return Ok(None);
        }
        let bytes: u64 = due.files.iter().map(|file| file.bytes).sum();
        let needed = if due.files.len() > FAN_IN { 2 * bytes } else { bytes } + ROOM_BYTES;
        let free = self.disk.free_bytes(&self.root).map_err(failed)?;
        if free < needed {
            let doing = format!("merging {}", due.folder);
            let what = format!("it needs {needed} bytes for a while, and {free} are free");
            return Err(failure::stop(doing, what));
        }
        let unfinished = next.join(UNFINISHED);
        Ok(Some(Merging::new(&self.disk, &self.root, due, &scratch, &unfinished)))
    }

    /// Lets the merged file, or nothing, take the place of what it was made from.
    fn publish(
        &mut self,
        due: &Due,
        merged: Option<(u64, u64)>,
        now: Now,
        manifest: &mut Manifest,
        folders: &mut BTreeSet<PathBuf>,
    ) -> Result<(), SinkError> {
        let number = manifest.contents().exchanges + 1;
        let live = self.root.join(&due.folder);
        let ready = self.ready(due, &live, manifest.contents());
        let ready = ready.and_then(|()| self.name_merged(number, merged.is_some()));
        if let Err(error) = ready {
            self.postpone(&error, now, Some(&due.folder));
            return Ok(());
        }
        let file = merged.map(|(rows, bytes)| due.merged(number, rows, bytes));
        let replaces = due.files.iter().map(|file| file.path.clone()).collect();
        let exchange = Exchange { number, folder: due.folder.clone(), file, replaces };
        manifest.begin(&*self.disk, exchange)?;
        match self.disk.exchange(&live, &self.root.join(NEXT)) {
            Ok(()) => {}
            // The folder is a mount of its own, say. The line before is void.
            Err(error) if is_unable(&error) => {
                let error = failure::io(&*self.disk, "exchanging", &live, error);
                self.postpone(&error, now, Some(&due.folder));
                return Ok(());
            }
            Err(error) => return Err(failure::io(&*self.disk, "exchanging", &live, error)),
        }
        sync_above(&*self.disk, &self.root, &due.folder)?;
        manifest.finish(&*self.disk)?;
        due.report(merged);
        if merged.is_none() {
            // It is empty; a late row makes it anew.
            let _ = self.disk.remove_folder(&live);
            folders.remove(&live);
        }
        self.state = State::Littered(Some(now.monotonic));
        Ok(())
    }

    /// Whether the folder still holds what was merged, and nothing else.
    fn ready(&self, due: &Due, live: &Path, contents: &Contents) -> Result<(), SinkError> {
        let refused = |what| Err(failure::stop(format!("merging {}", due.folder), what));
        if !contents.in_folder(&due.folder).eq(&due.files) {
            return refused("a late file was added meanwhile".to_owned());
        }
        if sweep::is_link(live) {
            return refused("it is a symbolic link".to_owned());
        }
        // What was removed from it at the start is durably so, or might come back in `next/`.
        let listed = self.disk.sync_folder(live).and_then(|()| self.disk.list(live));
        let listed = listed.map_err(|error| failure::io(&*self.disk, "listing", live, error))?;
        let known: BTreeSet<PathBuf> =
            due.files.iter().map(|file| self.root.join(&file.path)).collect();
        if let Some(strange) = listed.iter().find(|entry| !known.contains(&entry.path)) {
            let strange = strange.path.display();
            return refused(format!("{strange} is not of this sink: move it elsewhere"));
        }
        if listed.len() < known.len() {
            return refused("files that the manifest names are missing".to_owned());
        }
        Ok(())
    }

    /// Makes `next/` what the folder shall be, durably.
    fn name_merged(&self, number: u64, named: bool) -> Result<(), SinkError> {
        let next = self.root.join(NEXT);
        let failed = |error| failure::io(&*self.disk, "naming", &next, error);
        if named {
            let (from, to) = (next.join(UNFINISHED), next.join(name::merged(number)));
            self.disk.rename(&from, &to).map_err(failed)?;
        }
        self.disk.sync_folder(&next).map_err(failed)
    }

    /// Removes what lies in `.merging`: the folder that was exchanged, or the rest of a merge.
    fn sweep(&self) -> Result<(), SinkError> {
        let place = self.root.join(PLACE);
        let failed = |error| failure::io(&*self.disk, "sweeping", &place, error);
        let folders = self.disk.list(&place).map_err(failed)?;
        if !folders.is_empty() {
            self.disk.sync_folder(&place).map_err(failed)?;
        }
        for folder in folders.iter().filter(|entry| entry.folder) {
            for entry in self.disk.list(&folder.path).map_err(failed)? {
                self.disk.remove(&entry.path).map_err(failed)?;
            }
            self.disk.sync_folder(&folder.path).map_err(failed)?;
        }
        Ok(())
    }

    /// Says what went wrong, and leaves the folder alone for a while.
    fn postpone(&mut self, error: &SinkError, now: Now, folder: Option<&str>) {
        tracing::warn!("{error}; trying again in an hour");
        let until = now.monotonic + TRY_AGAIN;
        self.later.extend(folder.map(|folder| (folder.to_owned(), until)));
        self.state = State::Littered(Some(now.monotonic));
    }
}

/// Makes an exchange of the folder durable.
fn sync_above(disk: &dyn Disk, root: &Path, folder: &str) -> Result<(), SinkError> {
    let live = root.join(folder);
    for above in [live.parent().unwrap_or(root), &root.join(PLACE)] {
        let synced = disk.sync_folder(above);
        synced.map_err(|error| failure::io(disk, "syncing", above, error))?;
    }
    Ok(())
}

/// Whether the file system cannot exchange these two folders at all.
fn is_unable(error: &io::Error) -> bool {
    use ErrorKind::{CrossesDevices, InvalidInput, Unsupported};
    matches!(error.kind(), InvalidInput | Unsupported | CrossesDevices)
}

/// Below `DATA/parquet`; see above.
pub(super) const PLACE: &str = ".merging";
const NEXT: &str = ".merging/next";
const SCRATCH: &str = ".merging/scratch";
const UNFINISHED: &str = ".merged.tmp";
/// How long what was exchanged is left for those who had begun to read it.
const GRACE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(60);
const TRY_AGAIN: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// A table without dates is read whole, so it should not be many files.
const WHOLE_FILES_MAX: usize = 2 * FAN_IN;
/// What a merge leaves free for everything else.
const ROOM_BYTES: u64 = 64 << 20;
