//! A recorder with a control API, and somebody who asks it; also what no decent client sends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use tapedeck_tests::Running;
use tapedeck_tests::random::Random;

use crate::market::{Market, PATIENCE};

/// A recorder that answers.
pub(crate) struct Api {
    recorder: std::sync::Mutex<Running>,
    /// The address of the whole recorder.
    pub(crate) whole: String,
    /// The addresses of the shards.
    pub(crate) shards: Vec<String>,
}

impl Api {
    /// A recorder with a token.
    pub(crate) fn start(market: &mut Market, environment: &[(&str, &str)]) -> Self {
        Self::start_with(market, environment, Some(TOKEN))
    }

    pub(crate) fn start_with(
        market: &mut Market,
        environment: &[(&str, &str)],
        token: Option<&str>,
    ) -> Self {
        let mut command = market.recorder(&["--control"]);
        command.env("TAPEDECK_CONTROL__PORT", "0").env("TAPEDECK_CONTROL__SHARD_PORT", "0");
        command
            .envs(environment.iter().copied())
            .envs(token.map(|it| ("TAPEDECK_CONTROL_TOKEN", it)));
        let mut recorder = Running::start(&mut command);
        let _ = recorder.wait_for("control of shard perpetuals", PATIENCE);
        let output = recorder.output();
        let address = |what: &str| {
            let rest = output.split(&format!("control of {what}: http://")).nth(1).expect(what);
            rest.split_whitespace().next().expect("an address").to_owned()
        };
        let whole = address("the recorder");
        let shards = SHARDS.iter().map(|shard| address(&format!("shard {shard}"))).collect();
        Self { recorder: recorder.into(), whole, shards }
    }

    pub(crate) fn url(address: &str, path: &str) -> String {
        format!("http://{address}{path}")
    }

    pub(crate) fn output(&self) -> String {
        self.recorder.lock().unwrap().output()
    }

    pub(crate) fn get(&self, shard: usize, path: &str) -> (u16, Value) {
        json(exchange(&self.shards[shard], &request("GET", path, &[], "")))
    }

    pub(crate) fn get_whole(&self, path: &str) -> (u16, Value) {
        json(exchange(&self.whole, &request("GET", path, &[], "")))
    }

    pub(crate) fn post(
        &self,
        shard: usize,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> (u16, Value) {
        let token = token.map(|token| format!("Authorization: Bearer {token}"));
        let headers: Vec<&str> = token.iter().map(String::as_str).collect();
        json(exchange(&self.shards[shard], &request("POST", path, &headers, body)))
    }

    pub(crate) fn post_whole(&self, path: &str, token: Option<&str>, body: &str) -> (u16, Value) {
        let token = token.map(|token| format!("Authorization: Bearer {token}"));
        let headers: Vec<&str> = token.iter().map(String::as_str).collect();
        json(exchange(&self.whole, &request("POST", path, &headers, body)))
    }

    /// The text of the event stream, up to where it has what is looked for.
    pub(crate) fn events(&self, enough: impl Fn(&str) -> bool) -> String {
        let mut socket = connect(&self.whole);
        socket.write_all(&request("GET", "/api/v1/events", &[], "")).unwrap();
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        while !enough(&text) {
            let bytes = socket.read(&mut buffer).expect("events come");
            assert!(bytes > 0, "the stream ended: {text}");
            text.push_str(&String::from_utf8_lossy(&buffer[..bytes]));
        }
        text
    }

    /// Until everything is acknowledged and something has come on every shard.
    pub(crate) fn wait_until_healthy(&self) {
        until(|| (self.get_whole("/ready").0 == 200).then_some(()));
        until(|| (self.get_whole("/health").0 == 200).then_some(()));
    }

    /// Ends the recorder, which must be a good end.
    pub(crate) fn end(self, _market: &mut Market) {
        let mut recorder = self.recorder.into_inner().unwrap();
        recorder.terminate();
        let status = recorder.wait(PATIENCE);
        assert!(status.success(), "{status}\n{}", recorder.output());
    }
}

/// Asks again and again.
#[track_caller]
pub(crate) fn until<T>(ask: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "it never came");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A list of texts.
pub(crate) fn names(list: &Value) -> Vec<String> {
    let list = list.as_array().expect("a list").iter();
    list.map(|name| name.as_str().expect("a text").to_owned()).collect()
}

pub(crate) fn request(method: &str, path: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// One request over a connection of its own: status code and body.
pub(crate) fn exchange(address: &str, request: &[u8]) -> (u16, String) {
    let mut socket = connect(address);
    socket.write_all(request).expect("the request is taken");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let code = head.split(' ').nth(1).expect("a status code").parse().expect("a number");
    (code, body.to_owned())
}

/// So many requests over one connection, sent ahead: how many were sent, how many answered.
pub(crate) fn flood(address: &str, count: u64) -> (u64, u64) {
    let one = b"GET /api/v1/instruments HTTP/1.1\r\nHost: x\r\n\r\n";
    let Ok(mut socket) = TcpStream::connect(address) else { return (0, 0) };
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let requests = one.repeat(usize::try_from(count).unwrap());
    // Whoever is one too many is hung up on.
    let _ = socket.write_all(&requests);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut answers = Vec::new();
    let _ = socket.read_to_end(&mut answers);
    let answered = answers.windows(9).filter(|window| window == b"HTTP/1.1 ").count();
    (count, answered as u64)
}

/// A request that is none: bodies that are no JSON, no UTF-8 or endless, heads that never end.
pub(crate) fn rubbish(address: &str, random: &mut Random) {
    let noise = |random: &mut Random, bytes: usize| -> Vec<u8> {
        (0..bytes).map(|_| random.below(256) as u8).collect()
    };
    let token = format!("Authorization: Bearer {TOKEN}");
    let mut body = noise(random, 200);
    let text = match random.below(6) {
        0 => "[".repeat(100_000),
        1 => format!("{{\"instruments\": [\"{}\"]}}", "A".repeat(1000)),
        2 => "{\"instruments\": {\"a\": 1e999}}".to_owned(),
        3 => "{\"instruments\": [\"BTC-\u{0}\u{fffd}\", \"..\", \"\"]}".to_owned(),
        4 => " ".repeat(400_000),
        _ => String::from_utf8_lossy(&body).into_owned(),
    };
    let mut whole = request("POST", "/api/subscribe", &[&token], &text);
    match random.below(4) {
        0 => whole.append(&mut body),
        1 => whole = body,
        2 => whole.truncate(whole.len() / 2),
        _ => {}
    }
    let Ok(mut socket) = TcpStream::connect(address) else { return };
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let _ = socket.write_all(&whole);
    let mut answer = [0; 64];
    let _ = socket.read(&mut answer);
}

fn connect(address: &str) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the recorder answers");
    socket.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    socket
}

pub(crate) fn json((code, body): (u16, String)) -> (u16, Value) {
    let value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    (code, value)
}

/// Long enough to be one.
pub(crate) const TOKEN: &str = "0123456789abcdef";
const SHARDS: [&str; 8] = [
    "btc-options-0",
    "btc-options-1",
    "btc-options-2",
    "eth-options-0",
    "eth-options-1",
    "eth-options-2",
    "eth-options-3",
    "perpetuals",
];
