//! The control API of a recorder at work: its answers, its refusals, and what it does to the tape.

pub(crate) mod client;
mod handover;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tapedeck_tests::random::Random;

use crate::market::{Market, run, tapedeck};
use client::{Api, TOKEN};

/// Every endpoint of the predecessor in its shape, on the port of each shard.
#[test]
fn the_predecessors_questions_are_answered_in_its_shapes() {
    let mut market = Market::start(&["--options", "60", "--rate", "300"]);
    let api = Api::start(&mut market, &[]);
    api.wait_until_healthy();
    let mut instruments = 0;
    for shard in 0..8 {
        let (code, health) = api.get(shard, "/health");
        assert_eq!(
            (code, &health["status"], &health["reasons"]),
            (200, &json!("healthy"), &json!([]))
        );
        assert!(health["timestamp"].is_string(), "{health}");
        let (code, status) = api.get(shard, "/api/status");
        assert_eq!(code, 200);
        let mut keys: Vec<&str> = status.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, STATUS);
        let mut stats: Vec<&str> =
            status["stats"].as_object().unwrap().keys().map(String::as_str).collect();
        stats.sort_unstable();
        assert_eq!(stats, STATS);
        assert_eq!(
            (&status["websocket_connected"], &status["running"]),
            (&json!(true), &json!(true))
        );
        assert!(status["last_tick_time"].is_string(), "{status}");
        assert_eq!(status["stats"]["connection_attempts"], json!(1));
        assert_eq!(status["stats"]["reconnections"], json!(0));
        let names = client::names(&status["instruments"]);
        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(status["instruments_count"], json!(names.len()));
        let currency = [json!("BTC"), json!("ETH"), json!(null)];
        assert_eq!(status["currency"], currency[usize::from(shard > 2) + usize::from(shard > 6)]);
        instruments += names.len();
    }
    assert_eq!(instruments, 62, "sixty options and two perpetuals, each on one shard");
    let quotes = api.get(0, "/api/status").1["stats"]["quotes_received"].as_u64().unwrap();
    assert!(quotes > 0);
    assert_eq!(api.get(0, "/nothing").0, 404);
    assert_eq!(api.post(0, "/health", Some(TOKEN), "").0, 405);
    api.end(&mut market);
}

/// A change needs the token; with it the plan changes, the exchange acknowledges, and it lasts.
#[test]
fn a_change_needs_a_token_and_outlives_the_recorder() {
    let mut market = Market::start(&["--options", "60", "--rate", "300"]);
    let api = Api::start(&mut market, &[]);
    api.wait_until_healthy();
    let names = client::names(&api.get(0, "/api/status").1["instruments"]);
    let body = json!({ "instruments": [names[0], "BTC-1JAN20-1-C"] }).to_string();
    for token in [None, Some("0123456789abcdeX"), Some("")] {
        let (code, answer) = api.post(0, "/api/unsubscribe", token, &body);
        assert_eq!((code, &answer["success"]), (401, &json!(false)), "{answer}");
        assert!(answer["error"].is_string());
    }
    let (code, answer) = api.post(0, "/api/subscribe", Some(TOKEN), "{\"instruments\": []}");
    assert_eq!(
        (code, answer),
        (400, json!({"success": false, "error": "No instruments provided"}))
    );

    let (code, answer) = api.post(0, "/api/unsubscribe", Some(TOKEN), &body);
    let expected = json!({
        "success": true,
        "unsubscribed": [names[0]],
        "not_found": ["BTC-1JAN20-1-C"],
        "failed": [],
        "total_instruments": names.len() - 1,
    });
    assert_eq!((code, &answer), (200, &expected));
    let (code, answer) = api.post(0, "/api/unsubscribe", Some(TOKEN), &body);
    assert_eq!((code, &answer["unsubscribed"]), (200, &json!([])), "{answer}");
    assert_eq!(client::names(&answer["not_found"]).len(), 2);
    api.end(&mut market);

    let api = Api::start(&mut market, &[]);
    api.wait_until_healthy();
    let listed = |api: &Api| -> usize {
        (0..8)
            .map(|shard| client::names(&api.get(shard, "/api/status").1["instruments"]).len())
            .sum()
    };
    assert_eq!(listed(&api), 61, "a restart remembers");
    // Whichever port is asked, the plan chooses the shard.
    let (code, answer) = api.post(5, "/api/subscribe", Some(TOKEN), &body);
    assert_eq!((code, &answer["success"]), (422, &json!(false)), "{answer}");
    assert_eq!(answer["subscribed"], json!([names[0]]));
    assert_eq!(answer["failed"][0]["instrument"], json!("BTC-1JAN20-1-C"));
    let error = answer["failed"][0]["error"].as_str().unwrap();
    assert!(error.contains("lists no such instrument"), "{error}");
    assert_eq!(listed(&api), 62);
    let body = json!({ "instruments": [names[0]] }).to_string();
    let (code, answer) = api.post(0, "/api/subscribe", Some(TOKEN), &body);
    assert_eq!((code, &answer["already_subscribed"]), (200, &json!([names[0]])));
    api.end(&mut market);
}

