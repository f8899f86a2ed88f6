//! One JSON-RPC message taken apart: what kind it is, and its parts as they stand in the text.
//!
//! Key order means nothing, unknown keys are passed over (PROTOCOL 2). The data of a notification
//! is found and left as it is: no tree is built.

use std::borrow::Cow;

use serde::Deserialize;
use sonic_rs::LazyValue;

/// What the exchange can say.
#[derive(Debug)]
pub(super) enum Message<'a> {
    /// Data of a channel.
    Notification {
        /// The channel's name.
        channel: Cow<'a, str>,
        /// The data as JSON text.
        data: LazyValue<'a>,
    },
    /// The exchange is alive.
    Heartbeat,
    /// The exchange asks whether we are.
    TestRequest,
    /// The answer to a request.
    Reply {
        /// The request, if the reply names one that could be ours.
        id: Option<u64>,
        /// The result as JSON text; `None` is null.
        result: Option<LazyValue<'a>>,
    },
    /// A request, or something that was taken for one, was refused.
    Failure {
        /// The request, if the error names one: an error about a frame does not (PROTOCOL 2).
        id: Option<u64>,
        /// Why.
        failure: Failure<'a>,
    },
}

/// An error of the exchange.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Failure<'a> {
    /// The exchange's number of it; 0 if there is none.
    #[serde(default)]
    pub(super) code: i64,
    /// In words.
    #[serde(default, borrow)]
    pub(super) message: Cow<'a, str>,
    /// More about it, as JSON text.
    #[serde(default, borrow)]
    pub(super) data: Option<LazyValue<'a>>,
}

/// A message that is not understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// The channel, where there was one.
    pub(super) channel: String,
    /// What is wrong.
    pub(super) reason: &'static str,
}

// Texts that are missing are empty: an `Option<Cow>` would be copied, a `Cow` is borrowed.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow)]
    id: Option<LazyValue<'a>>,
    #[serde(default, borrow)]
    method: Cow<'a, str>,
    #[serde(default, borrow)]
    params: Option<Params<'a>>,
    #[serde(default, borrow)]
    result: Option<LazyValue<'a>>,
    #[serde(default, borrow)]
    error: Option<LazyValue<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(default, borrow)]
    channel: Cow<'a, str>,
    #[serde(default, borrow)]
    data: Option<LazyValue<'a>>,
    #[serde(default, borrow, rename = "type")]
    kind: Cow<'a, str>,
}

impl<'a> Message<'a> {
    /// Takes a message apart.
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        // Checked here, once: sonic-rs looks at a slice's UTF-8 only after it has made texts of it.
        let envelope = std::str::from_utf8(message).ok();
        let envelope = envelope.and_then(|text| sonic_rs::from_str::<Envelope<'a>>(text).ok());
        let Some(envelope) = envelope else {
            return Err(Malformed::because("not a JSON-RPC message"));
        };
        let id = envelope.id.as_ref().and_then(|id| number(id.as_raw_str()));
        if let Some(error) = envelope.error {
            return Ok(Self::Failure { id, failure: Failure::parse(&error) });
        }
        if envelope.method.is_empty() {
            if envelope.id.is_none() && envelope.result.is_none() {
                return Err(Malformed::because("neither a method nor a reply"));
            }
            return Ok(Self::Reply { id, result: envelope.result });
        }
        let Some(params) = envelope.params else {
            return Err(Malformed::because("a method without params"));
        };
        match (&*envelope.method, &*params.kind) {
            ("subscription", _) => Self::notification(params),
            ("heartbeat", "test_request") => Ok(Self::TestRequest),
            ("heartbeat", _) => Ok(Self::Heartbeat),
            _ => Err(Malformed::because("a method that is not known")),
        }
    }

    fn notification(params: Params<'a>) -> Result<Self, Malformed> {
        let channel = params.channel;
        match params.data {
            Some(_) if channel.is_empty() => {
                Err(Malformed::because("a notification without a channel"))
            }
            Some(data) => Ok(Self::Notification { channel, data }),
            None => {
                let reason = "a notification without data";
                Err(Malformed { channel: channel.into_owned(), reason })
            }
        }
    }
}

impl Malformed {
    fn because(reason: &'static str) -> Self {
        Self { channel: String::new(), reason }
    }
}

impl<'a> Failure<'a> {
    /// An error of any shape is an error.
    fn parse(error: &LazyValue<'a>) -> Self {
        let Cow::Borrowed(text) = error.as_raw_cow() else { return Self::default() };
        let unshaped = || Self { message: Cow::Borrowed(text), ..Self::default() };
        sonic_rs::from_str(text).unwrap_or_else(|_| unshaped())
    }

