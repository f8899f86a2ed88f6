//! The archive as exports and refills see it: folders of Parquet files that the manifest names.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use journal::disk::System;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::statistics::Statistics;
use schema::{Date, Micros, Table, tables};
use sinks::SinkError;

use super::interval::{Interval, instant};
use super::manifest::{Absence, Held};
use super::trouble;
use crate::failure::Failure;

/// One look at what the archive has. A recorder goes on meanwhile: what is read later may find
/// that files have been merged into others since, and then needs another look.
#[derive(Debug)]
pub(crate) struct Archive {
    /// By table and then by path, which is by currency and day.
    folders: BTreeMap<&'static str, Vec<Folder>>,
    held: Held,
    /// The least and the greatest time of all rows of all tables.
    times: Option<[Micros; 2]>,
    /// Tables that this program does not know.
    strangers: BTreeSet<String>,
}

/// The files of a table that lie in one folder: of one currency and day, where it has them.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// Its path below `DATA/parquet`.
    pub(crate) below: String,
    pub(crate) currency: Option<String>,
    pub(crate) date: Option<Date>,
    pub(crate) files: Vec<PathBuf>,
    /// The least and the greatest row of each file.
    spans: Vec<[i64; 2]>,
    pub(crate) rows: u64,
    pub(crate) times: [Micros; 2],
    pub(crate) sequence: [i64; 2],
}

/// Why the archive could not be read.
#[derive(Debug)]
pub(crate) enum Missing {
    /// A file is not there any more: it was merged into another, or forgotten, since it was
    /// listed. The failure is for the case that another look shows the same.
    Gone(Failure),
    /// Nothing that another look mends.
    Failed(Failure),
}

impl Archive {
    /// Looks at the archive of a data folder, which may be a copy without journal or lock.
    pub(crate) fn look(data: &Path) -> Result<Self, Failure> {
        let root = data.join("parquet");
        let mut folders: BTreeMap<&'static str, BTreeMap<String, Folder>> = BTreeMap::new();
        let mut times: Option<[Micros; 2]> = None;
        let mut strangers = BTreeSet::new();
        let listing = sinks::parquet::list(&System, data).map_err(trouble::storage)?;
        for file in listing.files {
            let Some(table) = tables::named(&file.table) else {
                let _ = strangers.insert(file.table);
                continue;
            };
            let Some((below, _)) = file.path.rsplit_once('/') else { continue };
            let [least, greatest] = file.times;
            let known = times.unwrap_or(file.times);
            times = Some([known[0].min(least), known[1].max(greatest)]);
            let folder = folders.entry(table.name).or_default().entry(below.to_owned());
            let folder = folder.or_insert_with(|| Folder::new(below));
            folder.files.push(root.join(&file.path));
            folder.rows += file.rows;
            folder.times = [folder.times[0].min(least), folder.times[1].max(greatest)];
            folder.spans.push(file.sequences);
            let [first, last] = file.sequences;
            folder.sequence = [folder.sequence[0].min(first), folder.sequence[1].max(last)];
        }
        let folders =
            folders.into_iter().map(|(table, folders)| (table, folders.into_values().collect()));
        let held = Held {
            records: listing.positions,
            holes: listing.holes.iter().map(ToString::to_string).collect(),
        };
        Ok(Self { folders: folders.collect(), held, times, strangers })
    }

    /// The folders of a table, by currency and day.
    pub(crate) fn folders(&self, table: &Table) -> &[Folder] {
        self.folders.get(table.name).map_or(&[], Vec::as_slice)
    }

    /// The folder of that path below `DATA/parquet`.
    pub(crate) fn folder(&self, table: &Table, below: &str) -> Option<&Folder> {
        self.folders(table).iter().find(|folder| folder.below == below)
    }

    /// The newest record that it has of each journal.
    pub(crate) fn positions(&self) -> &BTreeMap<String, u64> {
        &self.held.records
    }

    /// The tables that this program does not know: a newer one has made them.
    pub(crate) fn strangers(&self) -> &BTreeSet<String> {
        &self.strangers
    }

    /// The greatest number of a row.
    pub(crate) fn last_row(&self) -> Option<i64> {
        self.folders.values().flatten().map(|folder| folder.sequence[1]).max()
    }

    /// Does something with the archive; once more with a new look at it when a file was merged
    /// away in between. For a moment of every merge the manifest still names what is gone.
    pub(crate) fn patiently<T>(
        &mut self,
        data: &Path,
        mut work: impl FnMut(&Self) -> Result<T, Missing>,
    ) -> Result<T, Failure> {
        let mut same_looks = 0;
        for _ in 0..LOOKS_MAX {
            match work(self) {
                Ok(done) => return Ok(done),
                Err(Missing::Failed(failure)) => return Err(failure),
                Err(Missing::Gone(failure)) => {
                    let again = Self::look(data)?;
                    same_looks = if again.has_the_files_of(self) { same_looks + 1 } else { 0 };
                    if same_looks == SAME_LOOKS_MAX {
                        return Err(failure);
                    }
                    *self = again;
                    thread::sleep(BETWEEN_LOOKS);
                }
            }
        }
        Err(trouble::storage(format_args!(
            "the files in {} change faster than they can be read; {}",
            data.display(),
            trouble::AGAIN
        )))
    }

