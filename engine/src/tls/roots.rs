//! Whom we trust: a file's authorities, the system's, or those we bring.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::TlsError;

/// Where the trusted authorities came from, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// A file that the configuration names; nothing else is trusted then.
    File {
        /// The file.
        path: PathBuf,
        /// How many authorities it holds.
        certificates: usize,
    },
    /// The system's store.
    System {
        /// How many authorities it holds.
        certificates: usize,
    },
    /// Mozilla's list as of this build, on a machine without a store.
    Bundled {
        /// How many authorities it holds.
        certificates: usize,
    },
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, certificates } => {
                write!(f, "{certificates} authorities from {}", path.display())
            }
            Self::System { certificates } => write!(f, "{certificates} authorities of the system"),
            Self::Bundled { certificates } => {
                write!(f, "{certificates} bundled authorities: the system has none")
            }
        }
    }
}

/// What every connection shares: whom to trust and how to encrypt.
#[derive(Clone, Debug)]
pub struct Trust {
    /// For connections that are encrypted here.
    pub config: Arc<ClientConfig>,
    /// The same authorities, for a library that makes its own configuration.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Where they came from.
    pub roots: Roots,
}

impl Trust {
    /// With `ca_file` exactly its certificates are trusted; without it the system's, and the
    /// bundled ones if it has none.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn of(ca_file: Option<&Path>) -> Result<Self, TlsError> {
        let (certificates, store, roots) = match ca_file {
            Some(path) => from_file(path)?,
            None => from_system().unwrap_or_else(bundled),
        };
        Ok(Self { config: Arc::new(config(store)), certificates, roots })
    }
}

/// The certificates, as they are, as rustls has parsed them, and where they are from.
type Found = (Vec<CertificateDer<'static>>, RootCertStore, Roots);

fn from_file(path: &Path) -> Result<Found, TlsError> {
    let path = path.to_owned();
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(TlsError::CaUnreadable { path, source }),
    };
    let (mut store, mut found) = (RootCertStore::empty(), Vec::new());
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate.map_err(|error| error.to_string()).and_then(|certificate| {
            found.push(certificate.clone());
            store.add(certificate).map_err(|error| error.to_string())
        });
        if let Err(what) = added {
            return Err(TlsError::CaInvalid { path, what });
        }
    }
    let certificates = store.len();
    if certificates == 0 {
        return Err(TlsError::CaEmpty { path });
    }
    Ok((found, store, Roots::File { path, certificates }))
}

/// A store has certificates that nobody can parse; the others count.
fn from_system() -> Option<Found> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs().certs;
    let (certificates, _) = store.add_parsable_certificates(found.iter().cloned());
    (certificates > 0).then_some((found, store, Roots::System { certificates }))
}

fn bundled() -> Found {
    let mut store = RootCertStore::empty();
    let found = webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec();
    let (certificates, _) = store.add_parsable_certificates(found.iter().cloned());
    (found, store, Roots::Bundled { certificates })
}

#[expect(clippy::expect_used, reason = "no foreign byte decides it")]
fn config(store: RootCertStore) -> ClientConfig {
    // The provider is named here: a program must not depend on which one was installed first.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(store)
        .with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_authorities_are_always_found() {
        match Trust::of(None).unwrap().roots {
            Roots::System { certificates } | Roots::Bundled { certificates } => {
                assert!(certificates > 0);
            }
            Roots::File { .. } => panic!("no file was named"),
        }
        let (_, _, Roots::Bundled { certificates }) = bundled() else { panic!("not bundled") };
        assert!(certificates > 50, "{certificates}");
    }

    /// The sentence about a trust file with this content.
    fn check(content: &[u8], expected: &str) {
        let path = std::env::temp_dir().join(format!("tapedeck-roots-{}.pem", std::process::id()));
        fs::write(&path, content).unwrap();
        let error = Trust::of(Some(&path)).unwrap_err().to_string();
        fs::remove_file(&path).unwrap();
        assert_eq!(error.replace(&path.display().to_string(), "FILE"), expected);
    }

    #[test]
    fn bad_trust_files_are_named() {
        check(b"", "the CA file FILE holds no PEM certificate");
        check(b"hello", "the CA file FILE holds no PEM certificate");
        let sentence = "the CA file FILE holds a bad certificate: \
            invalid peer certificate: BadEncoding";
        let pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        check(pem, sentence);
        let missing = Path::new("/does/not/exist.pem");
        let error = Trust::of(Some(missing)).unwrap_err().to_string();
        assert!(error.starts_with("the CA file /does/not/exist.pem cannot be read: "), "{error}");
    }
}
