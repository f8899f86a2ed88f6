//! What becomes of days that are over: merged into one file each, and one day removed.
//!
//! A folder is due when its UTC day is over for [`Options::settle`], it holds more than one file
//! and no file was added to it for a while; so also when late rows have added one. A table without
//! dates is due when it holds many. It is merged in steps, one a flush, each bounded in rows and
//! memory, so that storing what arrives never waits long. A merge that is interrupted, by an end,
//! an error, a disk that fills or a late file, starts over.
//!
//! A day is old when [`Options::keep_days`] have passed since its end by this machine's clock *and*
//! by the exchange's, as the newest stored row tells it: a clock that is set wrong removes nothing.
//!
//! # Where
//!
//! In a [`Place`] outside of what readers scan, on the file system of `DATA/parquet`. `scratch/`
//! holds what passes leave for the next one, `next/` the folder that will take the day's place.
//! Where the file system cannot exchange folders, nothing is merged and nothing removed.
//!
//! # How a merged day is published
//!
//! 1. The merged file is written into `next/`, synced, named. Beside it a marker is made under
//!    every name that it replaces. `next/` is synced.
//! 2. The folder must hold exactly the files that were merged. Only this thread adds files.
//! 3. The manifest's line "exchanging" names the folder, the merged file and what it replaces.
//! 4. `next/` and the folder exchange their names: one step for every reader.
//! 5. The folders above both are synced, and the manifest's line "exchanged" ends it.
//! 6. After [`Options::markers`] the markers are removed.
//! 7. After [`Options::grace`], for readers that had begun to list the old folder, what was in it
//!    is removed.
//!
//! A crash before 3 leaves things of which the manifest says nothing: they are swept. After 3 the
//! folder itself says whether 4 happened (see `pending`): opening looks, syncs the folders above
//! and writes the answer into the manifest before it does anything else. Markers that a crash
//! leaves stand for a while again. A removed day is the same, with markers alone in `next/`: one
//! of them has the name that a merged file would have.
//!
//! A reader that has listed a folder and opens a file of it after 4 finds a marker under its name,
//! or nothing after 6, as no name is ever given twice: it fails, and counts nothing wrong. Without
//! markers DuckDB and pyarrow would, which ask between the two whether a name is a file and leave
//! out in silence what is gone (docs/archive.md). Giving the merged file one of the old names does
//! worse: who opened the others before and that one after counts them twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use journal::disk::Disk;
use schema::{Date, Micros, Now, Partition, tables};

use super::manifest::{Contents, Exchange, Manifest, Stored};
use super::merge::FAN_IN;
use super::{NAME, Options, failure, marker, name, sweep};
use crate::SinkError;

mod markers;
mod merging;
mod pending;
mod place;

use markers::Markers;
use merging::{Due, Merging};
use place::Place;

pub(super) use pending::{look, settle};
pub(super) use place::HIDDEN;

/// The care for days that are over.
#[derive(Debug)]
pub(super) struct Days {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    root: PathBuf,
    options: Options,
    state: State,
    /// While some stand, nothing is merged.
    markers: Markers,
    /// Folders that are left alone until then.
    later: BTreeMap<String, Duration>,
    /// Of folders that are over and many files, how many and how many bytes, and since when.
    still: BTreeMap<String, (usize, u64, Duration)>,
    /// Where days are merged, if that is anywhere; asked before the first merge.
    place: Option<Option<Place>>,
}

#[derive(Debug)]
enum State {
    /// Something may lie in the place; when to remove it, `None` for a grace from now.
    Littered(Option<Duration>),
    /// Nothing to do that is known; when to look again.
    Idle(Duration),
    Merging(Place, Box<Merging>),
}

