//! Open files of the simulated disk.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use super::Simulated;
use crate::disk::{File, Source, Syncer};

/// A file open for appending.
#[derive(Debug)]
pub(super) struct Handle {
    disk: Simulated,
    id: usize,
}

/// A file open for reading.
pub(super) struct Reading {
    disk: Simulated,
    id: usize,
    at: u64,
}

impl Handle {
    pub(super) fn new(disk: &Simulated, id: usize) -> Self {
        Self { disk: disk.clone(), id }
    }
}

impl Reading {
    pub(super) fn new(disk: &Simulated, id: usize) -> Self {
        Self { disk: disk.clone(), id, at: 0 }
    }
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.state().write(self.id, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl File for Handle {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.state().sync(self.id)
    }

    fn syncer(&self) -> io::Result<Arc<dyn Syncer>> {
        Ok(Arc::new(Self::new(&self.disk, self.id)))
    }
}

impl Syncer for Handle {
    fn sync(&self) -> io::Result<()> {
        self.disk.state().sync(self.id)
    }
}

impl Read for Reading {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let power = state.call()?;
        let from = usize::try_from(self.at).unwrap_or(usize::MAX);
        let rest = state.surface(self.id).seen().get(from..).unwrap_or_default();
        let taken = rest.len().min(into.len());
        into.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        self.at += taken as u64;
        power.done(taken)
    }
}

impl Seek for Reading {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let bytes = Source::bytes(self)?;
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => bytes.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

impl Source for Reading {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state().surface(self.id).seen().len() as u64)
    }
}
