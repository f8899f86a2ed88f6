//! One connection's bytes without its socket: the transport, then the websocket.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::endpoint::Endpoint;
use crate::session::Policy;
use crate::tls::TlsError;
use crate::transport::Transport;
use crate::websocket::{Client, Event, Limits, Request, WebsocketError};

/// Bytes from the socket in, events out; messages in, bytes for the socket out.
#[derive(Debug)]
pub struct Wire {
    transport: Transport,
    client: Client,
}

/// Why the bytes make no connection.
#[derive(Debug)]
pub enum WireError {
    /// The encryption failed, or the certificate was refused.
    Tls(TlsError),
    /// The peer does not speak websocket, or broke its rules.
    Websocket(WebsocketError),
}

impl Wire {
    /// A connection whose first bytes wait in the output. `tls` is whom to trust, missing for a
    /// plain line; `seed` comes from the system's entropy, another one each time.
    ///
    /// # Errors
    /// When the endpoint cannot be asked for.
    pub fn new(
        endpoint: &Endpoint,
        tls: Option<Arc<ClientConfig>>,
        seed: u64,
    ) -> Result<Self, WireError> {
        let request = Request::new(&endpoint.authority(), &endpoint.path)?;
        let transport = match tls {
            Some(config) => Transport::secure(config, &endpoint.host)?,
            None => Transport::plain(),
        };
        Ok(Self { transport, client: Client::new(&request, Limits::default(), seed) })
    }

    /// The vector that the next read appends to.
    #[must_use]
    pub fn take_input(&mut self) -> Vec<u8> {
        self.transport.take_input(&mut self.client)
    }

    /// Brings the vector back after the read. [`next`](Self::next) says what it means.
    ///
    /// # Errors
    /// When the encryption fails.
    pub fn put_input(&mut self, input: Vec<u8>) -> Result<(), WireError> {
        Ok(self.transport.put_input(input, &mut self.client)?)
    }

    /// The next event, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// When the peer breaks the websocket's rules.
    #[allow(clippy::should_implement_trait, reason = "an event borrows from the wire")]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, WireError> {
        Ok(self.client.next()?)
    }

    /// What the end of the socket means; good only after a close frame.
    ///
    /// # Errors
    /// What the connection lacked.
    pub fn end(&mut self) -> Result<(), WireError> {
        Ok(self.client.end()?)
    }

    /// Sends a message of text.
    ///
    /// # Errors
    /// When the websocket is not open, or too much waits already.
    pub fn send_text(&mut self, text: &[u8]) -> Result<(), WireError> {
        Ok(self.client.send_text(text)?)
    }

    /// The bytes to send now; none if nothing waits.
    ///
    /// # Errors
    /// When the encryption fails.
    pub fn take_output(&mut self) -> Result<Vec<u8>, WireError> {
        Ok(self.transport.take_output(&mut self.client)?)
    }
}

impl WireError {
    /// What to do about it.
    #[must_use]
    pub fn policy(&self) -> Policy {
        match self {
            Self::Tls(TlsError::Failed { .. }) => Policy::Retry,
            // A certificate does not become better by asking again.
            Self::Tls(_) => Policy::Stop,
            Self::Websocket(WebsocketError::Refused { status: 429 | 503, .. }) => {
                Policy::RetryLater
            }
            Self::Websocket(WebsocketError::Refused { status: 400..500, .. }) => Policy::Stop,
            Self::Websocket(_) => Policy::Retry,
        }
    }
}

impl From<TlsError> for WireError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<WebsocketError> for WireError {
    fn from(error: WebsocketError) -> Self {
        Self::Websocket(error)
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Websocket(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WireError {}
