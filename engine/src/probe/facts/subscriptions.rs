//! PROTOCOL 3: what subscribing, repeating and leaving does.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::bundle::shorten;
use super::super::evidence::{Evidence, Message, Reply, Role, Step, Tape, millis};
use super::super::script::{BOOK, CALL_CHANNELS, PERPETUAL_TICKER, REFUSED, STATES, UNKNOWN};
use super::{Fact, Finding};

pub(super) const FACTS: [Fact; 15] = [
    Fact {
        id: "unknown-omitted",
        sentence: "Unknown channels are left out of the acknowledgement.",
        section: "3",
        judge: unknown_omitted,
    },
    Fact {
        id: "known-acknowledged",
        sentence: "Every channel that we know of is acknowledged.",
        section: "9",
        judge: known_acknowledged,
    },
    Fact {
        id: "ack-order",
        sentence: "The acknowledgement does not keep the order of the request.",
        section: "3",
        judge: ack_order,
    },
    Fact {
        id: "only-unknown",
        sentence: "A call with unknown channels alone is acknowledged with [].",
        section: "3",
        judge: |evidence| {
            let reply = evidence.reply(Role::Main, Step::SubscribeUnknown)?;
            Ok(Finding::of(reply.result() == Some(&json!([])), reply.said()).on(&reply))
        },
    },
    Fact {
        id: "raw-refused",
        sentence: "One raw channel without login rejects the whole call with 13778.",
        section: "3",
        judge: raw_refused,
    },
    Fact {
        id: "raw-keeps",
        sentence: "That rejection leaves earlier subscriptions intact.",
        section: "14",
        judge: raw_keeps,
    },
    Fact {
        id: "subscribed-twice",
        sentence: "A channel subscribed twice is acknowledged again, without a new snapshot.",
        section: "3",
        judge: subscribed_twice,
    },
    Fact {
        id: "unsubscribe-lists",
        sentence: "Unsubscribing lists only what was subscribed.",
        section: "3",
        judge: |evidence| {
            let reply = evidence.reply(Role::Main, Step::Unsubscribe)?;
            Ok(Finding::of(reply.result() == Some(&json!([BOOK])), reply.said()).on(&reply))
        },
    },
    Fact {
        id: "subscribed-again",
        sentence: "Leaving and subscribing again brings a new snapshot.",
        section: "3",
        judge: subscribed_again,
    },
    Fact {
        id: "ack-first",
        sentence: "The acknowledgement comes before the first notification.",
        section: "2",
        judge: ack_first,
    },
    Fact {
        id: "first-book",
        sentence: "A book's first notification is a snapshot without prev_change_id.",
        section: "3",
        judge: first_book,
    },
    Fact {
        id: "first-ticker",
        sentence: "A ticker's first notification comes at once.",
        section: "3",
        judge: first_ticker,
    },
    Fact {
        id: "ticker-twice",
        sentence: "A ticker may come twice, byte for byte, right after subscribing.",
        section: "3",
        judge: ticker_twice,
    },
    Fact {
        id: "crowd",
        sentence: "A connection takes more than 500 channels.",
        section: "14",
        judge: crowd,
    },
    Fact {
        id: "state-any",
        sentence: "instrument.state.any.any is acknowledged.",
        section: "9",
        judge: |evidence| {
            let reply = evidence.reply(Role::Main, Step::Subscribe)?;
            let names = names(&reply)?;
            let seen = if names.contains(&STATES) { "it is" } else { "it is left out" };
            Ok(Finding::of(names.contains(&STATES), seen).on(&reply))
        },
    },
];

