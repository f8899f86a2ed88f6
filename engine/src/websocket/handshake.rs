//! The opening handshake, client side (RFC 6455 sections 4.1 and 4.2.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1_smol::Sha1;

use super::WebsocketError;

/// What to ask which server for.
///
/// Invariant: both parts can stand in a request without ending their line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    host: String,
    target: String,
}

impl Request {
    /// `host` is the `Host` header: a name, with its port where it is not the scheme's own;
    /// `target` is the path with its query and begins with a slash.
    pub fn new(host: &str, target: &str) -> Result<Self, WebsocketError> {
        let invalid = |part, value: &str| {
            Err(WebsocketError::RequestInvalid { part, value: value.to_owned() })
        };
        let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !printable(host) {
            return invalid("host", host);
        }
        if !target.starts_with('/') || !printable(target) {
            return invalid("target", target);
        }
        Ok(Self { host: host.to_owned(), target: target.to_owned() })
    }
}

/// A handshake under way.
#[derive(Debug)]
pub(super) struct Handshake {
    /// What the server must answer in `Sec-WebSocket-Accept`.
    accept: String,
    bytes_max: usize,
}

impl Handshake {
    /// Appends the request to `output`. The nonce is the key of section 4.1, step 7.
    pub(super) fn begin(
        request: &Request,
        nonce: [u8; 16],
        bytes_max: usize,
        output: &mut Vec<u8>,
    ) -> Self {
        let key = STANDARD.encode(nonce);
        let Request { host, target } = request;
        output.extend_from_slice(
            format!(
                "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {USER_AGENT}\r\n\
                 Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
                 Sec-WebSocket-Version: 13\r\n\r\n"
            )
            .as_bytes(),
        );
        Self { accept: accept(&key), bytes_max }
    }

    /// Reads the answer: the length of its head once the server has accepted, `None` until
    /// the head (or, of a refusal, the body) is there. `ended` says that no more will come.
    pub(super) fn receive(
        &self,
        received: &[u8],
        ended: bool,
    ) -> Result<Option<usize>, WebsocketError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let head_bytes = match answer.parse(received) {
            Ok(httparse::Status::Complete(bytes)) if bytes <= self.bytes_max => bytes,
            Ok(httparse::Status::Partial) if ended => {
                return Err(WebsocketError::EndedInHandshake);
            }
            Ok(httparse::Status::Partial) if received.len() <= self.bytes_max => return Ok(None),
            Ok(_) => return Err(WebsocketError::HandshakeTooLong { bytes_max: self.bytes_max }),
            Err(error) => {
                return Err(WebsocketError::HandshakeMalformed { what: error.to_string() });
            }
        };
        let body = received.get(head_bytes..).unwrap_or_default();
        match answer.code {
            Some(101) => self.check_accepted(&answer).map(|()| Some(head_bytes)),
            status => {
                refusal(status.unwrap_or_default(), &answer, body, ended).map_or(Ok(None), Err)
            }
        }
    }

    /// Section 4.1, the list after "the client MUST validate the server's response".
    fn check_accepted(&self, answer: &httparse::Response<'_, '_>) -> Result<(), WebsocketError> {
        if answer.version != Some(1) {
            let what = "version below HTTP/1.1".to_owned();
            return Err(WebsocketError::HandshakeMalformed { what });
        }
        let check = |name: &'static str, expected, holds: &dyn Fn(&[String]) -> bool| {
            let found = values(answer, name);
            if holds(&found) {
                return Ok(());
            }
            let found = (!found.is_empty()).then(|| found.join(", "));
            Err(WebsocketError::HandshakeHeader { name, expected, found })
        };
        check(
            "Upgrade",
            "be websocket",
            &|found| matches!(found, [one] if one.eq_ignore_ascii_case("websocket")),
        )?;
        check("Connection", "contain upgrade", &|found| {
            let mut tokens = found.iter().flat_map(|line| line.split(','));
            tokens.any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
        })?;
        check(
            "Sec-WebSocket-Accept",
            "match the request's key",
            &|found| matches!(found, [one] if *one == self.accept),
        )?;
        check("Sec-WebSocket-Extensions", "be absent: none was offered", &|found| {
            found.iter().all(String::is_empty)
        })?;
        check("Sec-WebSocket-Protocol", "be absent: none was offered", &<[String]>::is_empty)
    }
}

/// The values of every header line of that name.
fn values(answer: &httparse::Response<'_, '_>, name: &str) -> Vec<String> {
    let named = answer.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| text(header.value)).collect()
}

/// The refusal, once enough of its body has come to explain it.
///
/// Without a `Content-Length` nothing says how much will come, so what came with the head must
/// do: an error now is worth more than a sentence later.
fn refusal(
    status: u16,
    answer: &httparse::Response<'_, '_>,
    body: &[u8],
    ended: bool,
) -> Option<WebsocketError> {
    let number = |name| values(answer, name).first().and_then(|value| value.parse::<u64>().ok());
    let length = number("Content-Length").and_then(|bytes| usize::try_from(bytes).ok());
    let wanted = length.unwrap_or_default().min(BODY_BYTES_MAX);
    if body.len() < wanted && !ended {
        return None;
    }
    // The size line of the first chunk is no text (RFC 9112, 7.1).
    let chunked = values(answer, "Transfer-Encoding").iter().any(|value| value == "chunked");
    let body = match httparse::parse_chunk_size(body) {
        Ok(httparse::Status::Complete((line, bytes))) if chunked => {
            let chunk = body.get(line..).unwrap_or_default();
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            chunk.get(..bytes).unwrap_or(chunk)
        }
        _ => body,
    };
    Some(WebsocketError::Refused {
        status,
        reason: answer.reason.unwrap_or_default().to_owned(),
        retry_after_s: number("Retry-After"),
        body: text(body.get(..BODY_BYTES_MAX).unwrap_or(body)),
    })
}

/// Foreign bytes as one line of text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Section 4.2.2, step 5.4: proves that the server read the key as a websocket's.
pub(super) fn accept(key: &str) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(key.as_bytes());
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(sha1.digest().bytes())
}

const USER_AGENT: &str = concat!("tapedeck/", env!("CARGO_PKG_VERSION"));
/// More header lines than any server sends.
const HEADERS_MAX: usize = 64;
/// How much of a refusal's body is kept.
const BODY_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests;
