//! A disk in memory that loses whatever a power cut may lose.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, Entry, File, Source};

mod change;
mod handle;
mod surface;

use change::Change;
use handle::{Handle, Reading};
use surface::{Chance, Surface};

/// A disk in memory for tests of what survives. The same seed and the same calls give the same
/// outcome.
///
/// ```
/// use std::path::Path;
/// use tapedeck_journal::disk::{Disk, Simulated};
///
/// let disk = Simulated::new(7);
/// disk.create_folder(Path::new("/data")).unwrap();
/// disk.off_after(3); // the third call from now is the last: it may be done, undone or half done
/// let mut file = disk.create(Path::new("/data/a")).unwrap();
/// file.write_all(b"never synced").unwrap();
/// assert!(disk.sync_folder(Path::new("/data")).is_err());
/// let disk = disk.cut(); // the power is back; `a` is there or not, whole, torn or garbage
/// assert!(disk.list(Path::new("/data")).unwrap().len() <= 1);
/// ```
///
/// A power cut ([`cut`](Self::cut)) treats
///
/// - bytes that were not synced: all kept, all lost, torn at any byte, or each 512-byte sector
///   kept, lost, zeroed, torn or turned into garbage for itself, so that later sectors may survive
///   earlier ones; the length may be kept while the bytes are not;
/// - names (created, renamed, removed) of a folder that was not synced: each kept or lost for
///   itself. A synced file whose name was not synced may be gone. A rename is atomic, and belongs
///   to the folder of the new name. An exchange of two folders is atomic, and belongs to both of
///   the folders that hold them; until both are synced, nothing may be changed in the two.
///
/// To kill the process and not the machine (kill -9), drop the handles and go on with the same
/// disk. A clone is the same disk.
///
/// [`fail_sync`](Self::fail_sync), [`fail_write`](Self::fail_write) and
/// [`set_room`](Self::set_room) make single calls fail while the power is on. After a failed sync
/// the unsynced bytes are on the disk in part or not at all, reads still show them, and later
/// syncs succeed without writing them: what Linux does.
#[derive(Clone)]
pub struct Simulated(Arc<Mutex<State>>);

struct State {
    chance: Chance,
    files: Vec<Surface>,
    /// Names as every call sees them.
    names: BTreeMap<PathBuf, Node>,
    /// Names that survive a cut.
    synced: BTreeMap<PathBuf, Node>,
    /// Changes of names since their folder was synced, oldest first.
    changes: Vec<Change>,
    calls: u64,
    off_at: Option<u64>,
    off: bool,
    room: Option<u64>,
    /// Exchanges of a folder in there fail so.
    unable: Option<(PathBuf, ErrorKind)>,
    writes: Countdown,
    syncs: Countdown,
}

#[derive(Clone, Copy, PartialEq)]
enum Node {
    Folder,
    File(usize),
}

/// Counts calls down to the one that fails.
#[derive(Clone, Copy, Default)]
struct Countdown(Option<u64>);

/// Whether a call is done although the power went off in it.
#[derive(PartialEq)]
enum Power {
    On,
    LastCall,
}

