//! What can go wrong between two websocket ends, told in facts.

use std::fmt;

/// Why a websocket failed, or why it refused what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebsocketError {
    /// A host or target that cannot stand in a request line.
    RequestInvalid {
        /// Which part of the request.
        part: &'static str,
        /// What it was.
        value: String,
    },
    /// The answer to the handshake is not HTTP.
    HandshakeMalformed {
        /// What the HTTP parser said.
        what: String,
    },
    /// The head of the answer did not end within the limit.
    HandshakeTooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// The server answered with another status than 101, for example 429 or 503.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The words after the status.
        reason: String,
        /// The seconds of `Retry-After`, where the server named them.
        retry_after_s: Option<u64>,
        /// The beginning of the body, as text.
        body: String,
    },
    /// Status 101, but a header that RFC 6455 section 4.1 does not allow there.
    HandshakeHeader {
        /// The header's name.
        name: &'static str,
        /// What is required of it.
        expected: &'static str,
        /// What the server sent, if it sent that header.
        found: Option<String>,
    },
    /// A reserved bit is set, though no extension was negotiated (section 5.2).
    ReservedBits {
        /// RSV1, RSV2 and RSV3 as the number 0 to 7.
        bits: u8,
    },
    /// An opcode that the protocol keeps for later (section 5.2).
    ReservedOpcode {
        /// The opcode.
        opcode: u8,
    },
    /// A server must not mask (section 5.1).
    MaskedFrame,
    /// A control frame must be whole (section 5.5).
    ControlFragmented {
        /// The opcode.
        opcode: u8,
    },
    /// A control frame carries at most 125 bytes (section 5.5), sent or received.
    ControlTooLong {
        /// The payload that it carries, or begins to announce (126 and 127 are markers).
        bytes: usize,
    },
    /// A length must be written in the fewest bytes (section 5.2).
    LengthNotMinimal {
        /// The payload length.
        bytes: u64,
    },
    /// A length with its highest bit set, or more than this machine can address (section 5.2).
    LengthImpossible {
        /// The payload length.
        bytes: u64,
    },
    /// A continuation frame without a message that it continues (section 5.4).
    ContinuationUnexpected,
    /// A new message begins before the last one's final fragment (section 5.4).
    MessageInterrupted,
    /// The message is longer than the limit allows.
    MessageTooLong {
        /// How long the message is, as far as it was announced.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Text, or the reason of a close, is not UTF-8 (section 8.1).
    Utf8Invalid {
        /// How many bytes of the payload are good.
        bytes_valid: usize,
    },
    /// A close frame with one byte: half a code (section 5.5.1).
    CloseCodeTruncated,
    /// A close code that must not be sent (section 7.4).
    CloseCodeInvalid {
        /// The code.
        code: u16,
    },
    /// Something was to be sent before the handshake was over.
    NotOpen,
    /// Something was to be sent after a close frame (section 5.5.1).
    SentAfterClose,
    /// The bytes waiting to be sent would exceed the limit.
    OutputFull {
        /// The limit.
        bytes_max: usize,
    },
    /// The transport ended before the answer to the handshake did.
    EndedInHandshake,
    /// The transport ended without a close frame: what RFC 6455 names 1006.
    EndedWithoutClose,
}

impl WebsocketError {
    /// The code of the close frame with which a client fails such a connection, where the
    /// fault is in what the server sent (section 7.4.1).
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        match self {
            Self::ReservedBits { .. }
            | Self::ReservedOpcode { .. }
            | Self::MaskedFrame
            | Self::ControlFragmented { .. }
            | Self::ControlTooLong { .. }
            | Self::LengthNotMinimal { .. }
            | Self::LengthImpossible { .. }
            | Self::ContinuationUnexpected
            | Self::MessageInterrupted
            | Self::CloseCodeTruncated
            | Self::CloseCodeInvalid { .. } => Some(1002),
            Self::Utf8Invalid { .. } => Some(1007),
            Self::MessageTooLong { .. } => Some(1009),
            Self::OutputFull { .. } => Some(1008),
            Self::RequestInvalid { .. }
            | Self::HandshakeMalformed { .. }
            | Self::HandshakeTooLong { .. }
            | Self::Refused { .. }
            | Self::HandshakeHeader { .. }
            | Self::NotOpen
            | Self::SentAfterClose
            | Self::EndedInHandshake
            | Self::EndedWithoutClose => None,
        }
    }
}

