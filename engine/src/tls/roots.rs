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

/// What every connection shares: whom to trust and how to encrypt. With `ca_file` exactly its
/// certificates are trusted; without it the system's, and the bundled ones if it has none.
pub fn client_config(ca_file: Option<&Path>) -> Result<(Arc<ClientConfig>, Roots), TlsError> {
    let (store, roots) = match ca_file {
        Some(path) => from_file(path)?,
        None => from_system().unwrap_or_else(bundled),
    };
    Ok((Arc::new(config(store)), roots))
}

fn from_file(path: &Path) -> Result<(RootCertStore, Roots), TlsError> {
    let path = path.to_owned();
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(TlsError::CaUnreadable { path, source }),
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| store.add(certificate).map_err(|error| error.to_string()));
        if let Err(what) = added {
            return Err(TlsError::CaInvalid { path, what });
        }
    }
    let certificates = store.len();
    if certificates == 0 {
        return Err(TlsError::CaEmpty { path });
    }
    Ok((store, Roots::File { path, certificates }))
}

/// A store has certificates that nobody can parse; the others count.
fn from_system() -> Option<(RootCertStore, Roots)> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (certificates, _) = store.add_parsable_certificates(found.certs);
    (certificates > 0).then_some((store, Roots::System { certificates }))
}

fn bundled() -> (RootCertStore, Roots) {
    let store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let certificates = store.len();
    (store, Roots::Bundled { certificates })
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
        let (_, roots) = client_config(None).unwrap();
        match roots {
            Roots::System { certificates } | Roots::Bundled { certificates } => {
                assert!(certificates > 0);
            }
            Roots::File { .. } => panic!("no file was named"),
        }
        let (_, Roots::Bundled { certificates }) = bundled() else { panic!("not bundled") };
        assert!(certificates > 50, "{certificates}");
    }

    /// The sentence about a trust file with this content.
    fn check(content: &[u8], expected: &str) {
        let path = std::env::temp_dir().join(format!("tapedeck-roots-{}.pem", std::process::id()));
        fs::write(&path, content).unwrap();
        let error = client_config(Some(&path)).unwrap_err().to_string();
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
        let error = client_config(Some(missing)).unwrap_err().to_string();
        assert!(error.starts_with("the CA file /does/not/exist.pem cannot be read: "), "{error}");
    }
}
