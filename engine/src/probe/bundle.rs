//! The bundle: one JSON file that a user can read, and send.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::evidence::{Count, Evidence, Role, Tape, millis};
use super::facts::{Fact, Finding};

/// Everything that was found and what it rests on, as JSON. It names the exchange's host and
/// nothing of this machine.
#[must_use]
pub(super) fn bundle(evidence: &Evidence, findings: &[(Fact, Finding)]) -> Value {
    let facts: Vec<Value> = findings.iter().map(fact).collect();
    let connections: Vec<Value> = evidence.tapes.iter().map(connection).collect();
    let requests: usize = evidence.tapes.iter().map(|tape| tape.asked.len()).sum();
    json!({
        "kind": "tapedeck-probe",
        "form": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "host": evidence.host,
        "started": evidence.started.to_string(),
        "ended": evidence.ended.to_string(),
        "requests": requests,
        "options": evidence.options,
        "facts": facts,
        "connections": connections,
        "samples": samples(evidence),
    })
}

fn fact((fact, finding): &(Fact, Finding)) -> Value {
    json!({
        "id": fact.id,
        "fact": fact.sentence,
        "section": fact.section,
        "verdict": finding.verdict.word(),
        "seen": finding.seen,
        "evidence": finding.evidence,
    })
}

fn connection(tape: &Tape) -> Value {
    let mut classes: BTreeMap<String, Count> = BTreeMap::new();
    for (channel, count) in &tape.counts {
        let sum = classes.entry(class(tape.role, channel)).or_default();
        sum.frames += count.frames;
        sum.bytes += count.bytes;
    }
    let count = |count: &Count| json!({"frames": count.frames, "bytes": count.bytes});
    let classes: BTreeMap<_, _> = classes.iter().map(|(name, it)| (name, count(it))).collect();
    let asked: Vec<Value> = tape
        .asked
        .iter()
        .map(|asked| json!({"step": format!("{:?}", asked.step), "sent_ms": millis(asked.sent)}))
        .collect();
    json!({
        "role": format!("{:?}", tape.role),
        "opened_ms": millis(tape.opened),
        "ended": tape.ended,
        "asked": asked,
        "channels": classes,
    })
}

/// The first frames of every class, verbatim.
fn samples(evidence: &Evidence) -> Value {
    let mut samples: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut bytes = 0;
    for tape in &evidence.tapes {
        for frame in &tape.frames {
            let class = class(tape.role, frame.channel.as_deref().unwrap_or_default());
            let class = samples.entry(format!("{:?} {class}", tape.role)).or_default();
            if class.len() < SAMPLE_FRAMES_MAX && bytes < SAMPLE_BYTES_MAX {
                let text = shorten(&frame.text);
                bytes += text.len();
                class.push(json!({"read_ms": millis(frame.at), "text": text}));
            }
        }
    }
    json!(samples)
}

/// A channel's name; a crowd's channels are one class.
fn class(role: Role, channel: &str) -> String {
    match (role, channel.split_once('.')) {
        (Role::Crowd, Some((class, _))) => format!("{class}.*"),
        _ if channel.is_empty() => "no channel".into(),
        _ => channel.to_owned(),
    }
}

/// A text that is not too long, or its beginning and how much is missing.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => {
            let head = text.get(..end).unwrap_or_default();
            format!("{head} … and {} bytes more", text.len() - end)
        }
    }
}

const TEXT_CHARS_MAX: usize = 6_000;
const SAMPLE_FRAMES_MAX: usize = 6;
const SAMPLE_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_say_how_much_is_missing() {
        assert_eq!(shorten("é"), "é");
        let long = "é".repeat(TEXT_CHARS_MAX + 5);
        assert!(shorten(&long).ends_with("é … and 10 bytes more"));
        assert_eq!(class(Role::Crowd, "trades.BTC-1.100ms"), "trades.*");
        assert_eq!(class(Role::Main, "trades.BTC-1.100ms"), "trades.BTC-1.100ms");
    }
}
