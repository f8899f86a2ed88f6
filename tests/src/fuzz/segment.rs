//! A journal's folder after anything may have happened to its files.
//!
//! The records are read here once more, by the format that engine/journal documents, so that the
//! journal's own reading cannot hide a mistake.

#![allow(clippy::unwrap_used, reason = "a check that cannot go on says so best by stopping")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use journal::disk::{Disk, Simulated};
use journal::{ErrorKind, Journal, JournalError, Options, inspect, open};
use schema::tables::{IndexTick, Rows};
use schema::{Micros, Now, Origin};

/// Whatever the segments hold: opening, reading and inspecting end with rows or an error, a row
/// whose checksum is wrong is never read, nothing but the tail is cut, and what was opened once
/// opens again and gives the same.
///
/// One byte decides how many segments there are and whether checksums are made right again, so
/// that what lies behind them is reached; then the length of each segment but the last, and the
/// segments.
///
/// # Panics
/// When one of these does not hold.
pub fn check(input: &[u8]) {
    let [mode, rest @ ..] = input else { return };
    let mut files = split(usize::from(mode & 3), rest);
    if mode & 4 != 0 {
        files.iter_mut().for_each(|file| reseal(file));
    }
    let disk = Simulated::new(1);
    let paths = plant(&disk, &files);
    let bytes = || paths.iter().map(|path| disk.bytes(path)).collect::<Vec<_>>();
    let before = bytes();
    if let Ok(report) = inspect(&disk, Path::new(ROOT)) {
        let _ = report.to_string();
    }
    assert_eq!(bytes(), before, "inspecting changes nothing");
    let mut journal = match reopen(&disk) {
        Ok(journal) => journal,
        Err(error) => {
            let _ = error.to_string();
            assert!(!matches!(error.kind(), ErrorKind::Poisoned), "{error}");
            assert_eq!(bytes(), before, "what cannot be opened is not changed");
            return;
        }
    };
    let good: BTreeMap<u64, u32> = files.iter().flat_map(|file| batches(file)).collect();
    let (rows, end) = read(&mut journal);
    for (position, rows) in &rows {
        assert_eq!(good.get(position), Some(rows), "position {position} was never written so");
    }
    let recovery = journal.recovery.clone();
    drop(journal.appender);
    for (path, before) in paths.iter().zip(&files) {
        let after = disk.bytes(path).unwrap();
        // One without a batch or a shard gives its place to the next.
        let replaced = paths.last() == Some(path) && batches(before).is_empty();
        assert!(replaced || before.starts_with(&after), "only a tail is cut");
    }
    again(&disk, &recovery.position, &rows, end.is_none());
}

/// The input in which a folder holds these segments, whose checksums are made right or are not.
#[must_use]
pub fn input(reseal: bool, files: &[&[u8]]) -> Vec<u8> {
    let count = files.len().clamp(1, 4);
    let mut input = vec![(count - 1) as u8 | u8::from(reseal) << 2];
    for (index, file) in files.iter().take(count).enumerate() {
        if index + 1 < count {
            input.extend_from_slice(&(file.len() as u32).to_le_bytes());
        }
        input.extend_from_slice(file);
    }
    input
}

/// Opens what was opened before: nothing is torn any more, and the same rows are there; one more
/// can be added.
fn again(disk: &Simulated, position: &u64, rows: &[(u64, u32)], whole: bool) {
    let mut journal = reopen(disk).unwrap_or_else(|error| panic!("it opened before: {error}"));
    assert_eq!(journal.recovery.torn, None, "a tear is cut once");
    assert_eq!(journal.recovery.position, *position);
    assert_eq!(read(&mut journal).0, rows);
    let mut more = Rows::default();
    let at = Micros(1);
    more.index_ticks.push(&IndexTick {
        timestamp: at,
        received_at: at,
        index_name: "x",
        price: 1.0,
    });
    let draft = more.index_ticks.take(Origin::default()).unwrap();
    let batch = journal.appender.append(draft).unwrap();
    assert_eq!(batch.position(), position + 1);
    journal.syncer.sync().unwrap();
    drop(journal);
    let mut journal = reopen(disk).unwrap();
    assert_eq!(journal.recovery.position, position + 1);
    if whole {
        let read = read(&mut journal).0;
        assert_eq!(read.last(), Some(&(position + 1, 1)));
        assert_eq!(read.len(), rows.len() + 1);
    }
}

fn reopen(disk: &Simulated) -> Result<Journal, JournalError> {
    let now = Now { monotonic: Duration::ZERO, utc: Micros(1_790_000_000_000_000) };
    let options = Options { tail_bytes_max: 0, ..Options::default() };
    open(Arc::new(disk.clone()), Path::new(ROOT), options, now)
}

/// Position and rows of every batch up to the first that cannot be read, and why it cannot.
fn read(journal: &mut Journal) -> (Vec<(u64, u32)>, Option<JournalError>) {
    let mut rows = Vec::new();
    let mut after = journal.feed.oldest() - 1;
    loop {
        match journal.feed.read(after, 1, Duration::ZERO) {
            Ok(batches) if batches.is_empty() => return (rows, None),
            Ok(batches) => {
                for batch in batches {
                    assert_eq!(batch.position(), after + 1, "in order, without a hole");
                    after = batch.position();
                    rows.push((after, u32::try_from(batch.rows()).unwrap()));
                }
            }
            Err(error) => return (rows, Some(error)),
        }
    }
}

