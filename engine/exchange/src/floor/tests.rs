//! The floor in virtual time.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::market::Frames;
use crate::oracle::{Book, State};
use crate::truth::What;

const START_US: i64 = 1_779_177_570_000_000;

/// Half a minute before 08:00 UTC of 2026-05-19, and so much later.
fn at(elapsed: Duration) -> Now {
    Now { monotonic: elapsed, utc_us: START_US + elapsed.as_micros() as i64 }
}

fn floor(seed: u64) -> Floor {
    floor_with(MarketConfig { seed, options: 40, ..MarketConfig::default() })
}

fn floor_with(config: MarketConfig) -> Floor {
    let setup = Setup { source: Source::Market(config), ..Setup::default() };
    Floor::new(setup, at(Duration::ZERO)).unwrap()
}

fn subscribe(floor: &mut Floor, connection: u64, channels: &[String], now: Now) {
    let request = json!({"id": 1, "method": "public/subscribe", "params": {"channels": channels}});
    floor.receive(connection, &request.to_string(), now);
}

/// Steps from deadline to deadline until a time, and gives every frame to `then`.
fn run(floor: &mut Floor, connection: u64, end: Duration, mut then: impl FnMut(Frame, &Floor)) {
    while let Some(deadline) = floor.deadline().filter(|deadline| *deadline <= end) {
        floor.step(at(deadline)).unwrap();
        let taken = floor.take(connection, at(deadline));
        assert_eq!(taken.ending, None);
        taken.frames.into_iter().for_each(|frame| then(frame, floor));
    }
}

fn everything(floor: &Floor) -> Vec<String> {
    let instruments = floor.oracle().unwrap().instruments();
    let channels = instruments.iter().flat_map(|it| {
        ["ticker", "book", "trades"].map(|kind| format!("{kind}.{}.100ms", it.name))
    });
    channels.chain(["instrument.state.any.any".to_owned()]).collect()
}

#[test]
fn the_same_calls_give_the_same_bytes() {
    let play = |seed| {
        let mut floor = floor(seed);
        let connection = floor.open(at(Duration::ZERO)).unwrap();
        let channels = everything(&floor);
        subscribe(&mut floor, connection, &channels, at(Duration::ZERO));
        let mut text = String::new();
        run(&mut floor, connection, Duration::from_secs(60), |frame, _| text += &frame.text);
        (text, floor.truth())
    };
    let (one, other) = (play(3), play(3));
    assert!(one == other && one.0.len() > 100_000, "{} bytes", one.0.len());
    assert_ne!(play(4).0, one.0);
}

#[test]
fn a_day_passes_without_waiting() {
    let mut floor = floor(5);
    let connection = floor.open(at(Duration::ZERO)).unwrap();
    let channels = ["instrument.state.any.any".to_owned(), "trades.option.any.100ms".to_owned()];
    subscribe(&mut floor, connection, &channels, at(Duration::ZERO));
    let mut states: BTreeMap<String, Vec<String>> = BTreeMap::new();
    run(&mut floor, connection, Duration::from_secs(120), |frame, _| {
        let frame: Value = serde_json::from_str(&frame.text).unwrap();
        let data = &frame["params"]["data"];
        if let (Some(name), Some(state)) =
            (data["instrument_name"].as_str(), data["state"].as_str())
        {
            states.entry(name.to_owned()).or_default().push(state.to_owned());
        }
    });
    let oracle = floor.oracle().unwrap();
    let now_ms = at(Duration::from_secs(120)).utc_us / 1000;
    for it in oracle.instruments() {
        assert_eq!(it.state == State::Open, it.expiry_ms > now_ms, "{it:?}");
        let told = states.remove(&it.name).unwrap_or_default();
        match it.state {
            State::Delivered => assert_eq!(told.last().unwrap(), "delivered", "{it:?}"),
            State::Open if it.created_ms * 1000 > START_US => assert_eq!(told, ["open"]),
            State::Open | State::Settlement => assert!(told.is_empty(), "{it:?} {told:?}"),
        }
    }
    assert!(states.is_empty());
}

