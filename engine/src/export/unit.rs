//! The files of an export, and what of the archive each is made from.

use std::collections::BTreeMap;

use schema::{Date, Table};

use super::archive::{Archive, Folder, Missing};
use super::interval::Interval;
use super::manifest::Source;
use super::request::{Columns, Request};
use super::trouble;
use crate::failure::Failure;

/// One file that is to be made.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// Its path below the export's folder.
    pub(super) path: String,
    pub(super) table: &'static Table,
    pub(super) currency: Option<String>,
    /// The instants whose rows it gets.
    pub(super) interval: Interval,
    /// What it is made from.
    pub(super) folders: Vec<Folder>,
}

/// The files that a request asks of an archive, in the order in which they are made.
pub(super) fn units(request: &Request, archive: &Archive) -> Result<Vec<Unit>, Missing> {
    match request.schema() {
        Columns::Tapedeck => Ok(of_tables(request, archive)),
        Columns::Tardis => of_chain(request, archive),
    }
}

/// A file a folder of the archive: a table, a currency where it keeps them apart, a UTC day.
fn of_tables(request: &Request, archive: &Archive) -> Vec<Unit> {
    let mut units = Vec::new();
    for table in request.tables() {
        for folder in archive.folders(table) {
            if !folder.currency.as_deref().is_none_or(|currency| request.wants_currency(currency)) {
                continue;
            }
            let interval = match folder.date {
                Some(date) => request.interval().and(Interval::day(date)),
                // A small table without days: an instrument's newest row may be older than all
                // that is asked for.
                None => Some(request.interval().back_to_the_beginning()),
            };
            let Some(interval) = interval else { continue };
            units.push(Unit {
                path: format!(
                    "{}/{}.{}",
                    folder.below,
                    folder.name(),
                    request.format().extension()
                ),
                table,
                currency: folder.currency.clone(),
                interval,
                folders: vec![folder.clone()],
            });
        }
    }
    units
}

/// A file a UTC day, named as tardis.dev names it. The day is that of `local_timestamp`, so a row
/// may come from another day's folder: the footers of the archive's files say from which.
fn of_chain(request: &Request, archive: &Archive) -> Result<Vec<Unit>, Missing> {
    let mut days: BTreeMap<Date, Vec<Folder>> = BTreeMap::new();
    for table in request.tables() {
        for folder in archive.folders(table) {
            if !folder.currency.as_deref().is_none_or(|currency| request.wants_currency(currency)) {
                continue;
            }
            let Some(received) = archive.received(folder)? else { continue };
            let Some(received) = received.and(request.interval()) else { continue };
            let last = received.last().date();
            let mut day = received.from().date();
            while day <= last {
                days.entry(day).or_default().push(folder.clone());
                day = Date(day.0 + 1);
            }
        }
    }
    let unit = |(day, folders): (Date, Vec<Folder>)| Unit {
        path: format!("deribit_options_chain_{day}_OPTIONS.{}", request.format().extension()),
        table: request.tables().next().expect("one table"),
        currency: None,
        interval: request.interval().and(Interval::day(day)).expect("a day of the interval"),
        folders,
    };
    Ok(days.into_iter().map(unit).collect())
}

impl Unit {
    /// What the archive has for it.
    pub(super) fn source(&self) -> Source {
        let mut source = Source { rows: 0, sequence: [i64::MAX, i64::MIN] };
        for folder in &self.folders {
            source.rows += folder.rows;
            let [least, greatest] = &mut source.sequence;
            *least = folder.sequence[0].min(*least);
            *greatest = folder.sequence[1].max(*greatest);
        }
        source
    }

    /// The same file out of what the archive has now: after a merge the rows lie in other files.
    ///
    /// # Errors
    /// When a day was removed from the archive meanwhile.
    pub(super) fn as_of(&self, archive: &Archive) -> Result<Self, Failure> {
        let again = |folder: &Folder| {
            archive.folder(self.table, &folder.below).cloned().ok_or_else(|| {
                trouble::storage(format_args!(
                    "{} was removed from the archive while it was exported; {}",
                    folder.below,
                    trouble::AGAIN
                ))
            })
        };
        let folders = self.folders.iter().map(again).collect::<Result<_, _>>()?;
        Ok(Self { folders, ..self.clone() })
    }

    /// The least and the greatest time of its rows, as far as it is known before.
    pub(super) fn times(&self) -> [i64; 2] {
        let times = self.folders.iter().flat_map(|folder| folder.times);
        let (least, greatest) = (times.clone().min(), times.max());
        let (from, to) = (self.interval.from(), self.interval.to());
        [least.unwrap_or(from).max(from).0, greatest.unwrap_or(to).min(to).0]
    }
}
