//! Conversations, line by line.
//!
//! `at S` sets the clock to S seconds and ticks; `up` and `down WHY` are the socket's; `want a b`
//! swaps; `set S` sets the wall clock by S seconds; `lost S` tells of an outage since S; `sample`
//! lets it sample books each minute; `ask A 5 7` lets its decoder want trades; `finish` ends.
//! `< JSON` is received; `> METHOD PARAMS` is what must be sent next, and `>` alone says that
//! nothing is; `> ID trades PARAMS` asks for trades. `! TEXT` is the error that the line before
//! must have ended with; `gap I S E CAUSE` the next row of `data_gaps`, `gap` alone that there is
//! none; `ack a b` and `refused a b` what stands now.

use std::collections::VecDeque;
use std::time::Duration;

use arrow_array::StringArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use lifecycle::Swap;
use schema::tables::Rows;
use schema::{Micros, Now, Origin};
use serde_json::Value;

use super::{Allowance, Connection, Credentials, Sampling, Settings};
use crate::session::{
    Cause, CauseKind, Chain, Decode, Held, Question, Session, SessionError, Wanted,
};

mod books;
mod mending;
mod outages;
mod samples;

/// What was heard, and what is to be asked.
#[derive(Debug, Default)]
struct Heard(Vec<String>, Vec<Question>);

impl Decode for Heard {
    type Estate = ();

    fn decode(&mut self, channel: &str, data: &str, _: Now, _: &mut Rows) -> Chain {
        self.0.push(format!("{channel} {data}"));
        chain(data)
    }

    fn sample(&mut self, channel: &str, data: &str, _: Now, _: &mut Rows) {
        self.0.push(format!("sample {channel} {data}"));
    }

    fn has_marks(&self, instrument: &str) -> bool {
        self.0.iter().any(|heard| heard.starts_with(&format!("ticker.{instrument}.")))
    }

    fn quarantine(&mut self, channel: &str, reason: &str, raw: &[u8], _: Now, _: &mut Rows) {
        self.0.push(format!("[{channel}] {reason}: {}", String::from_utf8_lossy(raw)));
    }

    fn missed(&mut self, channel: &str, since: Micros, _: Now) {
        self.0.push(format!("missed {channel} since {}", since.0 / 1_000_000));
    }

    fn question_at(&self) -> Duration {
        if self.1.is_empty() { Duration::MAX } else { Duration::ZERO }
    }

    fn unasked_since(&self) -> Option<Micros> {
        None
    }

    fn question(&mut self, _: Duration) -> Option<Question> {
        self.1.pop()
    }

    fn answered(&mut self, asked: &Question, it: Option<(&str, bool)>, _: Now, _: &mut Rows) {
        self.0.push(format!("{} answered {it:?}", asked.instrument));
    }

    fn unanswered(&mut self, asked: &Question, _: Duration) {
        self.0.push(format!("{} unanswered", asked.instrument));
    }

    fn watch(&mut self, _: &str) {}

    fn unwatch(&mut self, _: &str, _: Now) {}

    fn give(&mut self, _: &str, _: Option<Micros>) {}

    fn adopt(&mut self, _: &str, (): (), _: &mut Vec<Held>, _: Option<Micros>, _: Now) {}

    fn settle(&mut self, _: bool, _: Now, _: &mut Rows) {}

    fn deadline(&self) -> Duration {
        Duration::MAX
    }
}

/// `A 5 7`, `A 5` or `A`: the trades of A from 5 to 7, from 5 on, or since 1970.
fn question(text: &str) -> Question {
    let mut words = text.split_whitespace();
    let instrument = words.next().unwrap().into();
    let mut number = || words.next().map(|word| word.parse().unwrap());
    let trades = match (number(), number()) {
        (Some(first), Some(last)) => Wanted::Between(first, last),
        (Some(first), None) => Wanted::From(first),
        (None, _) => Wanted::Since(Micros(0)),
    };
    Question { instrument, trades }
}

/// `"begun"` is the whole of a book, `"broken"` a change that does not follow; of which second, by
/// the exchange's clock, may follow.
fn chain(data: &str) -> Chain {
    let words = data.trim_matches('"');
    let (what, second) = words.split_once(' ').unwrap_or((words, "0"));
    let at = || Micros(second.parse::<i64>().expect("a second") * 1_000_000);
    match what {
        "begun" => Chain::Begun(at()),
        "broken" => Chain::Broken { since: None, at: at(), last: Some(1), prev: Some(2) },
        _ => Chain::Quiet,
    }
}

