//! What we say: requests as JSON text, and the table of those without a reply.

use std::time::Duration;

use lifecycle::ChannelSet;

use crate::subscriptions::Verb;

/// What a request is for: what its reply, or its loss, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Says who we are; nothing depends on it.
    Hello,
    /// Logs in, or renews the token.
    Login,
    /// Asks for heartbeats.
    Heartbeat,
    /// Answers a test request, or probes.
    Test,
    /// A request of [`Subscriptions`](crate::subscriptions::Subscriptions).
    Channels {
        /// Its ticket there.
        ticket: u64,
        /// How many channels it names.
        channels: usize,
    },
    /// A request of the [`Sampler`](super::sampler::Sampler).
    Sample {
        /// How many channels it names.
        channels: usize,
    },
    /// A question of the [`Mender`](super::mender::Mender).
    Trades,
}

/// The requests of one connection that have no reply yet. Ids are never used again, so that a
/// reply can only meet its own request.
#[derive(Debug, Default)]
pub(super) struct Pending {
    last_id: u64,
    requests: Vec<(u64, Purpose, Duration)>,
}

impl Pending {
    /// A request is sent: its id.
    pub(super) fn begin(&mut self, purpose: Purpose, now: Duration) -> u64 {
        self.last_id += 1;
        self.requests.push((self.last_id, purpose, now.saturating_add(REPLY_MAX)));
        self.last_id
    }

    /// A reply names its request.
    pub(super) fn end(&mut self, id: u64) -> Option<Purpose> {
        let at = self.requests.iter().position(|(pending, _, _)| *pending == id)?;
        Some(self.requests.remove(at).1)
    }

    /// An error names no request: which one is it most likely about? "Too large" is about the
    /// largest, anything else about the oldest that matters. A wrong guess is harmless: channels
    /// are asked for once more, and the request that was meant runs into its deadline.
    pub(super) fn blame(&mut self, too_large: bool) -> Option<Purpose> {
        let size = |purpose: &Purpose| match purpose {
            Purpose::Channels { channels, .. } | Purpose::Sample { channels } if too_large => {
                *channels
            }
            Purpose::Channels { .. } | Purpose::Login | Purpose::Heartbeat => 1,
            Purpose::Sample { .. } | Purpose::Trades | Purpose::Hello | Purpose::Test => 0,
        };
        let largest = self.requests.iter().map(|(_, purpose, _)| size(purpose)).max()?;
        let first = |(_, purpose, _): &&(u64, Purpose, Duration)| size(purpose) == largest;
        let id = self.requests.iter().find(first).map(|(id, _, _)| *id)?;
        self.end(id)
    }

    /// A request whose time is over, taken out.
    pub(super) fn expired(&mut self, now: Duration) -> Option<Purpose> {
        let (id, _, _) = self.requests.iter().find(|(_, _, deadline)| *deadline <= now)?;
        self.end(*id)
    }

    /// When the next request expires.
    pub(super) fn deadline(&self) -> Duration {
        self.requests.iter().map(|(_, _, deadline)| *deadline).min().unwrap_or(Duration::MAX)
    }

    /// Whether a login has no reply: the next one may carry a token.
    pub(super) fn has_login(&self) -> bool {
        self.requests.iter().any(|(_, purpose, _)| *purpose == Purpose::Login)
    }

    /// The connection is gone.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
    }
}

/// Writes a call. `params` writes the members of its parameters.
pub(super) fn call(out: &mut Vec<u8>, id: u64, method: &str, params: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.to_string().as_bytes());
    out.extend_from_slice(b",\"method\":");
    quote(out, method);
    out.extend_from_slice(b",\"params\":{");
    params(out);
    out.extend_from_slice(b"}}");
}

/// Writes members whose values are strings.
pub(super) fn texts(out: &mut Vec<u8>, members: &[(&str, &str)]) {
    for (i, (name, value)) in members.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        quote(out, name);
        out.push(b':');
        quote(out, value);
    }
}

/// Writes a subscribe or unsubscribe call.
pub(super) fn channels(out: &mut Vec<u8>, id: u64, verb: Verb, channels: &ChannelSet) {
    call(out, id, method(verb), |out| {
        out.extend_from_slice(b"\"channels\":[");
        for (i, channel) in channels.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            quote(out, channel);
        }
        out.push(b']');
    });
}

/// The exchange's name of a verb.
pub(super) const fn method(verb: Verb) -> &'static str {
    match verb {
        Verb::Subscribe => "public/subscribe",
        Verb::Unsubscribe => "public/unsubscribe",
    }
}

fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// How long a request may be without a reply.
const REPLY_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn channel_call(names: &[&str]) -> String {
        let mut out = Vec::new();
        channels(&mut out, 7, Verb::Subscribe, &names.iter().copied().collect());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn calls_are_json_whatever_the_names() {
        let call = r#""method":"public/subscribe","params":{"channels":["a","b"]}}"#;
        assert_eq!(channel_call(&["b", "a"]), format!("{{\"jsonrpc\":\"2.0\",\"id\":7,{call}"));
        let nasty = "q\"uo\\te\n\u{1}é";
        let call: serde_json::Value = serde_json::from_str(&channel_call(&[nasty])).unwrap();
        assert_eq!(call["params"]["channels"][0], nasty);
    }

    #[test]
    fn errors_without_an_id_find_whom_to_blame() {
        let of = |ticket, channels| Purpose::Channels { ticket, channels };
        let table = || {
            let mut pending = Pending::default();
            for purpose in [Purpose::Test, of(1, 3), of(2, 9), of(3, 9)] {
                pending.begin(purpose, Duration::ZERO);
            }
            pending
        };
        assert_eq!(table().blame(true), Some(of(2, 9)));
        assert_eq!(table().blame(false), Some(of(1, 3)));
        assert_eq!(Pending::default().blame(false), None);
    }

    #[test]
    fn requests_expire_once() {
        let mut pending = Pending::default();
        assert_eq!(pending.deadline(), Duration::MAX);
        let id = pending.begin(Purpose::Heartbeat, Duration::from_secs(1));
        assert_eq!(pending.deadline(), Duration::from_secs(11));
        assert_eq!(pending.expired(Duration::from_secs(10)), None);
        assert_eq!(pending.expired(Duration::from_secs(11)), Some(Purpose::Heartbeat));
        assert_eq!(pending.end(id), None);
    }
}