/// The channels that a call asked for.
fn asked(reply: &Reply<'_>) -> Vec<String> {
    let request: Value = serde_json::from_str(&reply.asked.request).unwrap_or_default();
    let channels = request.pointer("/params/channels").and_then(Value::as_array);
    let names = channels.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

fn names<'a>(reply: &'a Reply<'_>) -> Result<Vec<&'a str>, Finding> {
    reply.names().ok_or_else(|| Finding::different(reply.said()).on(reply))
}

fn unknown_omitted(evidence: &Evidence) -> Result<Finding, Finding> {
    let reply = evidence.reply(Role::Main, Step::Subscribe)?;
    let names = names(&reply)?;
    let taken: Vec<_> = UNKNOWN.iter().filter(|name| names.contains(name)).collect();
    let seen = match taken.as_slice() {
        [] => format!("{} of them are", UNKNOWN.len()),
        taken => format!("these are acknowledged: {taken:?}"),
    };
    Ok(Finding::of(taken.is_empty(), seen).on(&reply))
}

fn known_acknowledged(evidence: &Evidence) -> Result<Finding, Finding> {
    let reply = evidence.reply(Role::Main, Step::Subscribe)?;
    let names = names(&reply)?;
    let mut asked = asked(&reply);
    asked.retain(|name| !UNKNOWN.contains(&name.as_str()));
    let missing: Vec<_> = asked.iter().filter(|name| !names.contains(&name.as_str())).collect();
    let seen = match missing.as_slice() {
        [] => format!("all {} are", asked.len()),
        missing => format!("these are not: {missing:?}"),
    };
    Ok(Finding::of(missing.is_empty(), seen).on(&reply))
}

fn ack_order(evidence: &Evidence) -> Result<Finding, Finding> {
    let reply = evidence.reply(Role::Main, Step::Subscribe)?;
    let names = names(&reply)?;
    if names.len() < 2 {
        return Err(Finding::not_seen("fewer than two channels were acknowledged").on(&reply));
    }
    let asked = asked(&reply);
    let same = asked.iter().map(String::as_str).filter(|name| names.contains(name));
    let kept = same.eq(names.iter().copied());
    let backwards = names.is_sorted_by(|one, other| one >= other);
    let seen = match (kept, backwards) {
        (true, _) => "it keeps it",
        (false, true) => "it is sorted backwards",
        (false, false) => "it is in some other order",
    };
    Ok(Finding::of(!kept, seen).on(&reply))
}

/// The good channel of the refused call must not speak.
fn raw_refused(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let reply = tape.reply(Step::SubscribeRaw)?;
    let spoke = tape.frames(REFUSED).count();
    let seen = match spoke {
        0 => reply.said(),
        spoke => format!("{}, but the other channel sent {spoke} frames", reply.said()),
    };
    Ok(Finding::of(reply.code() == Some(13778) && spoke == 0, seen).on(&reply))
}

fn raw_keeps(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let reply = tape.reply(Step::SubscribeRaw)?;
    if reply.code().is_none() {
        return Err(Finding::not_seen("the call was not rejected").on(&reply));
    }
    let before = tape.frames(PERPETUAL_TICKER).filter(|it| it.at < reply.asked.sent).count();
    let after = tape.frames(PERPETUAL_TICKER).filter(|it| it.order > reply.answer.order).count();
    let listened = tape.frames.last().map_or(Duration::ZERO, |last| last.at);
    let seen = format!("the ticker sent {before} frames before and {after} after");
    match (before, after) {
        (0, 0) => Err(Finding::not_seen(seen)),
        (_, 0) if listened < reply.answer.at + LISTENED => Err(Finding::not_seen(seen)),
        (_, after) => Ok(Finding::of(after > 0, seen).on(&reply)),
    }
}

/// The frames of the book between the answers to two questions.
fn book_after<'a>(tape: &'a Tape, from: &Message, to: Step) -> Vec<&'a Message> {
    let end = tape.asked.iter().find(|asked| asked.step == to);
    let end = end.map_or(Duration::MAX, |asked| asked.sent);
    let after = from.order;
    tape.frames(BOOK).filter(|frame| frame.order > after && frame.at < end).collect()
}

fn is_snapshot(data: &Value) -> bool {
    data.get("type").is_some_and(|kind| kind == "snapshot") || data.get("prev_change_id").is_none()
}

fn subscribed_twice(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let reply = tape.reply(Step::SubscribeTwice)?;
    if names(&reply)? != [BOOK] {
        return Ok(Finding::different(reply.said()).on(&reply));
    }
    let after = book_after(tape, reply.answer, Step::Unsubscribe);
    let snapshots = after.iter().filter(|frame| is_snapshot(&frame.data())).count();
    if after.is_empty() {
        return Err(
            Finding::not_seen("acknowledged, but the book sent nothing after it").on(&reply)
        );
    }
    let seen = format!("acknowledged; {snapshots} snapshots in {} frames after it", after.len());
    Ok(Finding::of(snapshots == 0, seen).on(&reply))
}

fn subscribed_again(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    if tape.reply(Step::Unsubscribe)?.names().is_none_or(|names| !names.contains(&BOOK)) {
        return Err(Finding::not_seen("the book was not left"));
    }
    let reply = tape.reply(Step::SubscribeAgain)?;
    let start = reply.asked.sent;
    let Some(first) = tape.frames(BOOK).find(|frame| frame.at >= start) else {
        return Err(Finding::not_seen("the book sent nothing afterwards").on(&reply));
    };
    let snapshot = is_snapshot(&first.data());
    let seen = if snapshot { "a snapshot comes first" } else { "a change comes first" };
    Ok(Finding::of(snapshot, seen).on(&reply))
}