impl Simulated {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            chance: Chance::new(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            synced: BTreeMap::new(),
            changes: Vec::new(),
            calls: 0,
            off_at: None,
            off: false,
            room: None,
            unable: None,
            writes: Countdown::default(),
            syncs: Countdown::default(),
        })))
    }

    /// The `calls`-th call from now fails, done or not, and so does every call after it.
    pub fn off_after(&self, calls: u64) {
        let mut state = self.state();
        state.off_at = Some(state.calls.saturating_add(calls));
    }

    /// The disk as it is after a power cut at this moment: a new disk, with the power on and no
    /// failure ordered. The old one is off for good.
    #[must_use]
    pub fn cut(&self) -> Self {
        let mut state = self.state();
        let state = &mut *state;
        state.off = true;
        let mut chance = Chance::new(state.chance.next());
        let odds = chance.below(4);
        let mut names = state.synced.clone();
        for change in &state.changes {
            if odds == 0 || odds > 1 && chance.below(2) == 0 {
                change.apply(&mut names);
            }
        }
        let files = state.files.iter().map(|file| file.after_cut(&mut chance)).collect();
        let fresh = Self::new(chance.next());
        {
            let mut state = fresh.state();
            state.files = files;
            state.synced = names.clone();
            state.names = names;
        }
        fresh
    }

    /// The `calls`-th sync of a file or a folder from now fails.
    pub fn fail_sync(&self, calls: u64) {
        self.state().syncs = Countdown(Some(calls));
    }

    /// The `calls`-th write from now fails, after a part of its bytes.
    pub fn fail_write(&self, calls: u64) {
        self.state().writes = Countdown(Some(calls));
    }

    /// How many more bytes fit on the disk; `None` for no end. A write takes what fits, the next
    /// one fails with `StorageFull`; removing and truncating give room back.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.state().room = bytes;
    }

    /// Makes every exchange of a folder in `place` fail so and do nothing: on a file system that
    /// cannot do it, on another than the other folder's, where a disk is mounted.
    pub fn forbid_exchange(&self, place: &Path, kind: ErrorKind) {
        self.state().unable = Some((place.to_owned(), kind));
    }

    /// Takes back every failure that was ordered and has not happened.
    pub fn calm(&self) {
        let mut state = self.state();
        state.off_at = None;
        state.room = None;
        state.writes = Countdown::default();
        state.syncs = Countdown::default();
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// The bytes of a file as a reader sees them.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state.file(path).ok().and_then(|id| state.files.get(id)).map(|file| file.seen().to_vec())
    }

    /// Puts bytes into a file, durably, as damage or a restored copy would. Makes the file.
    pub fn plant(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state();
        let id = state.files.len();
        state.files.push(Surface::durable(bytes.to_vec()));
        state.names.insert(path.to_owned(), Node::File(id));
        state.synced.insert(path.to_owned(), Node::File(id));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulated({} calls)", self.calls())
    }
}

impl State {
    /// Counts a call. On the last one before the power goes, a coin decides whether it is done.
    fn call(&mut self) -> io::Result<Power> {
        if self.off {
            return Err(off());
        }
        self.calls += 1;
        if self.off_at.is_some_and(|at| self.calls >= at) {
            self.off = true;
            return if self.chance.below(2) == 0 { Err(off()) } else { Ok(Power::LastCall) };
        }
        Ok(Power::On)
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(id)) => Ok(*id),
            Some(Node::Folder) => Err(io::Error::from(ErrorKind::IsADirectory)),
            None => Err(io::Error::from(ErrorKind::NotFound)),
        }
    }

    fn surface(&mut self, id: usize) -> &mut Surface {
        self.files.get_mut(id).expect("files are only ever added")
    }

    fn change(&mut self, change: Change) {
        let unsure = self.changes.iter().find(|older| older.moves(change.name()));
        assert!(unsure.is_none(), "{change:?} before {unsure:?} is synced");
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn give_room(&mut self, bytes: u64) {
        self.room = self.room.map(|room| room.saturating_add(bytes));
    }

    fn write(&mut self, id: usize, bytes: &[u8]) -> io::Result<usize> {
        let power = self.call()?;
        let mut take = bytes.len();
        if let Some(room) = self.room {
            take = take.min(usize::try_from(room).unwrap_or(usize::MAX));
            if take == 0 && !bytes.is_empty() {
                return Err(io::Error::from(ErrorKind::StorageFull));
            }
        }
        let fails = self.writes.fires();
        if fails || power == Power::LastCall {
            take = self.chance.up_to(take);
        }
        self.room = self.room.map(|room| room - take as u64);
        self.surface(id).write(bytes.get(..take).unwrap_or(bytes));
        match (power, fails) {
            (Power::LastCall, _) => Err(off()),
            (Power::On, true) => Err(io::Error::other("simulated write failure")),
            (Power::On, false) => Ok(take),
        }
    }

    fn sync(&mut self, id: usize) -> io::Result<()> {
        let power = self.call()?;
        if self.syncs.fires() {
            let mut chance = Chance::new(self.chance.next());
            self.surface(id).fail_sync(&mut chance);
            return Err(io::Error::other("simulated sync failure"));
        }
        self.surface(id).sync();
        power.done(())
    }
}

