//! Every fault, met on the floor in virtual time.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::floor::{Farewell, Floor, Frame, Refusal, Setup};
use crate::market::MarketConfig;
use crate::truth::Line;
use crate::{Source, outgoing};

const START_US: i64 = 1_779_170_000_000_000;
const PERPETUAL: &str = "BTC-PERPETUAL";

fn at_ms(ms: u64) -> Now {
    Now { monotonic: Duration::from_millis(ms), utc_us: START_US + ms as i64 * 1000 }
}

/// A floor with one listener, and what it has heard.
struct Talk {
    floor: Floor,
    frames: Vec<(u64, Frame)>,
    ended: Option<(u64, Farewell)>,
    at_ms: u64,
}

impl Talk {
    fn new(faults: &str, channels: &[&str]) -> Talk {
        let config = MarketConfig { seed: 4, options: 4, rate: 400, ..MarketConfig::default() };
        let setup = Setup {
            source: Source::Market(config),
            faults: Faults::parse(faults).unwrap(),
            ..Setup::default()
        };
        let mut floor = Floor::new(setup, at_ms(0)).unwrap();
        assert_eq!(floor.open(at_ms(0)), Ok(1));
        let mut talk = Talk { floor, frames: Vec::new(), ended: None, at_ms: 0 };
        talk.say("public/subscribe", &json!({"channels": channels}));
        talk
    }

    fn say(&mut self, method: &str, params: &Value) {
        let text = json!({"id": 1, "method": method, "params": params}).to_string();
        self.floor.receive(1, &text, at_ms(self.at_ms));
        self.take();
    }

    fn take(&mut self) {
        let taken = self.floor.take(1, at_ms(self.at_ms));
        self.frames.extend(taken.frames.into_iter().map(|frame| (self.at_ms, frame)));
        if let Some(farewell) = taken.ending {
            self.ended = Some((self.at_ms, farewell));
        }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.at_ms + seconds * 1000;
        while self.at_ms < end && self.ended.is_none() {
            self.at_ms += 10;
            self.floor.step(at_ms(self.at_ms)).unwrap();
            self.take();
        }
    }

    fn data(&self) -> Vec<Value> {
        let data = self.frames.iter().filter(|(_, frame)| frame.channel.is_some());
        data.map(|(_, it)| {
            serde_json::from_str::<Value>(&it.text).unwrap()["params"]["data"].take()
        })
        .collect()
    }

    fn answers(&self) -> Vec<Value> {
        let answers = self.frames.iter().filter(|(_, frame)| frame.text.contains("\"usIn\""));
        answers.map(|(_, frame)| serde_json::from_str(&frame.text).unwrap()).collect()
    }

    fn faults(&mut self) -> Vec<truth::Fault> {
        let lines = self.floor.truth().into_iter().filter_map(|line| match line {
            Line::Fault(fault) => Some(fault),
            Line::Sent(_) | Line::Event(_) => None,
        });
        lines.collect()
    }

    /// How often a change does not follow the one before it.
    fn breaks(&self) -> usize {
        let (mut last, mut breaks) = (None, 0);
        for data in self.data() {
            let change_id = data["change_id"].as_i64();
            breaks +=
                usize::from(data["type"] == "change" && data["prev_change_id"].as_i64() != last);
            last = change_id;
        }
        breaks
    }
}

fn book() -> String {
    format!("book.{PERPETUAL}.100ms")
}

fn trades() -> String {
    format!("trades.{PERPETUAL}.100ms")
}

fn fault(word: &str, keys: &str) -> String {
    format!("[[fault]]\ndo = \"{word}\"\n{keys}\n")
}

#[test]
fn without_faults_the_chain_holds() {
    let mut talk = Talk::new("", &[&book()]);
    talk.run(20);
    assert!(talk.data().len() > 100);
    assert_eq!((talk.breaks(), talk.faults().len()), (0, 0));
}