impl Days {
    /// `markers` are those that were found.
    pub(super) fn new(
        disk: &Arc<dyn Disk>,
        data: &Path,
        options: Options,
        markers: BTreeSet<PathBuf>,
    ) -> Self {
        Self {
            disk: Arc::clone(disk),
            data: data.to_owned(),
            root: data.join(NAME),
            options,
            state: State::Littered(None),
            markers: Markers::new(markers, options.markers),
            later: BTreeMap::new(),
            still: BTreeMap::new(),
            place: None,
        }
    }

    /// Does a bounded piece of work. Only an error of the manifest or of an exchange is one of the
    /// sink; whatever else goes wrong is said, and tried again later.
    pub(super) fn step(
        &mut self,
        now: Now,
        manifest: &mut Manifest,
        folders: &mut BTreeSet<PathBuf>,
    ) -> Result<(), SinkError> {
        if let Err(error) = self.markers.step(&*self.disk, now, folders) {
            tracing::warn!("{error}; trying again in a minute");
        }
        match &mut self.state {
            State::Littered(until) => {
                let until = *until.get_or_insert(now.monotonic + self.options.grace);
                if now.monotonic >= until && self.markers.is_empty() {
                    self.state = self.swept(now);
                }
            }
            State::Idle(until) if now.monotonic < *until => {}
            State::Idle(_) => self.look(now, manifest)?,
            State::Merging(place, merging) => {
                let room = enough(&*self.disk, &self.root, ROOM_BYTES);
                match room.and_then(|()| merging.step(&self.disk)) {
                    Ok(None) => {}
                    Ok(Some(merged)) => {
                        let (place, due) = (place.clone(), merging.due.clone());
                        self.publish(&place, &due, Some(merged), now, manifest)?;
                    }
                    Err(error) => {
                        let folder = merging.due.folder.clone();
                        self.postpone(&error, now, &folder);
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes what no reader needs any more.
    fn swept(&self, now: Now) -> State {
        match Place::all(&self.data).iter().try_for_each(|place| place.sweep(&*self.disk)) {
            Ok(()) => State::Idle(now.monotonic),
            Err(error) => {
                tracing::warn!("{error}; trying again in an hour");
                State::Littered(Some(now.monotonic + TRY_AGAIN))
            }
        }
    }

    /// Begins with the oldest folder that is due, if there is one.
    fn look(&mut self, now: Now, manifest: &mut Manifest) -> Result<(), SinkError> {
        self.state = State::Idle(now.monotonic + LOOK_EVERY);
        let Some(due) = self.due(now, manifest.contents()) else { return Ok(()) };
        let place = match self.place() {
            Ok(Some(place)) => place,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.postpone(&error, now, &due.folder);
                return Ok(());
            }
        };
        match self.begin(&place, &due) {
            Ok(None) => self.publish(&place, &due, None, now, manifest)?,
            Ok(Some(merging)) => self.state = State::Merging(place, Box::new(merging)),
            Err(error) => self.postpone(&error, now, &due.folder),
        }
        Ok(())
    }

    /// The oldest folder that is due.
    fn due(&mut self, now: Now, contents: &Contents) -> Option<Due> {
        if self.place == Some(None) {
            return None;
        }
        self.later.retain(|_, until| *until > now.monotonic);
        let newest = contents.files.values().filter_map(exchange_time).max();
        let mut groups = BTreeMap::<&str, Vec<&Stored>>::new();
        for (path, stored) in &contents.files {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            groups.entry(folder).or_default().push(stored);
        }
        self.still.retain(|folder, _| groups.contains_key(&**folder));
        let mut dues = Vec::new();
        for (folder, files) in groups {
            let Some(table) = tables::named(&files[0].table) else { continue };
            let date = Micros(files[0].time[0]).date();
            let dated = table.partition != Partition::Whole;
            let drop = dated && self.is_old(now, newest, date);
            let merge = match dated {
                true => self.is_still(now, folder, date, &files),
                false => files.len() > WHOLE_FILES_MAX,
            };
            if (merge || drop) && !self.later.contains_key(folder) {
                let files: Vec<Stored> = files.into_iter().cloned().collect();
                dues.push((date, Due { folder: folder.to_owned(), table, files, drop }));
            }
        }
        dues.into_iter().min_by_key(|(date, _)| *date).map(|(_, due)| due)
    }

    /// Whether a day is to be removed.
    fn is_old(&self, now: Now, newest: Option<Micros>, date: Date) -> bool {
        let kept = self.options.keep_days.map(|days| DAY.saturating_mul(days));
        let Some((kept, newest)) = kept.zip(newest) else { return false };
        let end = date.start().plus(DAY);
        newest.min(now.utc) >= end.plus(kept) && now.utc >= end.plus(self.options.settle)
    }

    /// Whether a day is over, is many files, and none was added for a while. A merge that late
    /// files interrupt starts over, so it waits until they stop: by a clock that is wrong, or for
    /// an exchange that is behind ours, every file is late.
    fn is_still(&mut self, now: Now, folder: &str, date: Date, files: &[&Stored]) -> bool {
        let over = now.utc >= date.start().plus(DAY).plus(self.options.settle);
        if !over || files.len() < 2 {
            self.still.remove(folder);
            return false;
        }
        let (count, bytes) = (files.len(), files.iter().map(|file| file.bytes).sum());
        let still = self.still.entry(folder.to_owned()).or_insert((count, bytes, now.monotonic));
        if (still.0, still.1) != (count, bytes) {
            *still = (count, bytes, now.monotonic);
        }
        now.monotonic.saturating_sub(still.2) >= STILL_AGES * self.options.age_max
    }

    /// Where days are merged; `None` if the file system cannot exchange folders.
    fn place(&mut self) -> Result<Option<Place>, SinkError> {
        if let Some(known) = &self.place {
            return Ok(known.clone());
        }
        let place = Place::find(&*self.disk, &self.data)?;
        if place.is_none() {
            tracing::warn!(
                "the file system of {} cannot exchange two folders in one step: days that are over \
                 stay in many files, and sinks.parquet.keep_days removes nothing",
                self.root.display()
            );
        }
        self.place = Some(place.clone());
        Ok(place)
    }

    /// Prepares a merge; `None` if there is nothing to merge because the day is to be removed.
    fn begin(&self, place: &Place, due: &Due) -> Result<Option<Merging>, SinkError> {
        self.ready(due, &self.root.join(&due.folder))?;
        if due.drop {
            return Ok(None);
        }
        let bytes: u64 = due.files.iter().map(|file| file.bytes).sum();
        let needed = if due.files.len() > FAN_IN { 2 * bytes } else { bytes } + ROOM_BYTES;
        enough(&*self.disk, &self.root, needed)?;
        Ok(Some(Merging::new(&self.disk, &self.root, due, &place.scratch(), &place.unfinished())))
    }

    /// Lets the merged file, or nothing, take the place of what it was made from.
    fn publish(
        &mut self,
        place: &Place,
        due: &Due,
        merged: Option<(u64, u64)>,
        now: Now,
        manifest: &mut Manifest,
    ) -> Result<(), SinkError> {
        let number = manifest.contents().exchanges + 1;
        let live = self.root.join(&due.folder);
        if !manifest.contents().in_folder(&due.folder).eq(&due.files) {
            tracing::info!(due.folder, "a late file came while it was merged: it starts over");
            self.state = State::Littered(Some(now.monotonic));
            return Ok(());
        }
        let ready = self.ready(due, &live);
        let ready = ready.and_then(|()| self.fill_next(place, number, due));
        if let Err(error) = ready {
            self.postpone(&error, now, &due.folder);
            return Ok(());
        }
        let file = merged.map(|(rows, bytes)| due.merged(number, rows, bytes));
        let replaces = due.files.iter().map(|file| file.path.clone()).collect();
        let exchange = Exchange { number, folder: due.folder.clone(), file, replaces };
        manifest.begin(&*self.disk, exchange.clone())?;
        if let Err(error) = self.disk.exchange(&live, &place.next()) {
            let unable = place::is_unable(&error);
            let error = failure::io(&*self.disk, "exchanging", &live, error);
            if !pending::happened(&*self.disk, &self.root, &exchange)? {
                // The folder is a mount of its own, say. The line before is void.
                self.postpone(&error, now, &due.folder);
                if unable {
                    self.later.insert(due.folder.clone(), Duration::MAX);
                }
                return Ok(());
            }
        }
        pending::sync_above(&*self.disk, &self.data, &due.folder)?;
        manifest.finish(&*self.disk)?;
        due.report(merged);
        self.still.remove(&due.folder);
        let marked = due.marked(number).iter().map(|name| live.join(name)).collect();
        self.markers = Markers::new(marked, self.options.markers);
        self.state = State::Littered(Some(now.monotonic + self.options.grace));
        Ok(())
    }

    /// Whether the folder holds on the disk what the manifest says, and nothing else. Of a day that
    /// is to be removed some may be gone already.
    fn ready(&self, due: &Due, live: &Path) -> Result<(), SinkError> {
        let doing = if due.drop { "removing" } else { "merging" };
        let refused = |what| Err(failure::stop(format!("{doing} {}", due.folder), what));
        let mut folders = live.ancestors().take_while(|above| *above != self.root);
        if folders.any(sweep::is_link) {
            return refused("it is, or lies below, a symbolic link".to_owned());
        }
        if due.drop {
            let made = self.disk.create_folder(live);
            made.map_err(|error| failure::io(&*self.disk, "making", live, error))?;
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
        if listed.len() < known.len() && !due.drop {
            return refused("files that the manifest names are missing".to_owned());
        }
        Ok(())
    }

    /// Makes `next/` what the folder shall be, durably.
    fn fill_next(&self, place: &Place, number: u64, due: &Due) -> Result<(), SinkError> {
        let (next, merged) = (place.next(), name::merged(number));
        let failed = |error| failure::io(&*self.disk, "naming", &next, error);
        if !due.drop {
            self.disk.rename(&place.unfinished(), &next.join(&merged)).map_err(failed)?;
        }
        let text = marker::text(&merged, due.drop);
        markers::make(&*self.disk, &next, &due.marked(number), &text)?;
        self.disk.sync_folder(&next).map_err(failed)
    }

    /// Says what went wrong, frees what was written, and leaves the folder alone for a while.
    fn postpone(&mut self, error: &SinkError, now: Now, folder: &str) {
        tracing::warn!("{error}; trying again in an hour");
        self.later.insert(folder.to_owned(), now.monotonic + TRY_AGAIN);
        self.state = State::Littered(Some(now.monotonic));
    }
}

/// The exchange's time of a file's newest row, if its rows have one.
fn exchange_time(stored: &Stored) -> Option<Micros> {
    let table = tables::named(&stored.table)?;
    matches!(table.partition, Partition::CurrencyAndDate(_)).then_some(Micros(stored.time[1]))
}

/// Refuses where fewer than so many bytes are free: recording comes before merging.
fn enough(disk: &dyn Disk, root: &Path, bytes: u64) -> Result<(), SinkError> {
    let failed = |error| failure::io(disk, "measuring", root, error);
    let free = disk.free_bytes(root).map_err(failed)?;
    if free < bytes {
        let what = format!("it needs {bytes} bytes for a while, and {free} are free");
        return Err(failure::stop(format!("merging in {}", root.display()), what));
    }
    Ok(())
}

const LOOK_EVERY: Duration = Duration::from_secs(60);
const TRY_AGAIN: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// For how many ages of a file none was added, when they have stopped.
const STILL_AGES: u32 = 2;
/// A table without dates is read whole, so it should not be many files.
const WHOLE_FILES_MAX: usize = 2 * FAN_IN;
/// What a merge leaves free for everything else.
const ROOM_BYTES: u64 = 64 << 20;
