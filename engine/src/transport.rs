//! What lies between a socket's bytes and the websocket: nothing, or TLS.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::tls::{Tls, TlsError};
use crate::websocket::Client;

/// One connection's way from the wire to the websocket and back.
///
/// A reader loops: `take_input`, read into its room, `put_input`, every `Client::next`, send
/// `take_output`. It never asks which kind it has, nor whether a handshake is over.
#[derive(Debug)]
pub struct Transport {
    tls: Option<Secure>,
}

#[derive(Debug)]
struct Secure {
    tls: Tls,
    /// Where ciphertext is received. Empty between reads: rustls keeps what is incomplete.
    received: Vec<u8>,
}

impl Transport {
    /// `ws://`: the socket reads straight into the websocket's input.
    #[must_use]
    pub fn plain() -> Self {
        Self { tls: None }
    }

    /// `wss://`, to this name or address.
    pub fn secure(config: Arc<ClientConfig>, host: &str) -> Result<Self, TlsError> {
        let tls = Tls::new(config, host)?;
        Ok(Self { tls: Some(Secure { tls, received: Vec::new() }) })
    }

    /// The vector that the next read appends to, with room behind what it holds.
    #[must_use]
    pub fn take_input(&mut self, websocket: &mut Client) -> Vec<u8> {
        let Some(secure) = &mut self.tls else { return websocket.take_input() };
        secure.received.reserve(READ_BYTES);
        std::mem::take(&mut secure.received)
    }

    /// Brings the vector back after the read; the websocket now has what arrived.
    pub fn put_input(&mut self, mut input: Vec<u8>, client: &mut Client) -> Result<(), TlsError> {
        let Some(secure) = &mut self.tls else {
            client.put_input(input);
            return Ok(());
        };
        let received = secure.tls.receive(&input, client.input());
        input.clear();
        secure.received = input;
        received
    }

    /// The bytes to send now. After an error there may still be an alert to send.
    pub fn take_output(&mut self, websocket: &mut Client) -> Result<Vec<u8>, TlsError> {
        let output = websocket.output();
        let Some(secure) = &mut self.tls else { return Ok(std::mem::take(output)) };
        let sent = secure.tls.send(output);
        output.clear();
        let mut ciphertext = Vec::new();
        secure.tls.output(&mut ciphertext);
        sent.map(|()| ciphertext)
    }

    /// Says on the transport that nothing follows, once the websocket is closed.
    pub fn close(&mut self) {
        if let Some(secure) = &mut self.tls {
            secure.tls.close();
        }
    }

    /// What TLS negotiated, for the log; `None` without TLS or before its handshake is over.
    #[must_use]
    pub fn negotiated(&self) -> Option<String> {
        self.tls.as_ref().and_then(|secure| secure.tls.negotiated())
    }
}

/// How much ciphertext is read at once.
const READ_BYTES: usize = 64 * 1024;
