//! PROTOCOL 2 and 12: ids, the order of keys, the forms of numbers, what is wrong.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::bundle::shorten;
use super::super::evidence::{Evidence, Message, Role, Step};
use super::super::numbers::{Form, numbers};
use super::{Fact, Finding};

pub(super) const FACTS: [Fact; 9] = [
    Fact {
        id: "id-number",
        sentence: "An id that is a number comes back as that number.",
        section: "2",
        judge: |evidence| id(evidence, Step::IdNumber, &json!(7)),
    },
    Fact {
        id: "id-text",
        sentence: "An id that is a text comes back as that text.",
        section: "2",
        judge: |evidence| id(evidence, Step::IdText, &json!("seven")),
    },
    Fact {
        id: "id-none",
        sentence: "A request without an id is answered without an id.",
        section: "2",
        judge: id_none,
    },
    Fact {
        id: "key-order",
        sentence: "The order of keys varies between messages.",
        section: "2",
        judge: key_order,
    },
    Fact {
        id: "number-exponents",
        sentence: "Numbers are written with exponents where that is shorter.",
        section: "2",
        judge: exponents,
    },
    Fact {
        id: "number-forms",
        sentence: "One field is written now as an integer, now as a float.",
        section: "2",
        judge: forms,
    },
    Fact {
        id: "method-unknown",
        sentence: "An unknown method is answered with -32601.",
        section: "12",
        judge: |evidence| {
            let reply = evidence.reply(Role::Main, Step::MethodUnknown)?;
            Ok(Finding::of(reply.code() == Some(-32601), reply.said()).on(&reply))
        },
    },
    Fact {
        id: "json-invalid",
        sentence: "Invalid JSON is answered with 11050.",
        section: "12",
        judge: |evidence| {
            let reply = evidence.reply(Role::Crude, Step::JsonInvalid)?;
            Ok(Finding::of(reply.code() == Some(11050), reply.said()).on(&reply))
        },
    },
    Fact {
        id: "json-invalid-open",
        sentence: "The socket stays open after invalid JSON.",
        section: "12",
        judge: |evidence| {
            let tape = evidence.tape(Role::Crude)?;
            let asked = |step| tape.asked.iter().any(|asked| asked.step == step);
            if let (true, false, Some(why)) =
                (asked(Step::JsonInvalid), asked(Step::JsonAfter), &tape.ended)
            {
                return Ok(Finding::different(why));
            }
            let reply = tape.reply(Step::JsonAfter)?;
            Ok(Finding::of(reply.result().is_some(), reply.said()).on(&reply))
        },
    },
];

fn id(evidence: &Evidence, step: Step, expected: &Value) -> Result<Finding, Finding> {
    let reply = evidence.reply(Role::Main, step)?;
    let seen = match reply.value.get("id") {
        Some(id) => id.to_string(),
        None => "no id".into(),
    };
    Ok(Finding::of(reply.value.get("id") == Some(expected), seen).on(&reply))
}

fn id_none(evidence: &Evidence) -> Result<Finding, Finding> {
    let reply = evidence.reply(Role::Main, Step::IdNone)?;
    let without = reply.value.get("id").is_none_or(Value::is_null);
    let seen =
        format!("{}, {}", reply.said(), if without { "without an id" } else { "with an id" });
    Ok(Finding::of(without && reply.result().is_some(), seen).on(&reply))
}

/// Two messages that have two keys in different order.
fn key_order(evidence: &Evidence) -> Result<Finding, Finding> {
    let mut orders: BTreeMap<Vec<String>, &str> = BTreeMap::new();
    let mut count = 0_u64;
    for tape in &evidence.tapes {
        let answers = tape.asked.iter().filter_map(|asked| asked.answer.as_ref());
        for message in answers.chain(&tape.frames) {
            let Ok(Value::Object(keys)) = serde_json::from_str(&message.text) else { continue };
            orders.entry(keys.keys().cloned().collect()).or_insert(&message.text);
            count += 1;
        }
    }
    let all: Vec<_> = orders.iter().collect();
    for (at, (one, first)) in all.iter().enumerate() {
        for (other, second) in all.iter().skip(at + 1) {
            if contradict(one, other) {
                let seen = format!("{} and {}", one.join(","), other.join(","));
                let texts = [first, second].map(|text| shorten(text));
                return Ok(Finding::confirmed(seen).with(json!(texts)));
            }
        }
    }
    if count < 2 {
        return Err(Finding::not_seen("there were too few messages"));
    }
    let orders: Vec<_> = orders.into_keys().collect();
    let seen = format!("the keys of {count} messages stand in one order");
    Ok(Finding::different(seen).with(json!({ "orders": orders })))
}

fn contradict(one: &[String], other: &[String]) -> bool {
    let both: Vec<&String> = one.iter().filter(|key| other.contains(key)).collect();
    let there = other.iter().filter(|key| one.contains(key));
    both.into_iter().ne(there)
}

fn listened(evidence: &Evidence) -> impl Iterator<Item = &Message> {
    let tapes = evidence.tapes.iter();
    tapes.flat_map(|tape| &tape.frames).filter(|frame| frame.channel.is_some())
}

fn exponents(evidence: &Evidence) -> Result<Finding, Finding> {
    let (mut count, mut examples) = (0_u64, Vec::new());
    for frame in listened(evidence) {
        for number in numbers(&frame.text) {
            count += 1;
            if number.form == Form::Exponent && examples.len() < EXAMPLES_MAX {
                examples.push(format!("{}={}", number.key, number.text));
            }
        }
    }
    if count == 0 {
        return Err(Finding::not_seen("no notification carried a number"));
    }
    match examples.first() {
        None => Ok(Finding::different(format!("none in {count} numbers"))),
        Some(example) => {
            Ok(Finding::confirmed(example).with(json!({"numbers": count, "examples": examples})))
        }
    }
}

fn forms(evidence: &Evidence) -> Result<Finding, Finding> {
    let mut seen: BTreeMap<(&str, &str), [Option<&str>; 2]> = BTreeMap::new();
    for frame in listened(evidence) {
        for number in numbers(&frame.text).into_iter().filter(|it| !it.key.is_empty()) {
            let channel = frame.channel.as_deref().unwrap_or_default();
            let forms = seen.entry((channel, number.key)).or_default();
            forms[usize::from(number.form != Form::Integer)].get_or_insert(number.text);
        }
    }
    if seen.is_empty() {
        return Err(Finding::not_seen("no notification carried a number"));
    }
    let mut both = Vec::new();
    for ((channel, key), forms) in &seen {
        if let [Some(integer), Some(float)] = forms {
            both.push(format!("{key} of {channel}: {integer} and {float}"));
        }
    }
    match both.first() {
        None => Ok(Finding::different(format!("each of {} fields keeps its form", seen.len()))),
        Some(example) => Ok(Finding::confirmed(example).with(json!(both))),
    }
}

const EXAMPLES_MAX: usize = 20;
