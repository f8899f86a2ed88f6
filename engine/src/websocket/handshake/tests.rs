//! Answers to a handshake, and what becomes of them.

use super::*;

/// The nonce of the RFC's example (section 1.3), whose key is known.
const NONCE: &[u8; 16] = b"the sample nonce";
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn begin() -> (Handshake, String) {
    let request = Request::new("example.com:8443", "/chat?a=b").unwrap();
    let mut output = Vec::new();
    let handshake = Handshake::begin(&request, *NONCE, 1024, &mut output);
    (handshake, String::from_utf8(output).unwrap())
}

/// The answer must give `expected`: `None` to wait, `Some(n)` for an accepted head.
#[track_caller]
fn check(answer: &str, expected: Result<Option<usize>, &str>) {
    let (handshake, _) = begin();
    let got = handshake.receive(answer.as_bytes(), false).map_err(|error| error.to_string());
    assert_eq!(got, expected.map_err(str::to_owned), "{answer}");
}

/// The accepted answer with one text replaced must be refused with `expected`.
#[track_caller]
fn check_changed(from: &str, to: &str, expected: &str) {
    let answer = ACCEPTED.replacen(from, to, 1);
    assert_ne!(answer, ACCEPTED);
    check(&answer, Err(expected));
}

#[test]
fn the_example_of_the_rfc() {
    let (_, request) = begin();
    let start = "GET /chat?a=b HTTP/1.1\r\nHost: example.com:8443\r\n";
    assert!(request.starts_with(start), "{request}");
    assert!(request.contains("\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
    assert!(request.contains("\r\nSec-WebSocket-Version: 13\r\n"));
    assert!(!request.contains("Extensions"));
    check(ACCEPTED, Ok(Some(ACCEPTED.len())));
}

#[test]
fn bytes_behind_the_head_are_left_alone() {
    check(&format!("{ACCEPTED}\u{1}\u{2}"), Ok(Some(ACCEPTED.len())));
}

#[test]
fn every_shorter_answer_waits() {
    for end in 0..ACCEPTED.len() {
        check(&ACCEPTED[..end], Ok(None));
    }
}

#[test]
fn names_and_tokens_ignore_case_and_lists_may_hold_more() {
    let answer = ACCEPTED
        .replace("Upgrade: websocket", "UPGRADE: WebSocket")
        .replace("Connection: Upgrade", "connection: keep-alive, UPGRADE")
        .replace("Sec-WebSocket-Accept: ", "sec-websocket-accept:   ");
    check(&answer, Ok(Some(answer.len())));
    let lines = "Connection: keep-alive\r\nConnection: Upgrade";
    let answer = ACCEPTED.replace("Connection: Upgrade", lines);
    check(&answer, Ok(Some(answer.len())));
}

#[test]
fn what_section_4_1_forbids_is_refused() {
    let mismatch = "the server accepted the websocket with Sec-WebSocket-Accept ";
    check_changed(
        "s3pP",
        "S3pP",
        &format!("{mismatch}\"S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\", which must match the request's key"),
    );
    check_changed(
        "Upgrade: websocket\r\n",
        "",
        "the server accepted the websocket without Upgrade, which must be websocket",
    );
    check_changed(
        "Upgrade: websocket",
        "Upgrade: h2c",
        "the server accepted the websocket with Upgrade \"h2c\", which must be websocket",
    );
    check_changed(
        "Connection: Upgrade",
        "Connection: close",
        "the server accepted the websocket with Connection \"close\", which must contain upgrade",
    );
    check_changed(
        "Upgrade: websocket",
        "Sec-WebSocket-Extensions: permessage-deflate\r\nUpgrade: websocket",
        "the server accepted the websocket with Sec-WebSocket-Extensions \
         \"permessage-deflate\", which must be absent: none was offered",
    );
    check_changed(
        "Upgrade: websocket",
        "Sec-WebSocket-Protocol: chat\r\nUpgrade: websocket",
        "the server accepted the websocket with Sec-WebSocket-Protocol \"chat\", \
         which must be absent: none was offered",
    );
    check_changed(
        "HTTP/1.1",
        "HTTP/1.0",
        "the server's answer to the websocket handshake is not HTTP: version below HTTP/1.1",
    );
}

#[test]
fn a_refusal_keeps_status_body_and_retry_after() {
    let head = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 12\r\nRetry-After: 7\r\n\r\n";
    check(head, Ok(None));
    check(&format!("{head}slow down"), Ok(None));
    let refused = "the server refused the websocket with HTTP 429 Too Many Requests, \
         retry after 7 s: slow down ok";
    check(&format!("{head}slow\ndown ok"), Err(refused));
    let (handshake, _) = begin();
    let ended = handshake.receive(format!("{head}slow").as_bytes(), true).unwrap_err();
    assert!(ended.to_string().ends_with(": slow"), "{ended}");
}

#[test]
fn a_refusal_without_a_length_does_not_wait() {
    let head = "HTTP/1.1 503\r\n\r\n";
    check(head, Err("the server refused the websocket with HTTP 503"));
    let chunked = "HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n\
         4\r\noops\r\n0\r\n\r\n";
    check(chunked, Err("the server refused the websocket with HTTP 502 Bad Gateway: oops"));
    let long = format!("HTTP/1.1 403 No\r\nContent-Length: 9999\r\n\r\n{}", "x".repeat(600));
    let kept = "x".repeat(512);
    check(&long, Err(&format!("the server refused the websocket with HTTP 403 No: {kept}")));
}

#[test]
fn what_is_not_http_or_has_no_end_is_refused() {
    let what = "the server's answer to the websocket handshake is not HTTP: invalid HTTP version";
    check("\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{28}", Err(what));
    let endless = format!("HTTP/1.1 101 Yes\r\nX: {}", "x".repeat(1024));
    let sentence = "the server's answer to the handshake has a head above 1024 bytes";
    check(&endless, Err(sentence));
    check(&format!("{endless}\r\n\r\n"), Err(sentence));
    let (handshake, _) = begin();
    let ended = handshake.receive(b"HTTP/1.1 101", true);
    assert_eq!(ended, Err(WebsocketError::EndedInHandshake));
}

#[test]
fn requests_that_would_break_their_line_are_refused() {
    for (host, target) in [
        ("", "/"),
        ("a b", "/"),
        ("a\r\nX: y", "/"),
        ("a", ""),
        ("a", "ws"),
        ("a", "/ HTTP/1.1\r\nX: y"),
        ("bücher.example", "/"),
    ] {
        assert!(Request::new(host, target).is_err(), "{host:?} {target:?}");
    }
}
