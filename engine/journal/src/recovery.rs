//! Opens a journal: finds it or mints it, cuts a torn tail, refuses damage, begins a segment.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schema::{Digest, Now};
use uuid::Uuid;

use crate::beginning::{self, Beginning};
use crate::disk::Disk;
use crate::error::{ErrorKind, JournalError, is_full};
use crate::ledger::Segment;
use crate::record::Kind;
use crate::resume::{Checkpoint, Resume, ShardFact, Watermark, WatermarkNote};
use crate::scanner::{Found, Scanner};
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

/// The last segment, read to its end.
struct Ending {
    header: Header,
    watermark: Watermark,
    resume: Resume,
    position: u64,
    sequence: i64,
    /// Where the records end that can be read.
    kept_bytes: u64,
    /// Where the last of them ends that is not a watermark.
    facts_bytes: u64,
    /// So much is durable by what the segment says of itself.
    durable_bytes: u64,
    /// So much was durable when the segment began.
    beginning_bytes: u64,
    file_bytes: u64,
}

pub(crate) fn open(disk: &Arc<dyn Disk>, root: &Path, now: Now) -> Result<Opened, JournalError> {
    let (journal, folder) = find_or_mint(&**disk, root)?;
    let (mut older, removed) = segments(&**disk, &folder, journal)?;
    let Some(last) = older.pop_back() else {
        return begin_first(&**disk, folder, journal, removed, now);
    };
    let ending = Ending::read(&**disk, &last.path, journal)?;
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

impl Ending {
    fn read(disk: &dyn Disk, path: &Path, journal: Uuid) -> Result<Self, JournalError> {
        let mut scanner = Scanner::open(disk, path)?;
        debug_assert_eq!(scanner.header().journal, journal);
        let mut ending = Self::beginning(&mut scanner)?;
        let mut digest = Digest::default();
        loop {
            let (head, payload) = match scanner.next()? {
                Found::Record(head, payload) => (head, payload),
                Found::End => break,
                Found::Bad(what) => {
                    let bytes = scanner.promised_bytes()?;
                    if bytes > scanner.offset() {
                        let what = format!("{what}, and {bytes} bytes of it were durable");
                        return Err(scanner.damaged(what));
                    }
                    break;
                }
            };
            match head.kind {
                Kind::Batch => match scanner.batch(&head, payload) {
                    Ok(batch) => ending.resume.batch(&batch, &mut digest),
                    // Rows of a table that this program does not know have no identity for it.
                    Err(error) if *error.kind() == ErrorKind::Newer => {}
                    Err(error) => return Err(error),
                },
                Kind::Shard => {
                    ending.resume.shard(&parse::<ShardFact>(&scanner, &payload)?);
                }
                Kind::Watermark => {
                    let note: WatermarkNote = parse(&scanner, &payload)?;
                    ending.resume.alive(&note.alive_at);
                    ending.watermark = note.watermark;
                    ending.durable_bytes = ending.durable_bytes.max(note.bytes);
                }
                Kind::Schema | Kind::Checkpoint | Kind::Later(_) => {}
            }
            ending.kept_bytes = scanner.offset();
            if head.kind != Kind::Watermark {
                ending.facts_bytes = scanner.offset();
            }
        }
        ending.position = scanner.position();
        ending.sequence = scanner.sequence();
        ending.file_bytes = scanner.file_bytes()?;
        Ok(ending)
    }

    /// The checkpoint. It was durable before the segment had its name: it must be there.
    fn beginning(scanner: &mut Scanner) -> Result<Self, JournalError> {
        let payload = match scanner.next()? {
            Found::Record(head, payload) if head.kind == Kind::Checkpoint => payload,
            Found::Record(..) | Found::End => return Err(scanner.damaged("it has no checkpoint")),
            Found::Bad(what) => return Err(scanner.damaged(what)),
        };
        let checkpoint: Checkpoint = parse(scanner, &payload)?;
        let bytes = scanner.offset();
        Ok(Self {
            header: scanner.header().clone(),
            watermark: checkpoint.watermark,
            resume: checkpoint.resume,
            position: scanner.position(),
            sequence: scanner.sequence(),
            kept_bytes: bytes,
            facts_bytes: bytes,
            durable_bytes: bytes,
            beginning_bytes: bytes,
            file_bytes: bytes,
        })
    }

    /// Makes what can be read durable and cuts off the rest.
    ///
    /// What a watermark covers is durable. What is beyond is copied: if an earlier process died of
    /// a failed sync, the kernel may show bytes that are not on the disk, and a second sync would
    /// claim that they are. Trailing watermarks alone are not worth a copy: they are cut off, and
    /// the next segment's checkpoint says what they said.
    fn secure(
        &self,
        disk: &dyn Disk,
        folder: &Path,
        path: &Path,
    ) -> Result<Option<Torn>, JournalError> {
        if self.facts_bytes > self.durable_bytes {
            copy(disk, folder, path, self.header.number, self.facts_bytes)
                .map_err(|error| refused(disk, "copy", path, error))?;
        } else if self.file_bytes > self.facts_bytes {
            disk.truncate(path, self.facts_bytes)
                .map_err(|error| JournalError::io("cut", path, error))?;
        }
        let cut_bytes = self.file_bytes - self.kept_bytes;
        let kept_bytes = self.facts_bytes;
        let torn = Torn { segment: path.to_owned(), kept_bytes, cut_bytes };
        Ok((cut_bytes > 0).then_some(torn))
    }
}

/// Puts a copy of the first `bytes` in the file's place, durably.
fn copy(disk: &dyn Disk, folder: &Path, path: &Path, number: u64, bytes: u64) -> io::Result<()> {
    let draft = segment::draft_path_of(folder, number);
    let mut from = disk.open(path)?.take(bytes);
    let mut to = beginning::create(disk, &draft)?;
    let copied = io::copy(&mut from, &mut to)?;
    if copied != bytes {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    to.flush()?;
    to.sync()?;
    disk.rename(&draft, path)?;
    disk.sync_folder(folder)
}

fn parse<T: serde::de::DeserializeOwned>(
    scanner: &Scanner,
    payload: &[u8],
) -> Result<T, JournalError> {
    serde_json::from_slice(payload).map_err(|error| scanner.damaged(error.to_string()))
}

fn refused(disk: &dyn Disk, verb: &str, path: &Path, error: io::Error) -> JournalError {
    if !is_full(&error) {
        return JournalError::io(verb, path, error);
    }
    let free_bytes = disk.free_bytes(path).unwrap_or(0);
    let kind = ErrorKind::Full { free_bytes, needed_bytes: 0 };
    JournalError::new(kind, format!("{verb} {}", path.display()))
}
