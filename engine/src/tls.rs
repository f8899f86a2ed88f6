//! TLS without a socket: ciphertext in, plaintext out, and back (RFC 8446).
//!
//! rustls does the work. Verification of the server's certificate is always on; a private
//! authority is trusted by its file, never by looking away.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod error;
mod roots;

use std::fmt;
use std::io::{BufRead, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

pub use error::TlsError;
pub use roots::{Roots, client_config};

/// The client's end of one TLS connection.
pub struct Tls {
    connection: ClientConnection,
    /// Whom we wanted to reach, for errors.
    host: String,
}

impl Tls {
    /// A connection whose first flight waits in the output. `host` is the name or address,
    /// without a port, that the server's certificate must be valid for.
    pub fn new(config: Arc<ClientConfig>, host: &str) -> Result<Self, TlsError> {
        let host = host.to_owned();
        let Ok(name) = ServerName::try_from(host.clone()) else {
            return Err(TlsError::HostInvalid { host });
        };
        let mut connection = match ClientConnection::new(config, name) {
            Ok(connection) => connection,
            Err(error) => return Err(TlsError::of_connection(&host, error)),
        };
        // What waits for the end of the handshake is bounded by whoever sends it.
        connection.set_buffer_limit(None);
        Ok(Self { connection, host })
    }

    /// Takes what was received and appends to `plaintext` what it says.
    ///
    /// After an error the output holds the alert that tells the server why.
    pub fn receive(
        &mut self,
        mut ciphertext: &[u8],
        plaintext: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        while !ciphertext.is_empty() {
            match self.connection.read_tls(&mut ciphertext) {
                // The server has closed: whatever follows is none of TLS's.
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(self.fault(rustls::Error::General(error.to_string()))),
            }
            let state = match self.connection.process_new_packets() {
                Ok(state) => state,
                Err(error) => return Err(self.fault(error)),
            };
            let mut bytes = state.plaintext_bytes_to_read();
            while bytes > 0 {
                let mut reader = self.connection.reader();
                let Ok(chunk) = reader.fill_buf() else { break };
                let taken = chunk.len();
                plaintext.extend_from_slice(chunk);
                reader.consume(taken);
                bytes = bytes.saturating_sub(taken.max(1));
            }
        }
        Ok(())
    }

    /// Encrypts; until the handshake is over the bytes wait for its end.
    pub fn send(&mut self, plaintext: &[u8]) -> Result<(), TlsError> {
        self.connection
            .writer()
            .write_all(plaintext)
            .map_err(|error| self.fault(rustls::Error::General(error.to_string())))
    }

    /// Appends the bytes to send.
    pub fn output(&mut self, ciphertext: &mut Vec<u8>) {
        while self.connection.wants_write() {
            if self.connection.write_tls(ciphertext).is_err() {
                unreachable!("a vector takes every byte");
            }
        }
    }

    /// Tells the server that nothing follows (RFC 8446 section 6.1).
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// Whether the handshake is over and the server is who it should be.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// What was negotiated, for the log: for example `TLSv1_3 TLS13_AES_256_GCM_SHA384`.
    #[must_use]
    pub fn negotiated(&self) -> Option<String> {
        let version = self.connection.protocol_version()?;
        let suite = self.connection.negotiated_cipher_suite()?.suite();
        Some(format!("{version:?} {suite:?}"))
    }

    fn fault(&self, error: rustls::Error) -> TlsError {
        TlsError::of_connection(&self.host, error)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("host", &self.host)
            .field("ready", &self.is_ready())
            .finish_non_exhaustive()
    }
}
