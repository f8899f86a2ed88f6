//! The exchange over real sockets, met by another's websocket client.

// All of this file is test; the lint knows only functions marked as one.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tapedeck_exchange::truth::{self, Line, What};
use tapedeck_exchange::{
    Clock, Config, Credentials, Exchange, ExchangeError, Limits, MarketConfig, ReplayConfig,
    Source, TlsIdentity,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{WebSocketStream, client_async};
use tungstenite::Message;

fn config(source: Source) -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        source,
        clock: Clock::system(),
        truth: None,
        credentials: None,
    }
}

fn market(options: usize, rate: u32) -> Source {
    Source::Market(MarketConfig { options, rate, ..MarketConfig::default() })
}

async fn connect(address: SocketAddr) -> WebSocketStream<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    client_async(format!("ws://{address}/ws/api/v2"), stream).await.unwrap().0
}

async fn say<S>(client: &mut WebSocketStream<S>, method: &str, params: &Value)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let text = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    client.send(Message::text(text)).await.unwrap();
}

async fn hear<S>(client: &mut WebSocketStream<S>) -> Option<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match client.next().await? {
            Ok(Message::Text(text)) => return Some(text.to_string()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// The channel of a notification; `None` for an answer.
fn channel_of(text: &str) -> Option<String> {
    let frame: Value = serde_json::from_str(text).unwrap();
    frame["params"]["channel"].as_str().map(str::to_owned)
}

/// Asks over a fresh connection; gives the status and the body.
fn rest(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let text = format!(
        "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn json_of((status, body): (u16, String)) -> (u16, Value) {
    (status, body.parse().unwrap())
}

#[tokio::test]
async fn what_arrives_is_what_the_truth_log_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("truth.jsonl");
    let config = Config { truth: Some(path.clone()), ..config(market(60, 4000)) };
    let exchange = Exchange::start(config).unwrap();
    let (status, channels) = rest(exchange.address(), "GET /channels");
    assert_eq!(status, 200);
    let channels: Vec<&str> =
        channels.lines().filter(|name| !name.contains(".any.") && !name.contains("agg2")).collect();
    let mut client = connect(exchange.address()).await;
    let mut received: HashMap<String, u64> = HashMap::new();
    for some in channels.chunks(200) {
        say(&mut client, "public/subscribe", &json!({"channels": some})).await;
    }
    let mut answers = 0;
    let mut frames = 0;
    while frames < 3000 {
        let text = hear(&mut client).await.unwrap();
        match channel_of(&text) {
            None => {
                let answer: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(
                    answer["result"].as_array().unwrap().len(),
                    channels.chunks(200).nth(answers).unwrap().len()
                );
                answers += 1;
            }
            Some(_) => {
                frames += 1;
                *received.entry(text).or_default() += 1;
            }
        }
    }
    let stopping = std::thread::spawn(move || exchange.stop());
    while let Some(text) = hear(&mut client).await {
        *received.entry(text).or_default() += 1;
    }
    stopping.join().unwrap();
    let mut sent: HashMap<String, u64> = HashMap::new();
    let mut subscribed = 0;
    for line in truth::read(&path).unwrap() {
        match line.unwrap() {
            Line::Sent(frame) if frame.channel.is_empty() => {}
            Line::Sent(frame) => {
                assert_eq!(Some(frame.channel), channel_of(&frame.frame));
                assert!(frame.certain);
                *sent.entry(frame.frame).or_default() += 1;
            }
            Line::Event(event) if event.event == What::Subscribed => {
                subscribed += event.channels.len();
            }
            Line::Event(_) => {}
        }
    }
    assert_eq!(subscribed, channels.len());
    assert!(sent == received, "{} texts sent, {} received", sent.len(), received.len());
}

#[tokio::test]
async fn it_speaks_tls() {
    let minted = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let identity = TlsIdentity {
        certificate_pem: minted.cert.pem().into_bytes(),
        key_pem: minted.signing_key.serialize_pem().into_bytes(),
    };
    let config = Config { tls: Some(identity), ..config(market(4, 100)) };
    let exchange = Exchange::start(config).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(minted.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(exchange.address()).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let stream = connector.connect(name, stream).await.unwrap();
    let (mut client, _) = client_async("wss://localhost/ws/api/v2", stream).await.unwrap();
    let channels = json!({"channels": ["ticker.BTC-PERPETUAL.100ms"]});
    say(&mut client, "public/subscribe", &channels).await;
    assert!(channel_of(&hear(&mut client).await.unwrap()).is_none());
    for _ in 0..3 {
        let name = channel_of(&hear(&mut client).await.unwrap());
        assert_eq!(name.as_deref(), Some("ticker.BTC-PERPETUAL.100ms"));
    }
    let bad = TlsIdentity { certificate_pem: Vec::new(), key_pem: Vec::new() };
    let bad = Exchange::start(Config { tls: Some(bad), ..self::config(market(4, 1)) });
    assert!(matches!(bad, Err(ExchangeError::Tls(_))));
}

/// Writes a recording of `count` frames on three channels; some bare, some with a time.
fn record(path: &Path, count: usize) -> Vec<(String, String)> {
    let names = ["ticker.BTC-6OCT26-86000-C.raw", "trades.option.ETH.100ms", "ticker.BTC_USDT.raw"];
    let mut frames = Vec::new();
    let mut text = String::from("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[]}\n");
    for at in 0..count {
        let channel = names[at % 3];
        let name = ["BTC-6OCT26-86000-C", "ETH-6OCT26-2700-P", "BTC_USDT"][at % 3];
        let data = format!(r#"{{ "n":{at}, "instrument_name":"{name}", "x":1.0e3 }}"#);
        let frame = format!(
            r#"{{"method":"subscription","params":{{"data":{data},"channel":"{channel}"}}}}"#
        );
        let line = match at % 2 {
            0 => frame.clone(),
            _ => json!({"received_at": at, "connection": 3, "frame": frame}).to_string(),
        };
        text.push_str(&line);
        text.push('\n');
        frames.push((channel.to_owned(), frame));
    }
    std::fs::write(path, text).unwrap();
    frames
}

#[tokio::test]
async fn a_replay_gives_every_frame_once_to_each_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.jsonl");
    let frames = record(&path, 300);
    let replay = ReplayConfig { path: path.clone(), bare_rate: 2000, ..ReplayConfig::default() };
    let exchange = Exchange::start(config(Source::Replay(replay))).unwrap();
    let address = exchange.address();
    assert_eq!(exchange.counts().skipped, 1);
    let (_, channels) = rest(address, "GET /channels");
    let channels: Vec<&str> = channels.lines().collect();
    assert_eq!(channels.len(), 3);
    let (status, listed) =
        json_of(rest(address, "GET /api/v2/public/get_instruments?currency=any&expired=false"));
    let listed = listed["result"].as_array().unwrap();
    let mut names: Vec<&str> =
        listed.iter().map(|it| it["instrument_name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!((status, names), (200, vec!["BTC-6OCT26-86000-C", "BTC_USDT", "ETH-6OCT26-2700-P"]));

    let (mut all, mut one) = (connect(address).await, connect(address).await);
    let unknown = "ticker.BTC-PERPETUAL.raw";
    let mut wanted = channels.clone();
    wanted.push(unknown);
    say(&mut all, "public/subscribe", &json!({"channels": wanted})).await;
    say(&mut one, "public/subscribe", &json!({"channels": [channels[0]]})).await;
    let answer: Value = serde_json::from_str(&hear(&mut all).await.unwrap()).unwrap();
    assert_eq!(answer["result"].as_array().unwrap().len(), 3, "raw needs no account here");
    hear(&mut one).await.unwrap();
    for (_, frame) in &frames {
        assert_eq!(hear(&mut all).await.as_ref(), Some(frame));
    }
    for (_, frame) in frames.iter().filter(|(channel, _)| channel == channels[0]) {
        assert_eq!(hear(&mut one).await.as_ref(), Some(frame));
    }
    assert!(exchange.counts().finished);
    // At the end it stays up and quiet: the next text is the answer to a question.
    for client in [&mut all, &mut one] {
        say(client, "public/test", &json!({})).await;
        assert!(hear(client).await.unwrap().contains("1.2.26"));
    }
}

#[tokio::test]
async fn a_replay_waits_for_its_readers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.jsonl.zst");
    let filler = "x".repeat(1 << 16);
    let frames = (0..800).map(|at| {
        format!(r#"{{"params":{{"channel":"ticker.BTC_USDT.raw","data":[{at},"{filler}"]}}}}"#)
    });
    let text: Vec<String> = frames.collect();
    std::fs::write(&path, zstd::encode_all(text.join("\n").as_bytes(), 1).unwrap()).unwrap();
    let replay = ReplayConfig { path, bare_rate: 1_000_000, ..ReplayConfig::default() };
    let exchange = Exchange::start(config(Source::Replay(replay))).unwrap();
    let mut client = connect(exchange.address()).await;
    let channels = json!({"channels": ["ticker.BTC_USDT.raw"]});
    say(&mut client, "public/subscribe", &channels).await;
    hear(&mut client).await.unwrap();
    for expected in &text {
        assert_eq!(hear(&mut client).await.as_ref(), Some(expected));
    }
}

#[tokio::test]
async fn replays_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let start = |path: &Path| {
        let replay = ReplayConfig { path: path.to_owned(), ..ReplayConfig::default() };
        Exchange::start(config(Source::Replay(replay))).unwrap_err().to_string()
    };
    let path = folder.path().join("a.jsonl");
    assert!(start(&path).contains("check the path"));
    assert!(start(folder.path()).contains("holds no frames"));
    std::fs::write(&path, "{\"id\":1}\nnot json\n").unwrap();
    assert!(start(&path).starts_with("line 2 of "), "{}", start(&path));
    std::fs::write(&path, "{\"id\":1}\n").unwrap();
    assert!(start(&path).contains("holds no frames"));
}

#[test]
fn rest_lists_instruments() {
    let exchange = Exchange::start(config(market(100, 10))).unwrap();
    let ask = |request: &str| json_of(rest(exchange.address(), request));
    let (status, answer) = ask("GET /api/v2/public/get_instruments?currency=BTC&kind=option");
    assert_eq!(status, 200);
    let options = answer["result"].as_array().unwrap();
    assert_eq!(options.len(), 47);
    for field in [
        "state",
        "price_index",
        "kind",
        "instrument_name",
        "instrument_id",
        "instrument_type",
        "expiration_timestamp",
        "creation_timestamp",
        "is_active",
        "contract_size",
        "tick_size",
        "tick_size_steps",
        "strike",
        "option_type",
        "min_trade_amount",
        "lot_size",
        "base_currency",
        "quote_currency",
        "counter_currency",
        "settlement_currency",
        "settlement_period",
        "maker_commission",
        "taker_commission",
        "block_trade_commission",
        "block_trade_min_trade_amount",
        "block_trade_tick_size",
        "product_group",
        "underlying_type",
        "index_id",
        "base_currency_uuid",
        "quote_currency_uuid",
    ] {
        assert!(options[0].get(field).is_some(), "{field}");
    }
    assert!(answer["usDiff"].is_i64() && answer["testnet"].is_boolean());
    let (_, futures) = ask("GET /api/v2/public/get_instruments?currency=any&kind=future");
    assert_eq!(futures["result"].as_array().unwrap().len(), 2);
    let (_, none) = ask("GET /api/v2/public/get_instruments?currency=USDC");
    assert_eq!(none["result"], json!([]));
}

#[test]
fn rest_errors_have_the_exact_shape() {
    let exchange = Exchange::start(config(market(100, 10))).unwrap();
    let ask = |request: &str| json_of(rest(exchange.address(), request));
    let (status, answer) = ask("GET /api/v2/public/get_instruments?currency=BTC&kind=nonsense");
    assert_eq!(status, 400);
    let error = json!({"code": -32602, "message": "Invalid params",
        "data": {"reason": "invalid value", "param": "kind"}});
    assert_eq!(answer["error"], error);
    let (status, answer) = ask("GET /api/v2/public/nothing");
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32601)));
    assert_eq!(answer["error"]["message"], "Method not found");
    let (status, answer) = ask("GET /api/v2/private/get_positions");
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(13009)));
    let (status, answer) =
        ask("POST /api/v2/public/get_time\n\n{\"id\":\"x\",\"method\":\"public/get_time\"}");
    assert_eq!((status, &answer["id"]), (200, &json!("x")));
    let (_, answer) = ask("POST /api/v2\n\n{\"id\":9,\"method\":\"public/status\",\"params\":{}}");
    assert_eq!(answer["result"]["locked"], "false");
    let (status, answer) = ask("POST /api/v2\n\n{oops");
    assert_eq!((status, &answer["error"]["data"]), (400, &json!("invalid json")));
    let (_, ticker) = ask("GET /api/v2/public/ticker?instrument_name=BTC-PERPETUAL");
    assert!(ticker["result"]["open_interest"].is_i64());
    let (_, book) = ask("GET /api/v2/public/get_order_book?instrument_name=BTC-PERPETUAL&depth=1");
    assert_eq!(book["result"]["bids"].as_array().unwrap().len(), 1);
    assert_eq!(rest(exchange.address(), "GET /nowhere").0, 404);
    assert_eq!(rest(exchange.address(), "GET /ws/api/v2").0, 400);
    assert_eq!(exchange.counts().requests, 9);

    let taken = Config { listen: exchange.address(), ..config(market(1, 1)) };
    let error = Exchange::start(taken).unwrap_err();
    assert!(matches!(error, ExchangeError::AddressInUse(_)), "{error}");
}

