//! Small files below `DATA/state`, each replaced whole.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::disk::Disk;

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

    /// The text of a file; none if there is no such file.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self, file: &str) -> io::Result<Option<String>> {
        let mut text = String::new();
        match self.disk.open(&self.path(file)).and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
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