struct Conversation {
    session: Connection<Heard>,
    rows: Rows,
    now: Now,
    /// Seconds by which the wall clock was set.
    set: i64,
    generation: u64,
    outcome: Result<(), SessionError>,
    gaps: VecDeque<String>,
}

impl Conversation {
    fn line(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        if verb != "!" {
            self.outcome.clone().expect("an error is expected by the line after");
        }
        match verb {
            "at" => {
                let seconds: u64 = rest.parse().unwrap();
                let utc = Micros((i64::try_from(seconds).unwrap() + self.set) * 1_000_000);
                self.now = Now { monotonic: Duration::from_secs(seconds), utc };
                self.outcome = self.session.tick(self.now, &mut self.rows);
            }
            "set" => self.set = rest.parse().unwrap(),
            "up" => self.session.connected(self.now),
            "down" => self.session.disconnected(Cause::closed(Some(1006), rest), self.now),
            "want" => {
                self.generation += 1;
                let goal = rest.split_whitespace().collect();
                self.session.swap(Swap { generation: self.generation, goal });
            }
            "lost" => {
                let at = |text: &str| Micros(text.parse::<i64>().unwrap() * 1_000_000);
                let (since, until) = rest.split_once(' ').unwrap_or((rest, rest));
                let cause = Cause { kind: CauseKind::Restart, detail: String::new() };
                self.session.outage(at(since), at(until), cause);
            }
            "unasked" => {
                let seconds: i64 = rest.parse().unwrap();
                self.session.unasked(Micros(seconds * 1_000_000));
                assert_eq!(self.session.unasked_since(), Some(Micros(seconds * 1_000_000)));
            }
            "sample" => {
                let every = Duration::from_secs(60);
                self.session.sample(Sampling { depth: 20, every, capacity: 500, turn: (0, 1) });
            }
            "ask" => self.session.decoder_mut().1.push(question(rest)),
            "finish" => self.session.finish(self.now, &mut self.rows),
            "<" => {
                let mut message = rest.as_bytes().to_vec();
                self.outcome = self.session.receive(&mut message, self.now, &mut self.rows);
            }
            ">" => assert_eq!(self.sent(), rest),
            "!" => {
                let error = std::mem::replace(&mut self.outcome, Ok(())).unwrap_err();
                assert_eq!(error.to_string(), rest);
                self.session.disconnected(error.cause(), self.now);
            }
            "gap" => assert_eq!(self.gap(), rest),
            "ack" => {
                let acknowledged: Vec<&str> = self.session.acknowledged().iter().collect();
                assert_eq!(acknowledged.join(" "), rest);
            }
            "refused" => assert_eq!(self.session.refused().collect::<Vec<_>>().join(" "), rest),
            "heard" => assert_eq!(
                self.session.decoder_mut().0.drain(..).collect::<Vec<_>>().join("|"),
                rest
            ),
            "reached" => assert_eq!(self.session.reached() == Some(self.generation), rest == "yes"),
            other => panic!("{other} is no verb"),
        }
    }

    fn sent(&mut self) -> String {
        let mut out = Vec::new();
        if !self.session.transmit(self.now, &mut out) {
            return String::new();
        }
        let call: Value = serde_json::from_slice(&out).unwrap();
        let method = call["method"].as_str().unwrap();
        let Some(of) = method.strip_prefix("public/get_last_trades_by_instrument") else {
            return format!("{} {method} {}", call["id"], call["params"]);
        };
        let mut params = call["params"].as_object().unwrap().clone();
        assert_eq!((of, params.remove("count")), ("", Some(1_000.into())));
        let params: Vec<String> = params.values().map(ToString::to_string).collect();
        format!("{} trades {}", call["id"], params.join(" "))
    }

