//! HTTP/1.1, as little of it as one port needs for REST and the websocket's handshake.

use std::io;

use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const HEAD_BYTES_MAX: usize = 16 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 64;

/// A request's head and body.
#[derive(Debug, Default)]
pub(crate) struct HttpRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// The websocket's key, where the client asks for one.
    pub(crate) websocket_key: Option<String>,
    pub(crate) keep_alive: bool,
    pub(crate) body: Vec<u8>,
}

/// Why a request could not be read.
#[derive(Debug)]
pub(crate) enum HttpError {
    /// The client left, or the socket failed.
    Gone,
    /// What came is no request; the status to answer.
    Bad(u16),
}

impl From<io::Error> for HttpError {
    fn from(_: io::Error) -> HttpError {
        HttpError::Gone
    }
}

/// Reads the next request; what was read beyond it stays in `buffer`.
pub(crate) async fn read<S>(stream: &mut S, buffer: &mut Vec<u8>) -> Result<HttpRequest, HttpError>
where
    S: AsyncRead + Unpin,
{
    let (mut request, head, length) = loop {
        if let Some(parsed) = parse(buffer)? {
            break parsed;
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(HttpError::Bad(431));
        }
        more(stream, buffer).await?;
    };
    if length > BODY_BYTES_MAX {
        return Err(HttpError::Bad(413));
    }
    while buffer.len() < head + length {
        more(stream, buffer).await?;
    }
    let rest = buffer.split_off(head + length);
    request.body = std::mem::replace(buffer, rest).split_off(head);
    Ok(request)
}

async fn more<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Result<(), HttpError> {
    match stream.read_buf(buffer).await? {
        0 => Err(HttpError::Gone),
        _ => Ok(()),
    }
}

/// The request, the bytes of its head, the bytes of its body.
fn parse(buffer: &[u8]) -> Result<Option<(HttpRequest, usize, usize)>, HttpError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(buffer).map_err(|_| HttpError::Bad(400))? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let target = head.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = HttpRequest {
        method: head.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        keep_alive: head.version == Some(1),
        ..HttpRequest::default()
    };
    let (mut body, mut upgrade, mut key) = (0, false, None);
    for header in head.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => {
                body = value.trim().parse().map_err(|_| HttpError::Bad(400))?;
            }
            "upgrade" => upgrade = value.trim().eq_ignore_ascii_case("websocket"),
            "sec-websocket-key" => key = Some(value.trim().to_owned()),
            "connection" if value.to_ascii_lowercase().contains("close") => {
                request.keep_alive = false;
            }
            _ => {}
        }
    }
    request.websocket_key = key.filter(|_| upgrade);
    Ok(Some((request, length, body)))
}

/// Writes an answer.
pub(crate) async fn respond<S>(
    stream: &mut S,
    status: u16,
    kind: &str,
    body: &str,
    keep_alive: bool,
) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    };
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\
         connection: {connection}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.flush().await
}

/// A query as parameters: every value a text.
pub(crate) fn parameters(query: &str) -> Map<String, Value> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), Value::String(decode(value)))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', _) => bytes.push(b' '),
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_piece_by_piece() {
        let text = "POST /api/v2?a=1 HTTP/1.1\r\nContent-Length: 2\r\nconnection: Close\r\n\r\n{}";
        for end in 0..text.len() - 2 {
            assert!(parse(&text.as_bytes()[..end]).unwrap().is_none());
        }
        let (request, head, body) = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!((head, body), (text.len() - 2, 2));
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/api/v2", "a=1"));
        assert!(!request.keep_alive && request.websocket_key.is_none());
        assert!(parse(b"\x16\x03\x01\x02\x00").is_err());
    }

    #[test]
    fn queries_are_decoded() {
        let found = parameters("currency=BTC&x=a%20b+c&broken=%zz&&flag");
        let pairs: Vec<_> = found.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
        let expected = [("currency", "BTC"), ("x", "a b c"), ("broken", "%zz"), ("flag", "")];
        assert_eq!(pairs, expected);
    }
}