    /// The error in words, with its data.
    pub(super) fn text(&self) -> String {
        match &self.data {
            Some(data) => format!("{} {}", self.message, data.as_raw_str()),
            None => self.message.clone().into_owned(),
        }
    }
}

/// The names in a subscribe reply; `None` if the result is no list of names.
pub(super) fn names(result: &str) -> Option<Vec<Cow<'_, str>>> {
    #[derive(Deserialize)]
    struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
    let names: Vec<Name<'_>> = sonic_rs::from_str(result).ok()?;
    Some(names.into_iter().map(|name| name.0).collect())
}

/// Our ids are integers, but a server may send them back as strings.
fn number(id: &str) -> Option<u64> {
    id.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match Message::parse(text.as_bytes()) {
            Ok(Message::Notification { channel, data }) => {
                format!("{channel} {}", data.as_raw_str())
            }
            Ok(Message::Heartbeat) => "heartbeat".into(),
            Ok(Message::TestRequest) => "test".into(),
            Ok(Message::Reply { id, result }) => {
                format!("{id:?} {}", result.as_ref().map_or("null", |r| r.as_raw_str()))
            }
            Ok(Message::Failure { id, failure }) => {
                format!("{id:?} error {} {}", failure.code, failure.text())
            }
            Err(malformed) => format!("bad [{}] {}", malformed.channel, malformed.reason),
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(shown(text), expected, "{text}");
    }

    #[test]
    fn notifications_in_any_key_order() {
        for text in [
            r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"a.b","data":{}}}"#,
            r#"{"params":{"data":{},"new":[],"channel":"a.b"},"method":"subscription"}"#,
            r#" {"method":"subscription","us":1,"params":{"channel":"a\u002eb","data": {} } } "#,
        ] {
            check(text, "a.b {}");
        }
    }

    #[test]
    fn heartbeats() {
        check(r#"{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}"#, "test");
        check(r#"{"method":"heartbeat","params":{"type":"heartbeat"}}"#, "heartbeat");
        check(r#"{"method":"heartbeat","params":{}}"#, "heartbeat");
    }

    #[test]
    fn replies() {
        check(r#"{"jsonrpc":"2.0","id":5,"result":["a"],"usIn":1}"#, "Some(5) [\"a\"]");
        check(r#"{"result":"ok","id":"5"}"#, "Some(5) \"ok\"");
        check(r#"{"result":1789347085459}"#, "None 1789347085459");
        check(r#"{"id":"b1288e7d-5f00","result":null}"#, "None null");
        check(r#"{"id":-1,"result":{}}"#, "None {}");
    }

    #[test]
    fn errors_of_any_shape() {
        check(
            r#"{"id":7,"error":{"code":-32602,"data":{"param":"x"},"message":"Invalid params"}}"#,
            "Some(7) error -32602 Invalid params {\"param\":\"x\"}",
        );
        check(
            r#"{"error":{"code":-32600,"message":"request entity too large"},"usIn":1}"#,
            "None error -32600 request entity too large",
        );
        check(r#"{"id":7,"error":"no"}"#, "Some(7) error 0 \"no\"");
        check(r#"{"id":7,"error":{"code":"x"}}"#, "Some(7) error 0 {\"code\":\"x\"}");
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for text in ["", "garbage", "7", "{\"id\":", "{\"id\":1}x", "{\"params\":[1]}"] {
            check(text, "bad [] not a JSON-RPC message");
        }
        check("[]", "bad [] neither a method nor a reply");
        check("{}", "bad [] neither a method nor a reply");
        check(r#"{"method":"boo","params":{}}"#, "bad [] a method that is not known");
        check(r#"{"method":"subscription"}"#, "bad [] a method without params");
        check(r#"{"method":"subscription","params":{}}"#, "bad [] a notification without data");
        check(
            r#"{"method":"subscription","params":{"data":{}}}"#,
            "bad [] a notification without a channel",
        );
        check(
            r#"{"method":"subscription","params":{"channel":"a"}}"#,
            "bad [a] a notification without data",
        );
        assert!(Message::parse(b"{\"id\":1,\"result\":\"\xff\"}").is_err());
    }

    #[test]
    fn names_are_a_list_or_nothing() {
        assert_eq!(names(r#"["a","b\u0041"]"#).unwrap(), ["a", "bA"]);
        assert_eq!(names("[]").unwrap(), [""; 0]);
        assert_eq!(names(r#"["a",1]"#), None);
        assert_eq!(names("\"ok\""), None);
    }
}
