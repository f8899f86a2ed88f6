//! Recordings played back over real sockets.

use std::path::Path;

use serde_json::{Value, json};
use tapedeck_exchange::{Exchange, ReplayConfig, Source};

use crate::{config, connect, hear, json_of, rest, say};

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
