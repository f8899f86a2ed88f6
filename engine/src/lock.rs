//! The lock on a data folder: one recorder a folder.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, FailureKind};

/// Holds the folder until it is dropped; the system lets go when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the folder is not ours.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Who, as far as the lock file says.
        holder: String,
    },
    /// The folder or the lock file cannot be made.
    Unwritable {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Lock {
    /// Takes the folder, which is made if it is missing.
    ///
    /// # Errors
    /// When another process has it, or it cannot be written to.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let unwritable = |source| LockError::Unwritable { folder: folder.into(), source };
        std::fs::create_dir_all(folder).map_err(unwritable)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join("lock"))
            .map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("process {pid}"),
                };
                return Err(LockError::InUse { folder: folder.into(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(unwritable(source)),
        }
        // Only a hint for people: the lock itself is the system's.
        file.set_len(0).map_err(unwritable)?;
        file.rewind().map_err(unwritable)?;
        writeln!(file, "{}", std::process::id()).map_err(unwritable)?;
        Ok(Self { _file: file })
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { folder, holder } => write!(
                f,
                "the data folder {} is in use by {holder}: stop it, or choose another --data",
                folder.display()
            ),
            Self::Unwritable { folder, source } => write!(
                f,
                "cannot write to the data folder {}: {source}; choose another --data",
                folder.display()
            ),
        }
    }
}

impl std::error::Error for LockError {}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let kind = match error {
            LockError::InUse { .. } => FailureKind::InUse,
            LockError::Unwritable { .. } => FailureKind::Storage,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        let error = Lock::take(folder.path()).unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(lock);
        assert!(Lock::take(folder.path()).is_ok());
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "").unwrap();
        let error = Lock::take(&path).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
    }
}
