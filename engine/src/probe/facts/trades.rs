//! PROTOCOL 8: trades over REST methods and channels.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::super::evidence::{Evidence, Reply, Role, Step, Tape};
use super::super::script::{OPTION_TRADES, TRADES};
use super::{Fact, Finding};

pub(super) const FACTS: [Fact; 8] = [
    Fact {
        id: "trades-count",
        sentence: "More than 1000 trades in one answer are refused with -32602.",
        section: "8",
        judge: |evidence| {
            let reply = evidence.reply(Role::Main, Step::TradesTooMany)?;
            Ok(Finding::of(reply.code() == Some(-32602), reply.said()).on(&reply))
        },
    },
    Fact {
        id: "trades-bounds",
        sentence: "start_seq and end_seq are both inclusive.",
        section: "8",
        judge: bounds,
    },
    Fact {
        id: "trades-has-more",
        sentence: "has_more is true when the range holds more trades, else false.",
        section: "8",
        judge: has_more,
    },
    Fact {
        id: "trades-beyond",
        sentence: "A range without trades gives none, and no error.",
        section: "8",
        judge: |evidence| {
            let reply = evidence.reply(Role::Main, Step::TradesBeyond)?;
            let none = reply.value.pointer("/result/trades") == Some(&json!([]));
            Ok(Finding::of(none, reply.said()).on(&reply))
        },
    },
    Fact {
        id: "trades-kept",
        sentence: "Trades are kept for about 24 hours; what is older starts at the oldest.",
        section: "8",
        judge: kept,
    },
    Fact {
        id: "trades-contiguous",
        sentence: "trade_seq grows by one from trade to trade.",
        section: "8",
        judge: contiguous,
    },
    Fact {
        id: "trades-option",
        sentence: "trades.option.CURRENCY carries the trades of all its options.",
        section: "8",
        judge: options,
    },
    Fact {
        id: "trades-liquidation",
        sentence: "100ms trades carry liquidation where there was one.",
        section: "14",
        judge: liquidation,
    },
];

fn trades<'a>(reply: &'a Reply<'_>) -> Result<&'a Vec<Value>, Finding> {
    let trades = reply.value.pointer("/result/trades").and_then(Value::as_array);
    trades.ok_or_else(|| Finding::different(reply.said()).on(reply))
}

fn seq(trade: &Value) -> Option<i64> {
    trade.get("trade_seq")?.as_i64()
}

/// The bounds that were asked for.
fn range(reply: &Reply<'_>) -> (i64, i64) {
    let request: Value = serde_json::from_str(&reply.asked.request).unwrap_or_default();
    let bound = |name| request.pointer(name).and_then(Value::as_i64).unwrap_or_default();
    (bound("/params/start_seq"), bound("/params/end_seq"))
}

fn bounds(evidence: &Evidence) -> Result<Finding, Finding> {
    let reply = evidence.reply(Role::Main, Step::TradesRange)?;
    let got: Vec<i64> = trades(&reply)?.iter().filter_map(seq).collect();
    let (from, to) = range(&reply);
    let seen = match (got.first(), got.last()) {
        (Some(first), Some(last)) => {
            format!("{from} to {to} gave {first} to {last}, {} trades", got.len())
        }
        _ => format!("{from} to {to} gave nothing"),
    };
    let all: BTreeSet<i64> = (from..=to).collect();
    Ok(Finding::of(got.iter().copied().collect::<BTreeSet<_>>() == all, seen).on(&reply))
}

fn has_more(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let (whole, page) = (tape.reply(Step::TradesRange)?, tape.reply(Step::TradesPage)?);
    let more = |reply: &Reply<'_>| reply.value.pointer("/result/has_more").cloned();
    let (all, few) = (trades(&whole)?.len(), trades(&page)?.len());
    let words = |value: Option<Value>| value.map_or("missing".into(), |value| value.to_string());
    let seen = format!("{} with {all}, {} with {few}", words(more(&whole)), words(more(&page)));
    if few >= all {
        return Err(Finding::not_seen(format!("the page was no shorter: {seen}")).on(&page));
    }
    let good = more(&whole) == Some(json!(false)) && more(&page) == Some(json!(true));
    Ok(Finding::of(good, seen).on(&whole).on(&page))
}