/// Applies what a book's frame says.
fn apply(book: &mut BTreeMap<String, Book>, data: &Value) {
    let name = data["instrument_name"].as_str().unwrap().to_owned();
    let known = book.entry(name).or_insert(Book { change_id: 0, bids: vec![], asks: vec![] });
    if data["type"] == "snapshot" {
        *known = Book { change_id: 0, bids: vec![], asks: vec![] };
    } else {
        assert_eq!(data["prev_change_id"], known.change_id);
    }
    known.change_id = data["change_id"].as_i64().unwrap();
    for (side, levels, sign) in [("bids", &mut known.bids, -1.0), ("asks", &mut known.asks, 1.0)] {
        for level in data[side].as_array().unwrap() {
            let (price, amount) = (level[1].as_f64().unwrap(), level[2].as_f64().unwrap());
            levels.retain(|(known, _)| *known != price);
            if amount > 0.0 {
                levels.push((price, amount));
            }
        }
        levels.sort_by(|one, other| (sign * one.0).total_cmp(&(sign * other.0)));
    }
}

#[test]
fn what_was_handed_out_rebuilds_what_is() {
    let mut floor = floor(6);
    let connection = floor.open(at(Duration::ZERO)).unwrap();
    let channels = everything(&floor);
    subscribe(&mut floor, connection, &channels, at(Duration::ZERO));
    let (mut books, mut trades) = (BTreeMap::new(), BTreeMap::new());
    run(&mut floor, connection, Duration::from_secs(45), |frame, floor| {
        let Some(channel) = frame.channel else { return };
        let whole: Value = serde_json::from_str(&frame.text).unwrap();
        let (data, oracle) = (&whole["params"]["data"], floor.oracle().unwrap());
        if channel.starts_with("book.") {
            apply(&mut books, data);
            let name = data["instrument_name"].as_str().unwrap();
            if oracle.book(name).unwrap().change_id == books[name].change_id {
                assert_eq!(oracle.book(name).unwrap(), books[name], "{name}");
            }
        } else if channel.starts_with("trades.") {
            for trade in data.as_array().unwrap() {
                let name = trade["instrument_name"].as_str().unwrap().to_owned();
                let heard: &mut Vec<i64> = trades.entry(name).or_default();
                heard.push(trade["trade_seq"].as_i64().unwrap());
            }
        }
    });
    let oracle = floor.oracle().unwrap();
    assert!(books.len() > 30 && !trades.is_empty());
    for (name, book) in books {
        assert_eq!(oracle.book(&name).unwrap(), book, "{name}");
    }
    for (name, heard) in trades {
        let kept: Vec<i64> =
            oracle.trades(&name).unwrap().iter().map(|trade| trade.trade_seq).collect();
        assert_eq!(kept, heard, "{name}");
    }
    let truth = floor.truth();
    let opened = truth.iter().filter(|it| matches!(it, Line::Event(it) if it.event == What::Open));
    assert_eq!(opened.count(), 1);
    let sent = truth.iter().filter_map(|line| match line {
        Line::Sent(sent) => Some(sent),
        Line::Event(_) | Line::Fault(_) => None,
    });
    assert!(sent.clone().count() > 300);
    assert!(sent.clone().all(|it| it.certain && it.sent_at >= START_US));
    assert!(floor.truth().is_empty(), "the truth is told once");
}

#[test]
fn connections_end_as_over_a_socket() {
    let mut floor = floor(7);
    let now = at(Duration::ZERO);
    for connection in 1..=32 {
        assert_eq!(floor.open(now), Ok(connection));
    }
    assert_eq!(floor.open(now), Err(Refusal::Status(429)));
    assert_eq!(floor.ask("public/get_time", &Map::new(), now), Err(Refusal::Status(429)));
    floor.hang_up(1, now);
    let heartbeat = json!({"id": 1, "method": "public/set_heartbeat", "params": {"interval": 10}});
    floor.receive(2, &heartbeat.to_string(), now);
    let later = at(Duration::from_secs(61));
    let mut ended = BTreeMap::new();
    while let Some(deadline) = floor.deadline().filter(|deadline| *deadline <= later.monotonic) {
        floor.step(at(deadline)).unwrap();
        for connection in floor.connections() {
            if let Some(ending) = floor.take(connection, at(deadline)).ending {
                ended.insert(connection, (deadline.as_millis(), ending));
            }
        }
    }
    let beat = Farewell { code: Some(4000), reason: "heartbeat close".to_owned() };
    assert_eq!(ended.remove(&2), Some((22_300, beat)));
    let idle = (60_500, Farewell { code: None, reason: String::new() });
    assert_eq!(ended.len(), 30);
    assert!(ended.values().all(|ending| *ending == idle), "{ended:?}");
    assert!(floor.connections().is_empty());
    let params = json!({"currency": "BTC", "kind": "option"});
    let (status, body) =
        floor.ask("public/get_instruments", params.as_object().unwrap(), later).unwrap();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert!(status == 200 && body["result"].as_array().unwrap().len() > 10);
}

