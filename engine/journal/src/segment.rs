//! A segment file: its name and its header.

use std::path::{Path, PathBuf};

use schema::Micros;
use uuid::Uuid;

use crate::JournalError;
use crate::error::ErrorKind;
use crate::fields::Fields;

/// The version of the format that this program writes.
pub(crate) const VERSION: u32 = 1;
/// The oldest program version that can read what this one writes.
const READABLE_FROM: u32 = 1;
const MAGIC: [u8; 8] = *b"TAPESEG\n";

/// The first bytes of a segment:
///
/// | bytes | what |
/// |---|---|
/// | 0..8 | `TAPESEG\n` |
/// | 8..12 | version of the format |
/// | 12..16 | the oldest version of the program that can read it |
/// | 16..32 | the journal's id |
/// | 32..40 | the segment's number |
/// | 40..48 | position of its first batch |
/// | 48..56 | sequence of its first row |
/// | 56..64 | when it was made, µs UTC |
/// | 64..72 | how often the journal had been opened before |
/// | 72..124 | zero |
/// | 124..128 | CRC-32 of the bytes before |
///
/// That CRC is where the CRC of each of its records begins: a record of another segment, left over
/// in a disk block, is never taken for one of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) journal: Uuid,
    pub(crate) number: u64,
    pub(crate) first_position: u64,
    pub(crate) first_sequence: i64,
    pub(crate) created: Micros,
    pub(crate) opened_before: u64,
}

impl Header {
    pub(crate) const BYTES: usize = 128;

    /// The bytes, and the salt of the segment's records.
    pub(crate) fn encode(&self) -> (Vec<u8>, u32) {
        let mut bytes = Vec::with_capacity(Self::BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&READABLE_FROM.to_le_bytes());
        bytes.extend_from_slice(self.journal.as_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.first_position.to_le_bytes());
        bytes.extend_from_slice(&self.first_sequence.to_le_bytes());
        bytes.extend_from_slice(&self.created.0.to_le_bytes());
        bytes.extend_from_slice(&self.opened_before.to_le_bytes());
        bytes.resize(Self::BYTES - 4, 0);
        let salt = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&salt.to_le_bytes());
        (bytes, salt)
    }

    /// The header in `bytes`, which were read from `path`, and the salt of its records.
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<(Self, u32), JournalError> {
        let damaged = |what: &str| JournalError::damaged(path, 0, what);
        let (guarded, salt) = bytes
            .get(..Self::BYTES)
            .and_then(<[u8]>::split_last_chunk::<4>)
            .ok_or_else(|| damaged("it is too short for a segment of a journal"))?;
        let mut fields = Fields(guarded);
        if fields.take() != Some(MAGIC) {
            return Err(damaged("it does not begin like a segment of a journal"));
        }
        let salt = u32::from_le_bytes(*salt);
        if crc32fast::hash(guarded) != salt {
            return Err(damaged("the checksum of its header is wrong"));
        }
        let version = fields.u32().unwrap_or(0);
        let readable_from = fields.u32().unwrap_or(0);
        if readable_from > VERSION {
            let what = format!(
                "{} has format {version}, readable from {readable_from}, and this program reads \
                 up to {VERSION}",
                path.display()
            );
            return Err(JournalError::new(ErrorKind::Newer, what));
        }
        let header = Self::fields(&mut fields).ok_or_else(|| damaged("its header is cut"))?;
        if header.first_position == 0 || header.first_sequence < 0 {
            return Err(damaged("its header counts from below the first record"));
        }
        let sequence = header.first_sequence.unsigned_abs();
        let counts = [header.number, header.first_position, sequence, header.opened_before];
        if counts.into_iter().any(|count| count > COUNT_MAX) {
            return Err(damaged("its header counts further than any journal goes"));
        }
        Ok((header, salt))
    }

    fn fields(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            journal: Uuid::from_bytes(fields.take()?),
            number: fields.u64()?,
            first_position: fields.u64()?,
            first_sequence: fields.i64()?,
            created: Micros(fields.i64()?),
            opened_before: fields.u64()?,
        })
    }
}

/// No journal gets so far, and what follows can be counted.
const COUNT_MAX: u64 = 1 << 62;

/// `FOLDER/NNNNNN.seg`.
pub(crate) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:06}.seg"))
}

/// `FOLDER/NNNNNN.new`: a segment before it is whole. It is synced, then renamed to `.seg`, so that
/// a `.seg` always has its header and its checkpoint.
pub(crate) fn draft_path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:06}.new"))
}

/// The number in a segment's name, or `None` if the name is no segment's.
pub(crate) fn number_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".seg")?;
    let number = digits.parse().ok()?;
    (path.file_name()? == path_of(Path::new(""), number).as_os_str()).then_some(number)
}

/// Whether the name is that of a segment before it is whole.
pub(crate) fn is_draft(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "new")
        && number_of(&path.with_extension("seg")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            journal: Uuid::from_u128(0xABCD),
            number: 3,
            first_position: 10,
            first_sequence: 99,
            created: Micros(5),
            opened_before: 1,
        }
    }

    #[test]
    fn a_header_reads_back() {
        let (bytes, salt) = header().encode();
        assert_eq!(bytes.len(), Header::BYTES);
        assert_eq!(Header::decode(&bytes, Path::new("x")).unwrap(), (header(), salt));
    }

    #[test]
    fn no_changed_header_is_taken() {
        let (bytes, _) = header().encode();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x40;
            Header::decode(&bytes, Path::new("x")).unwrap_err();
        }
        for length in 0..bytes.len() {
            Header::decode(&bytes[..length], Path::new("x")).unwrap_err();
        }
    }

    /// Its checksum is right, and yet nothing can follow it.
    #[test]
    fn a_header_that_counts_too_far_is_refused() {
        let far = 1_u64 << 62;
        let most = Header { number: far, first_position: far, ..header() };
        Header::decode(&most.encode().0, Path::new("x")).unwrap();
        for header in [
            Header { number: u64::MAX, ..header() },
            Header { first_position: far + 1, ..header() },
            Header { first_sequence: i64::MAX, ..header() },
            Header { opened_before: u64::MAX, ..header() },
        ] {
            let error = Header::decode(&header.encode().0, Path::new("x")).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Damaged { .. }), "{header:?}");
        }
    }

    #[test]
    fn a_program_reads_what_says_that_it_can() {
        let (mut bytes, _) = header().encode();
        let check = |bytes: &mut Vec<u8>, version: u32, readable_from: u32| {
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            bytes[12..16].copy_from_slice(&readable_from.to_le_bytes());
            let salt = crc32fast::hash(&bytes[..124]);
            bytes[124..].copy_from_slice(&salt.to_le_bytes());
            Header::decode(bytes, Path::new("x"))
        };
        check(&mut bytes, VERSION + 5, VERSION).unwrap();
        let error = check(&mut bytes, VERSION + 5, VERSION + 1).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Newer);
    }

    #[test]
    fn a_name_is_a_number_in_one_way() {
        let check = |name: &str| number_of(Path::new(name));
        assert_eq!(check("/a/000012.seg"), Some(12));
        assert_eq!(check("/a/1234567.seg"), Some(1_234_567));
        for name in ["/a/12.seg", "/a/000012.new", "/a/+00012.seg", "/a/x.seg", "/a/.seg"] {
            assert_eq!(check(name), None, "{name}");
        }
        assert!(is_draft(Path::new("/a/000012.new")));
        assert!(!is_draft(Path::new("/a/notes.new")));
    }
}