/// Without a token nobody changes anything; with `legacy_open` everybody but a web page does.
#[test]
fn without_a_token_changes_are_refused_unless_it_is_wished_otherwise() {
    let mut market = Market::start(&["--options", "20", "--rate", "100"]);
    let body = "{\"instruments\": [\"BTC-PERPETUAL\"]}";
    let api = Api::start_with(&mut market, &[], None);
    let (code, answer) = api.post(7, "/api/subscribe", Some(TOKEN), body);
    assert_eq!(code, 403, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("TAPEDECK_CONTROL_TOKEN"), "{answer}");
    api.end(&mut market);
    let open = [("TAPEDECK_CONTROL__LEGACY_OPEN", "true")];
    let api = Api::start_with(&mut market, &open, None);
    assert!(api.output().contains("control.legacy_open"), "{}", api.output());
    api.wait_until_healthy();
    let (code, answer) = api.post(7, "/api/subscribe", None, body);
    assert_eq!((code, &answer["already_subscribed"]), (200, &json!(["BTC-PERPETUAL"])));
    api.end(&mut market);
}

/// The exchange goes away: every port says so, and why.
#[test]
fn a_lost_exchange_is_unhealthy() {
    let mut market = Market::start(&["--options", "20", "--rate", "100"]);
    let api = Api::start(&mut market, &[]);
    api.wait_until_healthy();
    let whole = Api::url(&api.whole, "");
    let (code, output) = run(tapedeck(&["status", "--url"]).arg(&whole));
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("btc-options-0") && output.contains("healthy"), "{output}");
    let _ = market.truth();
    let unhealthy = |(code, health): (u16, Value)| {
        (code == 503 && health["status"] == "unhealthy").then(|| health["reasons"].clone())
    };
    let reasons = client::until(|| unhealthy(api.get(0, "/health")));
    assert!(reasons[0].as_str().unwrap().starts_with("not connected: "), "{reasons}");
    // The shards lose the exchange one after another.
    client::until(|| {
        unhealthy(api.get_whole("/health"))
            .filter(|reasons| reasons.as_array().is_some_and(|reasons| reasons.len() >= 3))
    });
    assert_eq!(api.get(0, "/api/status").1["websocket_connected"], json!(false));
    assert_eq!(api.get_whole("/ready").0, 503);
    let (code, output) = run(tapedeck(&["status", "--url"]).arg(&whole));
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("not connected"), "{output}");
}