/// The input with a byte between two records that is not zero.
///
/// # Panics
/// When no record of the first segment is followed by such a byte.
#[must_use]
pub fn unclean(mut input: Vec<u8>) -> Vec<u8> {
    let file = &input[1..];
    let salt = number::<4>(file, HEADER_BYTES - 4) as u32;
    let ends = records(file, salt)
        .into_iter()
        .map(|it| it.at + HEAD_BYTES + number::<4>(&file[it.at..], 8) as usize);
    let at = ends.into_iter().find(|end| end % 8 != 0).expect("not every length is a multiple");
    input[1 + at] = b'=';
    input
}

/// Lays the files into a journal's folder, under the numbers that they claim.
fn plant(disk: &Simulated, files: &[Vec<u8>]) -> Vec<PathBuf> {
    let first = files.first().map(Vec::as_slice).unwrap_or_default();
    let id = first.get(16..32).map_or([7; 16], |id| id.try_into().unwrap());
    let folder = Path::new(ROOT).join(uuid::Uuid::from_bytes(id).to_string());
    disk.create_folder(&folder).unwrap();
    let number =
        |file: &[u8]| file.get(32..40).map(|it| u64::from_le_bytes(it.try_into().unwrap()));
    let first = number(first).unwrap_or(1);
    let numbered = files.iter().zip(0..).map(|(file, index)| {
        let path = folder.join(format!("{:06}.seg", first.wrapping_add(index)));
        disk.plant(&path, file);
        path
    });
    numbered.collect()
}

fn split(more: usize, mut rest: &[u8]) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for _ in 0..more {
        let Some((length, behind)) = rest.split_first_chunk::<4>() else { break };
        let length = u32::from_le_bytes(*length) as usize;
        let (file, behind) = behind.split_at(length.min(behind.len()));
        files.push(file.to_vec());
        rest = behind;
    }
    files.push(rest.to_vec());
    files
}

/// A record at an offset, and whether its checksum is right and nothing but zeros follows it.
struct Record {
    at: usize,
    kind: u8,
    position: u64,
    rows: u32,
    right: bool,
}

/// The records from the header on, as far as their lengths lead.
fn records(file: &[u8], salt: u32) -> Vec<Record> {
    let (mut records, mut at) = (Vec::new(), HEADER_BYTES);
    while let Some(head) = file.get(at..at + HEAD_BYTES) {
        let payload_bytes = number::<4>(head, 8) as usize;
        let Some(payload) = file.get(at + HEAD_BYTES..at + HEAD_BYTES + payload_bytes) else {
            break;
        };
        if !head.starts_with(b"TREC") {
            break;
        }
        let end = at + HEAD_BYTES + payload_bytes;
        let next = end.next_multiple_of(8);
        let clean = file.get(end..next).is_some_and(|between| between.iter().all(|it| *it == 0));
        let right = clean && crc(salt, at, head, payload) == number::<4>(head, 4) as u32;
        let (position, rows) = (number::<8>(head, 16), number::<4>(head, 32) as u32);
        records.push(Record { at, kind: head[12], position, rows, right });
        at = next;
    }
    records
}

/// Position and rows of the batches whose checksum is right.
fn batches(file: &[u8]) -> Vec<(u64, u32)> {
    if file.len() < HEADER_BYTES {
        return Vec::new();
    }
    let salt = number::<4>(file, HEADER_BYTES - 4) as u32;
    let good = records(file, salt).into_iter().take_while(|record| record.right);
    good.filter(|record| record.kind == BATCH).map(|it| (it.position, it.rows)).collect()
}

/// Makes the checksums of the header and of notes right; those of schemas and batches only where
/// they were: what lies in them is Arrow's, and without its checksum never looked at.
fn reseal(file: &mut [u8]) {
    if file.len() < HEADER_BYTES {
        return;
    }
    let old = number::<4>(file, HEADER_BYTES - 4) as u32;
    let salt = crc32fast::hash(&file[..HEADER_BYTES - 4]);
    file[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&salt.to_le_bytes());
    for record in records(file, old) {
        if !record.right && matches!(record.kind, SCHEMA | BATCH) {
            continue;
        }
        let (head, payload) = file[record.at..].split_at(HEAD_BYTES);
        let payload = &payload[..number::<4>(head, 8) as usize];
        let crc = crc(salt, record.at, head, payload);
        file[record.at + 4..record.at + 8].copy_from_slice(&crc.to_le_bytes());
    }
}

fn crc(salt: u32, at: usize, head: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(salt);
    crc.update(&(at as u64).to_le_bytes());
    crc.update(&head[8..]);
    crc.update(payload);
    crc.finalize()
}

/// The little-endian number of `BYTES` bytes at an offset.
fn number<const BYTES: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number[..BYTES].copy_from_slice(&bytes[at..at + BYTES]);
    u64::from_le_bytes(number)
}

/// Where the journal lies on the simulated disk.
pub(super) const ROOT: &str = "/data/journal";
const HEADER_BYTES: usize = 128;
const HEAD_BYTES: usize = 48;
const SCHEMA: u8 = 1;
const BATCH: u8 = 2;