/// What two connections that listen to the same are handed in a while: their frames.
fn two(frames: Frames) -> (Floor, [Vec<Value>; 2]) {
    let config = MarketConfig { seed: 8, options: 40, frames, ..MarketConfig::default() };
    let mut floor = floor_with(config);
    // The first and the third meet servers of one era.
    let connections = [1, 2, 3].map(|_| floor.open(at(Duration::ZERO)).unwrap());
    let mut channels = everything(&floor);
    channels.retain(|name| !name.starts_with("instrument"));
    for connection in [connections[0], connections[2]] {
        subscribe(&mut floor, connection, &channels, at(Duration::ZERO));
    }
    let mut heard = [Vec::new(), Vec::new()];
    let mut now = Duration::ZERO;
    while now < Duration::from_secs(22) {
        now += Duration::from_millis(10);
        floor.step(at(now)).unwrap();
        for (connection, heard) in [connections[0], connections[2]].into_iter().zip(&mut heard) {
            let frames = floor.take(connection, at(now)).frames.into_iter();
            let frames = frames.filter(|frame| frame.channel.is_some());
            heard.extend(frames.map(|it| serde_json::from_str::<Value>(&it.text).unwrap()));
        }
    }
    (floor, heard)
}

fn kind<'a>(frames: &'a [Value], kind: &'a str) -> Vec<&'a Value> {
    let is = move |frame: &&Value| frame["params"]["channel"].as_str().unwrap().starts_with(kind);
    frames.iter().filter(is).collect()
}

#[test]
fn two_connections_get_the_same_frames_or_each_its_own() {
    let (_, [one, other]) = two(Frames::Identical);
    let changes = |frames: &[Value]| -> Vec<Value> {
        let frames = kind(frames, "book").into_iter().cloned();
        frames.filter(|frame| frame["params"]["data"]["type"] == "change").collect()
    };
    assert_eq!(changes(&one), changes(&other));
    assert!(changes(&one).len() > 200);

    let (floor, heard) = two(Frames::Shifted);
    let oracle = floor.oracle().unwrap();
    let mut told = Vec::new();
    for frames in &heard {
        let mut books = BTreeMap::new();
        kind(frames, "book").iter().for_each(|it| apply(&mut books, &it["params"]["data"]));
        // All that gathered is out where nothing was quoted in the last beat: most books.
        let whole = books.iter().filter(|(name, book)| oracle.book(name).as_ref() == Some(book));
        assert!(whole.count() > books.len() * 3 / 4, "{}", books.len());
        let seqs: Vec<String> = kind(frames, "trades.BTC-PERP")
            .iter()
            .flat_map(|it| it["params"]["data"].as_array().unwrap())
            .map(|trade| trade["trade_seq"].to_string())
            .collect();
        let mut tickers: Vec<String> =
            kind(frames, "ticker").iter().map(|it| it["params"]["data"].to_string()).collect();
        tickers.sort();
        told.push((seqs, tickers));
    }
    let ((one, ones), (other, others)) = (&told[0], &told[1]);
    let both = one.len().min(other.len());
    assert!(both > 3 && one[..both] == other[..both], "both hear of every trade");
    assert_ne!(ones, others, "and see other tickers");
    let least = changes(&heard[0]).len().min(changes(&heard[1]).len());
    assert!(least > 200 && changes(&heard[0]) != changes(&heard[1]), "{least}");
}

#[test]
fn a_first_ticker_may_come_twice() {
    let mut floor = floor(9);
    let connection = floor.open(at(Duration::ZERO)).unwrap();
    let mut channels = everything(&floor);
    channels.retain(|name| name.starts_with("ticker."));
    subscribe(&mut floor, connection, &channels, at(Duration::ZERO));
    let frames = floor.take(connection, at(Duration::ZERO)).frames;
    let twice = frames.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(twice > 0 && twice < channels.len() / 2, "{twice}");
    assert_eq!(frames.len(), 1 + channels.len() + twice, "an answer, and each state");
}
