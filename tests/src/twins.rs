//! Our websocket client beside tungstenite's: the same frames must tell both the same.
//!
//! What may differ, each difference checked by name in `agrees`:
//! - ours fails as soon as the fault is there, tungstenite once the frame is complete, so
//!   tungstenite is given filler to complete it;
//! - with two faults in one frame either may be named;
//! - ours enforces minimal lengths (RFC 6455 section 5.2), tungstenite reads on;
//! - ours fails on a close code that must not be sent, tungstenite reports another code;
//! - ours knows 1014, which IANA registered after the RFC.

#![allow(clippy::unwrap_used, reason = "a check that cannot go on says so best by stopping")]

use std::io::{self, Read, Write};

use tapedeck::websocket::{Client, Event, Limits, Request, WebsocketError};
use tungstenite::error::ProtocolError;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use crate::random::Random;

/// What either client told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(Option<u16>, String),
}

/// How it ended for either client.
#[derive(Debug)]
enum End<E> {
    /// It would read on.
    Waiting,
    Closed,
    Failed(E),
}

/// What a client told, how it ended, and the frames it sent: opcode and payload.
#[derive(Debug)]
struct Run<E> {
    told: Vec<Told>,
    end: End<E>,
    sent: Vec<(u8, Vec<u8>)>,
}

/// Both directions of a connection in memory; reads come in random pieces.
#[derive(Debug)]
pub struct Wire {
    /// What is read.
    pub incoming: Vec<u8>,
    /// How much of it was.
    pub at: usize,
    /// What was written.
    pub outgoing: Vec<u8>,
    /// What a read at the end says.
    pub at_end: io::Result<usize>,
    random: Random,
}

impl Wire {
    /// A connection whose reads end with the stream's end.
    #[must_use]
    pub fn new(incoming: Vec<u8>, seed: u64) -> Self {
        Self { incoming, at: 0, outgoing: Vec::new(), at_end: Ok(0), random: Random(seed) }
    }
}

impl Read for Wire {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let left = &self.incoming[self.at..];
        if left.is_empty() {
            return match &self.at_end {
                Ok(bytes) => Ok(*bytes),
                Err(error) => Err(error.kind().into()),
            };
        }
        let bytes = self.random.chunk().min(left.len()).min(room.len());
        room[..bytes].copy_from_slice(&left[..bytes]);
        self.at += bytes;
        Ok(bytes)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The longest message that either takes.
pub const BYTES_MAX: usize = 70_000;

/// Our client with its handshake done.
fn opened(seed: u64) -> Client {
    let request = Request::new("localhost:9001", "/ws?agent=tapedeck").unwrap();
    let mut client = Client::new(&request, limits(), seed);
    let asked = String::from_utf8(std::mem::take(client.output())).unwrap();
    let key = asked.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    client.input().extend_from_slice(answer.as_bytes());
    assert_eq!(client.next(), Ok(Some(Event::Open)));
    client
}

/// What our client may be made to hold.
#[must_use]
pub fn limits() -> Limits {
    Limits { message_bytes_max: BYTES_MAX, ..Limits::default() }
}

/// Our client on the stream; after `close_after` events it closes.
fn run_ours(stream: &[u8], seed: u64, close_after: usize) -> Run<WebsocketError> {
    let mut client = opened(seed);
    let mut random = Random(seed ^ 1);
    let mut told = Vec::new();
    let mut rest = stream;
    let end = 'end: {
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(random.chunk().min(rest.len()));
            rest = behind;
            if random.below(2) == 0 {
                client.input().extend_from_slice(chunk);
            } else {
                let mut input = client.take_input();
                input.extend_from_slice(chunk);
                client.put_input(input);
            }
            loop {
                let event = match client.next() {
                    Ok(None) => break,
                    Ok(Some(event)) => event,
                    Err(error) => break 'end End::Failed(error),
                };
                told.push(match event {
                    Event::Open => panic!("opened twice"),
                    Event::Text(payload) => Told::Text(payload.to_vec()),
                    Event::Binary(payload) => Told::Binary(payload.to_vec()),
                    Event::Ping(payload) => Told::Ping(payload.to_vec()),
                    Event::Pong(payload) => Told::Pong(payload.to_vec()),
                    Event::Closed { code, reason } => Told::Closed(code, reason.to_owned()),
                });
                if told.len() == close_after {
                    client.close(1000, "bye");
                }
            }
        }
        if client.end().is_ok() { End::Closed } else { End::Waiting }
    };
    Run { told, end, sent: unmask(client.output()) }
}

/// tungstenite's client on the same stream.
fn run_theirs(stream: &[u8], seed: u64, close_after: usize) -> Run<Error> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(BYTES_MAX))
        .max_frame_size(Some(BYTES_MAX))
        .read_buffer_size(4096);
    let wire = Wire::new(stream.to_vec(), seed ^ 2);
    let mut socket = WebSocket::from_raw_socket(wire, Role::Client, Some(config));
    let mut told = Vec::new();
    let end = loop {
        told.push(match socket.read() {
            Ok(Message::Text(text)) => Told::Text(text.as_bytes().to_vec()),
            Ok(Message::Binary(payload)) => Told::Binary(payload.to_vec()),
            Ok(Message::Ping(payload)) => Told::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Told::Pong(payload.to_vec()),
            Ok(Message::Close(None)) => Told::Closed(None, String::new()),
            Ok(Message::Close(Some(frame))) => {
                Told::Closed(Some(frame.code.into()), frame.reason.to_string())
            }
            Ok(Message::Frame(frame)) => panic!("a raw frame: {frame:?}"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                break End::Waiting;
            }
            Err(_) if matches!(told.last(), Some(Told::Closed(..))) => break End::Closed,
            Err(error) => break End::Failed(error),
        });
        if told.len() == close_after {
            // Else its close frame would overtake the pong that it owes.
            socket.flush().unwrap();
            let reason = CloseFrame { code: 1000.into(), reason: "bye".into() };
            socket.close(Some(reason)).unwrap();
        }
    };
    Run { told, end, sent: unmask(&socket.get_ref().outgoing) }
}

