//! The machine's disk.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{Disk, Entry, File, Source, Syncer};

/// The machine's disk: files through the standard library, free space through `statvfs`.
///
/// Files are always written at their end (`O_APPEND`) and made with `O_EXCL`; a file's sync is
/// `fdatasync`, which covers its length; a folder's sync is `fsync` of the folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Disk for System {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Box::new(Handle(file)))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(Handle(OpenOptions::new().append(true).open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Source>> {
        Ok(Box::new(fs::File::open(path)?))
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(bytes)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        let above = path.parent().unwrap_or(Path::new(""));
        self.create_folder(above)?;
        match fs::create_dir(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
            made => made?,
        }
        self.sync_folder(above)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let names = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            names => names?,
        };
        let mut entries = Vec::new();
        for name in names {
            let path = name?.path();
            let about = match fs::metadata(&path) {
                // Removed by somebody since the folder was read.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                about => about?,
            };
            let bytes = if about.is_dir() { 0 } else { about.len() };
            entries.push(Entry { path, folder: about.is_dir(), bytes });
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        fs::File::open(folder)?.sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let nearest = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
        let about = rustix::fs::statvfs(nearest)?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }
}

#[derive(Debug)]
struct Handle(fs::File);

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl File for Handle {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn syncer(&self) -> io::Result<Arc<dyn Syncer>> {
        Ok(Arc::new(Handle(self.0.try_clone()?)))
    }
}

impl Syncer for Handle {
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Source for fs::File {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_machines_disk_keeps_the_contract() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b/c");
        System.create_folder(&folder).unwrap();
        System.create_folder(&folder).unwrap();
        let path = folder.join("one");
        let mut file = System.create(&path).unwrap();
        assert_eq!(System.create(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        file.write_all(b"hello").unwrap();
        file.syncer().unwrap().sync().unwrap();
        System.truncate(&path, 2).unwrap();
        file.write_all(b"y").unwrap();
        System.append(&path).unwrap().write_all(b"!").unwrap();
        file.sync().unwrap();
        System.rename(&path, &folder.join("two")).unwrap();
        System.sync_folder(&folder).unwrap();
        let listed = System.list(&folder).unwrap();
        let two = Entry { path: folder.join("two"), folder: false, bytes: 4 };
        assert_eq!(listed, std::slice::from_ref(&two));
        let mut text = String::new();
        let mut source = System.open(&two.path).unwrap();
        source.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), Source::bytes(&*source).unwrap()), ("hey!", 4));
        System.remove(&two.path).unwrap();
        assert!(System.list(&folder).unwrap().is_empty());
        assert!(System.list(&folder.join("none")).unwrap().is_empty());
        assert!(System.free_bytes(&folder.join("none")).unwrap() > 0);
    }

    #[test]
    fn folders_change_places() {
        let home = tempfile::tempdir().unwrap();
        let (one, other) = (home.path().join("one"), home.path().join("a/other"));
        System.create_folder(&one).unwrap();
        System.create_folder(&other).unwrap();
        System.create(&one.join("file")).unwrap();
        match System.exchange(&one, &other) {
            // What a file system that cannot says, and what the sink understands.
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported),
                "{error}"
            ),
            Ok(()) => assert_eq!(System.list(&other).unwrap().len(), 1),
        }
        assert_eq!(
            System.exchange(&one, &home.path().join("b")).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        System.remove_folder(&one).unwrap();
        let full = System.remove_folder(&home.path().join("a")).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::DirectoryNotEmpty);
    }
}
