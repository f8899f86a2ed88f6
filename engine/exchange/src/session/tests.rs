//! The conversation, spoken without a socket.

use super::*;
use crate::desk::Credentials;
use crate::market::{Market, MarketConfig};
use crate::venue::Venue;

struct Talk {
    session: Session,
    desk: Desk,
    start: Duration,
    at_ms: u64,
}

impl Talk {
    fn new() -> Talk {
        let config = MarketConfig { options: 40, ..MarketConfig::default() };
        let market = Market::new(&config, 1_789_344_931_549).unwrap();
        let account = Credentials { client_id: "id".into(), client_secret: "secret".into() };
        let desk = Desk::new(Venue::Market(Box::new(market)), 1, Some(account));
        let start = Duration::ZERO;
        Talk { session: Session::new(1, start), desk, start, at_ms: 0 }
    }

    fn now(&self) -> Duration {
        self.start + Duration::from_millis(self.at_ms)
    }

    fn say_text(&mut self, text: &str) -> Vec<Value> {
        let now = Now { monotonic: self.now(), utc_us: 1_789_344_931_549_000 };
        let (id, call) = rpc::read(text);
        let frames = self.session.receive(id, call, now, &mut self.desk);
        frames.iter().map(|frame| serde_json::from_str(&frame.text).unwrap()).collect()
    }

    fn say(&mut self, method: &str, params: &Value) -> Vec<Value> {
        self.say_text(&json!({"id": 5, "method": method, "params": params}).to_string())
    }

    fn result(&mut self, method: &str, params: &Value) -> Value {
        self.say(method, params)[0]["result"].clone()
    }

    fn code(&mut self, method: &str, params: &Value) -> i64 {
        self.say(method, params)[0]["error"]["code"].as_i64().unwrap()
    }

    fn tick(&mut self, at_ms: u64) -> Result<usize, Ending> {
        self.at_ms = at_ms;
        let now = self.now();
        self.session.tick(now).map(|frames| frames.len())
    }
}

const PERPETUAL: [&str; 4] = [
    "book.BTC-PERPETUAL.100ms",
    "ticker.BTC-PERPETUAL.100ms",
    "trades.BTC-PERPETUAL.100ms",
    "trades.option.BTC.100ms",
];

#[test]
fn acknowledgements_come_in_another_order_without_what_is_unknown() {
    let mut talk = Talk::new();
    let mut asked = PERPETUAL.to_vec();
    asked.extend(["book.NOPE.100ms", "book.BTC-PERPETUAL.50ms", "bogus.channel", PERPETUAL[0]]);
    let frames = talk.say("public/subscribe", &json!({"channels": asked}));
    let mut acknowledged: Vec<&str> =
        frames[0]["result"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_ne!(acknowledged, PERPETUAL);
    acknowledged.sort_unstable();
    assert_eq!(acknowledged, PERPETUAL);
    // The book's snapshot and the ticker's state follow; trades say nothing yet.
    let channels: Vec<&str> =
        frames[1..].iter().map(|frame| frame["params"]["channel"].as_str().unwrap()).collect();
    assert!(channels.contains(&PERPETUAL[0]) && channels.contains(&PERPETUAL[1]));
    assert!(channels.iter().all(|name| !name.starts_with("trades")));
    let snapshot = frames.iter().find(|frame| frame["params"]["channel"] == PERPETUAL[0]).unwrap();
    assert_eq!(snapshot["params"]["data"]["type"], "snapshot");
    assert!(snapshot["params"]["data"].get("prev_change_id").is_none());

    let again = talk.say("public/subscribe", &json!({"channels": [PERPETUAL[0]]}));
    assert_eq!(again.len(), 1, "acknowledged again, without a snapshot");
    assert_eq!(again[0]["result"], json!([PERPETUAL[0]]));
    assert_eq!(talk.result("public/subscribe", &json!({"channels": ["bogus"]})), json!([]));

    let gone = json!({"channels": [PERPETUAL[2], "bogus", "quote.BTC-PERPETUAL", PERPETUAL[2]]});
    assert_eq!(talk.result("public/unsubscribe", &gone), json!([PERPETUAL[2]]));
    assert_eq!(talk.result("public/unsubscribe_all", &json!({})), "ok");
    assert!(talk.desk.topics.is_empty());
    let back = talk.say("public/subscribe", &json!({"channels": [PERPETUAL[0]]}));
    assert_eq!(back.len(), 2, "a snapshot comes after unsubscribing");
}

#[test]
fn one_raw_channel_rejects_the_call() {
    let mut talk = Talk::new();
    let mixed = json!({"channels": [PERPETUAL[0], "ticker.BTC-PERPETUAL.raw"]});
    assert_eq!(talk.code("public/subscribe", &mixed), 13778);
    assert!(talk.desk.topics.is_empty());
    assert_eq!(talk.code("private/subscribe", &mixed), 13009);
    assert_eq!(talk.code("private/get_positions", &json!({})), 13009);

    let login = |secret| {
        let kind = "client_credentials";
        json!({"grant_type": kind, "client_id": "id", "client_secret": secret})
    };
    assert_eq!(talk.code("public/auth", &login("wrong")), 13004);
    let tokens = talk.result("public/auth", &login("secret"));
    assert_eq!(talk.result("private/subscribe", &mixed).as_array().unwrap().len(), 2);
    let refresh = json!({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]});
    assert!(talk.result("public/auth", &refresh)["access_token"].is_string());
    assert_eq!(talk.code("public/auth", &refresh), 13004);
}

