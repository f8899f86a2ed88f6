//! The only door to the disk: everything that must survive goes through a [`Disk`].
//!
//! Two doors exist: [`System`] is the machine's disk, [`Simulated`] loses whatever a power cut may
//! lose. Journal and sinks are written against the trait, so that a test can cut the power at any
//! call.

use std::fmt;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod simulated;
mod system;

pub use simulated::Simulated;
pub use system::System;

/// A file system, as far as the journal and the sinks need one. Shared between threads.
///
/// Durability: bytes survive a power cut after [`File::sync`]; a name (created, renamed, removed)
/// survives after [`sync_folder`](Self::sync_folder) of the folder that holds it.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a new file for writing. `AlreadyExists` if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens an existing file to write at its end.
    fn append(&self, path: &Path) -> io::Result<Box<dyn File>>;
    /// Opens an existing file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Source>>;
    /// Cuts an existing file to `bytes`, and syncs it.
    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()>;
    /// Gives a file another name; an existing file of that name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives each of two folders the other's name, in one step: everybody sees both as they were
    /// or both exchanged, also after a power cut. Survives one once the folders that hold them are
    /// both synced. What is in them must be durable before. `InvalidInput` or `Unsupported` where
    /// the file system cannot do it, `CrossesDevices` between two of them.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder. `DirectoryNotEmpty` if something is in it.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder and those above it; fine if it is there. Syncs what it made.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// What stands in a folder, sorted by name; empty if the folder is missing.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;
    /// Makes the folder's names durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Bytes that may still be written to the disk that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// A file that is written.
pub trait File: Write + Send + fmt::Debug {
    /// Makes everything written durable. After a failure nothing about the file is certain: the
    /// caller must stop using it.
    fn sync(&mut self) -> io::Result<()>;
    /// A second handle, so that another thread can sync while this one writes.
    fn syncer(&self) -> io::Result<Arc<dyn Syncer>>;
}

/// Syncs a file that another thread writes.
pub trait Syncer: Send + Sync + fmt::Debug {
    /// Makes durable at least what was written before the call.
    fn sync(&self) -> io::Result<()>;
}

/// A file that is read.
pub trait Source: Read + Seek + Send {
    /// Its length, bytes.
    fn bytes(&self) -> io::Result<u64>;
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The whole path.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub folder: bool,
    /// Length of a file, bytes; 0 for a folder.
    pub bytes: u64,
}