#[test]
fn a_dropped_frame_is_in_the_truth_alone() {
    let drop = fault("drop", "channel = \"book.*\"\nprobability = 0.1\nfrom = 5\nto = 15");
    let mut talk = Talk::new(&drop, &[&book()]);
    talk.run(20);
    let faults = talk.faults();
    assert!(faults.len() > 5 && talk.breaks() > 3, "{}", faults.len());
    for fault in &faults {
        assert_eq!((fault.fault.as_str(), fault.rule, fault.connection), ("drop", 1, 1));
        assert_eq!(fault.about, book());
        let after_s = (fault.at - START_US) / 1_000_000;
        assert!((5..15).contains(&after_s), "{after_s}");
        assert!(talk.frames.iter().all(|(_, frame)| frame.text != fault.text));
    }
    let once = fault("drop", "channel = \"book.*\"\nat = 5");
    let mut talk = Talk::new(&once, &[&book()]);
    talk.run(20);
    assert_eq!((talk.faults().len(), talk.breaks()), (1, 1));
    let other = fault("drop", "channel = \"ticker.*\"");
    let mut talk = Talk::new(&other, &[&book()]);
    talk.run(5);
    assert_eq!((talk.faults().len(), talk.breaks()), (0, 0), "other channels are let alone");
    let other = fault("drop", "connection = 2");
    let mut talk = Talk::new(&other, &[&book()]);
    talk.run(5);
    assert!(talk.faults().is_empty(), "other connections are let alone");
}

#[test]
fn a_delay_keeps_a_channels_order() {
    let delay = fault("delay", "by = 0.7\nprobability = 0.3\nchannel = \"book.*\"");
    let mut talk = Talk::new(&delay, &[&book(), &trades()]);
    talk.run(20);
    assert!(talk.faults().len() > 20);
    let book = book();
    let books = talk.frames.iter().filter(|(_, frame)| frame.channel.as_deref() == Some(&*book));
    let lag = |(at_ms, frame): &(u64, Frame)| {
        let frame: Value = serde_json::from_str(&frame.text).unwrap();
        let told_ms = frame["params"]["data"]["timestamp"].as_i64().unwrap() - START_US / 1000;
        *at_ms as i64 - told_ms
    };
    let lags: Vec<i64> = books.map(lag).collect();
    assert!(lags.iter().all(|lag| (0..=720).contains(lag)));
    assert!(lags.iter().filter(|lag| **lag >= 690).count() > 20, "{lags:?}");
    let mut chain = talk.data();
    chain.retain(|data| data["change_id"].is_i64());
    talk.frames.retain(|(_, frame)| frame.channel.as_deref() == Some(&*book));
    assert_eq!(talk.breaks(), 0);
}

#[test]
fn a_reordered_frame_comes_behind_the_next_one() {
    let mut talk = Talk::new(&fault("reorder", "channel = \"book.*\"\nat = 5"), &[&book()]);
    talk.run(20);
    assert_eq!(talk.faults().len(), 1);
    assert_eq!(talk.breaks(), 3, "the next, the late one, and the one behind it");
}

#[test]
fn a_duplicate_is_the_same_byte_for_byte() {
    let mut talk = Talk::new(&fault("duplicate", "times = 3"), &[&book()]);
    talk.run(5);
    let faults = talk.faults();
    assert_eq!(faults.len(), 3);
    for fault in faults {
        let copies = talk.frames.iter().filter(|(_, frame)| frame.text == fault.text);
        assert_eq!(copies.count(), 2, "{}", fault.text);
    }
}

#[test]
fn gaps_break_chains() {
    let mut talk = Talk::new(&fault("gap", "times = 4"), &[&book()]);
    talk.run(20);
    assert_eq!((talk.faults().len(), talk.breaks()), (4, 4));
    let mut talk = Talk::new(&fault("gap", "probability = 0.5"), &[&trades()]);
    talk.run(20);
    let seqs: BTreeSet<i64> = talk
        .data()
        .iter()
        .flat_map(|data| data.as_array().unwrap())
        .map(|trade| trade["trade_seq"].as_i64().unwrap())
        .collect();
    let kept = talk.floor.oracle().unwrap().trades(PERPETUAL).unwrap();
    let missing = kept.iter().filter(|trade| !seqs.contains(&trade.trade_seq)).count();
    let faults = talk.faults();
    assert!(missing >= faults.len() && faults.len() > 3, "{missing} {}", faults.len());
    for lost in faults {
        assert!(lost.text.contains("trade_seq"), "{}", lost.text);
    }
}

