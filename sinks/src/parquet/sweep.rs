//! Finds the sink's files on the disk, and removes those that the manifest does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use journal::disk::{Disk, Entry};
use schema::{Partition, tables};

use super::manifest::Stored;
use super::marker;
use super::name::FileName;

/// The files below `DATA/parquet` whose place and name are ones that this sink gives.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Bytes of the finished ones, by their path below `DATA/parquet`.
    pub(super) finished: BTreeMap<String, u64>,
    /// Those that were being written when the process ended.
    pub(super) unfinished: Vec<PathBuf>,
}

impl Found {
    /// Looks through the folders of every table. Symbolic links are not followed.
    pub(super) fn read(disk: &dyn Disk, root: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        for table in tables::ALL {
            let folder = root.join(table.name);
            match table.partition {
                Partition::CurrencyAndDate(_) => {
                    found.folder(disk, root, &folder, &["currency=", "date="])?;
                }
                Partition::Date => found.folder(disk, root, &folder, &["date="])?,
                Partition::Whole => found.folder(disk, root, &folder, &[])?,
                Partition::SqlOnly => {}
            }
        }
        Ok(found)
    }

    fn folder(
        &mut self,
        disk: &dyn Disk,
        root: &Path,
        folder: &Path,
        keys: &[&str],
    ) -> io::Result<()> {
        if is_link(folder) {
            return Ok(());
        }
        for entry in disk.list(folder)? {
            let Some(name) = entry.path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            match keys.split_first() {
                Some((key, keys)) if entry.folder && name.starts_with(key) => {
                    self.folder(disk, root, &entry.path, keys)?;
                }
                None if !entry.folder && !is_link(&entry.path) => self.file(root, name, &entry),
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, root: &Path, name: &str, entry: &Entry) {
        if FileName::is_unfinished(name) {
            self.unfinished.push(entry.path.clone());
        } else if FileName::is_ours(name) {
            let below = entry.path.strip_prefix(root).ok().and_then(Path::to_str);
            let below = below.expect("the walk began at the root and passed only plain names");
            self.finished.insert(below.to_owned(), entry.bytes);
        }
    }

    /// Removes the unfinished files and those that `known` lacks; returns how many. Markers stay,
    /// and are returned: somebody may have listed their folder a moment ago.
    pub(super) fn sweep(
        &self,
        disk: &dyn Disk,
        root: &Path,
        known: &BTreeMap<String, Stored>,
    ) -> io::Result<(u64, BTreeSet<PathBuf>)> {
        let (mut removed, mut markers) = (0, BTreeSet::new());
        let strangers = self.finished.keys().filter(|below| !known.contains_key(*below));
        for path in strangers.map(|below| root.join(below)) {
            if marker::named(&mut disk.open(&path)?)?.is_some() {
                markers.insert(path);
            } else {
                disk.remove(&path)?;
                removed += 1;
            }
        }
        for path in &self.unfinished {
            disk.remove(path)?;
            removed += 1;
        }
        Ok((removed, markers))
    }
}

/// Whether the name is a symbolic link. A name that the machine's disk does not have is none.
pub(super) fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink())
}
