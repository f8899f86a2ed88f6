//! Opens a journal: finds it or mints it, cuts a torn tail, refuses damage, begins a segment.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schema::Now;
use uuid::Uuid;

use crate::beginning::{self, Beginning};
use crate::disk::Disk;
use crate::ending::Ending;
use crate::error::{ErrorKind, JournalError, is_full};
use crate::ledger::Segment;
use crate::resume::{Checkpoint, Resume, Watermark};
use crate::scanner::Scanner;
use crate::segment::{self, Header};

/// What was found when the journal was opened.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The journal's id.
    pub journal: String,
    /// How often it had been opened before.
    pub opened_before: u64,
    /// The torn tail that was cut off, if there was one.
    pub torn: Option<Torn>,
    /// Segments that a crash left unborn; they held nothing and were removed.
    pub removed: Vec<PathBuf>,
    /// The last position kept; 0 when there is none.
    pub position: u64,
    /// The newest watermark of the earlier run. A gap begins at its `through`.
    pub watermark: Option<Watermark>,
    /// What the earlier run knew of instruments and shards, up to `position`.
    pub resume: Resume,
}

/// Bytes that a crash left half written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub segment: PathBuf,
    /// Its length now, bytes.
    pub kept_bytes: u64,
    /// What was cut off, bytes.
    pub cut_bytes: u64,
}

/// Everything that an open journal begins with.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) folder: PathBuf,
    pub(crate) older: VecDeque<Segment>,
    pub(crate) last: Beginning,
    pub(crate) recovery: Recovery,
}

pub(crate) fn open(disk: &Arc<dyn Disk>, root: &Path, now: Now) -> Result<Opened, JournalError> {
    let (journal, folder) = find_or_mint(&**disk, root)?;
    let (mut older, removed) = segments(&**disk, &folder, journal)?;
    let Some(last) = older.pop_back() else {
        return begin_first(&**disk, folder, journal, removed, now);
    };
    let ending = Ending::read(&**disk, &last.path)?;
    let torn = ending.secure(&**disk, &folder, &last.path)?;
    let mut header = Header {
        number: last.number + 1,
        first_position: ending.position + 1,
        first_sequence: ending.sequence,
        created: now.utc,
        opened_before: ending.header.opened_before + 1,
        journal,
    };
    if ending.facts_bytes == ending.beginning_bytes {
        // It holds nothing but its beginning: the new one takes its place.
        header.number = last.number;
    } else {
        older.push_back(last);
    }
    let mut resume = ending.resume;
    resume.forget(now.utc);
    let watermark = Watermark { position: ending.position, ..ending.watermark };
    let opened_before = header.opened_before;
    let checkpoint = Checkpoint { watermark, resume };
    let last = begin(&**disk, &folder, header, &checkpoint)?;
    let recovery = Recovery {
        journal: journal.to_string(),
        opened_before,
        torn,
        removed,
        position: ending.position,
        watermark: Some(ending.watermark),
        resume: checkpoint.resume,
    };
    Ok(Opened { folder, older, last, recovery })
}

fn begin_first(
    disk: &dyn Disk,
    folder: PathBuf,
    journal: Uuid,
    removed: Vec<PathBuf>,
    now: Now,
) -> Result<Opened, JournalError> {
    let header = Header {
        journal,
        number: 1,
        first_position: 1,
        first_sequence: 0,
        created: now.utc,
        opened_before: 0,
    };
    let watermark = Watermark { position: 0, through: now.utc };
    let checkpoint = Checkpoint { watermark, resume: Resume::default() };
    let last = begin(disk, &folder, header, &checkpoint)?;
    let recovery = Recovery {
        journal: journal.to_string(),
        opened_before: 0,
        torn: None,
        removed,
        position: 0,
        watermark: None,
        resume: Resume::default(),
    };
    Ok(Opened { folder, older: VecDeque::new(), last, recovery })
}

