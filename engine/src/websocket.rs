//! A websocket client without a socket, a clock or a thread (RFC 6455).
//!
//! Bytes go in and events come out; what is to be sent waits in `output`. Payload is read
//! where it was received: only fragments are copied, to join them. Extensions are never
//! offered, so nothing inflates. Whatever a server sends, the answer is an event, an error or
//! the wish for more bytes, never a panic.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod buffer;
mod close;
mod error;
mod frame;
mod handshake;
mod mask;
mod message;
#[cfg(test)]
mod tests;

use std::ops::Range;

use buffer::Buffer;
pub use error::WebsocketError;
use frame::{CONTROL_BYTES_MAX, HEAD_BYTES_MAX, Head, Opcode};
use handshake::Handshake;
pub use handshake::Request;
use mask::Masks;
use message::{Fragments, Kind, TextCheck};

/// The client's end of one websocket.
///
/// After an error the client has written the close frame that explains it (section 7.1.7),
/// and every later `next` repeats that error.
#[derive(Debug)]
pub struct Client {
    state: State,
    limits: Limits,
    input: Buffer,
    output: Vec<u8>,
    masks: Masks,
    fragments: Fragments,
    /// The unfragmented text message that is arriving.
    text: TextCheck,
}

/// How much a server, or a caller, may make the client hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, its fragments together.
    pub message_bytes_max: usize,
    /// The longest head of the answer to the handshake.
    pub handshake_bytes_max: usize,
    /// The most that may wait to be sent.
    pub output_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 16 << 20,
            handshake_bytes_max: 16 << 10,
            output_bytes_max: 17 << 20,
        }
    }
}

