//! Exports: a part of the archive, as files of their own.
//!
//! An export is a row of files, made one after the other. A file is written under a hidden name,
//! made durable, named, and then entered into the manifest; whatever ends the program in between
//! costs that one file. What stands in the manifest is checked when the same export runs again.

pub(crate) mod archive;
mod chain;
mod csv;
mod digest;
mod folder;
mod gaps;
mod glob;
mod interval;
mod manifest;
mod output;
mod pipe;
mod progress;
mod request;
mod sort;
mod trouble;
mod unit;

use std::path::PathBuf;
use std::sync::Arc;

use journal::disk::{Disk, System};
use schema::tables;
use sinks::parquet::{Selection, merge};

use self::archive::{Archive, Missing};
use self::folder::Folder;
use self::gaps::Gaps;
use self::pipe::Pipe;
use self::progress::Progress;
use self::unit::Unit;
use crate::failure::{Failure, FailureKind};
use crate::stop::Stop;

pub use gaps::Gap;
pub use glob::Glob;
pub use interval::{Interval, instant};
pub use manifest::{Absence, Entry, Held, Manifest, Source};
pub use request::{Columns, Format, Order, Request};

/// An export that is to be made, or to be gone on with.
#[derive(Debug)]
pub struct Export {
    /// The data folder of the archive. A recorder may be at work in it.
    pub data: PathBuf,
    /// Where the files go.
    pub out: PathBuf,
    /// What is asked.
    pub request: Request,
    /// Memory for sorting, bytes.
    pub sort_bytes: usize,
}

/// What a run of an export did.
#[derive(Debug)]
pub struct Account {
    /// What the folder holds now.
    pub manifest: Manifest,
    /// Files that this run made; the others were there and are whole.
    pub made: usize,
}

impl Export {
    /// Makes every file that is not there yet, or of which the archive has more by now.
    ///
    /// # Errors
    /// When the folder holds another export, a file of the archive is damaged, the disk refuses,
    /// or `stop` is raised. What is finished stays finished.
    pub fn run(&self, stop: &Stop) -> Result<Account, Failure> {
        let mut archive = self.look()?;
        let folder = Folder::open(&self.out, &self.request)?;
        let mut manifest = folder.manifest()?;
        let units = archive.patiently(&self.data, |archive| unit::units(&self.request, archive))?;
        let gaps = archive.patiently(&self.data, |archive| self.gaps(archive))?;
        manifest.archive = archive.held();
        manifest.not_held = archive.absences(self.request.interval());
        manifest.gaps = gaps;
        manifest.finished = false;
        manifest.write(&self.out)?;
        let rows = units.iter().map(|unit| unit.source().rows).sum();
        let mut progress = Progress::start(units.len(), rows);
        let made = self.make_all(&units, &mut archive, &mut manifest, &mut progress, stop);
        progress.end();
        let finished = made.and_then(|made| {
            manifest.finished = true;
            manifest.write(&self.out)?;
            Ok(made)
        });
        folder.close();
        let made = finished?;
        Ok(Account { manifest, made })
    }

    fn look(&self) -> Result<Archive, Failure> {
        let root = self.data.join("parquet");
        if root.is_dir() {
            return Archive::look(&self.data);
        }
        Err(trouble::usage(format_args!(
            "there is no archive in {}: name a recorder's data folder with --data",
            self.data.display()
        )))
    }

    fn make_all(
        &self,
        units: &[Unit],
        archive: &mut Archive,
        manifest: &mut Manifest,
        progress: &mut Progress,
        stop: &Stop,
    ) -> Result<usize, Failure> {
        let mut made = 0;
        for unit in units {
            if stop.raised() {
                return Err(stopped(&unit.path));
            }
            let known = manifest.entry(&unit.path);
            let known = known.filter(|known| known.source == unit.source()).cloned();
            let whole = known.filter(|known| known.is_whole(&self.out));
            let is_new = whole.is_none();
            let mut entry = match whole {
                Some(entry) => entry,
                None => {
                    made += 1;
                    let make = |archive: &Archive| {
                        let unit = unit.as_of(archive)?;
                        Pipe { export: self, unit: &unit, stop }.run(progress)
                    };
                    archive.patiently(&self.data, make)?
                }
            };
            let concerns = |gap: &&Gap| {
                gap.touches(entry.interval) && gap.concerns(unit.currency.as_deref(), &self.request)
            };
            entry.gaps = manifest.gaps.iter().filter(concerns).cloned().collect();
            progress.file(&entry, is_new);
            if manifest.enter(entry) {
                manifest.write(&self.out)?;
            }
        }
        Ok(made)
    }

    /// Every gap of the interval.
    fn gaps(&self, archive: &Archive) -> Result<Vec<Gap>, Missing> {
        let table = tables::named("data_gaps").expect("a table of the schema");
        let interval = self.request.interval();
        let mut gaps = Gaps::default();
        // A gap lies in the folder of the day on which it began.
        let begun = |folder: &&archive::Folder| folder.times[0] < interval.to();
        let folders = archive.folders(table).iter().filter(begun);
        let files: Vec<PathBuf> = folders.flat_map(|folder| folder.files.clone()).collect();
        let disk: Arc<dyn Disk> = Arc::new(System);
        let scratch = folder::sort_folder(&self.out);
        for rows in merge(&disk, table, &files, &Selection::default(), &scratch)? {
            gaps.add(&rows?);
        }
        Ok(gaps.of(interval))
    }
}

/// A signal came before the end.
fn stopped(path: &str) -> Failure {
    let sentence = format!("stopped before {path} was finished; {}", trouble::AGAIN);
    Failure::new(FailureKind::Interrupted, sentence)
}