/// The same values in one of the forms that numbers have on the wire.
fn whole(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => json!(float as i64),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(whole).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), whole(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

#[tokio::test]
async fn trades_can_be_asked_for_again() {
    let exchange = Exchange::start(config(market(4, 4000))).unwrap();
    let mut client = connect(exchange.address()).await;
    let name = "BTC-PERPETUAL";
    let channels = json!({"channels": [format!("trades.{name}.100ms")]});
    say(&mut client, "public/subscribe", &channels).await;
    hear(&mut client).await.unwrap();
    let mut sent: Vec<Value> = Vec::new();
    while sent.len() < 60 {
        let frame: Value = serde_json::from_str(&hear(&mut client).await.unwrap()).unwrap();
        sent.extend(frame["params"]["data"].as_array().unwrap().iter().map(whole));
    }
    let seq = |at: usize| sent[at]["trade_seq"].as_i64().unwrap();
    let path = format!("GET /api/v2/public/get_last_trades_by_instrument?instrument_name={name}");
    let ask = |query: &str| {
        let (status, answer) = json_of(rest(exchange.address(), &format!("{path}{query}")));
        (status, whole(&answer))
    };
    let between = format!("&start_seq={}&end_seq={}", seq(3), seq(52));
    let (status, all) = ask(&format!("{between}&sorting=asc&count=1000"));
    assert_eq!((status, &all["result"]["has_more"]), (200, &json!(false)));
    assert_eq!(all["result"]["trades"].as_array().unwrap(), &sent[3..=52]);
    let (_, some) = ask(&format!("{between}&sorting=desc&count=2"));
    let expected = json!({"trades": [sent[52], sent[51]], "has_more": true});
    assert_eq!(some["result"], expected);
    let (_, none) = ask("&start_seq=1&end_seq=5");
    assert_eq!(none["result"], json!({"trades": [], "has_more": false}));

    let (status, answer) = ask("&count=1001");
    let error = json!({"code": -32602, "message": "Invalid params",
        "data": {"reason": "value is too high", "param": "count"}});
    assert_eq!((status, &answer["error"]), (400, &error));
    let unknown = "GET /api/v2/public/get_last_trades_by_instrument?instrument_name=BTC-1JAN20";
    let (status, answer) = json_of(rest(exchange.address(), unknown));
    let data = json!({"reason": "instrument not found", "param": "instrument_name"});
    assert_eq!((status, &answer["error"]["data"]), (400, &data));

    say(&mut client, "public/unsubscribe_all", &json!({})).await;
    let params = json!({"instrument_name": name, "start_seq": seq(7), "end_seq": seq(7)});
    say(&mut client, "public/get_last_trades_by_instrument", &params).await;
    let answer = loop {
        let frame: Value = serde_json::from_str(&hear(&mut client).await.unwrap()).unwrap();
        if frame["result"].is_object() {
            break frame;
        }
    };
    assert_eq!(whole(&answer["result"]["trades"]), json!([sent[7]]));
}

#[tokio::test]
async fn listeners_hear_of_an_expiry() {
    // Half a minute before 08:00 UTC of 2026-05-19, a minute a second.
    let clock = Clock::scaled(1_779_177_570_000_000, 60.0);
    let exchange = Exchange::start(Config { clock, ..config(market(60, 4000)) }).unwrap();
    let listed = || {
        let request = "GET /api/v2/public/get_instruments?currency=BTC&kind=option";
        let (_, answer) = json_of(rest(exchange.address(), request));
        let listed = answer["result"].as_array().unwrap().clone();
        listed.iter().map(|it| it["instrument_name"].as_str().unwrap().to_owned()).collect()
    };
    let before: Vec<String> = listed();
    let dying = before.iter().find(|name| name.starts_with("BTC-19MAY26")).unwrap();
    let ticker = format!("ticker.{dying}.100ms");
    let states = "instrument.state.option.BTC";
    let channels = json!({"channels": [states, ticker, "trades.option.BTC.100ms"]});
    let mut client = connect(exchange.address()).await;
    say(&mut client, "public/subscribe", &channels).await;
    let (mut heard, mut last, mut new): (Vec<String>, _, _) = (Vec::new(), None, None);
    loop {
        let frame: Value = serde_json::from_str(&hear(&mut client).await.unwrap()).unwrap();
        let (channel, data) = (&frame["params"]["channel"], &frame["params"]["data"]);
        if *channel == states {
            let state = data["state"].as_str().unwrap().to_owned();
            if state == "open" {
                new = Some(data["instrument_name"].clone());
            }
            if data["instrument_name"] == dying.as_str() || state == "open" {
                heard.push(state);
            }
        } else if *channel == ticker {
            last = Some(data.clone());
        } else if new.is_some() && data[0]["instrument_name"] == *new.as_ref().unwrap() {
            assert_eq!(data[0]["trade_seq"], 1, "its first trade needs no new subscription");
            break;
        }
    }
    heard.dedup();
    assert_eq!(heard, ["settlement", "delivered", "open"]);
    let last = last.unwrap();
    assert_eq!(
        (&last["state"], &last["estimated_delivery_price"]),
        (&json!("closed"), &json!("expired"))
    );
    assert!(last["delivery_price"].is_number());
    let after: Vec<String> = listed();
    assert_eq!(after.len(), before.len());
    assert!(
        !after.contains(dying)
            && after.iter().any(|name| *name == new.as_ref().unwrap().as_str().unwrap())
    );
}

#[tokio::test]
async fn connection_33_is_refused() {
    let exchange = Exchange::start(config(market(1, 1))).unwrap();
    let address = exchange.address();
    let mut clients = Vec::new();
    for _ in 0..32 {
        clients.push(connect(address).await);
    }
    let knock = || async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        client_async(format!("ws://{address}/ws/api/v2"), stream).await
    };
    let refused = knock().await;
    let Err(tungstenite::Error::Http(answer)) = refused else { panic!("{refused:?}") };
    assert_eq!(answer.status(), 429);
    assert_eq!(rest(address, "GET /api/v2/public/get_time").0, 429);
    clients.pop().unwrap().close(None).await.unwrap();
    while exchange.counts().connections == 32 {
        tokio::task::yield_now().await;
    }
    let _back = knock().await.unwrap();

    let limits = Limits { connections_max: 1, ..Limits::default() };
    let small = Exchange::start_limited(config(market(1, 1)), limits).unwrap();
    let _one = connect(small.address()).await;
    assert_eq!(rest(small.address(), "GET /api/v2/public/get_time").0, 429);
}

