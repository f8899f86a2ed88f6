//! What can go wrong with an export, each in one sentence that says what to do.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::failure::{Failure, FailureKind};

/// Something could not be written below the folder of the export.
pub(super) fn writing(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    let what = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            format!("make room, then {AGAIN}")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "make it writable, or choose another --out".to_owned()
        }
        _ => format!("when that is mended, {AGAIN}"),
    };
    storage(format_args!("cannot write {path}: {error}; {what}"))
}

/// Something that we wrote ourselves could not be read again.
pub(super) fn reading(path: &Path, error: &io::Error) -> Failure {
    storage(format_args!("cannot read {}: {error}; {AGAIN}", path.display()))
}

/// The disk, or what lies on it.
pub(super) fn storage(sentence: impl fmt::Display) -> Failure {
    Failure::new(FailureKind::Storage, sentence)
}

/// The command line.
pub(super) fn usage(sentence: impl fmt::Display) -> Failure {
    Failure::new(FailureKind::Usage, sentence)
}

/// How an export that ended early goes on.
pub(super) const AGAIN: &str = "run the same command again: it goes on where it ended";
