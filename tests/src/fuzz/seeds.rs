//! What the fuzzers begin with: a conversation with the simulated exchange, as bytes, messages and
//! a journal. Nothing of it was captured; the same program makes the same seeds.

#![allow(clippy::unwrap_used, reason = "seeds that cannot be made stop everything")]

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use exchange::{Config, Exchange, Faults, Floor, Frame, Limits, MarketConfig, Setup, Source};
use journal::disk::{Disk, Simulated};
use journal::{Options, ShardFact, open};
use schema::tables::Rows;
use schema::{Micros, Now, Origin};
use serde_json::{Map, json};
use tapedeck::deribit::{self, Decoder};

use super::{frame, handshake, message, segment};
use crate::random::Random;

/// A seed's name: its target and what it is.
#[derive(Debug)]
pub struct Seed {
    /// The fuzz target.
    pub target: &'static str,
    /// What is in it.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// Writes every seed into `folder/TARGET/NAME`.
///
/// # Errors
/// When the disk refuses.
///
/// # Panics
/// When the simulated exchange does not start.
pub fn write(folder: &Path) -> io::Result<usize> {
    let seeds = make();
    for Seed { target, name, bytes } in &seeds {
        fs::create_dir_all(folder.join(target))?;
        fs::write(folder.join(target).join(name), bytes)?;
    }
    Ok(seeds.len())
}

/// Makes every seed.
///
/// # Panics
/// When the simulated exchange does not start.
#[must_use]
pub fn make() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |target, name: String, bytes| seeds.push(Seed { target, name, bytes });
    let heard = conversation();
    let mut kinds = Vec::new();
    for frame in &heard {
        let class = frame.channel.as_deref().map(|name| name.split('.').next().unwrap().to_owned());
        let kind = (class, std::mem::discriminant(&frame.form));
        let seen = kinds.iter().filter(|other| **other == kind).count();
        kinds.push(kind);
        if seen < EXAMPLES {
            let name = format!("one-{}", kinds.len());
            if !frame.text.is_empty() {
                add("message", name.clone(), message::input(&[&frame.text]));
            }
            add("frame", name, frame::input(seen as u8, &wire(std::slice::from_ref(frame))));
        }
    }
    for (index, frames) in heard.chunks(24).take(8).enumerate() {
        let texts: Vec<&str> = frames.iter().map(|frame| frame.text.as_str()).collect();
        add("message", format!("many-{index}"), message::input(&texts));
        add("frame", format!("many-{index}"), frame::input(index as u8, &wire(&frames[..6])));
    }
    for (index, listing) in listings().into_iter().enumerate() {
        add("message", format!("listing-{index}"), message::input(&[&listing]));
    }
    // More than the quarantine keeps: each is heard twice.
    add("message", "flood".to_owned(), message::input(&[BROKEN; 60]));
    for (index, answer) in answers().into_iter().enumerate() {
        add("handshake", format!("answer-{index}"), [&[index as u8], &*answer].concat());
    }
    let segments = segments(&heard);
    for (index, file) in segments.iter().enumerate() {
        for reseal in [false, true] {
            add("segment", format!("one-{index}-{reseal}"), segment::input(reseal, &[file]));
        }
    }
    let all: Vec<&[u8]> = segments.iter().map(Vec::as_slice).collect();
    for reseal in [false, true] {
        add("segment", format!("all-{reseal}"), segment::input(reseal, &all));
    }
    seeds
}

fn setup() -> Setup {
    let market = MarketConfig { options: 12, rate: 200, ..MarketConfig::default() };
    let source = Source::Market(market);
    let faults = Faults::parse(FAULTS).unwrap();
    Setup { source, limits: Limits::NONE, faults, credentials: None }
}

/// What one connection is told that subscribes to everything, for some seconds of virtual time.
fn conversation() -> Vec<Frame> {
    let mut now = START;
    let mut floor = Floor::new(setup(), now).unwrap();
    let connection = floor.open(now).unwrap();
    let mut heard = Vec::new();
    for (id, (method, params)) in [
        ("public/hello", json!({"client_name": "seeds", "client_version": "1"})),
        ("public/set_heartbeat", json!({"interval": 10})),
        ("public/subscribe", json!({"channels": channels(&mut floor)})),
        ("public/unsubscribe", json!({"channels": ["deribit_price_index.eth_usd"]})),
        ("public/subscribe", json!({"channels": "no list"})),
        ("public/nothing", json!({})),
        ("public/test", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let call = json!({"jsonrpc": "2.0", "id": id + 1, "method": method, "params": params});
        floor.receive(connection, &call.to_string(), now);
    }
    for step in 0..STEPS {
        now.monotonic += STEP;
        now.utc_us += i64::try_from(STEP.as_micros()).unwrap();
        floor.step(now).unwrap();
        if step % 100 == 0 {
            let test = json!({"jsonrpc": "2.0", "id": 100, "method": "public/test", "params": {}});
            floor.receive(connection, &test.to_string(), now);
        }
        heard.extend(floor.take(connection, now).frames);
    }
    heard
}

/// Every kind of channel of a few instruments.
fn channels(floor: &mut Floor) -> Vec<String> {
    let params = Map::from_iter([("currency".to_owned(), json!("BTC"))]);
    let (_, listing) = floor.ask("public/get_instruments", &params, START).unwrap();
    let listing: serde_json::Value = serde_json::from_str(&listing).unwrap();
    let names = listing["result"].as_array().unwrap().iter();
    let names = names.filter_map(|entry| entry["instrument_name"].as_str());
    let mut channels: Vec<String> = ["deribit_price_index.btc_usd", "deribit_price_index.eth_usd"]
        .into_iter()
        .chain(["trades.option.BTC.100ms", "platform_state", "no.such.channel"])
        .map(str::to_owned)
        .collect();
    for name in names {
        channels.push(format!("ticker.{name}.100ms"));
        channels.push(format!("book.{name}.100ms"));
        channels.push(format!("book.{name}.none.10.100ms"));
        channels.push(format!("trades.{name}.100ms"));
        channels.push(format!("perpetual.{name}.100ms"));
    }
    channels
}

/// Lists of instruments: what REST answers, and its result alone.
fn listings() -> Vec<String> {
    let mut floor = Floor::new(setup(), START).unwrap();
    let params = Map::from_iter([("currency".to_owned(), json!("BTC"))]);
    let (_, answer) = floor.ask("public/get_instruments", &params, START).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let few: Vec<_> = parsed["result"].as_array().unwrap().iter().take(3).cloned().collect();
    vec![answer, serde_json::Value::from(few).to_string()]
}

/// The server's bytes for these frames.
fn wire(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.pieces().0).flatten().collect()
}

