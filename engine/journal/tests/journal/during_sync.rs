//! Rows that are appended while the disk syncs: neither durable nor promised.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tapedeck_journal::disk::{Disk, Entry, File, Simulated, Source, Syncer};
use tapedeck_journal::{Options, open};

use crate::rows::{self, Dice};

/// What is to happen at the beginning of the next sync.
type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A disk that calls a hook when a syncer syncs.
struct Hooked {
    disk: Simulated,
    hook: Hook,
}

#[derive(Debug)]
struct HookedFile(Box<dyn File>, HookedHook);

struct HookedSyncer(Arc<dyn Syncer>, HookedHook);

#[derive(Clone)]
struct HookedHook(Hook);

impl Hooked {
    fn file(&self, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(HookedFile(file, HookedHook(Arc::clone(&self.hook))))
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl fmt::Debug for HookedHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hook")
    }
}

impl fmt::Debug for HookedSyncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Disk for Hooked {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.disk.create(path).map(|file| self.file(file))
    }
    fn append(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.disk.append(path).map(|file| self.file(file))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn Source>> {
        self.disk.open(path)
    }
    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        self.disk.truncate(path, bytes)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.disk.exchange(one, other)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_folder(path)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.create_folder(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(folder)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }
}

impl Write for HookedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl File for HookedFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
    fn syncer(&self) -> io::Result<Arc<dyn Syncer>> {
        Ok(Arc::new(HookedSyncer(self.0.syncer()?, self.1.clone())))
    }
}

impl Syncer for HookedSyncer {
    fn sync(&self) -> io::Result<()> {
        let hook = self.1.0.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        self.0.sync()
    }
}

#[test]
fn rows_that_come_during_a_sync_are_neither_durable_nor_promised() {
    let folder = Path::new("/data/journal");
    let simulated = Simulated::new(1);
    let hook = Hook::default();
    let disk = Arc::new(Hooked { disk: simulated.clone(), hook: Arc::clone(&hook) });
    let journal = open(disk, folder, Options::default(), rows::at(0)).unwrap();
    let appender = Arc::new(Mutex::new(journal.appender));
    let (mut syncer, feed) = (journal.syncer, journal.feed);
    let append = {
        let appender = Arc::clone(&appender);
        move |seed| {
            drop(appender.lock().unwrap().append(rows::small_draft(&mut Dice(seed))).unwrap());
        }
    };
    append(1);
    let file = {
        let journal = simulated.list(folder).unwrap().remove(0).path;
        simulated.list(&journal).unwrap().remove(0).path
    };
    let synced_bytes = simulated.bytes(&file).unwrap().len();
    let during = append.clone();
    *hook.lock().unwrap() = Some(Box::new(move || during(2)));
    assert_eq!(syncer.sync().unwrap().position, 1);
    assert_eq!(feed.durable(), 1);
    // The watermark of that sync comes after the second batch, and must not speak for it.
    append(3);
    drop(append);
    let mut bytes = simulated.bytes(&file).unwrap();
    bytes[synced_bytes + 60] ^= 1;
    simulated.plant(&file, &bytes);
    let recovery = open(Arc::new(simulated), folder, Options::default(), rows::at(1)).unwrap();
    assert_eq!(recovery.recovery.position, 1, "a tear, not damage");
    assert!(recovery.recovery.torn.is_some());
}