#[test]
fn connections_are_cut_and_stalled() {
    let close = fault("close", "code = 4321\nreason = \"enough\"\nat = 3");
    let mut talk = Talk::new(&close, &[&book()]);
    talk.run(5);
    let farewell = Farewell { code: Some(4321), reason: "enough".to_owned() };
    assert_eq!(talk.ended, Some((3000, farewell)));
    let mut talk = Talk::new(&fault("close", "probability = 0.2"), &[&book()]);
    talk.run(60);
    assert_eq!(talk.ended.as_ref().unwrap().1.code, None);
    let stall = fault("stall", "length = 7\nat = 3") + &fault("close", "code = 1000\nat = 5");
    let mut talk = Talk::new(&stall, &[&book()]);
    talk.run(30);
    let quiet = talk.frames.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap();
    let (ended_ms, farewell) = talk.ended.clone().unwrap();
    assert_eq!((ended_ms, farewell.code), (10_000, Some(1000)), "the end waits too");
    assert!(quiet >= 6_900, "{quiet}");
}

#[test]
fn requests_are_denied() {
    let channels: Vec<String> = ["ticker", "book", "trades", "perpetual"]
        .iter()
        .flat_map(|kind| ["BTC", "ETH"].map(|coin| format!("{kind}.{coin}-PERPETUAL.100ms")))
        .collect();
    let channels: Vec<&str> = channels.iter().map(String::as_str).collect();
    let mut talk = Talk::new(&fault("partial", "keep = 0.5\ntimes = 1"), &channels);
    let some = talk.answers()[0]["result"].as_array().unwrap().len();
    assert!(some > 0 && some < channels.len(), "{some}");
    talk.say("public/subscribe", &json!({"channels": channels}));
    assert_eq!(talk.answers()[1]["result"].as_array().unwrap().len(), channels.len());

    let error = fault("error", "code = 10040\nmessage = \"retry\"\nreply = \"public/get_*\"");
    let mut talk = Talk::new(&error, &channels);
    talk.say("public/get_time", &json!({}));
    let answers = talk.answers();
    assert!(answers[0]["result"].is_array());
    assert_eq!(answers[1]["error"], json!({"code": 10040, "message": "retry"}));

    let lost =
        fault("drop", "reply = \"public/test\"") + &fault("delay", "by = 2\nreply = \"*time\"");
    let mut talk = Talk::new(&lost, &channels);
    talk.say("public/test", &json!({}));
    talk.say("public/get_time", &json!({}));
    assert_eq!(talk.answers().len(), 1);
    talk.run(3);
    assert_eq!(talk.answers().len(), 2, "late, not lost");
    let late = talk.frames.iter().find(|(at, it)| *at > 0 && it.channel.is_none()).unwrap();
    assert_eq!(late.0, 2000);

    let mut talk = Talk::new(&fault("spent", "reply = \"public/test\""), &channels);
    talk.say("public/test", &json!({}));
    assert_eq!(talk.answers()[1]["error"]["code"], 10028);
    assert_eq!(talk.ended.unwrap().1.reason, "too_many_requests");
}

#[test]
fn doors_are_shut() {
    let refuse = fault("refuse", "status = 503\nfrom = 1\nto = 2")
        + &fault("refuse", "door = \"any\"\nfrom = 3\ntimes = 2");
    let mut talk = Talk::new(&refuse, &[]);
    let time =
        |floor: &mut Floor, ms| floor.ask("public/get_time", &serde_json::Map::new(), at_ms(ms));
    assert_eq!(talk.floor.open(at_ms(1500)), Err(Refusal::Status(503)));
    assert_eq!(time(&mut talk.floor, 1500).unwrap().0, 200);
    assert_eq!(talk.floor.open(at_ms(2500)), Ok(2));
    assert_eq!(talk.floor.open(at_ms(3500)), Err(Refusal::HungUp));
    assert_eq!(time(&mut talk.floor, 3500), Err(Refusal::HungUp));
    assert_eq!(talk.floor.open(at_ms(3500)), Ok(3));
    assert_eq!(talk.faults().len(), 3);
}

