//! What went wrong on the disk, as a [`SinkError`] that says what to do.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;

use journal::disk::Disk;

use crate::{SinkError, SinkErrorKind};

/// A failure of the disk while `doing` something to `path`.
pub(super) fn io(disk: &dyn Disk, doing: &str, path: &Path, source: io::Error) -> SinkError {
    let place = format!("{doing} {}", path.display());
    let (kind, doing) = match source.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            (SinkErrorKind::Stop, format!("{place} (the folder must be writable)"))
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            let free = disk.free_bytes(path).map_or("unknown".to_owned(), |free| free.to_string());
            let doing = format!("{place} ({free} bytes free: make room, and it goes on by itself)");
            (SinkErrorKind::Retry, doing)
        }
        ErrorKind::NotADirectory => (SinkErrorKind::Stop, place),
        _ => (SinkErrorKind::Retry, place),
    };
    SinkError { kind, doing, source: Box::new(source) }
}

/// A failure of the encoder, which is the disk's if its source is.
pub(super) fn encoding(
    disk: &dyn Disk,
    path: &Path,
    source: parquet::errors::ParquetError,
) -> SinkError {
    let inner = match source {
        parquet::errors::ParquetError::External(inner) => inner,
        source => Box::new(source),
    };
    match inner.downcast::<io::Error>() {
        Ok(source) => io(disk, "writing", path, *source),
        Err(source) => stop(format!("encoding {}", path.display()), source),
    }
}

/// Something that no retry mends.
pub(super) fn stop(doing: String, source: impl Into<Box<dyn Error + Send + Sync>>) -> SinkError {
    SinkError { kind: SinkErrorKind::Stop, doing, source: source.into() }
}
