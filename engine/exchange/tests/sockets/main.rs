//! The exchange over real sockets, met by another's websocket client.

// All of this file is test; the lint knows only functions marked as one.
#![allow(clippy::unwrap_used)]

mod asking;
mod faults;
mod replays;
mod trading;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tapedeck_exchange::truth::{self, Line, What};
use tapedeck_exchange::{Config, Exchange, ExchangeError, MarketConfig, Source, TlsIdentity};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{WebSocketStream, client_async};
use tungstenite::Message;

fn config(source: Source) -> Config {
    Config { source, ..Config::default() }
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
            Line::Event(_) | Line::Fault(_) => {}
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