/// What has happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The server accepted the handshake; messages can be sent.
    Open,
    /// A whole message, checked to be UTF-8. The parser may write into it.
    Text(&'a mut [u8]),
    /// A whole message of bytes.
    Binary(&'a mut [u8]),
    /// A ping; its pong waits in the output.
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The server's close frame; nothing comes after it. If the server closed first, the answer
    /// waits in the output. The transport may be shut once the output is sent.
    Closed {
        /// Why, as a number (section 7.4); `None` if the server did not say.
        code: Option<u16>,
        /// Why, in the server's words.
        reason: &'a str,
    },
}

#[derive(Debug)]
enum State {
    Connecting(Handshake),
    Open,
    /// Our close frame is out, the server's has not come. What the server sent before it read
    /// ours is still delivered.
    Closing,
    Closed,
    Failed(WebsocketError),
}

/// An event whose bytes are not borrowed yet.
enum Found {
    Open,
    /// A message that lies in the input.
    Whole(Kind, Range<usize>),
    /// A message that lies joined.
    Joined(Kind),
    Ping(Range<usize>),
    Pong(Range<usize>),
    Closed(Option<u16>, Range<usize>),
}

impl Client {
    /// A client whose handshake request waits in the output.
    ///
    /// `seed` decides the handshake's key and the mask keys: take it from the operating system,
    /// another one for each connection.
    #[must_use]
    pub fn new(request: &Request, limits: Limits, seed: u64) -> Self {
        let mut masks = Masks::new(seed);
        let mut output = Vec::new();
        let nonce = (u128::from(masks.next_u64()) << 64) | u128::from(masks.next_u64());
        let nonce = nonce.to_be_bytes();
        let handshake = Handshake::begin(request, nonce, limits.handshake_bytes_max, &mut output);
        Self {
            state: State::Connecting(handshake),
            limits,
            input: Buffer::new(),
            output,
            masks,
            fragments: Fragments::default(),
            text: TextCheck::default(),
        }
    }

    /// The bytes to send. The caller drains them; it may swap the vector for another.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Append what was received here: there is room for 16 KiB at least.
    pub fn input(&mut self) -> &mut Vec<u8> {
        self.input.with_room()
    }

    /// Moves the input out, with room behind what it holds, for a driver that owns the buffer
    /// while it reads. Nothing can be read until `put_input` brings it back.
    #[must_use]
    pub fn take_input(&mut self) -> Vec<u8> {
        self.input.take()
    }

    /// Moves the input back in, after received bytes were appended to it.
    pub fn put_input(&mut self, input: Vec<u8>) {
        self.input.put(input);
    }

    /// The next event in what has arrived, or `None` until more bytes arrive. After the
    /// server's close frame there is none any more.
    #[allow(clippy::should_implement_trait, reason = "an event borrows from the client")]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, WebsocketError> {
        let found = match self.advance() {
            Ok(None) => return Ok(None),
            Ok(Some(found)) => found,
            Err(error) => {
                self.fail(&error);
                return Err(error);
            }
        };
        Ok(Some(match found {
            Found::Open => Event::Open,
            Found::Whole(Kind::Text, range) => Event::Text(self.input.get_mut(range)),
            Found::Whole(Kind::Binary, range) => Event::Binary(self.input.get_mut(range)),
            Found::Joined(Kind::Text) => Event::Text(self.fragments.message()),
            Found::Joined(Kind::Binary) => Event::Binary(self.fragments.message()),
            Found::Ping(range) => Event::Ping(self.input.get_mut(range)),
            Found::Pong(range) => Event::Pong(self.input.get_mut(range)),
            Found::Closed(code, range) => {
                let reason = self.input.get_mut(range).get(close::CODE_BYTES..);
                let reason = std::str::from_utf8(reason.unwrap_or_default()).unwrap_or_default();
                Event::Closed { code, reason }
            }
        }))
    }

    /// The transport has ended, or the caller gives up waiting for it: what that means, after
    /// `next` has given everything that had arrived. Good only after a close frame.
    pub fn end(&mut self) -> Result<(), WebsocketError> {
        let ended = match &self.state {
            State::Connecting(handshake) => handshake
                .receive(self.input.unread(), true)
                .and(Err(WebsocketError::EndedInHandshake)),
            State::Open | State::Closing => Err(WebsocketError::EndedWithoutClose),
            State::Closed => Ok(()),
            State::Failed(error) => Err(error.clone()),
        };
        if let Err(error) = &ended {
            self.state = State::Failed(error.clone());
        }
        ended
    }

    /// Whether messages can be sent: after `Open`, before any close frame or failure.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Sends a message of text, which must be UTF-8.
    pub fn send_text(&mut self, payload: &[u8]) -> Result<(), WebsocketError> {
        debug_assert!(std::str::from_utf8(payload).is_ok(), "text must be UTF-8");
        self.send(Opcode::Text, payload)
    }

    /// Sends a message of bytes.
    pub fn send_binary(&mut self, payload: &[u8]) -> Result<(), WebsocketError> {
        self.send(Opcode::Binary, payload)
    }

    /// Sends a ping, which carries at most 125 bytes.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), WebsocketError> {
        if payload.len() > CONTROL_BYTES_MAX {
            return Err(WebsocketError::ControlTooLong { bytes: payload.len() });
        }
        self.send(Opcode::Ping, payload)
    }

    /// Begins to close: sends a close frame and waits for the server's. The code must be one
    /// that may be sent (section 7.4); a reason above 123 bytes is cut. During the handshake
    /// there is no websocket to close yet: the client just ends.
    pub fn close(&mut self, code: u16, reason: &str) {
        match self.state {
            State::Connecting(_) => self.state = State::Closed,
            State::Open => {
                self.write(Opcode::Close, &close::payload(code, reason));
                self.state = State::Closing;
            }
            State::Closing | State::Closed | State::Failed(_) => {}
        }
    }
}

impl Client {
    fn advance(&mut self) -> Result<Option<Found>, WebsocketError> {
        match &self.state {
            State::Connecting(handshake) => {
                let accepted = handshake.receive(self.input.unread(), false)?;
                Ok(accepted.map(|head_bytes| {
                    self.input.consume(head_bytes);
                    self.state = State::Open;
                    Found::Open
                }))
            }
            State::Open | State::Closing => self.advance_frames(),
            State::Closed => Ok(None),
            State::Failed(error) => Err(error.clone()),
        }
    }

