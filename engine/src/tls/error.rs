//! Why there is no TLS connection, in the words of whoever has to mend it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use rustls::CertificateError;

/// A trust file that is no good, or a server that is not to be trusted.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The file of authorities cannot be read.
    CaUnreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file of authorities holds no certificate.
    CaEmpty {
        /// The file.
        path: PathBuf,
    },
    /// The file of authorities holds something that is no certificate.
    CaInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A host that no certificate can name.
    HostInvalid {
        /// The host.
        host: String,
    },
    /// No trusted authority has signed the server's certificate.
    UnknownIssuer {
        /// The server.
        host: String,
    },
    /// The certificate names an authority that we trust, but another key has signed it: as when
    /// an authority was made anew under its old name.
    WrongSignature {
        /// The server.
        host: String,
    },
    /// The certificate belongs to somebody else.
    WrongName {
        /// The server.
        host: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// The certificate is no longer valid.
    Expired {
        /// The server.
        host: String,
        /// When it ended, in seconds since 1970, if that is known.
        not_after_s: Option<u64>,
    },
    /// The certificate is not valid yet: most often this machine's clock is wrong.
    NotYetValid {
        /// The server.
        host: String,
        /// When it begins, in seconds since 1970, if that is known.
        not_before_s: Option<u64>,
    },
    /// The certificate is bad in another way.
    CertificateRefused {
        /// The server.
        host: String,
        /// In which way.
        what: CertificateError,
    },
    /// The connection broke the protocol, or the server refused it by an alert.
    Failed {
        /// The server.
        host: String,
        /// How.
        source: rustls::Error,
    },
}

impl TlsError {
    /// Sorts an error of rustls by what can be done about it.
    pub(super) fn of_connection(host: &str, error: rustls::Error) -> Self {
        let host = host.to_owned();
        let rustls::Error::InvalidCertificate(refused) = error else {
            return Self::Failed { host, source: error };
        };
        match refused {
            CertificateError::UnknownIssuer => Self::UnknownIssuer { host },
            CertificateError::BadSignature => Self::WrongSignature { host },
            CertificateError::NotValidForName => Self::WrongName { host, presented: Vec::new() },
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::WrongName { host, presented }
            }
            CertificateError::Expired => Self::Expired { host, not_after_s: None },
            CertificateError::ExpiredContext { not_after, .. } => {
                Self::Expired { host, not_after_s: Some(not_after.as_secs()) }
            }
            CertificateError::NotValidYet => Self::NotYetValid { host, not_before_s: None },
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid { host, not_before_s: Some(not_before.as_secs()) }
            }
            what => Self::CertificateRefused { host, what },
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaUnreadable { path, source } => {
                write!(f, "the CA file {} cannot be read: {source}", path.display())
            }
            Self::CaEmpty { path } => {
                write!(f, "the CA file {} holds no PEM certificate", path.display())
            }
            Self::CaInvalid { path, what } => {
                write!(f, "the CA file {} holds a bad certificate: {what}", path.display())
            }
            Self::HostInvalid { host } => {
                write!(f, "{host:?} is neither a host name nor an address")
            }
            Self::UnknownIssuer { host } => {
                write!(f, "the certificate of {host} is signed by no authority that we trust")
            }
            Self::WrongSignature { host } => {
                write!(f, "the certificate of {host} names an authority that we trust, ")?;
                write!(f, "but another key has signed it")
            }
            Self::WrongName { host, presented } if presented.is_empty() => {
                write!(f, "the server's certificate is not valid for {host}")
            }
            Self::WrongName { host, presented } => {
                let names = presented.join(", ");
                write!(f, "the server's certificate is not valid for {host}, only for {names}")
            }
            Self::Expired { host, not_after_s } => {
                write!(f, "the certificate of {host} has expired{}", moment(*not_after_s))
            }
            Self::NotYetValid { host, not_before_s } => {
                let moment = moment(*not_before_s);
                write!(f, "the certificate of {host} is not valid yet{moment}; is the clock right?")
            }
            Self::CertificateRefused { host, what } => {
                write!(f, "the certificate of {host} is refused: {what}")
            }
            Self::Failed { host, source } => write!(f, "TLS with {host} failed: {source}"),
        }
    }
}

/// " (2026-11-23T00:00:00Z)", or nothing.
fn moment(seconds: Option<u64>) -> String {
    let seconds = seconds.and_then(|seconds| i64::try_from(seconds).ok());
    let moment = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    moment.map(|moment| format!(" ({moment})")).unwrap_or_default()
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::CaUnreadable { source, .. } => Some(source),
            Self::Failed { source, .. } => Some(source),
            Self::CertificateRefused { .. }
            | Self::CaEmpty { .. }
            | Self::CaInvalid { .. }
            | Self::HostInvalid { .. }
            | Self::UnknownIssuer { .. }
            | Self::WrongSignature { .. }
            | Self::WrongName { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. } => None,
        }
    }
}
