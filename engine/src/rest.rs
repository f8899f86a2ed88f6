//! The exchange's REST interface, as far as a recorder asks it: for the lists of instruments.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

/// A client of one REST base.
#[derive(Debug)]
pub struct Rest {
    agent: ureq::Agent,
    base: String,
}

/// Why a question was not answered.
#[derive(Debug)]
pub struct RestError {
    url: String,
    reason: String,
    throttled: bool,
}

impl Rest {
    /// A client of `base` (`https://www.deribit.com/api/v2`) that trusts `roots` alone.
    #[must_use]
    pub fn new(base: &str, roots: &[CertificateDer<'static>]) -> Self {
        let roots: Vec<Certificate<'static>> =
            roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build()
            .new_agent();
        Self { agent, base: base.trim_end_matches('/').to_owned() }
    }

    /// Asks a public method, `get_instruments?currency=BTC` for instance, and gives the whole
    /// JSON-RPC answer as text.
    ///
    /// # Errors
    /// When there is no answer, or its status is not 200: a sentence with the address.
    pub fn ask(&self, question: &str) -> Result<String, RestError> {
        self.get(&format!("{}/public/{question}", self.base))
    }

    /// Asks any address of the same trust.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn get(&self, url: &str) -> Result<String, RestError> {
        let failed = |reason: String| RestError { url: url.to_owned(), reason, throttled: false };
        let mut answer = self.agent.get(url).call().map_err(|error| failed(plain(&error)))?;
        let status = answer.status();
        let text = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()
            .map_err(|error| failed(plain(&error)))?;
        if status != 200 {
            // PROTOCOL 4: 429 for a connection too many, error 10028 when credits are out.
            let throttled = status == 429 || text.contains("10028");
            let text: String = text.chars().take(200).collect();
            let reason = format!("it answered with status {status}: {text}");
            return Err(RestError { throttled, ..failed(reason) });
        }
        Ok(text)
    }
}

impl RestError {
    /// Whether the exchange says that we ask too often.
    #[must_use]
    pub fn throttled(&self) -> bool {
        self.throttled
    }
}

/// ureq's errors name their own library; people want the reason.
fn plain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::HostNotFound => "the name of its host cannot be resolved".into(),
        ureq::Error::Timeout(_) => format!("no answer in {} s", TIMEOUT.as_secs()),
        other => other.to_string(),
    }
}

impl fmt::Display for RestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot ask {}: {}", self.url, self.reason)
    }
}

impl std::error::Error for RestError {}

const TIMEOUT: Duration = Duration::from_secs(15);
/// The whole list of instruments is about 2 MB.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
