//! A folder on its way to be one file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::disk::Disk;
use schema::Table;

use crate::SinkError;
use crate::parquet::cursor::Shape;
use crate::parquet::file::Writing;
use crate::parquet::manifest::Stored;
use crate::parquet::merge::{Merge, Selection};
use crate::parquet::passes::Passes;
use crate::parquet::{failure, name};

/// A folder that something is to be done with.
#[derive(Clone, Debug)]
pub(super) struct Due {
    /// Below `DATA/parquet`, with slashes.
    pub(super) folder: String,
    pub(super) table: &'static Table,
    /// All that the manifest knows there.
    pub(super) files: Vec<Stored>,
    /// It is to be removed, not merged.
    pub(super) drop: bool,
}

/// A merge under way. Dropping it leaves an unfinished file.
#[derive(Debug)]
pub(super) struct Merging {
    pub(super) due: Due,
    unfinished: PathBuf,
    passes: Passes,
    last: Option<(Merge, Writing)>,
}

impl Merging {
    /// Will merge the folder's files into one at `unfinished`.
    pub(super) fn new(
        disk: &Arc<dyn Disk>,
        root: &Path,
        due: &Due,
        scratch: &Path,
        unfinished: &Path,
    ) -> Self {
        let paths: Vec<PathBuf> = due.files.iter().map(|file| root.join(&file.path)).collect();
        let shape = Shape::new(due.table, &Selection { strict: true, ..Selection::default() });
        let passes = Passes::new(disk, shape, &paths, scratch);
        Self { due: due.clone(), unfinished: unfinished.to_owned(), passes, last: None }
    }

    /// Goes on, a bounded piece; rows and bytes of the merged file once it is durable.
    pub(super) fn step(&mut self, disk: &Arc<dyn Disk>) -> Result<Option<(u64, u64)>, SinkError> {
        let Some((merge, writing)) = &mut self.last else {
            if !self.passes.step()? {
                let merge = self.passes.last()?;
                self.last = Some(self.begin_last(disk, merge)?);
            }
            return Ok(None);
        };
        if let Some(batch) = merge.next() {
            writing.write(&**disk, &batch?)?;
            return Ok(None);
        }
        let (merge, writing) = self.last.take().expect("it is under way");
        let (rows, bytes) = writing.finish(&**disk)?;
        if rows != merge.rows_max() {
            // Their footers promise other than their pages hold: no error of ours.
            let what = format!("its files hold {rows} rows, their footers {}", merge.rows_max());
            return Err(failure::stop(format!("merging {}", self.due.folder), what));
        }
        Ok(Some((rows, bytes)))
    }

    fn begin_last(
        &self,
        disk: &Arc<dyn Disk>,
        merge: Merge,
    ) -> Result<(Merge, Writing), SinkError> {
        let (due, rows) = (&self.due, self.due.rows());
        if merge.rows_max() != rows {
            let what = format!("its files hold {} rows, the manifest {rows}", merge.rows_max());
            return Err(failure::stop(format!("merging {}", due.folder), what));
        }
        let facts = [
            ("table", due.table.name.to_owned()),
            ("columns", due.table.columns.len().to_string()),
            ("files", due.files.len().to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        let (path, schema) = (&self.unfinished, merge.schema());
        let writing = Writing::create(&**disk, path, due.table, &schema, &facts)?;
        Ok((merge, writing))
    }
}

impl Due {
    /// The file that takes the place of the others.
    pub(super) fn merged(&self, number: u64, rows: u64, bytes: u64) -> Stored {
        assert_eq!(rows, self.rows(), "rows in, rows out");
        let range = |of: fn(&Stored) -> [i64; 2]| {
            let ranges = self.files.iter().map(of);
            ranges.fold([i64::MAX, i64::MIN], |range, [least, greatest]| {
                [range[0].min(least), range[1].max(greatest)]
            })
        };
        Stored {
            path: format!("{}/{}", self.folder, name::merged(number)),
            table: self.table.name.to_owned(),
            rows,
            bytes,
            time: range(|file| file.time),
            sequence: range(|file| file.sequence),
        }
    }

    /// The names under which markers stand after that exchange.
    pub(super) fn marked(&self, number: u64) -> Vec<String> {
        let name = |file: &Stored| file.path.rsplit('/').next().unwrap_or_default().to_owned();
        let replaced = self.files.iter().map(name);
        replaced.chain(self.drop.then(|| name::merged(number))).collect()
    }

    /// Says what became of it.
    pub(super) fn report(&self, merged: Option<(u64, u64)>) {
        let (folder, files, rows) = (&self.folder, self.files.len(), self.rows());
        let before: u64 = self.files.iter().map(|file| file.bytes).sum();
        match merged {
            Some((_, after)) => tracing::info!(folder, files, rows, before, after, "merged"),
            None => {
                tracing::info!(folder, rows, before, "removed: older than sinks.parquet.keep_days");
            }
        }
    }

    fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}
