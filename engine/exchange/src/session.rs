//! One websocket connection's conversation: texts in, texts and an ending out, no sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::channel::Channel;
use crate::clock::Now;
use crate::desk::Desk;
use crate::heartbeat::{Beat, Heartbeat};
use crate::outgoing::Outgoing;
use crate::rpc::{self, Call, RpcError};
use crate::topics::Reader;
use crate::truth::What;
use crate::wire::{Era, notification};

/// A socket that neither sent nor subscribed anything is dropped after this.
const IDLE_MAX: Duration = Duration::from_millis(60_500);

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// 4000 "heartbeat close".
    Heartbeat,
    /// Gone without a close frame.
    Idle,
    /// `connection_too_slow`.
    Slow,
    /// `too_many_requests`.
    Spent,
    /// A fault: this close frame, or none.
    Ordered { code: Option<u16>, reason: String },
    /// The exchange stops.
    Stopping,
    /// The client left.
    Left,
}

impl Ending {
    /// Whether what waits still goes out.
    pub(crate) fn lets_finish(&self) -> bool {
        match self {
            Ending::Spent | Ending::Stopping | Ending::Ordered { .. } => true,
            Ending::Heartbeat | Ending::Idle | Ending::Slow | Ending::Left => false,
        }
    }

    /// The code and the reason of the close frame; `None` for one who goes without a word.
    pub(crate) fn farewell(&self) -> Option<(u16, &str)> {
        match self {
            // Measured: gone without a word.
            Ending::Idle | Ending::Left => None,
            Ending::Heartbeat => Some((4000, "heartbeat close")),
            // The reasons are documented, their codes are not.
            Ending::Slow => Some((4000, "connection_too_slow")),
            Ending::Spent => Some((4000, "too_many_requests")),
            Ending::Ordered { code, reason } => code.map(|code| (code, reason.as_str())),
            Ending::Stopping => Some((1001, "")),
        }
    }
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    reader: Reader,
    heartbeat: Option<Heartbeat>,
    heard: Duration,
    /// When data went to it last: a busy socket gets no `heartbeat` frames.
    pub(crate) told: Duration,
    authenticated: bool,
    subscriptions: BTreeMap<Arc<str>, Channel>,
}

impl Session {
    /// A fresh connection; every third one meets an older server.
    pub(crate) fn new(connection: u64, now: Duration) -> Session {
        let era = if connection % 3 == 2 { Era::Older } else { Era::Modern };
        Session {
            reader: Reader { connection, era },
            heartbeat: None,
            heard: now,
            told: now,
            authenticated: false,
            subscriptions: BTreeMap::new(),
        }
    }

    /// Answers a request; what a subscription says at once follows its acknowledgement.
    pub(crate) fn receive(
        &mut self,
        id: Option<Value>,
        call: Result<Call, RpcError>,
        now: Now,
        desk: &mut Desk,
    ) -> Vec<Outgoing> {
        self.heard = now.monotonic;
        let mut first = Vec::new();
        let method = call.as_ref().map(|call| call.method.clone()).unwrap_or_default();
        let outcome = call.and_then(|call| self.call(&call, now, desk, &mut first));
        let us_out = now.utc_us + 20 + desk.random.below(200) as i64;
        let answer = rpc::answer(id, outcome, now.utc_us, us_out, false);
        first.insert(0, Outgoing::answer(&method, answer));
        first
    }