    fn gap(&mut self) -> String {
        if let Some(draft) = self.rows.data_gaps.take(Origin::default()) {
            let batch = draft.number(1, 0);
            let column = |name| batch.columns().column_by_name(name).unwrap();
            for row in 0..batch.rows() {
                let name = |column_name| {
                    let names = column(column_name).as_dictionary::<Int32Type>();
                    names
                        .downcast_dict::<StringArray>()
                        .unwrap()
                        .into_iter()
                        .nth(row)
                        .unwrap()
                        .unwrap()
                };
                let time = |name| {
                    let times = column(name).as_primitive::<TimestampMicrosecondType>();
                    times.iter().nth(row).unwrap().map_or(-1, |us| us / 1_000_000)
                };
                let (start, end) = (time("start_time"), time("end_time"));
                self.gaps.push_back(format!(
                    "{} {start} {end} {}",
                    name("instrument"),
                    name("cause")
                ));
            }
        }
        self.gaps.pop_front().unwrap_or_default()
    }
}

#[track_caller]
fn check(credentials: Option<Credentials>, script: &str) {
    let mut settings =
        Settings::new("s".into(), Allowance::after(Duration::MAX, false, Duration::ZERO));
    settings.client_name = String::new();
    settings.credentials = credentials;
    let mut conversation = Conversation {
        session: Connection::new(settings, Heard::default()),
        rows: Rows::default(),
        now: Now::default(),
        set: 0,
        generation: 0,
        outcome: Ok(()),
        gaps: VecDeque::new(),
    };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        println!("{line}");
        conversation.line(line);
    }
    conversation.outcome.expect("the conversation ends well");
}

fn credentials() -> Option<Credentials> {
    Some(Credentials { client_id: "me".into(), client_secret: "hush".into() })
}

const OPENING: &str = r#"
    at 100
    want a b
    up
    > 1 public/set_heartbeat {"interval":10}
    > 2 public/subscribe {"channels":["a","b"]}
    >
"#;

#[test]
fn an_opening_and_its_data() {
    let more = r#"
        < {"method":"subscription","params":{"channel":"b","data":{"n":1}}}
        < {"id":2,"result":["b","a"]}
        < {"id":1,"result":"ok"}
        < nonsense
        heard b {"n":1}|[] not a JSON-RPC message: nonsense
        < {"method":"subscription","params":{"channel":"c"}}
        heard [c] a notification without data: {"method":"subscription","params":{"channel":"c"}}
        ack a b
        reached yes
        gap
        < {"params":{"type":"test_request"},"method":"heartbeat"}
        > 3 public/test {}
        >
    "#;
    check(None, &format!("{OPENING}{more}"));
}

