//! What can go wrong with the journal, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of the journal. It prints as one sentence: what failed, where, and what to do.
#[derive(Debug)]
pub struct JournalError {
    kind: ErrorKind,
    doing: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What an error means for the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The disk refused a call. When it refused a write or a sync, the journal is poisoned.
    Io,
    /// No room. Rows handed to the appender are kept in memory and written by the first later call
    /// that finds room; until then hand in no more. A journal that could not be opened for want of
    /// room has lost nothing.
    Full {
        /// What the disk says is free.
        free_bytes: u64,
        /// What the record needs.
        needed_bytes: u64,
    },
    /// Bytes that were durable are not what was written. Nothing was changed.
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where its first bad byte may be.
        offset: u64,
    },
    /// A newer program wrote it, and says that this one cannot read it.
    Newer,
    /// A write or a sync failed before: nothing more is taken.
    Poisoned,
    /// The position asked for is no longer kept.
    Gone {
        /// The oldest position that is.
        oldest: u64,
    },
    /// The position asked for is beyond what is durable here: a position of another journal, or of
    /// this one before it was restored from an older copy.
    Ahead {
        /// The last durable position.
        durable: u64,
    },
    /// The folder does not hold exactly one journal.
    Folder,
}

impl JournalError {
    pub(crate) fn new(kind: ErrorKind, doing: impl Into<String>) -> Self {
        Self { kind, doing: doing.into(), source: None }
    }

    /// An error of the disk at `path`.
    pub(crate) fn io(verb: &str, path: &Path, source: io::Error) -> Self {
        let doing = format!("{verb} {}", path.display());
        Self { kind: ErrorKind::Io, doing, source: Some(Box::new(source)) }
    }

    /// Bad bytes in a segment, `what` is wrong with them.
    pub(crate) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged { path: path.to_owned(), offset }, what)
    }

    pub(crate) fn poisoned(first: &str) -> Self {
        Self::new(ErrorKind::Poisoned, first)
    }

    /// What the error means.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = &self.doing;
        match &self.kind {
            ErrorKind::Io => write!(f, "cannot {doing}")?,
            ErrorKind::Full { free_bytes, needed_bytes } => write!(
                f,
                "cannot {doing}: the disk is full ({free_bytes} bytes free, {needed_bytes} \
                 needed): make room; what was handed in is kept",
            )?,
            ErrorKind::Damaged { path, offset } => write!(
                f,
                "{} is damaged at byte {offset}: {doing}; nothing was changed: restore the file \
                 from a copy, or move the journal's folder away to begin a new one",
                path.display(),
            )?,
            ErrorKind::Newer => write!(f, "{doing}; run the newer program")?,
            ErrorKind::Poisoned => write!(
                f,
                "the journal takes nothing more since it could not {doing}: check the disk, then \
                 start again",
            )?,
            ErrorKind::Gone { oldest } => {
                write!(f, "{doing} is no longer in the journal, which begins at {oldest}")?;
            }
            ErrorKind::Ahead { durable } => write!(
                f,
                "{doing} is beyond the journal, which ends at {durable}: it belongs to another \
                 journal or to a newer copy of this one",
            )?,
            ErrorKind::Folder => write!(f, "{doing}")?,
        }
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for JournalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// Whether a disk's error says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
