//! Connections over a pipe in memory, in virtual time: nothing here waits for real.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{DuplexStream, duplex};
use tokio::task::LocalSet;
use tokio_tungstenite::WebSocketStream;
use tungstenite::protocol::Role;

use super::*;
use crate::clock::Clock;
use crate::counts::Counters;
use crate::desk::Desk;
use crate::faults::Faults;
use crate::house::House;
use crate::hub::Hub;
use crate::limits::Limits;
use crate::market::{Market, MarketConfig};
use crate::mischief::Mischief;
use crate::outgoing::Outgoing;
use crate::venue::Venue;

type Client = WebSocketStream<DuplexStream>;

/// Runs a client against a connection; the pipe holds `room` bytes.
async fn with_client<F: Future<Output = ()>>(room: usize, act: impl FnOnce(Client, Shared) -> F) {
    let config = MarketConfig { options: 4, ..MarketConfig::default() };
    let market = Market::new(&config, 1_789_344_931_549).unwrap();
    let desk = Desk::new(Venue::Market(Box::new(market)), 1, None);
    let clock = Clock::from_fn(Arc::new(|| 1_789_344_931_549_000));
    let counters = Arc::new(Counters::default());
    let hub = {
        let mischief = Mischief::new(Faults::default(), 1, clock.now());
        Hub::new(desk, Limits::default(), mischief, (0, 1), false, counters, clock.now())
    };
    let house = House::new(hub, clock, None);
    let (ours, theirs) = duplex(room);
    let server = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
    let client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
    let (_stop, stopped) = watch::channel(false);
    let tasks = LocalSet::new();
    tasks.spawn_local(serve(server, Shared::clone(&house), [127, 0, 0, 1].into(), stopped));
    tasks.run_until(act(client, house)).await;
}

async fn say(client: &mut Client, method: &str, params: &Value) {
    let text = json!({"id": 1, "method": method, "params": params}).to_string();
    client.send(Message::text(text)).await.unwrap();
}

async fn hear(client: &mut Client) -> Value {
    match client.next().await {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
        other => panic!("no text: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_test_request_closes_with_4000() {
    with_client(1 << 16, |mut client, _| async move {
        let start = tokio::time::Instant::now();
        say(&mut client, "public/set_heartbeat", &json!({"interval": 10})).await;
        assert_eq!(hear(&mut client).await["result"], "ok");
        assert_eq!(hear(&mut client).await["params"]["type"], "heartbeat");
        assert_eq!(hear(&mut client).await["params"]["type"], "test_request");
        let asked = start.elapsed();
        assert!(asked >= Duration::from_millis(12_300) && asked < Duration::from_millis(12_400));
        let Some(Ok(Message::Close(Some(frame)))) = client.next().await else { panic!("no close") };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4000, "heartbeat close"));
        let waited = start.elapsed() - asked;
        assert!(waited >= Duration::from_secs(10) && waited < Duration::from_millis(10_100));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answered_test_requests_keep_it_open() {
    with_client(1 << 16, |mut client, _| async move {
        say(&mut client, "public/set_heartbeat", &json!({"interval": 10})).await;
        let mut asked = 0;
        while asked < 20 {
            if hear(&mut client).await["params"]["type"] == "test_request" {
                asked += 1;
                say(&mut client, "public/test", &json!({})).await;
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_socket_is_dropped_without_a_close_frame() {
    with_client(1 << 16, |mut client, house| async move {
        let start = tokio::time::Instant::now();
        let end = client.next().await;
        assert!(matches!(end, Some(Err(_)) | None), "{end:?}");
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(60_500) && waited < Duration::from_secs(61));
        assert_eq!(house.act(|hub, _| hub.counters.read().connections), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_so_and_closed() {
    with_client(1 << 12, |mut client, house| async move {
        say(&mut client, "public/subscribe", &json!({"channels": ["quote.BTC-PERPETUAL"]})).await;
        hear(&mut client).await;
        let text = "x".repeat(1 << 16);
        let outgoing = Outgoing::heartbeat(text);
        for _ in 0..200 {
            house.act(|hub, _| hub.hand_to(1, &outgoing));
            tokio::task::yield_now().await;
        }
        let reason = loop {
            match client.next().await {
                Some(Ok(Message::Close(Some(frame)))) => break frame.reason.to_string(),
                Some(Ok(_)) => {}
                other => panic!("no close: {other:?}"),
            }
        };
        assert_eq!(reason, "connection_too_slow");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_too_often_is_told_so_and_closed() {
    with_client(1 << 16, |mut client, _| async move {
        for _ in 0..11 {
            say(&mut client, "public/subscribe", &json!({"channels": ["bogus"]})).await;
        }
        for _ in 0..10 {
            assert_eq!(hear(&mut client).await["result"], json!([]));
        }
        let answer = hear(&mut client).await;
        let error = json!({"code": 10028, "message": "too_many_requests"});
        assert_eq!((&answer["id"], &answer["error"]), (&json!(1), &error));
        let Some(Ok(Message::Close(Some(frame)))) = client.next().await else { panic!("no close") };
        assert_eq!(frame.reason.as_str(), "too_many_requests");
    })
    .await;
}
