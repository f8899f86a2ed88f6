//! A record of a segment: a head of fixed size, a payload, zeros up to the next eighth byte.

use schema::Origin;

use crate::fields::Fields;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A table's columns, as an Arrow IPC schema message; before the table's first batch.
    Schema,
    /// Rows of one table, as Arrow IPC dictionary and record batch messages.
    Batch,
    /// What is known at the beginning of a segment: JSON of [`Checkpoint`](crate::resume).
    Checkpoint,
    /// A shard's acknowledged channels: JSON.
    Shard,
    /// What was durable when this was written: JSON.
    Watermark,
    /// A kind that a later program added, and that this one may pass over.
    Later(u8),
}

/// The head of a record. Little endian:
///
/// | bytes | what |
/// |---|---|
/// | 0..4 | `TREC` |
/// | 4..8 | CRC-32 of the segment's salt, the record's offset, bytes 8..48 and the payload |
/// | 8..12 | bytes of payload, without the zeros after it |
/// | 12 | kind |
/// | 13 | zero |
/// | 14..16 | number of the table in this segment, given by its schema record |
/// | 16..24 | position: of this batch, else of the last batch before |
/// | 24..32 | sequence of the first row of this batch, else of the next |
/// | 32..36 | rows |
/// | 36..38 | reader |
/// | 38..40 | zero |
/// | 40..44 | read_coalesce_us |
/// | 44..48 | zero |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) table: u16,
    pub(crate) position: u64,
    pub(crate) sequence: i64,
    pub(crate) rows: u32,
    pub(crate) origin: Origin,
}

/// A record being written; its memory is used again by the next.
#[derive(Debug, Default)]
pub(crate) struct Frame(Vec<u8>);

/// A head as read: not to be believed before [`RawHead::check`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawHead {
    head: Head,
    crc: u32,
    payload_bytes: u32,
    guarded: [u8; Head::BYTES - GUARDED_FROM],
}

impl Head {
    pub(crate) const BYTES: usize = 48;

    /// A head of anything but a batch, after the batch at `position`.
    pub(crate) fn note(kind: Kind, table: u16, position: u64, sequence: i64) -> Self {
        Self { kind, table, position, sequence, rows: 0, origin: Origin::default() }
    }
}

impl Frame {
    /// Begins a record: the payload is to be added to the bytes returned.
    pub(crate) fn begin(&mut self) -> &mut Vec<u8> {
        self.0.clear();
        self.0.resize(Head::BYTES, 0);
        &mut self.0
    }

    /// Puts the head before the payload and returns the whole record for this offset. `None` when
    /// the payload is longer than a head can say.
    pub(crate) fn seal(&mut self, head: &Head, salt: u32, offset: u64) -> Option<&[u8]> {
        let payload_bytes = self.0.len().checked_sub(Head::BYTES)?;
        let payload_bytes = u32::try_from(payload_bytes).ok()?;
        let mut guarded = Vec::with_capacity(Head::BYTES);
        guarded.extend_from_slice(&payload_bytes.to_le_bytes());
        guarded.extend_from_slice(&[head.kind.code(), 0]);
        guarded.extend_from_slice(&head.table.to_le_bytes());
        guarded.extend_from_slice(&head.position.to_le_bytes());
        guarded.extend_from_slice(&head.sequence.to_le_bytes());
        guarded.extend_from_slice(&head.rows.to_le_bytes());
        guarded.extend_from_slice(&head.origin.reader.to_le_bytes());
        guarded.extend_from_slice(&[0; 2]);
        guarded.extend_from_slice(&head.origin.read_coalesce_us.to_le_bytes());
        guarded.extend_from_slice(&[0; 4]);
        let (front, payload) = self.0.split_at_mut_checked(Head::BYTES)?;
        let crc = checksum(salt, offset, &guarded, payload);
        front.get_mut(..4)?.copy_from_slice(&MAGIC);
        front.get_mut(4..8)?.copy_from_slice(&crc.to_le_bytes());
        front.get_mut(GUARDED_FROM..)?.copy_from_slice(&guarded);
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        Some(&self.0)
    }
}

