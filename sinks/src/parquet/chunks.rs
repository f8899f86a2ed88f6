//! A file behind the door to the disk, as the Parquet reader wants it: page by page.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use journal::disk::Source;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// A file of which parts are read. A clone reads the same file; each read says from where.
#[derive(Clone)]
pub(super) struct Chunks {
    source: Arc<Mutex<Box<dyn Source>>>,
    bytes: u64,
}

/// Reads on from a place of its own.
pub(super) struct From {
    chunks: Chunks,
    at: u64,
}

impl Chunks {
    pub(super) fn new(source: Box<dyn Source>) -> io::Result<Self> {
        let bytes = Source::bytes(&*source)?;
        Ok(Self { source: Arc::new(Mutex::new(source)), bytes })
    }

    fn with<T>(
        &self,
        at: u64,
        read: impl FnOnce(&mut dyn Source) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        source.seek(SeekFrom::Start(at))?;
        read(&mut **source)
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        // Only page headers are read this way, a few dozen bytes each.
        Ok(BufReader::with_capacity(HEADER_BYTES, From { chunks: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.bytes) {
            let what = format!("bytes {start} and {length} more of a file of {}", self.bytes);
            return Err(ParquetError::EOF(what));
        }
        let mut bytes = vec![0; length];
        self.with(start, |source| source.read_exact(&mut bytes))?;
        Ok(bytes.into())
    }
}

impl Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let taken = self.chunks.with(self.at, |source| source.read(into))?;
        self.at += taken as u64;
        Ok(taken)
    }
}

const HEADER_BYTES: usize = 512;