    /// When `tick` has something to do next.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let idle = self.subscriptions.is_empty().then_some(self.heard + IDLE_MAX);
        let heartbeat = self.heartbeat.as_ref().map(Heartbeat::deadline);
        idle.into_iter().chain(heartbeat).min()
    }

    /// Sends a heartbeat, or ends the connection.
    pub(crate) fn tick(&mut self, now: Duration) -> Result<Vec<Outgoing>, Ending> {
        if self.subscriptions.is_empty() && now >= self.heard + IDLE_MAX {
            return Err(Ending::Idle);
        }
        let Some(heartbeat) = &mut self.heartbeat else { return Ok(Vec::new()) };
        match heartbeat.tick(now) {
            Beat::Nothing => Ok(Vec::new()),
            Beat::Close => Err(Ending::Heartbeat),
            Beat::Ask => {
                let idle = now >= self.told + heartbeat.interval();
                let mut frames = vec![beat("test_request")];
                if idle {
                    frames.insert(0, beat("heartbeat"));
                }
                Ok(frames)
            }
        }
    }

    /// Whether it has subscribed to anything.
    pub(crate) fn is_listening(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Lets go of everything, as the connection has ended.
    pub(crate) fn end(&mut self, desk: &mut Desk) {
        for channel in std::mem::take(&mut self.subscriptions).into_values() {
            desk.topics.remove(channel, self.reader.connection);
        }
    }

    fn call(
        &mut self,
        call: &Call,
        now: Now,
        desk: &mut Desk,
        first: &mut Vec<Outgoing>,
    ) -> Result<Value, RpcError> {
        let (method, params) = (call.method.as_str(), &call.params);
        match method {
            "public/test" => {
                if let Some(heartbeat) = &mut self.heartbeat {
                    heartbeat.answered();
                }
                desk.call(method, params, now.utc_us)
            }
            "public/subscribe" if !desk.maintenance => self.subscribe(params, now, desk, first),
            "public/unsubscribe" => self.unsubscribe(params, now, desk),
            "public/unsubscribe_all" => Ok(self.unsubscribe_all(now, desk)),
            "public/set_heartbeat" => self.set_heartbeat(params, now),
            "public/disable_heartbeat" => {
                self.heartbeat = None;
                Ok(json!("ok"))
            }
            "public/auth" => {
                let tokens = desk.authenticate(params)?;
                self.authenticated = true;
                Ok(tokens)
            }
            private if private.starts_with("private/") && !self.authenticated => {
                Err(RpcError::unauthorized())
            }
            "private/subscribe" => self.subscribe(params, now, desk, first),
            "private/unsubscribe" => self.unsubscribe(params, now, desk),
            "private/unsubscribe_all" => Ok(self.unsubscribe_all(now, desk)),
            _ => desk.call(method, params, now.utc_us),
        }
    }

    fn subscribe(
        &mut self,
        params: &Map<String, Value>,
        now: Now,
        desk: &mut Desk,
        first: &mut Vec<Outgoing>,
    ) -> Result<Value, RpcError> {
        let wanted: Vec<(&str, Channel)> = channels(params)?
            .into_iter()
            .filter_map(|name| desk.venue.parse(name).map(|channel| (name, channel)))
            .collect();
        // One raw channel too many rejects the whole call.
        if !self.authenticated && wanted.iter().any(|(_, channel)| channel.is_raw()) {
            return Err(RpcError::raw());
        }
        let mut acknowledged: Vec<&str> = Vec::new();
        for (name, channel) in wanted {
            if acknowledged.contains(&name) {
                continue;
            }
            acknowledged.push(name);
            let (new, name) = desk.topics.add(channel, name, self.reader);
            if new {
                self.subscriptions.insert(Arc::clone(&name), channel);
                first.extend(self.first_of(&name, channel, desk));
            }
        }
        desk.subscribed(now.monotonic);
        desk.note(self.reader.connection, What::Subscribed, now.utc_us, &acknowledged);
        // Backwards, and not quite: clients must not rely on any order.
        acknowledged.sort_unstable_by(|one, other| other.cmp(one));
        if acknowledged.len() > 2 {
            let at = desk.random.index(acknowledged.len() - 1);
            acknowledged.swap(at, at + 1);
        }
        Ok(json!(acknowledged))
    }

    /// The current state; now and then twice, byte for byte.
    fn first_of(&self, name: &Arc<str>, channel: Channel, desk: &mut Desk) -> Vec<Outgoing> {
        let Some(data) = desk.state(channel) else { return Vec::new() };
        let text = notification(name, data, self.reader.era.style()).into();
        let one = Outgoing::notification(name, text);
        match channel {
            Channel::Ticker(..) if desk.random.once_in(8) => vec![one.clone(), one],
            _ => vec![one],
        }
    }

    fn unsubscribe(
        &mut self,
        params: &Map<String, Value>,
        now: Now,
        desk: &mut Desk,
    ) -> Result<Value, RpcError> {
        let mut gone = Vec::new();
        for name in channels(params)? {
            if let Some(channel) = self.subscriptions.remove(name) {
                desk.topics.remove(channel, self.reader.connection);
                gone.push(name);
            }
        }
        desk.note(self.reader.connection, What::Unsubscribed, now.utc_us, &gone);
        Ok(json!(gone))
    }

    fn unsubscribe_all(&mut self, now: Now, desk: &mut Desk) -> Value {
        let names: Vec<Arc<str>> = self.subscriptions.keys().cloned().collect();
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        self.end(desk);
        desk.note(self.reader.connection, What::Unsubscribed, now.utc_us, &names);
        json!("ok")
    }

    fn set_heartbeat(&mut self, params: &Map<String, Value>, now: Now) -> Result<Value, RpcError> {
        let interval = params.get("interval").and_then(Value::as_f64);
        let seconds = interval.ok_or_else(|| RpcError::params("interval", "wrong format"))?;
        if seconds < 10.0 {
            return Err(RpcError::params("interval", "value must be >= 10"));
        }
        let interval = Duration::from_secs_f64(seconds.min(86_400.0));
        self.heartbeat = Some(Heartbeat::new(interval, now.monotonic));
        Ok(json!("ok"))
    }
}

fn channels(params: &Map<String, Value>) -> Result<Vec<&str>, RpcError> {
    let wrong = || RpcError::params("channels", "wrong format");
    let names = params.get("channels").and_then(Value::as_array).ok_or_else(wrong)?;
    names.iter().map(|name| name.as_str().ok_or_else(wrong)).collect()
}

/// The keys stand as the servers send them.
fn beat(kind: &str) -> Outgoing {
    let text = format!(r#"{{"params":{{"type":"{kind}"}},"method":"heartbeat","jsonrpc":"2.0"}}"#);
    Outgoing::heartbeat(text)
}

#[cfg(test)]
mod tests;