impl RawHead {
    /// The head in `bytes`; `None` if they do not begin like one.
    pub(crate) fn decode(bytes: &[u8; Head::BYTES]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.take()? != MAGIC {
            return None;
        }
        let crc = fields.u32()?;
        let guarded = *fields.0.first_chunk()?;
        let payload_bytes = fields.u32()?;
        let kind = Kind::of_code(fields.u8()?);
        fields.u8()?;
        let table = fields.u16()?;
        let (position, sequence, rows) = (fields.u64()?, fields.i64()?, fields.u32()?);
        let reader = fields.u16()?;
        fields.u16()?;
        let origin = Origin { reader, read_coalesce_us: fields.u32()? };
        let head = Head { kind, table, position, sequence, rows, origin };
        Some(Self { head, crc, payload_bytes, guarded })
    }

    /// Bytes of payload that follow, if the head is to be believed.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload_bytes as usize
    }

    /// The kind, if the head is to be believed.
    pub(crate) fn kind(&self) -> Kind {
        self.head.kind
    }

    /// The head, if it and its payload are what was written at this offset of this segment.
    pub(crate) fn check(&self, salt: u32, offset: u64, payload: &[u8]) -> Option<Head> {
        let right = checksum(salt, offset, &self.guarded, payload) == self.crc;
        right.then_some(self.head)
    }
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Schema => 1,
            Self::Batch => 2,
            Self::Checkpoint => 3,
            Self::Shard => 4,
            Self::Watermark => 5,
            Self::Later(code) => code,
        }
    }

    fn of_code(code: u8) -> Self {
        match code {
            1 => Self::Schema,
            2 => Self::Batch,
            3 => Self::Checkpoint,
            4 => Self::Shard,
            5 => Self::Watermark,
            code => Self::Later(code),
        }
    }
}

/// Bytes of a whole record with so much payload.
pub(crate) fn bytes(payload_bytes: usize) -> u64 {
    (Head::BYTES + payload_bytes).next_multiple_of(8) as u64
}

fn checksum(salt: u32, offset: u64, guarded: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(salt);
    crc.update(&offset.to_le_bytes());
    crc.update(guarded);
    crc.update(payload);
    crc.finalize()
}

pub(crate) const MAGIC: [u8; 4] = *b"TREC";
/// Where the head's bytes under the checksum begin.
const GUARDED_FROM: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let origin = Origin { reader: 2, read_coalesce_us: 500 };
        Head { kind: Kind::Batch, table: 3, position: 9, sequence: 70, rows: 4, origin }
    }

    fn sealed() -> Vec<u8> {
        let mut frame = Frame::default();
        frame.begin().extend_from_slice(b"payload");
        frame.seal(&head(), 11, 128).unwrap().to_vec()
    }

    fn read(bytes: &[u8], salt: u32, offset: u64) -> Option<Head> {
        let raw = RawHead::decode(bytes.first_chunk()?)?;
        let payload = bytes.get(Head::BYTES..Head::BYTES + raw.payload_bytes())?;
        raw.check(salt, offset, payload)
    }

    #[test]
    fn a_record_reads_back_at_its_place_only() {
        let bytes = sealed();
        assert_eq!(bytes.len(), 56);
        assert_eq!(read(&bytes, 11, 128), Some(head()));
        assert_eq!(read(&bytes, 12, 128), None, "another segment");
        assert_eq!(read(&bytes, 11, 136), None, "another place");
    }

    #[test]
    fn no_changed_record_is_taken() {
        let bytes = sealed();
        for bit in 0..(Head::BYTES + 7) * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bytes, 11, 128), None, "bit {bit}");
        }
    }
}