impl Disk for Simulated {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.state();
        let power = state.call()?;
        if state.names.contains_key(path) {
            return Err(io::Error::from(ErrorKind::AlreadyExists));
        }
        if state.names.get(&folder_of(path)) != Some(&Node::Folder) {
            return Err(io::Error::from(ErrorKind::NotFound));
        }
        if state.room == Some(0) {
            return Err(io::Error::from(ErrorKind::StorageFull));
        }
        let id = state.files.len();
        state.files.push(Surface::default());
        state.change(Change::Put(path.to_owned(), id));
        power.done(Box::new(Handle::new(self, id)) as Box<dyn File>)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.state();
        let power = state.call()?;
        let id = state.file(path)?;
        power.done(Box::new(Handle::new(self, id)) as Box<dyn File>)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Source>> {
        let mut state = self.state();
        let power = state.call()?;
        let id = state.file(path)?;
        power.done(Box::new(Reading::new(self, id)) as Box<dyn Source>)
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        let power = state.call()?;
        let id = state.file(path)?;
        let freed = state.surface(id).truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        state.give_room(freed as u64);
        power.done(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let power = state.call()?;
        let id = state.file(from)?;
        state.change(Change::Move(from.to_owned(), to.to_owned(), id));
        power.done(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let power = state.call()?;
        let id = state.file(path)?;
        let freed = state.surface(id).seen().len();
        state.give_room(freed as u64);
        state.change(Change::Take(path.to_owned()));
        power.done(())
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        let mut state = self.state();
        let power = state.call()?;
        if let Some((place, kind)) = &state.unable
            && (one.starts_with(place) || other.starts_with(place))
        {
            return Err(io::Error::from(*kind));
        }
        for folder in [one, other] {
            if state.names.get(folder) != Some(&Node::Folder) {
                return Err(io::Error::from(ErrorKind::NotFound));
            }
            let unsure = state.changes.iter().find(|change| change.name().starts_with(folder));
            assert!(unsure.is_none(), "{unsure:?} is not synced before an exchange");
        }
        state.change(Change::Exchange(one.to_owned(), other.to_owned(), false));
        power.done(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let power = state.call()?;
        if state.names.get(path) != Some(&Node::Folder) {
            return Err(io::Error::from(ErrorKind::NotFound));
        }
        if state.names.keys().any(|name| name.parent() == Some(path)) {
            return Err(io::Error::from(ErrorKind::DirectoryNotEmpty));
        }
        state.change(Change::Take(path.to_owned()));
        power.done(())
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        let power = state.call()?;
        for folder in path.ancestors() {
            if matches!(state.names.get(folder), Some(Node::File(_))) {
                return Err(io::Error::from(ErrorKind::NotADirectory));
            }
            state.names.insert(folder.to_owned(), Node::Folder);
            state.synced.insert(folder.to_owned(), Node::Folder);
            state.changes.retain(|change| *change != Change::Take(folder.to_owned()));
        }
        power.done(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let mut state = self.state();
        let power = state.call()?;
        let mut entries = Vec::new();
        for (path, node) in &state.names {
            if path.parent() != Some(folder) {
                continue;
            }
            let bytes = match node {
                Node::Folder => 0,
                Node::File(id) => state.files.get(*id).map_or(0, |file| file.seen().len() as u64),
            };
            entries.push(Entry { path: path.clone(), folder: *node == Node::Folder, bytes });
        }
        power.done(entries)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        let power = state.call()?;
        if state.syncs.fires() {
            return Err(io::Error::other("simulated sync failure"));
        }
        let state = &mut *state;
        let synced = &mut state.synced;
        state.changes.retain_mut(|change| {
            let durable = change.sync(folder);
            if durable {
                change.apply(synced);
            }
            !durable
        });
        power.done(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        let mut state = self.state();
        let power = state.call()?;
        let room = state.room.unwrap_or(u64::MAX);
        power.done(room)
    }
}

impl Countdown {
    fn fires(&mut self) -> bool {
        self.0 = self.0.map(|left| left.saturating_sub(1));
        if self.0 == Some(0) {
            self.0 = None;
            return true;
        }
        false
    }
}

impl Power {
    fn done<T>(&self, value: T) -> io::Result<T> {
        match self {
            Self::On => Ok(value),
            Self::LastCall => Err(off()),
        }
    }
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

fn off() -> io::Error {
    io::Error::other("the simulated power is off")
}

#[cfg(test)]
mod tests;
