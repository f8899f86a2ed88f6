//! Evidence as a test wants it.

use std::time::Duration;

use schema::Micros;
use serde_json::{Value, json};

use super::super::super::evidence::{Asked, Count, Evidence, Message, Role, Step, Tape};

/// Evidence that grows; its clock stands until it is moved.
pub(super) struct Invented(pub(super) Evidence, Duration);

impl Invented {
    pub(super) fn new() -> Self {
        let evidence = Evidence {
            host: "exchange.example".into(),
            started: Micros(DAY_US),
            ended: Micros(DAY_US + 60_000_000),
            options: vec!["BTC-1JAN27-90000-C".into()],
            tapes: Vec::new(),
        };
        Self(evidence, Duration::ZERO)
    }

    /// Moves the clock to so many milliseconds after the start.
    pub(super) fn at(mut self, ms: u64) -> Self {
        self.1 = Duration::from_millis(ms);
        self
    }

    /// Something is asked with these parameters, and answered.
    pub(super) fn ask(mut self, role: Role, step: Step, params: &Value, answer: &Value) -> Self {
        let at = self.1;
        let message = message(self.tape(role), at, None, answer.to_string());
        let request = json!({ "params": params }).to_string();
        let asked = Asked { step, request, sent: at, answer: Some(message) };
        self.tape(role).asked.push(asked);
        self
    }

    /// A good answer on the first connection.
    pub(super) fn result(self, step: Step, params: &Value, result: &Value) -> Self {
        self.ask(Role::Main, step, params, &json!({"id": 1, "result": result}))
    }

    /// A bad answer on the first connection.
    pub(super) fn error(self, step: Step, code: i64) -> Self {
        let reason = json!({"code": code, "data": {"reason": "value must be >= 10"}});
        self.ask(Role::Main, step, &json!({}), &json!({"id": 1, "error": reason}))
    }

    /// A question without an answer.
    pub(super) fn unanswered(mut self, role: Role, step: Step) -> Self {
        let asked = Asked { step, request: "{}".into(), sent: self.1, answer: None };
        self.tape(role).asked.push(asked);
        self
    }

    /// A notification.
    pub(super) fn frame(self, role: Role, channel: &str, data: &Value) -> Self {
        let text = json!({"method": "subscription", "params": {"channel": channel, "data": data}});
        self.text(role, Some(channel), &text.to_string())
    }

    /// Any text.
    pub(super) fn text(mut self, role: Role, channel: Option<&str>, text: &str) -> Self {
        let at = self.1;
        let message = message(self.tape(role), at, channel, text.into());
        self.tape(role).frames.push(message);
        self
    }

    /// A heartbeat's word.
    pub(super) fn beat(self, role: Role, kind: &str) -> Self {
        let text = json!({"params": {"type": kind}, "method": "heartbeat", "jsonrpc": "2.0"});
        self.text(role, None, &text.to_string())
    }

    /// The connection ends.
    pub(super) fn ended(mut self, role: Role, why: &str) -> Self {
        self.tape(role).ended = Some(why.into());
        self
    }

    /// The run begins and ends then, seconds of some day.
    pub(super) fn between(mut self, from: i64, to: i64) -> Self {
        self.0.started = Micros(DAY_US + from * 1_000_000);
        self.0.ended = Micros(DAY_US + to * 1_000_000);
        self
    }

    fn tape(&mut self, role: Role) -> &mut Tape {
        let tapes = &mut self.0.tapes;
        let at = tapes.iter().position(|tape| tape.role == role).unwrap_or_else(|| {
            tapes.push(Tape::new(role, Duration::ZERO));
            tapes.len() - 1
        });
        &mut tapes[at]
    }
}

fn message(tape: &mut Tape, at: Duration, channel: Option<&str>, text: String) -> Message {
    let all: &mut Count = tape.counts.entry(String::new()).or_default();
    all.frames += 1;
    Message { order: all.frames, at, channel: channel.map(str::to_owned), text }
}

const DAY_US: i64 = 86_400_000_000;