    fn advance_frames(&mut self) -> Result<Option<Found>, WebsocketError> {
        loop {
            if self.fragments.is_in_frame() {
                let (taken, complete) = self.fragments.take(self.input.unread())?;
                self.input.consume(taken);
                if let Some(kind) = complete {
                    return Ok(Some(Found::Joined(kind)));
                }
                if self.fragments.is_in_frame() {
                    return Ok(None);
                }
            }
            let Some(head) = Head::parse(self.input.unread())? else { return Ok(None) };
            match head.opcode {
                Opcode::Close | Opcode::Ping | Opcode::Pong => return self.control(head),
                Opcode::Text if head.fin && !self.fragments.is_begun() => {
                    return self.whole(Kind::Text, head);
                }
                Opcode::Binary if head.fin && !self.fragments.is_begun() => {
                    return self.whole(Kind::Binary, head);
                }
                Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                    self.fragments.begin(head, self.limits.message_bytes_max)?;
                    self.input.consume(head.bytes);
                }
            }
        }
    }

    /// A message in one frame: by far the most common.
    fn whole(&mut self, kind: Kind, head: Head) -> Result<Option<Found>, WebsocketError> {
        message::check_length(head.payload_bytes, self.limits.message_bytes_max)?;
        let behind = self.input.unread().get(head.bytes..).unwrap_or_default();
        let payload = behind.get(..head.payload_bytes);
        if kind == Kind::Text {
            self.text.advance(payload.unwrap_or(behind), payload.is_some())?;
        }
        if payload.is_none() {
            return Ok(None);
        }
        self.text = TextCheck::default();
        self.input.consume(head.bytes);
        Ok(Some(Found::Whole(kind, self.input.consume(head.payload_bytes))))
    }

    fn control(&mut self, head: Head) -> Result<Option<Found>, WebsocketError> {
        let behind = self.input.unread().get(head.bytes..).unwrap_or_default();
        let Some(payload) = behind.get(..head.payload_bytes) else { return Ok(None) };
        // At most 125 bytes: a copy ends the borrow of the input.
        let payload = payload.to_vec();
        let code = match head.opcode {
            Opcode::Close => close::parse(&payload)?,
            _ => None,
        };
        self.input.consume(head.bytes);
        let range = self.input.consume(payload.len());
        Ok(Some(match head.opcode {
            Opcode::Close => {
                if self.is_open() {
                    // Section 5.5.1: the answer repeats the code.
                    let echo = payload.get(..close::CODE_BYTES).unwrap_or_default();
                    self.write(Opcode::Close, echo);
                }
                self.state = State::Closed;
                Found::Closed(code, range)
            }
            Opcode::Ping => {
                // After a close frame nothing is sent, pongs neither.
                if self.is_open() {
                    self.send(Opcode::Pong, &payload)?;
                }
                Found::Ping(range)
            }
            _ => Found::Pong(range),
        }))
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), WebsocketError> {
        match &self.state {
            State::Open => {}
            State::Connecting(_) => return Err(WebsocketError::NotOpen),
            State::Closing | State::Closed => return Err(WebsocketError::SentAfterClose),
            State::Failed(error) => return Err(error.clone()),
        }
        let frame_bytes = payload.len().saturating_add(HEAD_BYTES_MAX);
        let bytes_max = self.limits.output_bytes_max;
        if self.output.len().saturating_add(frame_bytes) > bytes_max {
            return Err(WebsocketError::OutputFull { bytes_max });
        }
        self.write(opcode, payload);
        Ok(())
    }

    fn write(&mut self, opcode: Opcode, payload: &[u8]) {
        frame::write(&mut self.output, opcode, payload, self.masks.next_key());
    }

    /// Section 7.1.7: says why in a close frame, where one can still be sent.
    fn fail(&mut self, error: &WebsocketError) {
        if let (State::Open, Some(code)) = (&self.state, error.close_code()) {
            self.write(Opcode::Close, &close::payload(code, ""));
        }
        self.state = State::Failed(error.clone());
    }
}
