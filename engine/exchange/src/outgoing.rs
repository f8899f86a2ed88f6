//! What goes to a connection: a text, what it is about, and how it lies in websocket frames.

use std::sync::Arc;
use std::time::Duration;

use tungstenite::Utf8Bytes;

/// One message for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) about: About,
    pub(crate) text: Utf8Bytes,
    pub(crate) form: Form,
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum About {
    /// A notification on a channel.
    Channel(Arc<str>),
    /// The answer to a method.
    Answer(Arc<str>),
    Heartbeat,
    /// Nothing that the exchange would say.
    Garbage,
}

/// How a message lies in frames and on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Form {
    /// One text frame.
    #[default]
    Whole,
    /// A text frame and so many continuations less one.
    Fragments(usize),
    /// One text frame that comes a few bytes at a time.
    Dribble {
        /// Bytes at a time.
        bytes: usize,
        /// The pause between them.
        every: Duration,
    },
    /// These bytes, whatever they are: a binary frame, broken UTF-8, no frame at all.
    Bytes(Vec<u8>),
}

impl Outgoing {
    pub(crate) fn notification(channel: &Arc<str>, text: Utf8Bytes) -> Outgoing {
        Outgoing { about: About::Channel(Arc::clone(channel)), text, form: Form::Whole }
    }

    pub(crate) fn answer(method: &str, text: String) -> Outgoing {
        Outgoing { about: About::Answer(method.into()), text: text.into(), form: Form::Whole }
    }

    pub(crate) fn heartbeat(text: String) -> Outgoing {
        Outgoing { about: About::Heartbeat, text: text.into(), form: Form::Whole }
    }

    pub(crate) fn garbage(text: Utf8Bytes, form: Form) -> Outgoing {
        Outgoing { about: About::Garbage, text, form }
    }

    pub(crate) fn channel(&self) -> Option<&Arc<str>> {
        match &self.about {
            About::Channel(channel) => Some(channel),
            About::Answer(_) | About::Heartbeat | About::Garbage => None,
        }
    }

    /// The server's bytes for it, in pieces with a pause between them.
    pub(crate) fn pieces(&self) -> (Vec<Vec<u8>>, Duration) {
        pieces(self.text.as_bytes(), &self.form)
    }
}

/// As [`Outgoing::pieces`], for any text.
pub(crate) fn pieces(text: &[u8], form: &Form) -> (Vec<Vec<u8>>, Duration) {
    let none = Duration::ZERO;
    match form {
        Form::Whole => (vec![frame(TEXT, true, text)], none),
        Form::Bytes(bytes) => (vec![bytes.clone()], none),
        Form::Fragments(count) => {
            let size = text.len().div_ceil((*count).max(1)).max(1);
            let parts: Vec<&[u8]> = text.chunks(size).collect();
            let last = parts.len().saturating_sub(1);
            let parts = parts.into_iter().enumerate();
            let framed = parts.map(|(at, part)| {
                frame(if at == 0 { TEXT } else { CONTINUATION }, at == last, part)
            });
            (vec![framed.collect::<Vec<_>>().concat()], none)
        }
        Form::Dribble { bytes, every } => {
            let whole = frame(TEXT, true, text);
            (whole.chunks((*bytes).max(1)).map(<[u8]>::to_vec).collect(), *every)
        }
    }
}

/// A server's frame, which is never masked.
pub(crate) fn frame(opcode: u8, last: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![opcode | if last { LAST } else { 0 }];
    match payload.len() {
        short @ ..126 => bytes.push(short as u8),
        middle @ 126..65_536 => {
            bytes.push(126);
            bytes.extend((middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
const LAST: u8 = 0x80;

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tungstenite::protocol::Role;
    use tungstenite::{Message, WebSocket};

    use super::*;

    /// Another's client reads back what was framed.
    fn check(length: usize, form: &Form, pieces: usize) {
        let text = "é".repeat(length);
        let (made, _) = super::pieces(text.as_bytes(), form);
        assert_eq!(made.len(), pieces, "{form:?}");
        let stream = Cursor::new(made.concat());
        let mut client = WebSocket::from_raw_socket(stream, Role::Client, None);
        assert_eq!(client.read().unwrap(), Message::text(text), "{form:?}");
    }

    #[test]
    fn every_form_carries_the_text() {
        for length in [1, 62, 63, 500, 40_000] {
            check(length, &Form::Whole, 1);
            check(length, &Form::Fragments(3), 1);
        }
        check(10, &Form::Dribble { bytes: 4, every: Duration::ZERO }, 6);
    }
}