fn begin(
    disk: &dyn Disk,
    folder: &Path,
    header: Header,
    checkpoint: &Checkpoint,
) -> Result<Beginning, JournalError> {
    beginning::begin(disk, folder, header, checkpoint)
        .map_err(|failure| refused(disk, "begin a segment in", folder, failure.error))
}

/// The one journal's id and folder; made, durably, if there is none.
fn find_or_mint(disk: &dyn Disk, root: &Path) -> Result<(Uuid, PathBuf), JournalError> {
    let found = journals(disk, root)?;
    let (journal, folder) = match found.as_slice() {
        [] => {
            let journal = Uuid::new_v4();
            let folder = root.join(journal.to_string());
            disk.create_folder(&folder).map_err(|e| refused(disk, "make", &folder, e))?;
            (journal, folder)
        }
        [one] => one.clone(),
        [first, second, ..] => {
            let what = format!(
                "there are two journals in {}, {} and {}: move the one that is not in use away",
                root.display(),
                first.0,
                second.0
            );
            return Err(JournalError::new(ErrorKind::Folder, what));
        }
    };
    // The names may be younger than a crash that came before their sync.
    for folder in [root.parent().unwrap_or(root), root, &folder] {
        disk.sync_folder(folder).map_err(|error| JournalError::io("sync", folder, error))?;
    }
    Ok((journal, folder))
}

/// The journals in a folder.
pub(crate) fn journals(disk: &dyn Disk, root: &Path) -> Result<Vec<(Uuid, PathBuf)>, JournalError> {
    let entries = disk.list(root).map_err(|error| JournalError::io("list", root, error))?;
    let folders = entries.into_iter().filter(|entry| entry.folder);
    let journal = |path: PathBuf| Some((path.file_name()?.to_str()?.parse().ok()?, path));
    Ok(folders.filter_map(|entry| journal(entry.path)).collect())
}

/// The segments of a journal, oldest first; removes the unborn.
fn segments(
    disk: &dyn Disk,
    folder: &Path,
    journal: Uuid,
) -> Result<(VecDeque<Segment>, Vec<PathBuf>), JournalError> {
    let mut segments: VecDeque<Segment> = VecDeque::new();
    let mut removed = Vec::new();
    let entries = disk.list(folder).map_err(|error| JournalError::io("list", folder, error))?;
    for path in entries.into_iter().filter(|entry| !entry.folder).map(|entry| entry.path) {
        if segment::is_draft(&path) {
            disk.remove(&path).map_err(|error| JournalError::io("remove", &path, error))?;
            removed.push(path);
            continue;
        }
        let Some(number) = segment::number_of(&path) else { continue };
        let scanner = Scanner::open(disk, &path)?;
        let header = scanner.header();
        check_name(header, journal, number, &path)?;
        segments.push_back(Segment {
            number,
            path,
            first_position: header.first_position,
            created: header.created,
        });
    }
    segments.make_contiguous().sort_by_key(|segment| segment.number);
    for (before, after) in segments.iter().zip(segments.iter().skip(1)) {
        if before.number + 1 != after.number || before.first_position > after.first_position {
            let what = format!("it does not follow {}", before.path.display());
            return Err(JournalError::damaged(&after.path, 0, what));
        }
    }
    Ok((segments, removed))
}

/// Checks that a segment stands under its own name.
pub(crate) fn check_name(
    header: &Header,
    journal: Uuid,
    number: u64,
    path: &Path,
) -> Result<(), JournalError> {
    if header.journal == journal && header.number == number {
        return Ok(());
    }
    let what = format!("it is segment {} of journal {}", header.number, header.journal);
    Err(JournalError::damaged(path, 0, what))
}

/// The error of a call while the journal is opened.
pub(crate) fn refused(disk: &dyn Disk, verb: &str, path: &Path, error: io::Error) -> JournalError {
    if !is_full(&error) {
        return JournalError::io(verb, path, error);
    }
    let free_bytes = disk.free_bytes(path).unwrap_or(0);
    let kind = ErrorKind::Full { free_bytes, needed_bytes: 0 };
    JournalError::new(kind, format!("{verb} {}", path.display()))
}
