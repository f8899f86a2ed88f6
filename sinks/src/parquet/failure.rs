//! What went wrong on the disk, as a [`SinkError`] that says what to do.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;

use journal::disk::Disk;
use parquet::errors::ParquetError;

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
pub(super) fn encoding(disk: &dyn Disk, path: &Path, source: ParquetError) -> SinkError {
    coding(disk, ["writing", "encoding"], path, source)
}

/// A failure of the decoder, which is the disk's if its source is.
pub(super) fn decoding(disk: &dyn Disk, path: &Path, source: ParquetError) -> SinkError {
    coding(disk, ["reading", "decoding"], path, source)
}

fn coding(disk: &dyn Disk, doing: [&str; 2], path: &Path, source: ParquetError) -> SinkError {
    let inner = match source {
        ParquetError::External(inner) => inner,
        source => Box::new(source),
    };
    match inner.downcast::<io::Error>() {
        Ok(source) => io(disk, doing[0], path, *source),
        Err(source) => stop(format!("{} {}", doing[1], path.display()), source),
    }
}

/// Something that no retry mends.
pub(super) fn stop(doing: String, source: impl Into<Box<dyn Error + Send + Sync>>) -> SinkError {
    SinkError { kind: SinkErrorKind::Stop, doing, source: source.into() }
}

#[cfg(test)]
mod tests {
    use journal::disk::Simulated;

    use super::*;

    #[track_caller]
    fn check(source: ErrorKind, kind: SinkErrorKind, says: &str) {
        let path = Path::new("/data/parquet/x");
        let direct = io(&Simulated::new(1), "writing", path, source.into());
        let encoded = ParquetError::from(io::Error::from(source));
        for error in [direct, encoding(&Simulated::new(1), path, encoded)] {
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.to_string().starts_with(says), "{error}");
        }
    }

    #[test]
    fn failures_say_what_to_do() {
        use SinkErrorKind::{Retry, Stop};
        let must = "writing /data/parquet/x (the folder must be writable): ";
        check(ErrorKind::PermissionDenied, Stop, must);
        check(ErrorKind::ReadOnlyFilesystem, Stop, must);
        check(ErrorKind::StorageFull, Retry, "writing /data/parquet/x (18446744073709551615 bytes");
        check(ErrorKind::QuotaExceeded, Retry, "writing /data/parquet/x (18446744073709551615");
        check(ErrorKind::Other, Retry, "writing /data/parquet/x: ");
        check(ErrorKind::NotADirectory, Stop, "writing /data/parquet/x: ");
    }
}
