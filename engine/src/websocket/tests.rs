//! Streams of frames, and the events and answers they give.

use super::*;

const SEED: u64 = 7;

/// A client whose handshake is over and whose output is empty.
fn open(limits: Limits) -> Client {
    let request = Request::new("example.com", "/ws").unwrap();
    let mut client = Client::new(&request, limits, SEED);
    let asked = String::from_utf8(std::mem::take(client.output())).unwrap();
    let (_, key) = asked.split_once("Sec-WebSocket-Key: ").unwrap();
    let (key, _) = key.split_once("\r\n").unwrap();
    let accept = handshake::accept(key);
    client.input().extend_from_slice(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .as_bytes(),
    );
    assert_eq!(client.next(), Ok(Some(Event::Open)));
    client
}

/// An event or an error in a few words.
fn name(event: Result<Option<Event<'_>>, WebsocketError>) -> Option<String> {
    let words = |bytes: &[u8]| bytes.escape_ascii().to_string();
    Some(match event {
        Ok(None) => return None,
        Ok(Some(Event::Open)) => "open".to_owned(),
        Ok(Some(Event::Text(payload))) => format!("text {}", words(payload)),
        Ok(Some(Event::Binary(payload))) => format!("binary {}", words(payload)),
        Ok(Some(Event::Ping(payload))) => format!("ping {}", words(payload)),
        Ok(Some(Event::Pong(payload))) => format!("pong {}", words(payload)),
        Ok(Some(Event::Closed { code, reason })) => format!("closed {code:?} {reason}"),
        Err(error) => format!("{error:?}"),
    })
}

/// What a client wrote, unmasked: "opcode payload" for each frame.
fn sent(mut output: &[u8]) -> Vec<String> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = output {
        assert_eq!(first & 0xf0, 0x80, "final, no reserved bit");
        assert_eq!(second & 0x80, 0x80, "masked");
        let length = usize::from(second & 0x7f);
        assert!(length < 126, "these tests send little");
        let (key, rest) = rest.split_first_chunk().unwrap();
        let (payload, rest) = rest.split_at(length);
        let mut payload = payload.to_vec();
        mask::apply(*key, &mut payload);
        frames.push(format!("{} {}", first & 0x0f, payload.escape_ascii()));
        output = rest;
    }
    frames
}

/// The stream must give these events and send these answers, however it is cut.
#[track_caller]
fn check(stream: &[u8], events: &[&str], answers: &[&str]) {
    for step in [1, 2, 3, 7, stream.len().max(1)] {
        let limits = Limits { message_bytes_max: 300, ..Limits::default() };
        let mut client = open(limits);
        let mut got = Vec::new();
        'stream: for chunk in stream.chunks(step) {
            client.input().extend_from_slice(chunk);
            loop {
                let event = client.next();
                let failed = event.is_err();
                let Some(event) = name(event) else { break };
                got.push(event);
                if failed {
                    break 'stream;
                }
            }
        }
        assert_eq!(got, events, "cut into {step}: {stream:02x?}");
        assert_eq!(sent(client.output()), answers, "cut into {step}: {stream:02x?}");
    }
}

#[test]
fn messages() {
    check(b"\x81\x05hello\x82\x02\x00\xff", &["text hello", "binary \\x00\\xff"], &[]);
    check(b"\x81\x00\x82\x00", &["text ", "binary "], &[]);
    check(b"\x81\x05hell", &[], &[]);
    let long = [b"\x81\x7e\x01\x00".as_slice(), &[b'x'; 256]].concat();
    check(&long, &[&format!("text {}", "x".repeat(256))], &[]);
}

#[test]
fn fragments_with_control_frames_between() {
    check(b"\x01\x03hel\x80\x02lo", &["text hello"], &[]);
    check(b"\x02\x01a\x00\x00\x00\x01b\x80\x00", &["binary ab"], &[]);
    check(b"\x01\x00\x80\x00\x81\x01x", &["text ", "text x"], &[]);
    let stream = b"\x01\x01a\x89\x01p\x00\x01b\x8a\x00\x80\x01c\x81\x01d";
    check(stream, &["ping p", "pong ", "text abc", "text d"], &["10 p"]);
    // A character cut by a frame's end.
    check(b"\x01\x01\xce\x80\x01\xba", &["text \\xce\\xba"], &[]);
}

#[test]
fn fragments_out_of_order() {
    check(b"\x80\x01a", &["ContinuationUnexpected"], &["8 \\x03\\xea"]);
    check(b"\x00\x01a", &["ContinuationUnexpected"], &["8 \\x03\\xea"]);
    check(b"\x01\x01a\x81\x01b", &["MessageInterrupted"], &["8 \\x03\\xea"]);
    check(b"\x01\x01a\x02\x01b", &["MessageInterrupted"], &["8 \\x03\\xea"]);
    let stream = b"\x01\x01a\x80\x01b\x80\x01c";
    check(stream, &["text ab", "ContinuationUnexpected"], &["8 \\x03\\xea"]);
}

