//! What a close frame carries: a code and a reason (RFC 6455 sections 5.5.1 and 7.4).

use super::WebsocketError;
use super::frame::CONTROL_BYTES_MAX;
use super::message::TextCheck;

/// Reads a close frame's payload: the code, if there is one. The reason is what follows it.
pub(super) fn parse(payload: &[u8]) -> Result<Option<u16>, WebsocketError> {
    match payload {
        [] => Ok(None),
        [_] => Err(WebsocketError::CloseCodeTruncated),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !may_be_sent(code) {
                return Err(WebsocketError::CloseCodeInvalid { code });
            }
            TextCheck::default().advance(reason, true)?;
            Ok(Some(code))
        }
    }
}

/// A close frame's payload. A reason that is too long is cut at a character.
pub(super) fn payload(code: u16, reason: &str) -> Vec<u8> {
    assert!(may_be_sent(code), "the close code {code} must not be sent");
    let room = CONTROL_BYTES_MAX.saturating_sub(CODE_BYTES);
    let reason = reason.get(..reason.floor_char_boundary(room)).unwrap_or_default();
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    payload
}

/// Section 7.4 and IANA's registry: 1004 is reserved; 1005, 1006 and 1015 exist only inside an
/// endpoint; 1012 to 1014 were registered after the RFC; 3000 to 4999 belong to libraries and
/// applications (Deribit's 4000 "heartbeat close").
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A close code is 16 bits, big-endian.
pub(super) const CODE_BYTES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        for code in [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999] {
            assert_eq!(parse(&payload(code, "why")), Ok(Some(code)));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65_535_u16] {
            let refused = Err(WebsocketError::CloseCodeInvalid { code });
            assert_eq!(parse(&code.to_be_bytes()), refused);
        }
    }

    #[test]
    fn payloads() {
        assert_eq!(parse(&[]), Ok(None));
        assert_eq!(parse(&[3]), Err(WebsocketError::CloseCodeTruncated));
        let bytes_valid = 1;
        let refused = Err(WebsocketError::Utf8Invalid { bytes_valid });
        assert_eq!(parse(b"\x03\xe8a\xff"), refused);
        assert_eq!(parse(b"\x03\xe8a\xce"), refused);
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let payload = payload(1000, &"é".repeat(100));
        assert_eq!(payload.len(), 124);
        assert_eq!(parse(&payload), Ok(Some(1000)));
    }
}