    /// Whether both looks saw the same files.
    fn has_the_files_of(&self, other: &Self) -> bool {
        let files = |archive: &Self| -> BTreeSet<PathBuf> {
            archive.folders.values().flatten().flat_map(|folder| folder.files.clone()).collect()
        };
        files(self) == files(other)
    }

    /// What it had, for the manifest.
    pub(super) fn held(&self) -> Held {
        self.held.clone()
    }

    /// The parts of the interval of which there is nothing here.
    pub(super) fn absences(&self, interval: Interval) -> Vec<Absence> {
        let absence = |from: Micros, to: Micros, why: String| {
            let absent = Interval::new(from, to).ok()?.and(interval)?;
            Some(Absence { from: absent.from(), to: absent.to(), why })
        };
        let Some([oldest, newest]) = self.times else {
            let why = "the archive is empty".to_owned();
            return absence(interval.from(), interval.to(), why).into_iter().collect();
        };
        // Rows of one moment reach the archive one after the other.
        let complete = Micros(newest.0 - UNDER_WAY_US);
        let before = format!("the archive begins at {oldest}");
        let after = format!(
            "the archive's newest row is of {newest}; what came later is not stored, or not yet"
        );
        let before = absence(Micros(i64::MIN), oldest, before);
        before.into_iter().chain(absence(complete, Micros(i64::MAX), after)).collect()
    }

    /// The span in which a folder's rows were received, as the footers of its files say; `None`
    /// if it has no row.
    pub(super) fn received(&self, folder: &Folder) -> Result<Option<Interval>, Missing> {
        let mut range = [i64::MAX, i64::MIN];
        for path in &folder.files {
            let [least, greatest] =
                received(path).map_err(|error| Missing::footer(path, &error))?;
            range = [range[0].min(least), range[1].max(greatest)];
        }
        Ok(Interval::new(Micros(range[0]), Micros(range[1].saturating_add(1))).ok())
    }
}

impl Folder {
    fn new(below: &str) -> Self {
        let value = |key: &str| below.split('/').find_map(|part| part.strip_prefix(key));
        Self {
            below: below.to_owned(),
            currency: value("currency=").map(Into::into),
            date: value("date=").and_then(|date| instant(date).ok()).map(Micros::date),
            files: Vec::new(),
            spans: Vec::new(),
            rows: 0,
            times: [Micros(i64::MAX), Micros(i64::MIN)],
            sequence: [i64::MAX, i64::MIN],
        }
    }

    /// The files that may have rows with these numbers.
    pub(crate) fn files_with(&self, [first, last]: [i64; 2]) -> Vec<PathBuf> {
        let files = self.files.iter().zip(&self.spans);
        let with = files.filter(|(_, span)| span[0] <= last && span[1] >= first);
        with.map(|(path, _)| path.clone()).collect()
    }

    /// A name for a file of its rows, which still says what it is when it is carried elsewhere.
    pub(super) fn name(&self) -> String {
        let value = |part: &str| part.rsplit_once('=').map_or(part, |(_, value)| value).to_owned();
        self.below.split('/').map(value).collect::<Vec<_>>().join("-")
    }
}

impl Missing {
    fn of(source: &(dyn Error + 'static), sentence: impl fmt::Display) -> Self {
        let hint = "restore it from a copy, or leave its day out";
        let say = |hint| trouble::storage(format_args!("{sentence}; {hint}"));
        match source.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(ErrorKind::NotFound) => Self::Gone(say(hint)),
            // Too many files, no room to sort: not the archive's fault.
            Some(_) => Self::Failed(say(trouble::AGAIN)),
            None => Self::Failed(say(hint)),
        }
    }

    /// A footer could not be read.
    fn footer(path: &Path, error: &ParquetError) -> Self {
        let sentence = format!("reading {}: {error}", path.display());
        match error {
            ParquetError::External(inner) => Self::of(&**inner, sentence),
            _ => Self::of(error, sentence),
        }
    }
}

impl From<SinkError> for Missing {
    fn from(error: SinkError) -> Self {
        Self::of(&*error.source, &error)
    }
}

impl From<Failure> for Missing {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The least and the greatest `received_at` of a file; everything, if it does not say.
fn received(path: &Path) -> Result<[i64; 2], ParquetError> {
    let footer = ParquetMetaDataReader::new().parse_and_finish(&sinks::parquet::open(path)?)?;
    let mut range = [i64::MAX, i64::MIN];
    for group in footer.row_groups() {
        let mut columns = group.columns().iter();
        let column = columns.find(|chunk| chunk.column_path().parts() == ["received_at"]);
        let (least, greatest) = match column.and_then(|chunk| chunk.statistics()) {
            Some(Statistics::Int64(values)) => (values.min_opt(), values.max_opt()),
            Some(_) | None => (None, None),
        };
        let (Some(least), Some(greatest)) = (least, greatest) else {
            return Ok([i64::MIN, i64::MAX - 1]);
        };
        range = [range[0].min(*least), range[1].max(*greatest)];
    }
    Ok(range)
}

/// As in docs/gaps.md: a row may be under way for that long.
const UNDER_WAY_US: i64 = 2_000_000;
/// More than a day has merges.
const LOOKS_MAX: usize = 100;
/// After so many looks at the same a file is missing for good.
const SAME_LOOKS_MAX: usize = 30;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
