//! Messages out of fragments (RFC 6455 section 5.4), and their text as it arrives (8.1).

use super::WebsocketError;
use super::frame::{Head, Opcode};

/// What a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Binary,
}

/// A message that arrives in several frames, joined in a buffer of its own.
///
/// Payload is taken over as it arrives, so that a bad byte of text fails the connection
/// before the rest of its frame is there.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    bytes: Vec<u8>,
    text: TextCheck,
    /// The kind of the message that was begun and did not end.
    kind: Option<Kind>,
    /// The frame whose payload is still arriving.
    frame: Option<Arriving>,
}

#[derive(Debug, Clone, Copy)]
struct Arriving {
    fin: bool,
    bytes_left: usize,
}

impl Fragments {
    /// Whether a message was begun and did not end.
    pub(super) fn is_begun(&self) -> bool {
        self.kind.is_some()
    }

    /// Whether the next bytes are payload.
    pub(super) fn is_in_frame(&self) -> bool {
        self.frame.is_some()
    }

    /// Begins a frame; its payload follows by `take`.
    pub(super) fn begin(&mut self, head: Head, bytes_max: usize) -> Result<(), WebsocketError> {
        match (head.opcode, self.kind) {
            (Opcode::Continuation, Some(_)) => {}
            (Opcode::Text, None) => self.begin_message(Kind::Text),
            (Opcode::Binary, None) => self.begin_message(Kind::Binary),
            (Opcode::Continuation, None) => return Err(WebsocketError::ContinuationUnexpected),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(WebsocketError::MessageInterrupted);
            }
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
                unreachable!("control frames are no part of a message")
            }
        }
        check_length(self.bytes.len().saturating_add(head.payload_bytes), bytes_max)?;
        self.frame = Some(Arriving { fin: head.fin, bytes_left: head.payload_bytes });
        Ok(())
    }

    /// Takes over what has arrived of the frame; says how many bytes, and the kind of the
    /// message if it is complete now.
    pub(super) fn take(&mut self, unread: &[u8]) -> Result<(usize, Option<Kind>), WebsocketError> {
        let (Some(frame), Some(kind)) = (self.frame, self.kind) else { return Ok((0, None)) };
        let arrived = unread.get(..frame.bytes_left).unwrap_or(unread);
        self.bytes.extend_from_slice(arrived);
        let bytes_left = frame.bytes_left.saturating_sub(arrived.len());
        let complete = bytes_left == 0 && frame.fin;
        if kind == Kind::Text {
            self.text.advance(&self.bytes, complete)?;
        }
        self.frame = (bytes_left > 0).then_some(Arriving { bytes_left, ..frame });
        if complete {
            self.kind = None;
        }
        Ok((arrived.len(), complete.then_some(kind)))
    }

    /// The complete message. It stays until the next one begins.
    pub(super) fn message(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn begin_message(&mut self, kind: Kind) {
        self.bytes.clear();
        // One giant message must not hold its memory for ever.
        self.bytes.shrink_to(CALM_BYTES);
        self.text = TextCheck::default();
        self.kind = Some(kind);
    }
}

/// How much of a payload is known to be UTF-8.
#[derive(Debug, Default)]
pub(super) struct TextCheck {
    bytes_valid: usize,
}

impl TextCheck {
    /// Checks what is new in `payload`, which only grows; `complete` says that nothing follows.
    /// A character that is cut by the end is good until then.
    pub(super) fn advance(&mut self, payload: &[u8], complete: bool) -> Result<(), WebsocketError> {
        let new = payload.get(self.bytes_valid..).unwrap_or_default();
        let (valid, cut) = match std::str::from_utf8(new) {
            Ok(_) => (new.len(), false),
            Err(error) if error.error_len().is_none() => (error.valid_up_to(), true),
            Err(error) => return Err(self.fault(error.valid_up_to())),
        };
        if cut && complete {
            return Err(self.fault(valid));
        }
        self.bytes_valid = self.bytes_valid.saturating_add(valid);
        Ok(())
    }

    fn fault(&self, valid: usize) -> WebsocketError {
        WebsocketError::Utf8Invalid { bytes_valid: self.bytes_valid.saturating_add(valid) }
    }
}

/// A message has at most `bytes_max` bytes.
pub(super) fn check_length(bytes: usize, bytes_max: usize) -> Result<(), WebsocketError> {
    if bytes > bytes_max {
        return Err(WebsocketError::MessageTooLong { bytes, bytes_max });
    }
    Ok(())
}

/// The capacity that the join buffer keeps.
const CALM_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Each byte by itself: the index of the byte that is refused, `len` for the end.
    #[track_caller]
    fn check(text: &[u8], refused_at: Option<usize>) {
        let mut check = TextCheck::default();
        let refused = (0..=text.len()).find(|&index| {
            let arrived = &text[..text.len().min(index.saturating_add(1))];
            check.advance(arrived, index == text.len()).is_err()
        });
        assert_eq!(refused, refused_at, "{text:02x?}");
    }

    #[test]
    fn text_is_refused_at_its_first_bad_byte() {
        check(b"", None);
        check("κόσμε".as_bytes(), None);
        check("\u{10ffff}".as_bytes(), None);
        check(b"ab\x80c", Some(2));
        check(b"\xc0\xaf", Some(0));
        check(b"\xed\xa0\x80", Some(1));
        check(b"\xf4\x90\x80\x80", Some(1));
        check(b"\xf5", Some(0));
        check(b"ab\xce", Some(3));
        check(b"\xf0\x9f\x98", Some(3));
    }
}