#[test]
fn requests_cost_credits() {
    let ask = |exchange: &Exchange| rest(exchange.address(), "GET /api/v2/public/get_time");
    let exchange = Exchange::start(config(market(1, 1))).unwrap();
    let spent = (0..10_000).map(|_| ask(&exchange)).find(|(status, _)| *status != 200);
    let (status, answer) = json_of(spent.unwrap());
    let error = json!({"code": 10028, "message": "too_many_requests"});
    assert_eq!((status, &answer["error"]), (429, &error));
    let free = Exchange::start_limited(config(market(1, 1)), Limits::NONE).unwrap();
    assert!((0..200).all(|_| ask(&free).0 == 200));
}

#[tokio::test]
async fn raw_channels_need_the_account() {
    let credentials = Credentials { client_id: "id".into(), client_secret: "secret".into() };
    let config = Config { credentials: Some(credentials), ..config(market(4, 200)) };
    let exchange = Exchange::start(config).unwrap();
    let mut client = connect(exchange.address()).await;
    let raw = json!({"channels": ["ticker.BTC-PERPETUAL.raw"]});
    say(&mut client, "public/subscribe", &raw).await;
    assert!(hear(&mut client).await.unwrap().contains("13778"));
    let login =
        json!({"grant_type": "client_credentials", "client_id": "id", "client_secret": "secret"});
    say(&mut client, "public/auth", &login).await;
    assert!(hear(&mut client).await.unwrap().contains("access_token"));
    say(&mut client, "private/subscribe", &raw).await;
    assert!(hear(&mut client).await.unwrap().contains(r#""result":["ticker.BTC-PERPETUAL.raw"]"#));
    assert!(channel_of(&hear(&mut client).await.unwrap()).is_some());
}