/// The modern API says what it describes, and describes what it says.
#[test]
fn the_modern_api_is_what_its_description_says() {
    let mut market = Market::start(&["--options", "60", "--rate", "300"]);
    let api = Api::start(&mut market, &[]);
    api.wait_until_healthy();
    let (code, description) = api.get_whole("/api/v1/openapi.json");
    assert_eq!(code, 200);
    let paths = description["paths"].as_object().unwrap();
    // That one speaks with a lifecycle alone.
    let asked = paths.iter().filter(|(path, _)| *path != "/api/v1/fleet");
    for (path, methods) in asked {
        assert!(methods["get"]["responses"]["200"].is_object(), "{path}");
        if path != "/api/v1/events" {
            assert_eq!(
                client::exchange(&api.whole, &client::request("GET", path, &[], "")).0,
                200,
                "{path}"
            );
        }
    }
    assert_eq!(paths.len(), 10, "{:?}", paths.keys());
    let (_, shards) = api.get_whole("/api/v1/shards");
    assert_eq!(shards.as_array().unwrap().len(), 8);
    let (_, plan) = api.get_whole("/api/v1/plan");
    let planned = plan["shards"].as_array().unwrap().iter();
    let planned: usize = planned.map(|shard| shard["channels"].as_array().unwrap().len()).sum();
    let sum = |key: &str| -> u64 {
        shards.as_array().unwrap().iter().map(|shard| shard[key].as_u64().unwrap()).sum()
    };
    assert_eq!((sum("goal"), sum("acknowledged")), (planned as u64, planned as u64));
    let (_, instruments) = api.get_whole("/api/v1/instruments");
    let instruments = instruments.as_array().unwrap();
    let recorded = instruments.iter().filter(|it| it["acknowledged"] == json!(true));
    assert_eq!(recorded.count(), 62);
    assert_eq!(api.get_whole("/ready").0, 200);
    let metrics = client::exchange(&api.whole, &client::request("GET", "/metrics", &[], "")).1;
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(name.starts_with("tapedeck_") && value.parse::<f64>().is_ok(), "{line}");
    }
    assert!(metrics.contains("tapedeck_channels_wanted{shard=\"btc-options-0\"}"), "{metrics}");
    // The journal is new: there is no gap. What happens is told from now on.
    assert_eq!(api.get_whole("/api/v1/gaps").1["count"], json!(0));
    let events = api.events(|text| text.contains("event: health"));
    assert!(events.contains("event: plan"), "{events}");
    api.end(&mut market);
}

/// A port that is taken is told in a sentence, before anything is recorded.
#[test]
fn a_port_that_is_taken_is_a_sentence() {
    let market = Market::start(&["--options", "20", "--rate", "100"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = market.recorder(&["--control"]);
    command.env("TAPEDECK_CONTROL__PORT", &port).env("TAPEDECK_CONTROL__SHARD_PORT", "0");
    let (code, output) = run(&mut command);
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains(&format!("127.0.0.1:{port} is taken")), "{output}");
    assert!(!market.data().join("journal").exists(), "nothing was recorded");
    let mut command = market.recorder(&["--control", "--for", "1s"]);
    command.env("TAPEDECK_CONTROL_TOKEN", "short");
    let (code, output) = run(&mut command);
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("at least 16 characters"), "{output}");
}

/// Requests as fast as they go, among them rubbish of every kind: they are throttled or refused,
/// and everything that was sent meanwhile is recorded.
#[test]
fn a_flood_and_rubbish_leave_the_tape_as_it_is() {
    let mut market = Market::start(&["--options", "200", "--rate", "1000"]);
    let api = Api::start(&mut market, &[]);
    api.wait_until_healthy();
    let (sent, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    let end = Instant::now() + FLOOD;
    std::thread::scope(|scope| {
        for flooder in 0..4 {
            let (whole, shard) = (&api.whole, &api.shards[flooder]);
            let (sent, answered) = (&sent, &answered);
            scope.spawn(move || {
                let mut random = Random(flooder as u64);
                while Instant::now() < end {
                    let (count, answers) = client::flood(whole, 200);
                    sent.fetch_add(count, Ordering::Relaxed);
                    answered.fetch_add(answers, Ordering::Relaxed);
                    client::rubbish(shard, &mut random);
                }
            });
        }
    });
    let (sent, answered) = (sent.load(Ordering::Relaxed), answered.load(Ordering::Relaxed));
    println!("{sent} requests in {FLOOD:?}, {answered} answered");
    assert!(answered > 1_000, "the flood was one: {answered}");
    let health = client::until(|| {
        let (code, health) = api.get_whole("/health");
        (code == 200).then_some(health)
    });
    assert_eq!(health["gaps"], json!(0), "{health}");
    assert!(!api.output().contains("panicked"), "{}", api.output());
    api.end(&mut market);
    let tape = market.assert_complete();
    assert!(tape.gaps.is_empty(), "{:?}", tape.gaps);
}

const FLOOD: Duration = Duration::from_secs(10);
const STATUS: [&str; 7] = [
    "currency",
    "instruments",
    "instruments_count",
    "last_tick_time",
    "running",
    "stats",
    "websocket_connected",
];
const STATS: [&str; 7] = [
    "connection_attempts",
    "depth_received",
    "errors",
    "quotes_received",
    "reconnections",
    "ticks_processed",
    "trades_received",
];
