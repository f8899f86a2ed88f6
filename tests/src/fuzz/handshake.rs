//! The answer to our handshake, in any reads: whoever opens a websocket, tungstenite would too.
//!
//! What may differ, by name: we ask for HTTP/1.1 and for headers that stand once, refuse what was
//! not offered, bound the head, and find `upgrade` in a list of connection options.

#![allow(clippy::unwrap_used, reason = "a check that cannot go on says so best by stopping")]

use std::io;

use tapedeck::websocket::{Client, Event, Limits, Request, WebsocketError};
use tapedeck::wire::WireError;
use tungstenite::Error;
use tungstenite::client::IntoClientRequest;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::HandshakeError;
use tungstenite::handshake::client::ClientHandshake;
use tungstenite::http::HeaderValue;

use crate::random::Random;
use crate::twins::Wire;

/// Our client before its handshake, always with the same key: a seed knows its answer.
#[must_use]
pub fn client() -> Client {
    let request = Request::new("localhost:8090", "/ws/api/v2").unwrap();
    Client::new(&request, Limits::default(), 7)
}

/// How a handshake went.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The server accepted, and said this behind its head.
    Open(Vec<String>),
    Refused(u16),
    Failed(WebsocketError),
    /// More bytes are awaited.
    Waiting,
}

/// One byte decides the reads, the rest is what the server sends.
///
/// # Panics
/// When the outcome depends on the reads, or tungstenite does not agree with it.
pub fn check(input: &[u8]) {
    let [reads, answer @ ..] = input else { return };
    let whole = ours(&[answer]);
    let mut random = Random(u64::from(*reads));
    let mut rest = answer;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(random.chunk().min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    let split = ours(&pieces);
    // Of a head that is both too long and malformed, what is seen first is said.
    let failed = matches!((&whole, &split), (End::Failed(_), End::Failed(_)));
    assert!(failed || whole == split, "whole: {whole:?}\nsplit: {split:?}");
    let theirs = theirs(answer);
    assert!(agree(&whole, &theirs), "ours: {whole:?}\ntheirs: {theirs:?}");
}

fn ours(pieces: &[&[u8]]) -> End {
    let mut client = client();
    client.output().clear();
    let mut pieces = pieces.iter();
    while let Some(piece) = pieces.next() {
        client.input().extend_from_slice(piece);
        match client.next() {
            Ok(None) => {}
            Ok(Some(Event::Open)) => {
                pieces.for_each(|piece| client.input().extend_from_slice(piece));
                return End::Open(said(&mut client));
            }
            Ok(Some(other)) => panic!("{other:?} before the websocket is open"),
            Err(error) => return failed(&mut client, error),
        }
    }
    let ended = client.end().expect_err("nothing was closed");
    let _ = ended.to_string();
    End::Waiting
}

/// What the server said behind its head is read as frames.
fn said(client: &mut Client) -> Vec<String> {
    let mut events = Vec::new();
    loop {
        match client.next() {
            Ok(None) => return events,
            Ok(Some(event)) => events.push(format!("{event:?}")),
            Err(error) => {
                events.push(error.to_string());
                return events;
            }
        }
    }
}

fn failed(client: &mut Client, error: WebsocketError) -> End {
    assert!(!client.is_open());
    assert_eq!(client.next(), Err(error.clone()), "an error stays");
    assert!(client.output().is_empty(), "there is no websocket to close yet");
    let text = error.to_string();
    assert!(!text.contains('\n') && text.len() < 20_000, "one line: {text}");
    let _ = WireError::Websocket(error.clone()).policy();
    match error {
        WebsocketError::Refused { status, .. } => End::Refused(status),
        error => End::Failed(error),
    }
}

/// How the same handshake went for tungstenite.
#[derive(Debug)]
enum Theirs {
    Open,
    Waiting,
    Failed(Error),
}

fn theirs(answer: &[u8]) -> Theirs {
    let mut client = client();
    let asked = String::from_utf8(std::mem::take(client.output())).unwrap();
    let key = asked.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let mut request = "ws://localhost:8090/ws/api/v2".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Key", HeaderValue::from_str(key).unwrap());
    let mut wire = Wire::new(answer.to_vec(), 1);
    wire.at_end = Err(io::ErrorKind::WouldBlock.into());
    match ClientHandshake::start(wire, request, None).unwrap().handshake() {
        Ok(_) => Theirs::Open,
        Err(HandshakeError::Interrupted(_)) => Theirs::Waiting,
        Err(HandshakeError::Failure(error)) => Theirs::Failed(error),
    }
}

fn agree(ours: &End, theirs: &Theirs) -> bool {
    use ProtocolError as P;
    use WebsocketError as W;
    match (ours, theirs) {
        (End::Open(_), Theirs::Open) | (End::Waiting, Theirs::Waiting) => true,
        // `upgrade` stands in a list, or in the second of two lines.
        (End::Open(_), Theirs::Failed(Error::Protocol(P::MissingConnectionUpgradeHeader))) => true,
        (End::Refused(ours), Theirs::Failed(Error::Http(theirs))) => {
            *ours == theirs.status().as_u16()
        }
        // A refusal in a version or with a status that theirs does not know, or whose body ours
        // waits for, since the head announces it.
        (End::Refused(_) | End::Waiting, Theirs::Failed(_)) => true,
        (End::Failed(W::HandshakeTooLong { .. } | W::HandshakeMalformed { .. }), _) => true,
        (End::Failed(W::HandshakeHeader { name, .. }), Theirs::Open) => {
            // Of several lines theirs looks at the first, and it asks nothing of extensions.
            matches!(*name, "Upgrade" | "Sec-WebSocket-Accept" | "Sec-WebSocket-Extensions")
        }
        (End::Failed(W::HandshakeHeader { .. }), Theirs::Failed(_)) => true,
        _ => false,
    }
}
