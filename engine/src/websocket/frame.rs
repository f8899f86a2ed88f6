//! The head of a frame, read and written (RFC 6455 section 5.2).

use super::WebsocketError;
use super::mask;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// The head of a frame that a client may receive.
///
/// Invariant: unmasked, no reserved bit or opcode, its length minimal; a control frame is
/// final and carries at most 125 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    /// The bytes of the head itself.
    pub(super) bytes: usize,
    /// The bytes behind it.
    pub(super) payload_bytes: usize,
}

impl Head {
    /// The head at the front of `received`, or `None` until all of it is there.
    pub(super) fn parse(received: &[u8]) -> Result<Option<Self>, WebsocketError> {
        let [first, second, rest @ ..] = received else { return Ok(None) };
        let fin = first & FIN != 0;
        if first & RESERVED != 0 {
            return Err(WebsocketError::ReservedBits { bits: (first & RESERVED) >> 4 });
        }
        let opcode = Opcode::parse(first & 0x0f)?;
        if second & MASKED != 0 {
            return Err(WebsocketError::MaskedFrame);
        }
        let short = second & !MASKED;
        if opcode.is_control() {
            if !fin {
                return Err(WebsocketError::ControlFragmented { opcode: opcode as u8 });
            }
            if short >= LENGTH_16 {
                return Err(WebsocketError::ControlTooLong { bytes: usize::from(short) });
            }
        }
        let (bytes, length, least) = match short {
            LENGTH_16 => {
                let Some(length) = rest.first_chunk() else { return Ok(None) };
                (4, u64::from(u16::from_be_bytes(*length)), u64::from(LENGTH_16))
            }
            LENGTH_64 => {
                let Some(length) = rest.first_chunk() else { return Ok(None) };
                (10, u64::from_be_bytes(*length), 1 << 16)
            }
            short => (2, u64::from(short), 0),
        };
        if length < least {
            return Err(WebsocketError::LengthNotMinimal { bytes: length });
        }
        match usize::try_from(length) {
            Ok(payload_bytes) if length >> 63 == 0 => {
                Ok(Some(Self { fin, opcode, bytes, payload_bytes }))
            }
            _ => Err(WebsocketError::LengthImpossible { bytes: length }),
        }
    }
}

impl Opcode {
    fn parse(opcode: u8) -> Result<Self, WebsocketError> {
        match opcode {
            0 => Ok(Self::Continuation),
            1 => Ok(Self::Text),
            2 => Ok(Self::Binary),
            8 => Ok(Self::Close),
            9 => Ok(Self::Ping),
            10 => Ok(Self::Pong),
            opcode => Err(WebsocketError::ReservedOpcode { opcode }),
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Appends one final, masked frame: what a client sends (section 5.1).
pub(super) fn write(output: &mut Vec<u8>, opcode: Opcode, payload: &[u8], key: [u8; 4]) {
    output.push(FIN | opcode as u8);
    match payload.len() {
        length @ 0..=125 => output.push(MASKED | length as u8),
        length @ 126..=0xffff => {
            output.push(MASKED | LENGTH_16);
            output.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            output.push(MASKED | LENGTH_64);
            output.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    output.extend_from_slice(&key);
    let head_bytes = output.len();
    output.extend_from_slice(payload);
    mask::apply(key, output.get_mut(head_bytes..).unwrap_or_default());
}

/// The longest head that a client writes: two bytes, a 64-bit length, a key.
pub(super) const HEAD_BYTES_MAX: usize = 14;
/// The longest payload of a control frame (section 5.5).
pub(super) const CONTROL_BYTES_MAX: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// The length follows as 16 bits.
const LENGTH_16: u8 = 126;
/// The length follows as 64 bits.
const LENGTH_64: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(received: &[u8], expected: Result<Option<(bool, Opcode, usize, usize)>, &str>) {
        let parsed = Head::parse(received);
        let got = match &parsed {
            Ok(head) => {
                Ok(head.map(|head| (head.fin, head.opcode, head.bytes, head.payload_bytes)))
            }
            Err(error) => Err(format!("{error:?}")),
        };
        assert_eq!(got, expected.map_err(String::from), "{received:02x?}");
    }

    #[test]
    fn heads() {
        check(&[], Ok(None));
        check(&[0x81], Ok(None));
        check(&[0x81, 0x05], Ok(Some((true, Opcode::Text, 2, 5))));
        check(&[0x01, 0x00, 0xff], Ok(Some((false, Opcode::Text, 2, 0))));
        check(&[0x80, 0x7d], Ok(Some((true, Opcode::Continuation, 2, 125))));
        check(&[0x82, 0x7e, 0x00], Ok(None));
        check(&[0x82, 0x7e, 0x00, 0x7e], Ok(Some((true, Opcode::Binary, 4, 126))));
        check(&[0x82, 0x7e, 0xff, 0xff], Ok(Some((true, Opcode::Binary, 4, 65_535))));
        check(&[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0], Ok(None));
        let long = [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0];
        check(&long, Ok(Some((true, Opcode::Binary, 10, 65_536))));
        check(&[0x88, 0x7d], Ok(Some((true, Opcode::Close, 2, 125))));
        check(&[0x89, 0x00], Ok(Some((true, Opcode::Ping, 2, 0))));
        check(&[0x8a, 0x01], Ok(Some((true, Opcode::Pong, 2, 1))));
    }

    #[test]
    fn heads_that_the_protocol_forbids() {
        check(&[0xc1, 0x00], Err("ReservedBits { bits: 4 }"));
        check(&[0x91, 0x00], Err("ReservedBits { bits: 1 }"));
        check(&[0x83, 0x00], Err("ReservedOpcode { opcode: 3 }"));
        check(&[0x87, 0x00], Err("ReservedOpcode { opcode: 7 }"));
        check(&[0x8b, 0x00], Err("ReservedOpcode { opcode: 11 }"));
        check(&[0x8f, 0x00], Err("ReservedOpcode { opcode: 15 }"));
        check(&[0x81, 0x80], Err("MaskedFrame"));
        check(&[0x09, 0x00], Err("ControlFragmented { opcode: 9 }"));
        check(&[0x88, 0x7e], Err("ControlTooLong { bytes: 126 }"));
        check(&[0x8a, 0x7f], Err("ControlTooLong { bytes: 127 }"));
        check(&[0x81, 0x7e, 0x00, 0x7d], Err("LengthNotMinimal { bytes: 125 }"));
        let fits_16_bits = [0x81, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        check(&fits_16_bits, Err("LengthNotMinimal { bytes: 65535 }"));
        let negative = [0x81, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0];
        check(&negative, Err("LengthImpossible { bytes: 9223372036854775808 }"));
    }

    #[test]
    fn written_heads_grow_with_the_payload() {
        for (bytes, head) in [(0, 6), (125, 6), (126, 8), (65_535, 8), (65_536, 14)] {
            let mut output = Vec::new();
            write(&mut output, Opcode::Binary, &vec![0; bytes], [1, 2, 3, 4]);
            assert_eq!(output.len(), bytes + head);
            assert_eq!(output[1] & MASKED, MASKED);
        }
    }
}