/// What a server answers to the one handshake that the target knows, and to its neighbours.
fn answers() -> Vec<Vec<u8>> {
    let mut client = handshake::client();
    let asked = std::mem::take(client.output());
    let text = String::from_utf8(asked.clone()).unwrap();
    let other = text.replace("/ws/api/v2", "/elsewhere");
    let keyless = text.replace("Sec-WebSocket-Key", "X-Key");
    let config = Config {
        source: Source::Market(MarketConfig { options: 4, ..MarketConfig::default() }),
        ..Config::default()
    };
    let full = Config { limits: Limits { connections_max: 0, credits: false }, ..config.clone() };
    let answers = |config, asked: &[&[u8]]| {
        let exchange = Exchange::start(config).unwrap();
        asked.iter().map(|asked| ask(&exchange, asked)).collect::<Vec<_>>()
    };
    let mut all =
        answers(config, &[&asked, other.as_bytes(), keyless.as_bytes(), b"no HTTP\r\n\r\n"]);
    all.extend(answers(full, &[&asked]));
    all
}

fn ask(exchange: &Exchange, asked: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(exchange.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.write_all(asked).unwrap();
    let mut answer = Vec::new();
    // An open websocket says nothing more: the time-out is the end.
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.is_empty(), "the exchange answers");
    answer
}

/// The segments of a journal of what was heard, in three runs.
fn segments(heard: &[Frame]) -> Vec<Vec<u8>> {
    let disk = Simulated::new(1);
    let root = Path::new(segment::ROOT);
    let (mut random, mut decoder) = (Random(3), Decoder::new(deribit::Limits::default()));
    let mut now = Now { monotonic: Duration::ZERO, utc: Micros(START.utc_us) };
    for frames in heard.chunks(heard.len() / 3 + 1) {
        let mut journal = open(Arc::new(disk.clone()), root, Options::default(), now).unwrap();
        let channels = vec!["ticker.BTC-PERPETUAL.100ms".to_owned()];
        let (shard, at) = ("btc-0".to_owned(), now.utc);
        let fact = ShardFact { shard, channels, at, unasked_since: Some(at) };
        journal.appender.shard(fact).unwrap();
        let mut rows = Rows::default();
        // Few, so that a fuzzer's steps are small.
        for frame in frames.iter().take(60) {
            now.utc = now.utc.plus(Duration::from_millis(5));
            let Ok(message) = serde_json::from_str::<serde_json::Value>(&frame.text) else {
                continue;
            };
            let Some(channel) = message["params"]["channel"].as_str() else { continue };
            let data = message["params"]["data"].to_string();
            decoder.decode(channel, &data, now, &mut rows);
            if random.below(20) == 0 {
                rows.take_from(1, Origin::default(), |draft| {
                    journal.appender.append(draft).unwrap();
                });
                journal.appender.through(now.utc).unwrap();
                journal.syncer.sync().unwrap();
            }
        }
    }
    let folder = disk.list(root).unwrap().remove(0).path;
    let files = disk.list(&folder).unwrap();
    files.iter().map(|entry| disk.bytes(&entry.path).unwrap()).collect()
}

const START: exchange::Now =
    exchange::Now { monotonic: Duration::ZERO, utc_us: 1_790_000_000_000_000 };
const STEP: Duration = Duration::from_millis(50);
const STEPS: usize = 500;
/// A notification that no table can hold.
const BROKEN: &str = concat!(
    r#"{"method":"subscription","params":{"channel":"ticker.BTC-PERPETUAL.100ms","#,
    r#""data":{"timestamp":"x"}}}"#
);
/// Seeds of one kind of message.
const EXAMPLES: usize = 3;
/// What an exchange says when it is not well.
const FAULTS: &str = r#"
[[fault]]
do = "fragment"
pieces = 3
probability = 0.05

[[fault]]
do = "garbage"
form = "json"
probability = 0.01

[[fault]]
do = "garbage"
form = "truncated"
probability = 0.01

[[fault]]
do = "garbage"
form = "binary"
probability = 0.01

[[fault]]
do = "garbage"
form = "utf8"
probability = 0.01
"#;
