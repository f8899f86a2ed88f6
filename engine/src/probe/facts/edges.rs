//! PROTOCOL 1, 4, 5 and 14: what depends on the host or the hour, and what is never tried.

use serde_json::{Value, json};

use super::super::evidence::{Asked, Evidence, Role, Step};
use super::super::script::{PERPETUAL_TICKER, STATES};
use super::instruments::EIGHT_MS;
use super::{Fact, Finding};

pub(super) const FACTS: [Fact; 6] = [
    Fact {
        id: "streams-host",
        sentence: "streams.deribit.com takes subscriptions without login.",
        section: "1",
        judge: streams,
    },
    Fact {
        id: "expiry-states",
        sentence: "At 08:00 UTC expired options go through settlement to delivered.",
        section: "14",
        judge: expiry,
    },
    Fact {
        id: "quota",
        sentence: "Guests have a quota of requests for each address.",
        section: "4",
        judge: |_| Err(Finding::not_tried("it would spend the quota of everybody at this address")),
    },
    Fact {
        id: "connections",
        sentence: "The 33rd connection of an address is refused with 429.",
        section: "4",
        judge: |_| Err(Finding::not_tried("it would shut out everybody at this address")),
    },
    Fact {
        id: "slow-reader",
        sentence: "A slow reader is closed with connection_too_slow.",
        section: "4",
        judge: |_| Err(Finding::not_tried("it would burden the exchange")),
    },
    Fact {
        id: "deflate",
        sentence: "permessage-deflate is used only if it is offered.",
        section: "5",
        judge: |_| Err(Finding::not_tried("we never offer it")),
    },
];

fn streams(evidence: &Evidence) -> Result<Finding, Finding> {
    let Ok(tape) = evidence.tape(Role::Streams) else {
        let why = "it belongs to www.deribit.com, which was not asked";
        return Err(Finding::not_tried(why));
    };
    if let (true, Some(why)) = (tape.asked.is_empty(), &tape.ended) {
        return Ok(Finding::different(why));
    }
    let reply = tape.reply(Step::Subscribe)?;
    let frames = tape.frames(PERPETUAL_TICKER).count();
    let taken = reply.names().is_some_and(|names| names.contains(&PERPETUAL_TICKER));
    let other = match tape.reply(Step::Instruments) {
        Ok(reply) => reply.said(),
        Err(finding) => finding.seen,
    };
    let seen = format!("{}, {frames} frames; get_time: {other}", reply.said());
    let mut finding = Finding::of(taken && frames > 0, seen);
    finding.evidence.extend(tape.asked.iter().map(Asked::shown));
    Ok(finding)
}

fn expiry(evidence: &Evidence) -> Result<Finding, Finding> {
    let ms = |at: schema::Micros| at.0 / 1_000;
    let passed = |at| (ms(at) - EIGHT_MS).div_euclid(DAY_MS);
    if passed(evidence.started) == passed(evidence.ended) {
        return Err(Finding::not_seen("the run did not cross 08:00 UTC"));
    }
    let tape = evidence.tape(Role::Main)?;
    let mut states: Vec<(String, Vec<String>)> = Vec::new();
    for frame in tape.frames(STATES) {
        let data = frame.data();
        let word = |key| data.get(key).and_then(Value::as_str).unwrap_or("none").to_owned();
        let (name, state) = (word("instrument_name"), word("state"));
        match states.iter_mut().find(|(known, _)| *known == name) {
            Some((_, seen)) => seen.push(state),
            None => states.push((name, vec![state])),
        }
    }
    if states.is_empty() {
        return Ok(Finding::different("no state came"));
    }
    let delivered = |seen: &Vec<String>| {
        let at = |state: &str| seen.iter().position(|it| it == state);
        at("settlement").is_some() && at("settlement") < at("delivered")
    };
    let good = states.iter().filter(|(_, seen)| delivered(seen)).count();
    let seen = format!("{good} of {} instruments did", states.len());
    let frames: Vec<_> = tape.frames(STATES).take(SHOWN).map(|it| it.text.as_str()).collect();
    Ok(Finding::of(good > 0, seen).with(json!(states)).with(json!(frames)))
}

const DAY_MS: i64 = 86_400_000;
const SHOWN: usize = 100;