#[test]
fn the_platform_says_what_is_wrong_with_it() {
    let faults = fault("locked", "index = \"btc_usd\"\nfrom = 2\nto = 4")
        + &fault("maintenance", "from = 6\nto = 8");
    let mut talk = Talk::new(&faults, &["platform_state"]);
    let mut words = Vec::new();
    for _ in 0..5 {
        talk.say("public/status", &json!({}));
        let status = talk.answers().last().unwrap()["result"].clone();
        words.push((status["locked"].clone(), status["locked_indices"].clone()));
        talk.say("public/get_time", &json!({}));
        let code = talk.answers().last().unwrap()["error"]["code"].clone();
        assert_eq!(code == 11051, talk.at_ms == 6_000, "{code}");
        talk.run(2);
    }
    let locked: Vec<&str> = words.iter().map(|(word, _)| word.as_str().unwrap()).collect();
    assert_eq!(locked, ["false", "partial", "false", "true", "false"]);
    assert_eq!(words[1].1, json!(["btc_usd"]));
    let mut data = talk.data();
    data.retain(|data| data["maintenance"].is_boolean() || data["locked"] == true);
    let expected = [
        json!({"price_index": "btc_usd", "locked": true}),
        json!({"maintenance": true}),
        json!({"maintenance": false}),
    ];
    assert_eq!(data, expected);
}

#[test]
fn garbage_comes_between_and_instead() {
    let garbage = fault("garbage", "form = \"truncated\"\ntimes = 3\nchannel = \"book.*\"");
    let mut talk = Talk::new(&garbage, &[&book()]);
    talk.run(5);
    let broken = |talk: &Talk| {
        let broken = talk
            .frames
            .iter()
            .filter(|(_, frame)| serde_json::from_str::<Value>(&frame.text).is_err());
        broken.count()
    };
    assert_eq!(broken(&talk), 3);
    talk.frames.retain(|(_, frame)| frame.channel.is_some());
    assert_eq!(talk.breaks(), 0, "nothing is lost by it");
    let instead = garbage + "instead = true\n";
    let mut talk = Talk::new(&instead, &[&book()]);
    talk.run(5);
    assert_eq!(broken(&talk), 3);
    talk.frames.retain(|(_, frame)| frame.channel.is_some());
    assert!(talk.breaks() > 0);
    let lines = talk.floor.truth();
    let garbled = |line: &&Line| matches!(line, Line::Sent(sent) if sent.frame.len() < 5);
    assert_eq!(lines.iter().filter(garbled).count(), 0, "the truth holds what was meant");
}

#[test]
fn frames_come_in_pieces() {
    let faults = fault("fragment", "pieces = 4\ntimes = 1\nchannel = \"*\"")
        + &fault("dribble", "bytes = 7\nevery = 0.01\nfrom = 1\ntimes = 1\nchannel = \"*\"");
    let mut talk = Talk::new(&faults, &[&book()]);
    talk.run(3);
    let forms: Vec<&Form> = talk
        .frames
        .iter()
        .map(|(_, frame)| &frame.form)
        .filter(|form| **form != Form::Whole)
        .collect();
    let every = Duration::from_millis(10);
    assert_eq!(forms, [&Form::Fragments(4), &Form::Dribble { bytes: 7, every }]);
    let (pieces, pause) = outgoing::pieces(b"0123456789", forms[1]);
    assert_eq!((pieces.len(), pause), (2, every));
}

#[test]
fn a_seed_repeats_its_faults() {
    let play = || {
        let drop = fault("drop", "probability = 0.2") + &fault("reorder", "probability = 0.1");
        let mut talk = Talk::new(&drop, &[&book(), &trades()]);
        talk.run(10);
        (talk.frames, talk.floor.truth())
    };
    assert!(play() == play());
}