fn ack_first(evidence: &Evidence) -> Result<Finding, Finding> {
    let (mut calls, mut early) = (0, Vec::new());
    for role in [Role::Main, Role::Twin] {
        let Ok(tape) = evidence.tape(role) else { continue };
        let Ok(reply) = tape.reply(Step::Subscribe) else { continue };
        let mut data = tape.frames.iter().filter(|frame| frame.channel.is_some());
        let Some(first) = data.next() else { continue };
        calls += 1;
        if first.order < reply.answer.order {
            early.push(json!({"first": first.text, "acknowledged": reply.asked.shown()}));
        }
    }
    if calls == 0 {
        return Err(Finding::not_seen("no call was both acknowledged and followed by data"));
    }
    let seen = format!("in {} of {calls} calls", calls - early.len());
    Ok(Finding::of(early.is_empty(), seen).with(json!(early)))
}

fn first_book(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let reply = tape.reply(Step::Subscribe)?;
    let Some(first) = tape.frames(BOOK).next() else {
        return Err(Finding::not_seen("the book sent nothing"));
    };
    let data = first.data();
    let (kind, prev) = (data.get("type"), data.get("prev_change_id"));
    let after = millis(first.at.saturating_sub(reply.asked.sent));
    let words = |value: Option<&Value>| value.map_or("none".into(), Value::to_string);
    let seen = format!("type {}, prev_change_id {}, {after} ms", words(kind), words(prev));
    let good = kind.is_some_and(|kind| kind == "snapshot") && prev.is_none();
    let text = shorten(&first.text);
    Ok(Finding::of(good, seen).with(json!(text)))
}

fn first_ticker(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let reply = tape.reply(Step::Subscribe)?;
    let tickers: Vec<&str> =
        names(&reply)?.into_iter().filter(|name| name.starts_with("ticker.")).collect();
    let mut waits = Vec::new();
    for channel in tickers {
        let Some(first) = tape.frames(channel).next() else {
            return Ok(Finding::different(format!("{channel} sent nothing")).on(&reply));
        };
        waits.push(json!({channel: millis(first.at.saturating_sub(reply.answer.at))}));
        if first.at > reply.answer.at + AT_ONCE {
            let seen = format!("{channel} took {} ms", millis(first.at - reply.answer.at));
            return Ok(Finding::different(seen).with(json!(waits)));
        }
    }
    if waits.is_empty() {
        return Err(Finding::not_seen("no ticker was acknowledged").on(&reply));
    }
    Ok(Finding::confirmed(format!("{} tickers", waits.len())).with(json!({"ms": waits})))
}

fn ticker_twice(evidence: &Evidence) -> Result<Finding, Finding> {
    let mut channels = 0;
    for tape in &evidence.tapes {
        let Ok(reply) = tape.reply(Step::Subscribe) else { continue };
        let names = reply.names().unwrap_or_default();
        for channel in names.into_iter().filter(|name| name.starts_with("ticker.")) {
            channels += 1;
            let mut frames = tape.frames(channel);
            let Some(first) = frames.next() else { continue };
            if frames.take(TWICE_FRAMES).any(|frame| frame.text == first.text) {
                let text = shorten(&first.text);
                return Ok(Finding::confirmed(channel).with(json!(text)));
            }
        }
    }
    Err(Finding::not_seen(format!("none of {channels} tickers did")))
}

fn crowd(evidence: &Evidence) -> Result<Finding, Finding> {
    let Ok(tape) = evidence.tape(Role::Crowd) else {
        let needed = 2 * CALL_CHANNELS + 1;
        let why = format!("the exchange lists fewer than {needed} options, or its list is missing");
        return Err(Finding::not_tried(why));
    };
    let mut total = 0;
    let mut finding = Vec::new();
    for step in [Step::CrowdFirst, Step::CrowdSecond, Step::CrowdMore] {
        let reply = tape.reply(step)?;
        let (wanted, got) = (asked(&reply).len(), names(&reply)?.len());
        total += got;
        finding.push(json!({"asked": wanted, "acknowledged": got}));
        if got < wanted {
            let seen = format!("{got} of {wanted} acknowledged after {} others", total - got);
            return Ok(Finding::different(seen).with(json!(finding)).on(&reply));
        }
    }
    match &tape.ended {
        Some(why) => Ok(Finding::different(format!("{total} channels, then {why}"))),
        None => Ok(Finding::confirmed(format!("{total} channels")).with(json!(finding))),
    }
}

/// How long silence must last to mean something: the ticker speaks several times a second.
const LISTENED: Duration = Duration::from_secs(5);
const AT_ONCE: Duration = Duration::from_secs(1);
/// Among how many frames the repeat is looked for.
const TWICE_FRAMES: usize = 3;