/// Whether tungstenite may call this fault of ours so.
fn same_fault(ours: &WebsocketError, theirs: &Error) -> bool {
    use ProtocolError as P;
    use WebsocketError as W;
    // Their length limit is the first thing they check of a frame, ours the last of a head.
    let too_long = matches!(theirs, Error::Capacity(_));
    let Error::Protocol(theirs) = theirs else {
        return match ours {
            W::Utf8Invalid { .. } => matches!(theirs, Error::Utf8(_)),
            W::CloseCodeInvalid { .. } => matches!(theirs, Error::Utf8(_)),
            W::ReservedOpcode { .. } | W::CloseCodeTruncated => false,
            _ => too_long,
        };
    };
    match (ours, theirs) {
        (W::ReservedBits { .. }, P::NonZeroReservedBits | P::InvalidOpcode(_)) => true,
        (W::ReservedOpcode { opcode }, P::InvalidOpcode(theirs)) => opcode == theirs,
        (W::MaskedFrame, P::MaskedFrameFromServer) => true,
        (W::ControlFragmented { .. }, P::FragmentedControlFrame) => true,
        (W::ControlTooLong { .. }, P::ControlFrameTooBig) => true,
        (W::ContinuationUnexpected, P::UnexpectedContinueFrame) => true,
        (W::MessageInterrupted, P::ExpectedFragment(_)) => true,
        (W::CloseCodeTruncated, P::InvalidCloseSequence) => true,
        _ => false,
    }
}

/// tungstenite takes 1014 for a code that must not be sent, and answers with 1002.
fn read_1014_as_ours(theirs: &mut Run<Error>, ours: Option<&Told>) {
    if let Some(Told::Closed(Some(1014), _)) = ours
        && let Some(Told::Closed(Some(1002), _)) = theirs.told.last()
    {
        theirs.told.pop();
        theirs.told.extend(ours.cloned());
        theirs.sent.pop();
        theirs.sent.push((8, 1014_u16.to_be_bytes().to_vec()));
    }
}

/// Ours answers a close with its code, tungstenite with its reason as well.
fn without_reasons(sent: &[(u8, Vec<u8>)]) -> Vec<(u8, &[u8])> {
    sent.iter()
        .map(|(opcode, payload)| match opcode {
            8 => (8, payload.get(..2).unwrap_or_default()),
            &opcode => (opcode, payload.as_slice()),
        })
        .collect()
}

/// Checks that both clients agree on the stream, cut into reads as the seed decides, and closed by
/// us after so many events; gives the name of how it ended.
///
/// # Panics
/// When they disagree.
#[must_use]
pub fn agrees(stream: &[u8], seed: u64, close_after: usize) -> String {
    let ours = run_ours(stream, seed, close_after);
    let mut theirs = run_theirs(stream, seed, close_after);
    let End::Failed(fault) = &ours.end else {
        read_1014_as_ours(&mut theirs, ours.told.last());
        assert_eq!(ours.told, theirs.told);
        assert_eq!(without_reasons(&ours.sent), without_reasons(&theirs.sent));
        return match (&ours.end, &theirs.end) {
            (End::Waiting, End::Waiting) => "Waiting".to_owned(),
            (End::Closed, End::Closed) => "Closed".to_owned(),
            ends => panic!("{ends:?}"),
        };
    };
    if matches!(theirs.end, End::Waiting) {
        let filled = [stream, &[b'a'; BYTES_MAX]].concat();
        theirs = run_theirs(&filled, seed, close_after);
    }
    assert!(theirs.told.starts_with(&ours.told), "{ours:?}\n{theirs:?}");
    match (&theirs.told[ours.told.len()..], &theirs.end, fault) {
        (_, _, WebsocketError::LengthNotMinimal { .. }) => {}
        // A control frame whose length is written long: theirs reads on, whatever is in it.
        (_, _, WebsocketError::ControlTooLong { .. }) => {}
        ([Told::Closed(..)], _, WebsocketError::CloseCodeInvalid { .. }) => {}
        ([], End::Failed(error), fault) if same_fault(fault, error) => {}
        // Theirs waits for the whole of a masked frame, which may be longer than what was filled
        // in.
        ([], End::Waiting, WebsocketError::MaskedFrame) => {}
        (more, end, fault) => panic!("ours: {fault:?}\ntheirs: {more:?} {end:?}"),
    }
    let name = format!("{fault:?}");
    name.split([' ', '{']).next().unwrap_or_default().to_owned()
}

/// The frames that a client wrote.
fn unmask(mut output: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = output {
        assert_eq!(first & 0xf0, 0x80, "final, no reserved bit");
        assert_eq!(second & 0x80, 0x80, "masked");
        let length = usize::from(second & 0x7f);
        assert!(length < 126, "clients answer with control frames only");
        let (key, rest) = rest.split_at(4);
        let (payload, rest) = rest.split_at(length);
        let unmasked = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        frames.push((first & 0x0f, unmasked.collect()));
        output = rest;
    }
    frames
}
