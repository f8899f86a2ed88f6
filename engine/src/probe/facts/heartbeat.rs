//! PROTOCOL 5: how slow a heartbeat must be, and when the exchange asks.

use serde_json::{Value, json};

use super::super::evidence::{Evidence, Role, Step, Tape};
use super::{Fact, Finding, steps};

pub(super) const FACTS: [Fact; 3] = [
    Fact {
        id: "heartbeat-fast",
        sentence: "A heartbeat of 5 s is refused with -32602 \"value must be >= 10\".",
        section: "5",
        judge: fast,
    },
    Fact {
        id: "heartbeat-idle",
        sentence: "At 10 s an idle socket is asked after 12 s, then each 10.7 s, with a heartbeat.",
        section: "5",
        judge: idle,
    },
    Fact {
        id: "heartbeat-busy",
        sentence: "At 10 s a busy socket is asked about each 11 s, without heartbeats.",
        section: "5",
        judge: busy,
    },
];

fn fast(evidence: &Evidence) -> Result<Finding, Finding> {
    let reply = evidence.reply(Role::Main, Step::HeartbeatFast)?;
    let reason = reply.value.pointer("/error/data/reason").and_then(Value::as_str);
    let good = reply.code() == Some(-32602) && reason == Some("value must be >= 10");
    Ok(Finding::of(good, reply.said()).on(&reply))
}

/// When a kind of heartbeat came: seconds since it was asked for.
fn beats(tape: &Tape, kind: &str) -> Result<Vec<f64>, Finding> {
    let reply = tape.reply(Step::Heartbeat)?;
    if reply.result().is_none() {
        return Err(Finding::different(reply.said()).on(&reply));
    }
    let is_kind = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        value.get("method").is_some_and(|method| method == "heartbeat")
            && value.pointer("/params/type").is_some_and(|it| it == kind)
    };
    let frames = tape.frames.iter().filter(|frame| frame.channel.is_none() && is_kind(&frame.text));
    let start = reply.answer.at;
    Ok(frames.map(|frame| frame.at.saturating_sub(start).as_secs_f64()).collect())
}

fn idle(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Idle)?;
    let (asked, beats) = (beats(tape, "test_request")?, beats(tape, "heartbeat")?);
    let finding = judge(&asked, &beats, 11.0..=14.0, 10.0..=11.5)?;
    Ok(if beats.is_empty() { Finding::different(finding.seen) } else { finding })
        .map(|finding| finding.with(json!({"test_request_s": asked, "heartbeat_s": beats})))
}

fn busy(evidence: &Evidence) -> Result<Finding, Finding> {
    let tape = evidence.tape(Role::Main)?;
    let (asked, beats) = (beats(tape, "test_request")?, beats(tape, "heartbeat")?);
    let finding = judge(&asked, &beats, 9.0..=14.0, 9.0..=13.0)?;
    Ok(if beats.is_empty() { finding } else { Finding::different(finding.seen) })
        .map(|finding| finding.with(json!({"test_request_s": asked, "heartbeat_s": beats})))
}

type Seconds = std::ops::RangeInclusive<f64>;

fn judge(asked: &[f64], beats: &[f64], first: Seconds, later: Seconds) -> Result<Finding, Finding> {
    let steps = steps(asked);
    let seconds = |times: &[f64]| {
        times.iter().map(|time| format!("{time:.1}")).collect::<Vec<_>>().join(", ")
    };
    let seen = match asked.first() {
        None => "no test_request".into(),
        Some(after) => format!(
            "first after {after:.1} s, then each {} s, {} heartbeats",
            seconds(&steps),
            beats.len()
        ),
    };
    if steps.is_empty() {
        let seen = format!("fewer than two test_requests came: {seen}");
        return Err(Finding::not_seen(seen).with(json!({"test_request_s": asked})));
    }
    let on_time = asked.first().is_some_and(|after| first.contains(after));
    Ok(Finding::of(on_time && steps.iter().all(|step| later.contains(step)), seen))
}
