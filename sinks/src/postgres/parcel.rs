//! Rows of one table as the bytes of a COPY, in chunks ready to be sent.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::copy::{HEADER, Rows, TRAILER};
use super::load::{Load, Refused};
use super::session::Destination;

/// What one COPY sends.
pub(super) struct Parcel {
    destination: Destination,
    chunks: Chunks,
    full: Vec<Bytes>,
    /// The chunk that is being filled.
    chunk: Vec<u8>,
    rows: u64,
    bytes: usize,
}

impl Parcel {
    /// One without rows.
    pub(super) fn new(destination: Destination, chunks: &Chunks) -> Self {
        let (chunks, mut chunk) = (chunks.clone(), chunks.take());
        chunk.extend_from_slice(HEADER);
        Self { destination, chunks, full: Vec::new(), chunk, rows: 0, bytes: 0 }
    }

    /// Adds the rows of a load, which is for the same table; those that cannot be sent as they are
    /// become refused ones.
    pub(super) fn add(&mut self, load: &Load, refused: &mut Vec<Refused>) {
        for part in &load.parts {
            let rows = Rows::new(&part.batch, &self.destination.target);
            for row in &part.rows {
                match rows.encode(*row as usize, &mut self.chunk) {
                    Ok(()) => self.rows += 1,
                    Err(refusal) => refused.push(Refused {
                        batch: part.batch.clone(),
                        row: *row as usize,
                        name: load.name.clone(),
                        why: refusal.to_string(),
                    }),
                }
                if self.chunk.len() >= CHUNK_BYTES {
                    let full = mem::replace(&mut self.chunk, self.chunks.take());
                    self.bytes += full.len();
                    self.full.push(self.chunks.lend(full));
                }
            }
        }
    }

    /// Where it goes.
    pub(super) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// How many rows it holds.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// How many bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.chunk.len()
    }

    /// All of it, in the order of sending.
    pub(super) fn chunks(mut self) -> impl Iterator<Item = Bytes> {
        self.chunk.extend_from_slice(TRAILER);
        let last = self.chunks.lend(self.chunk);
        self.full.into_iter().chain([last])
    }
}

/// Memory for chunks, used again and again: what a transaction gives back the next one takes. Fresh
/// memory is cleared by the system each time.
#[derive(Clone, Default)]
pub(super) struct Chunks(Arc<Mutex<Vec<Vec<u8>>>>);

impl Chunks {
    fn take(&self) -> Vec<u8> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // A row that crosses the bound still fits, unless it is a very long one.
        kept.unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 16))
    }

    /// A chunk to be sent, which comes back when it was.
    fn lend(&self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, chunks: self.clone() })
    }
}

struct Lent {
    bytes: Vec<u8>,
    chunks: Chunks,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.chunks.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that a long row made large is let go.
        if kept.len() < KEPT_MAX && self.bytes.capacity() < 2 * CHUNK_BYTES {
            self.bytes.clear();
            kept.push(mem::take(&mut self.bytes));
        }
    }
}

/// What is handed to the socket at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait for their next use: 8 MiB.
const KEPT_MAX: usize = 128;