#[test]
fn text_must_be_utf8_and_fails_before_its_frame_ends() {
    let fault = "Utf8Invalid { bytes_valid: 2 }";
    let second = "Utf8Invalid { bytes_valid: 0 }";
    check(b"\x81\x02ab\x81\x01\xff", &["text ab", second], &["8 \\x03\\xef"]);
    check(b"\x81\x04ab\xffc", &[fault], &["8 \\x03\\xef"]);
    check(b"\x81\x7dab\xffc", &[fault], &["8 \\x03\\xef"]);
    check(b"\x81\x03ab\xce", &[fault], &["8 \\x03\\xef"]);
    check(b"\x01\x02ab\x00\x7d\xed\xa0", &[fault], &["8 \\x03\\xef"]);
    check(b"\x01\x03ab\xce\x80\x00", &[fault], &["8 \\x03\\xef"]);
    check(b"\x82\x01\xff", &["binary \\xff"], &[]);
}

#[test]
fn messages_have_a_limit() {
    let one = "MessageTooLong { bytes: 301, bytes_max: 300 }";
    check(b"\x82\x7e\x01\x2d", &[one], &["8 \\x03\\xf1"]);
    let start = [b"\x02\x7e\x01\x2c".as_slice(), &[b'x'; 300]].concat();
    let joined = [start.as_slice(), b"\x80\x01"].concat();
    check(&joined, &[one], &["8 \\x03\\xf1"]);
    let whole = [start.as_slice(), b"\x80\x00"].concat();
    check(&whole, &[&format!("binary {}", "x".repeat(300))], &[]);
}

#[test]
fn the_server_closes() {
    let frame = b"\x88\x06\x0f\xa0beat\x81\x01x";
    check(frame, &["closed Some(4000) beat"], &["8 \\x0f\\xa0"]);
    check(b"\x88\x00", &["closed None "], &["8 "]);
    check(b"\x88\x01\x03", &["CloseCodeTruncated"], &["8 \\x03\\xea"]);
    check(b"\x88\x02\x03\xed", &["CloseCodeInvalid { code: 1005 }"], &["8 \\x03\\xea"]);
    check(b"\x88\x03\x03\xe8\xff", &["Utf8Invalid { bytes_valid: 0 }"], &["8 \\x03\\xef"]);
    // In the midst of a message, too.
    check(b"\x01\x01a\x88\x02\x03\xe8", &["closed Some(1000) "], &["8 \\x03\\xe8"]);
}

#[test]
fn the_client_closes() {
    let mut client = open(Limits::default());
    client.close(1000, "bye");
    client.close(1000, "again");
    assert_eq!(client.send_text(b"late"), Err(WebsocketError::SentAfterClose));
    client.input().extend_from_slice(b"\x81\x01a\x89\x00\x88\x02\x03\xe8");
    assert_eq!(name(client.next()).as_deref(), Some("text a"));
    assert_eq!(name(client.next()).as_deref(), Some("ping "));
    assert_eq!(client.end(), Err(WebsocketError::EndedWithoutClose));

    let mut client = open(Limits::default());
    client.close(1000, "bye");
    client.input().extend_from_slice(b"\x88\x02\x03\xe8\x81\x01b");
    assert_eq!(name(client.next()).as_deref(), Some("closed Some(1000) "));
    assert_eq!(client.next(), Ok(None));
    assert_eq!(client.end(), Ok(()));
    assert_eq!(sent(client.output()), ["8 \\x03\\xe8bye"]);
}

#[test]
fn a_failure_is_repeated() {
    let mut client = open(Limits::default());
    client.input().extend_from_slice(b"\x81\x81\x81\x01a");
    assert_eq!(client.next(), Err(WebsocketError::MaskedFrame));
    assert_eq!(client.next(), Err(WebsocketError::MaskedFrame));
    assert_eq!(client.send_text(b"late"), Err(WebsocketError::MaskedFrame));
    assert_eq!(client.end(), Err(WebsocketError::MaskedFrame));
    assert_eq!(sent(client.output()), ["8 \\x03\\xea"]);
}

#[test]
fn nothing_is_sent_before_the_websocket_is_open() {
    let request = Request::new("example.com", "/").unwrap();
    let mut client = Client::new(&request, Limits::default(), SEED);
    assert_eq!(client.send_text(b"early"), Err(WebsocketError::NotOpen));
    assert_eq!(client.ping(b""), Err(WebsocketError::NotOpen));
    assert_eq!(client.end(), Err(WebsocketError::EndedInHandshake));
}

#[test]
fn output_has_a_limit() {
    let mut client = open(Limits { output_bytes_max: 100, ..Limits::default() });
    assert_eq!(client.send_binary(&[0; 86]), Ok(()));
    let full = Err(WebsocketError::OutputFull { bytes_max: 100 });
    assert_eq!(client.send_binary(&[0; 86]), full);
    client.output().clear();
    assert_eq!(client.send_binary(&[0; 86]), Ok(()));
    client.input().extend_from_slice(b"\x89\x00");
    assert_eq!(client.next(), full.map(|()| None));
}

#[test]
fn pings_carry_125_bytes_at_most() {
    let mut client = open(Limits::default());
    assert_eq!(client.ping(&[b'x'; 125]), Ok(()));
    assert_eq!(client.ping(&[0; 126]), Err(WebsocketError::ControlTooLong { bytes: 126 }));
}

#[test]
fn a_message_is_read_where_it_was_received() {
    let mut client = open(Limits::default());
    let mut input = client.take_input();
    let home = input.as_ptr_range();
    input.extend_from_slice(b"\x81\x05hello\x81\x05again");
    client.put_input(input);
    for _ in 0..2 {
        let Ok(Some(Event::Text(payload))) = client.next() else { panic!("no text") };
        assert!(payload.as_ptr() >= home.start);
        payload.make_ascii_uppercase();
    }
    assert_eq!(client.next(), Ok(None));
}
