//! Many sorted files made few: passes that merge several into one longer run, step by step.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::disk::Disk;

use super::cursor::Shape;
use super::failure;
use super::file::Writing;
use super::merge::{FAN_IN, Merge};
use crate::SinkError;

/// Files on their way to be few enough for one merge. Dropping it removes what it wrote.
pub(super) struct Passes {
    disk: Arc<dyn Disk>,
    shape: Arc<Shape>,
    scratch: PathBuf,
    files: VecDeque<PathBuf>,
    /// The scratch files that exist.
    made: Vec<PathBuf>,
    number: u64,
    pass: Option<Pass>,
    /// All files that are left, opened: there is nothing more to do.
    last: Option<Merge>,
}

/// Some files on their way into one.
struct Pass {
    merge: Merge,
    /// Those of the files that a former pass wrote.
    used: Vec<PathBuf>,
    path: PathBuf,
    writing: Writing,
}

impl Passes {
    pub(super) fn new(
        disk: &Arc<dyn Disk>,
        shape: Shape,
        files: &[PathBuf],
        scratch: &Path,
    ) -> Self {
        Self {
            disk: Arc::clone(disk),
            shape: Arc::new(shape),
            scratch: scratch.to_owned(),
            files: files.iter().cloned().collect(),
            made: Vec::new(),
            number: 0,
            pass: None,
            last: None,
        }
    }

    /// Does a bounded piece of work; `false` when [`last`](Self::last) can be taken.
    pub(super) fn step(&mut self) -> Result<bool, SinkError> {
        if self.last.is_some() {
            return Ok(false);
        }
        let Some(pass) = &mut self.pass else { return self.begin() };
        if let Some(batch) = pass.merge.next() {
            pass.writing.write(&*self.disk, &batch?)?;
            return Ok(true);
        }
        let Pass { used, path, writing, .. } = self.pass.take().expect("it is under way");
        writing.finish(&*self.disk)?;
        self.files.push_back(path);
        for path in used {
            self.remove(&path)?;
        }
        Ok(true)
    }

    /// The merge of all files that are left.
    pub(super) fn last(&mut self) -> Result<Merge, SinkError> {
        let last = self.last.take();
        last.ok_or_else(|| failure::stop("merging".to_owned(), "it is not prepared yet"))
    }

    /// Opens the next files: all of them, or the first of a pass.
    fn begin(&mut self) -> Result<bool, SinkError> {
        // As few as are too many for one merge, so that little is written twice.
        let surplus = self.files.len().saturating_sub(FAN_IN) + 1;
        let most = if surplus > 1 { surplus } else { FAN_IN };
        let before = self.files.clone();
        let merge = Merge::open(&self.disk, &self.shape, &mut self.files, most)?;
        if self.files.is_empty() {
            self.last = Some(merge);
            return Ok(false);
        }
        let taken = before.len() - self.files.len();
        let used = before.into_iter().take(taken).filter(|path| self.made.contains(path)).collect();
        let making = |error| failure::io(&*self.disk, "making", &self.scratch, error);
        self.disk.create_folder(&self.scratch).map_err(making)?;
        // No reader's `*.parquet` finds it.
        let path = self.scratch.join(format!("{PREFIX}{:06}{SUFFIX}", self.number));
        self.number += 1;
        let (table, schema) = (self.shape.table(), merge.schema());
        let writing = Writing::create(&*self.disk, &path, table, &schema, &[])?;
        self.made.push(path.clone());
        self.pass = Some(Pass { merge, used, path, writing });
        Ok(true)
    }

    fn remove(&mut self, path: &Path) -> Result<(), SinkError> {
        self.made.retain(|made| made != path);
        let removed = self.disk.remove(path);
        removed.map_err(|error| failure::io(&*self.disk, "removing", path, error))
    }
}

impl Drop for Passes {
    fn drop(&mut self) {
        for path in &self.made {
            // What cannot be removed now is swept at the next start, or is in the user's scratch.
            let _ = self.disk.remove(path);
        }
    }
}

impl fmt::Debug for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passes({} files left)", self.files.len())
    }
}

/// Whether the name is one that passes give.
pub(super) fn is_pass(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

const PREFIX: &str = ".pass-";
const SUFFIX: &str = ".tmp";
