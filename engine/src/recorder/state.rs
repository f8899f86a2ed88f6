//! Small files below `DATA/state`, each replaced whole.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::disk::Disk;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, FailureKind};

/// The folder.
#[derive(Clone, Debug)]
pub struct State {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl State {
    /// That of a data folder.
    #[must_use]
    pub fn new(disk: &Arc<dyn Disk>, data: &Path) -> Self {
        Self { disk: Arc::clone(disk), folder: data.join("state") }
    }

    /// Where a file is.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// What a file says; none if there is no such file. `what` that is, is for the sentence.
    ///
    /// # Errors
    /// When it is there and cannot be read, or not understood.
    pub fn read<T: DeserializeOwned>(&self, file: &str, what: &str) -> Result<Option<T>, Failure> {
        let path = self.path(file);
        let failed = |why: &dyn std::fmt::Display| {
            let sentence = format_args!("cannot read {what}, {}: {why}", path.display());
            Failure::new(FailureKind::Storage, sentence)
        };
        let mut text = String::new();
        match self.disk.open(&path).and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => serde_json::from_str(&text).map(Some).map_err(|error| failed(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Lets a file say this, as [`write`](Self::write).
    ///
    /// # Errors
    /// When it cannot be written, in a sentence.
    pub fn keep(&self, file: &str, what: &impl Serialize) -> Result<(), String> {
        let text = serde_json::to_string(what).expect("names and numbers are JSON");
        let failed = |error| format!("cannot write {}: {error}", self.path(file).display());
        self.write(file, &text).map_err(failed)
    }

    /// Replaces a file; it survives a power cut.
    ///
    /// # Errors
    /// When it cannot be written: then the old one is still there.
    pub fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let (new, path) = (self.path(&format!("{file}.new")), self.path(file));
        self.disk.create_folder(&self.folder)?;
        match self.disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = self.disk.create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync()?;
        self.disk.rename(&new, &path)?;
        self.disk.sync_folder(&self.folder)
    }
}