impl fmt::Display for WebsocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestInvalid { part, value } => {
                write!(f, "the websocket {part} {value:?} cannot stand in an HTTP request")
            }
            Self::HandshakeMalformed { what } => {
                write!(f, "the server's answer to the websocket handshake is not HTTP: {what}")
            }
            Self::HandshakeTooLong { bytes_max } => {
                write!(f, "the server's answer to the handshake has a head above {bytes_max} bytes")
            }
            Self::Refused { status, reason, retry_after_s, body } => {
                write!(f, "the server refused the websocket with HTTP {status}")?;
                if !reason.is_empty() {
                    write!(f, " {reason}")?;
                }
                if let Some(seconds) = retry_after_s {
                    write!(f, ", retry after {seconds} s")?;
                }
                if body.is_empty() { Ok(()) } else { write!(f, ": {body}") }
            }
            Self::HandshakeHeader { name, expected, found: None } => {
                write!(f, "the server accepted the websocket without {name}, which must {expected}")
            }
            Self::HandshakeHeader { name, expected, found: Some(found) } => {
                write!(f, "the server accepted the websocket with {name} {found:?}, ")?;
                write!(f, "which must {expected}")
            }
            Self::NotOpen => write!(f, "nothing can be sent before the websocket is open"),
            Self::SentAfterClose => write!(f, "nothing can be sent after the close frame"),
            Self::OutputFull { bytes_max } => {
                write!(f, "more than {bytes_max} bytes wait to be sent")
            }
            Self::EndedInHandshake => {
                write!(f, "the connection ended before the websocket handshake was over")
            }
            Self::EndedWithoutClose => {
                write!(f, "the connection ended without a websocket close frame")
            }
            frame => frame.write_frame_fault(f),
        }
    }
}

impl WebsocketError {
    /// The sentences about frames: the second half of `Display`.
    fn write_frame_fault(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits { bits } => {
                write!(f, "the server set reserved frame bits ({bits:03b}), no extension is in use")
            }
            Self::ReservedOpcode { opcode } => {
                write!(f, "the server sent a frame with the reserved opcode {opcode}")
            }
            Self::MaskedFrame => write!(f, "the server sent a masked frame"),
            Self::ControlFragmented { opcode } => {
                write!(f, "the server sent a fragmented control frame with opcode {opcode}")
            }
            Self::ControlTooLong { .. } => {
                write!(f, "a control frame carries more than 125 bytes")
            }
            Self::LengthNotMinimal { bytes } => {
                write!(f, "the server wrote the frame length {bytes} in more bytes than needed")
            }
            Self::LengthImpossible { bytes } => {
                write!(f, "the server announced a frame of {bytes} bytes, which no frame can have")
            }
            Self::ContinuationUnexpected => {
                write!(f, "the server sent a continuation frame that continues nothing")
            }
            Self::MessageInterrupted => {
                write!(f, "the server began a message before it ended the last one")
            }
            Self::MessageTooLong { bytes, bytes_max } => {
                write!(f, "the server sent a message of {bytes} bytes; the limit is {bytes_max}")
            }
            Self::Utf8Invalid { bytes_valid } => {
                write!(f, "the server sent text that is not UTF-8 after {bytes_valid} bytes")
            }
            Self::CloseCodeTruncated => {
                write!(f, "the server sent a close frame with half a close code")
            }
            Self::CloseCodeInvalid { code } => {
                write!(f, "the server closed with the code {code}, which must not be sent")
            }
            other => write!(f, "{other:?}"),
        }
    }
}

impl std::error::Error for WebsocketError {}