#[test]
fn nonsense_is_answered() {
    let mut talk = Talk::new();
    let answer = &talk.say_text("{nonsense")[0];
    assert_eq!(answer["error"]["code"], 11050);
    assert_eq!(answer["error"]["data"], "invalid json");
    assert!(answer.get("id").is_none());
    let long = json!({"id": 1, "method": "public/subscribe",
        "params": {"channels": vec!["ticker.BTC-PERPETUAL.100ms"; 2000]}});
    let answer = &talk.say_text(&long.to_string())[0];
    assert_eq!(answer["error"]["message"], "request entity too large");
    assert!(answer.get("id").is_none());
    let answer = &talk.say_text(r#"{"method":"public/test"}"#)[0];
    assert_eq!((&answer["result"]["version"], answer.get("id")), (&json!("1.2.26"), None));
    assert_eq!(talk.say_text(r#"{"id":"a","method":"public/hello"}"#)[0]["id"], "a");
    assert_eq!(talk.code("public/nothing", &json!({})), -32601);
    assert_eq!(talk.code("public/subscribe", &json!({"channels": "x"})), -32602);
    let answer = &talk.say("public/set_heartbeat", &json!({"interval": 5}))[0];
    let data = json!({"reason": "value must be >= 10", "param": "interval"});
    assert_eq!(answer["error"]["data"], data);
}

#[test]
fn an_unanswered_heartbeat_ends_the_connection() {
    let mut talk = Talk::new();
    assert_eq!(talk.result("public/set_heartbeat", &json!({"interval": 10})), "ok");
    assert_eq!(talk.tick(12_299), Ok(0));
    assert_eq!(talk.tick(12_300), Ok(2), "an idle socket gets a heartbeat too");
    talk.say("public/test", &json!({}));
    talk.session.told = talk.start + Duration::from_millis(22_000);
    assert_eq!(talk.tick(22_950), Ok(1), "a busy socket does not");
    talk.say("public/get_time", &json!({}));
    assert_eq!(talk.session.deadline(), Some(talk.start + Duration::from_millis(32_950)));
    assert_eq!(talk.tick(32_949), Ok(0));
    assert_eq!(talk.tick(32_950), Err(Ending::Heartbeat), "only public/test answers");
    talk.say("public/disable_heartbeat", &json!({}));
    assert_eq!(talk.tick(40_000), Ok(0));
}

#[test]
fn an_idle_connection_is_dropped_and_a_listening_one_is_not() {
    let mut talk = Talk::new();
    assert_eq!(talk.tick(60_499), Ok(0));
    assert_eq!(talk.tick(60_500), Err(Ending::Idle));
    talk.say("public/subscribe", &json!({"channels": [PERPETUAL[0]]}));
    assert_eq!(talk.tick(1_000_000), Ok(0));
    assert_eq!(talk.session.deadline(), None);
}
