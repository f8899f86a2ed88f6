//! What can go wrong when an exchange starts, or when a truth log is read.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An error of the exchange: one sentence that says what, where and what to do.
#[derive(Debug)]
pub enum ExchangeError {
    /// Another program listens there already.
    AddressInUse(SocketAddr),
    /// The address cannot be listened on for another reason.
    Listen(SocketAddr, io::Error),
    /// The certificate or the key is not usable.
    Tls(String),
    /// A recording cannot be read.
    Recording(PathBuf, io::Error),
    /// A folder holds no `.jsonl` or `.jsonl.zst` file, or the files hold no frame.
    EmptyRecording(PathBuf),
    /// A line of a recording or of a truth log is not what it must be.
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The truth log cannot be written or read.
    Truth(PathBuf, io::Error),
    /// A number of the configuration makes no sense.
    Config(String),
    /// The exchange's own thread or runtime did not start.
    Thread(io::Error),
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExchangeError::AddressInUse(address) => {
                write!(f, "{address} is in use by another program: choose another port, or 0")
            }
            ExchangeError::Listen(address, source) => {
                write!(f, "cannot listen on {address}: {source}: choose another address")
            }
            ExchangeError::Tls(reason) => {
                write!(f, "the TLS certificate or key cannot be used: {reason}: give PEM of both")
            }
            ExchangeError::Recording(path, source) => {
                write!(f, "cannot read the recording {}: {source}: check the path", path.display())
            }
            ExchangeError::EmptyRecording(path) => write!(
                f,
                "{} holds no frames to replay: give a .jsonl or .jsonl.zst file, or a folder \
                 of them",
                path.display()
            ),
            ExchangeError::Line { path, line, reason } => {
                write!(f, "line {line} of {} {reason}: mend or remove it", path.display())
            }
            ExchangeError::Truth(path, source) => {
                write!(f, "cannot use the truth log {}: {source}: check the path", path.display())
            }
            ExchangeError::Config(reason) => write!(f, "{reason}"),
            ExchangeError::Thread(source) => {
                write!(f, "cannot start the exchange's thread: {source}: free memory or threads")
            }
        }
    }
}

impl std::error::Error for ExchangeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ExchangeError::Listen(_, source)
            | ExchangeError::Recording(_, source)
            | ExchangeError::Truth(_, source)
            | ExchangeError::Thread(source) => Some(source),
            ExchangeError::AddressInUse(_)
            | ExchangeError::Tls(_)
            | ExchangeError::EmptyRecording(_)
            | ExchangeError::Line { .. }
            | ExchangeError::Config(_) => None,
        }
    }
}