#[test]
fn a_login_comes_first_and_is_renewed() {
    check(
        credentials(),
        r#"
        want a
        at 1
        up
        > 1 public/auth {"grant_type":"client_credentials","client_id":"me","client_secret":"hush"}
        >
        < {"id":
        heard [] not a JSON-RPC message: (withheld during login)
        < {"id":1,"result":{"access_token":"x","expires_in":100,"refresh_token":"r1"}}
        > 2 public/set_heartbeat {"interval":10}
        > 3 public/subscribe {"channels":["a"]}
        < {"id":3,"result":["a"]}
        < {"id":2,"result":"ok"}
        at 15
        < {"method":"heartbeat","params":{"type":"heartbeat"}}
        at 80
        > 4 public/test {}
        < {"method":"heartbeat","params":{"type":"heartbeat"}}
        at 81
        > 5 public/auth {"grant_type":"refresh_token","refresh_token":"r1"}
        < {"id":5,"error":{"code":13009,"message":"unauthorized"}}
        > 6 public/auth {"grant_type":"client_credentials","client_id":"me","client_secret":"hush"}
        < {"id":6,"error":{"code":13004,"message":"invalid_credentials"}}
        ! the exchange refuses public/auth with error 13004: invalid_credentials
        "#,
    );
}

#[test]
fn a_login_without_an_answer_is_tried_three_times() {
    let key = r#""grant_type":"client_credentials","client_id":"me","client_secret":"hush""#;
    let call = format!("public/auth {{{key}}}");
    check(
        credentials(),
        &format!(
            r#"up
            > 1 {call}
            at 10
            > 2 {call}
            < {{"id":2,"result":"what?"}}
            > 3 {call}
            < {{"id":3,"error":{{"code":13028,"message":"temporarily_unavailable"}}}}
            ! the exchange does not answer public/auth"#
        ),
    );
}

#[test]
fn raw_without_credentials_is_one_clear_sentence() {
    let more = r#"
        < {"id":2,"error":{"code":13778,"message":"raw_no"}}
        ! the exchange refuses public/subscribe with error 13778: raw_no: REMEDY
    "#;
    let remedy = "raw channels need credentials; without them ask for 100ms or agg2";
    check(None, &format!("{OPENING}{}", more.replace("REMEDY", remedy)));
}

#[test]
fn asking_too_often_ends_a_connection_even_without_an_id() {
    let more = r#"
        < {"error":{"code":10028,"message":"too_many_requests"}}
        ! the exchange says we ask too often: too_many_requests
    "#;
    check(None, &format!("{OPENING}{more}"));
}

#[test]
fn what_is_passed_over_is_refused_by_name_and_retried() {
    let more = r#"
        < {"id":2,"result":["a"]}
        < {"id":1,"result":"ok"}
        ack a
        refused b
        reached yes
        gap b 100 -1 subscription_refused
        gap
        at 101
        >
        < {"method":"heartbeat","params":{}}
        at 115
        < {"method":"heartbeat","params":{}}
        at 159
        > 3 public/test {}
        >
        < {"id":3,"result":{}}
        at 160
        > 4 public/subscribe {"channels":["b"]}
        < {"id":4,"result":["b"]}
        refused
        ack a b
        gap b 100 160 subscription_refused
        gap
        want c
        > 5 public/subscribe {"channels":["c"]}
        < {"id":5,"result":[]}
        gap c 160 -1 subscription_refused
        at 161
        finish
        gap c 160 161 subscription_refused
        gap
    "#;
    check(None, &format!("{OPENING}{more}"));
}

#[test]
fn silence_is_probed_and_then_fatal() {
    let more = r#"
        < {"id":2,"result":["a","b"]}
        < {"id":1,"result":"ok"}
        at 115
        > 3 public/test {}
        < {"id":3,"result":{}}
        at 130
        > 4 public/test {}
        at 140
        ! the exchange is silent since 1970-01-01T00:01:55.000000Z
        up
        > 5 public/set_heartbeat {"interval":10}
        > 6 public/subscribe {"channels":["a","b"]}
        < {"id":6,"result":["a","b"]}
        gap * 98 140 silent
    "#;
    check(None, &format!("{OPENING}{more}"));
}

#[test]
fn what_is_new_is_served_before_what_is_gone_is_let_go() {
    let more = r#"
        < {"id":2,"result":["a","b"]}
        < {"id":1,"result":"ok"}
        want b c d
        > 3 public/subscribe {"channels":["c","d"]}
        >
        reached no
        want b c
        < {"id":3,"result":["d","c"]}
        > 4 public/unsubscribe {"channels":["a","d"]}
        reached no
        want a b c
        >
        < {"id":4,"result":[]}
        > 5 public/subscribe {"channels":["a"]}
        < {"id":5,"result":["a"]}
        reached yes
        ack a b c
        gap
    "#;
    check(None, &format!("{OPENING}{more}"));
}

#[test]
fn a_lost_reply_is_asked_for_again() {
    let more = r#"
        < {"id":1,"result":"ok"}
        at 109
        < {"method":"heartbeat","params":{}}
        at 110
        >
        at 111
        > 3 public/subscribe {"channels":["a","b"]}
        < {"id":2,"result":["a","b"]}
        ack
        < {"id":"3","result":["a","b"]}
        ack a b
    "#;
    check(None, &format!("{OPENING}{more}"));
}

#[test]
fn a_call_that_is_rejected_is_asked_in_halves() {
    let more = r#"
        < {"id":2,"error":{"code":-32602,"message":"Invalid params"}}
        > 3 public/subscribe {"channels":["a"]}
        > 4 public/subscribe {"channels":["b"]}
        < {"id":3,"error":{"code":-32602,"message":"Invalid params"}}
        < {"id":4,"result":["b"]}
        refused a
        ack b
    "#;
    check(None, &format!("{OPENING}{more}"));
}

#[test]
fn a_frame_too_large_is_halved_without_an_id() {
    let more = r#"
        < {"jsonrpc":"2.0","error":{"code":-32600,"message":"request entity too large"}}
        > 3 public/subscribe {"channels":["a"]}
        > 4 public/subscribe {"channels":["b"]}
        >
    "#;
    check(None, &format!("{OPENING}{more}"));
}
