//! Why the program ends, and with which exit code.

use std::fmt;
use std::process::ExitCode;

/// Why a command could not do what it was asked to.
#[derive(Debug)]
pub struct Failure {
    kind: FailureKind,
    sentence: String,
}

/// Whose trouble it is; each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// 0: a signal came before anything had begun.
    Stopped,
    /// 130: a signal came before the work was done; the same command goes on with it.
    Interrupted,
    /// 1: the recorder that was asked is not well, or does not answer.
    Unhealthy,
    /// 2: the command line or the configuration.
    Usage,
    /// 3: the exchange, or the way to it.
    Exchange,
    /// 4: the disk.
    Storage,
    /// 5: the database, or the way to it.
    Database,
    /// 6: another process has the data folder.
    InUse,
}

impl Failure {
    /// A failure said in one sentence: what, where, what to do.
    #[must_use]
    pub fn new(kind: FailureKind, sentence: impl fmt::Display) -> Self {
        Self { kind, sentence: sentence.to_string() }
    }

    /// A thread of ours ended in a panic: a defect, whose words are above it in the log.
    #[must_use]
    pub fn panicked(thread: &str) -> Self {
        let sentence = format!(
            "{thread} has panicked, which is a defect: please report what the log says; everything \
             durable is kept and the next start records the gap"
        );
        Self::new(FailureKind::Storage, sentence)
    }

    /// Whose trouble it is.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            FailureKind::Stopped => 0,
            FailureKind::Interrupted => 130,
            FailureKind::Unhealthy => 1,
            FailureKind::Usage => 2,
            FailureKind::Exchange => 3,
            FailureKind::Storage => 4,
            FailureKind::Database => 5,
            FailureKind::InUse => 6,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}
