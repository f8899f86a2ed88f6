//! Our websocket client meets tungstenite's ends: a client on the same stream, and a server.

mod frames;

use std::collections::BTreeMap;
use std::io;

use tapedeck::websocket::{Client, Event, Request};
use tapedeck_tests::random::{Random, Seed};
use tapedeck_tests::twins::{self, BYTES_MAX, Wire, agrees};
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::{Error, Message, WebSocket};

use frames::Stream;

const SEEDS: u64 = 40_000;

/// Our client, opened by tungstenite's server, and that server.
fn open(seed: u64) -> (Client, WebSocket<Wire>) {
    let request = Request::new("localhost:9001", "/ws?agent=tapedeck").unwrap();
    let mut client = Client::new(&request, twins::limits(), seed);
    let mut wire = Wire::new(std::mem::take(client.output()), seed);
    wire.at_end = Err(io::ErrorKind::WouldBlock.into());
    let mut server = tungstenite::accept(wire).unwrap();
    client.input().append(&mut server.get_mut().outgoing);
    assert_eq!(client.next(), Ok(Some(Event::Open)));
    (client, server)
}

#[test]
fn both_clients_agree_on_random_frames() {
    let mut ends = BTreeMap::<String, u32>::new();
    for seed in 0..SEEDS {
        let named = Seed(seed);
        let mut random = Random(seed);
        let mut stream = Stream::random(&mut random).bytes;
        if random.below(2) == 0 {
            frames::mutate(&mut stream, &mut random);
        }
        let close_after = if random.below(4) == 0 { random.below(4) } else { usize::MAX };
        *ends.entry(agrees(&stream, seed, close_after)).or_default() += 1;
        drop(named);
    }
    // A stream that reaches only some ends would prove little.
    for end in [
        "Waiting",
        "Closed",
        "ReservedBits",
        "ReservedOpcode",
        "MaskedFrame",
        "ControlFragmented",
        "ControlTooLong",
        "LengthNotMinimal",
        "LengthImpossible",
        "ContinuationUnexpected",
        "MessageInterrupted",
        "MessageTooLong",
        "Utf8Invalid",
        "CloseCodeTruncated",
        "CloseCodeInvalid",
    ] {
        assert!(ends.get(end).is_some_and(|&times| times >= 5), "{end} is too rare: {ends:?}");
    }
}

#[test]
fn tungstenite_reads_what_we_send_and_we_read_its_answers() {
    for seed in 0..300 {
        let named = Seed(seed);
        let mut random = Random(seed);
        let (mut client, mut server) = open(seed);
        for _ in 0..random.below(8) {
            let bytes = random.length().min(BYTES_MAX);
            let text = random.text(bytes);
            client.send_text(text.as_bytes()).unwrap();
            client.send_binary(&text.as_bytes()[..bytes / 2]).unwrap();
            client.ping(&text.as_bytes()[..bytes.min(125)]).unwrap();
            let wire = server.get_mut();
            wire.incoming = std::mem::take(client.output());
            wire.at = 0;
            assert_eq!(server.read().unwrap(), Message::text(text.clone()));
            let half = text.as_bytes()[..bytes / 2].to_vec();
            assert_eq!(server.read().unwrap(), Message::binary(half));
            let ping = text.as_bytes()[..bytes.min(125)].to_vec();
            assert_eq!(server.read().unwrap(), Message::Ping(ping.clone().into()));
            server.send(Message::text(text.clone())).unwrap();
            client.input().append(&mut server.get_mut().outgoing);
            let mut answers = Vec::new();
            while let Some(event) = client.next().unwrap() {
                answers.push(format!("{event:?}"));
            }
            let (mut text, ping) = (text.into_bytes(), ping);
            let expected = [Event::Text(&mut text), Event::Pong(&ping)];
            assert_eq!(answers, expected.map(|event| format!("{event:?}")));
        }
        client.close(4001, "done");
        let wire = server.get_mut();
        wire.incoming = std::mem::take(client.output());
        wire.at = 0;
        let close = CloseFrame { code: 4001.into(), reason: "done".into() };
        assert_eq!(server.read().unwrap(), Message::Close(Some(close)));
        assert!(matches!(server.read(), Err(Error::ConnectionClosed)));
        client.input().append(&mut server.get_mut().outgoing);
        let closed = client.next().unwrap().unwrap();
        assert_eq!(closed, Event::Closed { code: Some(4001), reason: "done" });
        assert_eq!(client.end(), Ok(()));
        drop(named);
    }
}
