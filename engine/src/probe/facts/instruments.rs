//! PROTOCOL 10: the list of instruments.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::evidence::{Evidence, Reply, Role, Step};
use super::{Fact, Finding};

pub(super) const FACTS: [Fact; 3] = [
    Fact {
        id: "instruments-fields",
        sentence: "Every option has state, tick_size_steps, price_index and instrument_id.",
        section: "10",
        judge: fields,
    },
    Fact {
        id: "instruments-order",
        sentence: "The list of instruments is not sorted.",
        section: "10",
        judge: order,
    },
    Fact {
        id: "instruments-expiry",
        sentence: "Every option expires at 08:00:00 UTC.",
        section: "10",
        judge: expiry,
    },
];

fn reply(evidence: &Evidence) -> Result<Reply<'_>, Finding> {
    let tape = evidence.tape(Role::Rest)?;
    tape.reply(Step::Instruments)
}

fn list<'a>(reply: &'a Reply<'_>) -> Result<&'a Vec<Value>, Finding> {
    let list = reply.result().and_then(Value::as_array).filter(|list| !list.is_empty());
    list.ok_or_else(|| Finding::not_seen(reply.said()).on(reply))
}

fn fields(evidence: &Evidence) -> Result<Finding, Finding> {
    let reply = reply(evidence)?;
    let list = list(&reply)?;
    let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
    for name in ["state", "tick_size_steps", "price_index", "instrument_id"] {
        let count = list.iter().filter(|entry| entry.get(name).is_none()).count();
        if count > 0 {
            missing.insert(name, count);
        }
    }
    let seen = match missing.is_empty() {
        true => format!("all {} do", list.len()),
        false => format!("of {} these lack some: {missing:?}", list.len()),
    };
    Ok(Finding::of(missing.is_empty(), seen).with(json!({"first": list.first()})).on(&reply))
}

fn order(evidence: &Evidence) -> Result<Finding, Finding> {
    let reply = reply(evidence)?;
    let list = list(&reply)?;
    let text = |entry: &Value| entry.get("instrument_name").map(Value::to_string);
    let number = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_i64);
    let sorted = if list.len() < 3 {
        return Err(Finding::not_seen("there are fewer than three options"));
    } else if list.is_sorted_by_key(text) {
        Some("instrument_name")
    } else {
        ["instrument_id", "creation_timestamp", "expiration_timestamp"]
            .into_iter()
            .find(|key| list.is_sorted_by_key(|entry| number(entry, key)))
    };
    let first: Vec<_> = list.iter().take(10).filter_map(text).collect();
    let seen = match sorted {
        Some(key) => format!("it is sorted by {key}"),
        None => format!("{} options in no order", list.len()),
    };
    Ok(Finding::of(sorted.is_none(), seen).with(json!(first)))
}

fn expiry(evidence: &Evidence) -> Result<Finding, Finding> {
    let reply = reply(evidence)?;
    let list = list(&reply)?;
    let time = |entry: &&Value| entry.get("expiration_timestamp").and_then(Value::as_i64);
    let others: Vec<&Value> = list
        .iter()
        .filter(|entry| time(entry).is_none_or(|ms| ms.rem_euclid(DAY_MS) != EIGHT_MS))
        .collect();
    let seen = format!("{} of {} do", list.len() - others.len(), list.len());
    let first: Vec<_> = others.iter().take(3).collect();
    Ok(Finding::of(others.is_empty(), seen).with(json!(first)))
}

const DAY_MS: i64 = 86_400_000;
pub(super) const EIGHT_MS: i64 = 8 * 3_600_000;