fn kept(evidence: &Evidence) -> Result<Finding, Finding> {
    let reply = evidence.reply(Role::Main, Step::TradesOldest)?;
    let Some(oldest) = trades(&reply)?.first() else {
        return Ok(Finding::different("a range from the first trade gave nothing").on(&reply));
    };
    let Some(timestamp) = oldest.get("timestamp").and_then(Value::as_i64) else {
        return Ok(Finding::different("the trade has no timestamp").on(&reply));
    };
    let hours = (evidence.started.0 / 1_000 - timestamp) as f64 / 3_600_000.0;
    let seen = format!("the oldest is {hours:.1} hours old");
    Ok(Finding::of((20.0..=28.0).contains(&hours), seen).on(&reply))
}

/// Every trade of the perpetual that came over its channel.
fn heard(tape: &Tape) -> BTreeMap<i64, Value> {
    let mut heard = BTreeMap::new();
    for frame in tape.frames(TRADES) {
        if let Value::Array(trades) = frame.data() {
            heard.extend(trades.into_iter().filter_map(|trade| Some((seq(&trade)?, trade))));
        }
    }
    heard
}

/// Every trade of the perpetual that was asked for.
fn answered(tape: &Tape) -> BTreeMap<i64, Value> {
    let mut answered = BTreeMap::new();
    for step in [Step::Trades, Step::TradesEnd] {
        let Ok(reply) = tape.reply(step) else { continue };
        let trades = trades(&reply).cloned().unwrap_or_default();
        answered.extend(trades.into_iter().filter_map(|trade| Some((seq(&trade)?, trade))));
    }
    answered
}

/// Each source on its own: between two answers, and before the first frame, trades are missing
/// for good reasons.
fn contiguous(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let mut sources = vec![("channel", heard(tape))];
    for (name, step) in [("first answer", Step::Trades), ("last answer", Step::TradesEnd)] {
        if let Ok(reply) = tape.reply(step) {
            let trades = trades(&reply).cloned().unwrap_or_default();
            let pairs = trades.into_iter().filter_map(|trade| Some((seq(&trade)?, trade)));
            sources.push((name, pairs.collect()));
        }
    }
    let (mut pairs, mut holes) = (0, Vec::new());
    for (name, trades) in &sources {
        for (one, next) in trades.keys().zip(trades.keys().skip(1)) {
            pairs += 1;
            if next - one != 1 {
                holes.push(json!({"source": name, "after": one, "next": next}));
            }
        }
    }
    if pairs == 0 {
        return Err(Finding::not_seen("there were fewer than two trades"));
    }
    let seen = format!("{} holes among {pairs} neighbours", holes.len());
    holes.truncate(20);
    Ok(Finding::of(holes.is_empty(), seen).with(json!(holes)))
}

fn options(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let reply = tape.reply(Step::Subscribe)?;
    let acknowledged = reply.names().unwrap_or_default();
    if let Some(missing) = OPTION_TRADES.iter().find(|name| !acknowledged.contains(name)) {
        return Ok(Finding::different(format!("{missing} is not acknowledged")).on(&reply));
    }
    let mut names = BTreeSet::new();
    for frame in OPTION_TRADES.iter().flat_map(|channel| tape.frames(channel)) {
        for trade in frame.data().as_array().into_iter().flatten() {
            let name = trade.get("instrument_name").and_then(Value::as_str);
            names.insert(name.unwrap_or("no name").to_owned());
        }
    }
    let seen = format!("trades of {} instruments came", names.len());
    match names.len() {
        0 | 1 => Err(Finding::not_seen(seen).with(json!(names))),
        _ => Ok(Finding::confirmed(seen).with(json!(names))),
    }
}

fn liquidation(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let heard = heard(tape);
    let is_liquidation = |trade: &Value| trade.get("liquidation").is_some();
    if let Some(trade) = heard.values().find(|trade| is_liquidation(trade)) {
        return Ok(Finding::confirmed("one does").with(trade.clone()));
    }
    let answered = answered(tape);
    let mut both = answered.iter().filter(|(_, trade)| is_liquidation(trade));
    if let Some((seq, trade)) = both.find(|(seq, _)| heard.contains_key(seq)) {
        let seen = format!("the answer has it for trade {seq}, the channel has not");
        return Ok(Finding::different(seen).with(json!([trade, heard.get(seq)])));
    }
    let count = heard.len();
    Err(Finding::not_seen(format!("no liquidation among {count} trades of the channel")))
}
