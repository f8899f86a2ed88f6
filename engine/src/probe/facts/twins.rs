//! Whether two connections hear the same: what redundancy and deduplication rest on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::bundle::shorten;
use super::super::evidence::{Evidence, Message, Role, Tape};
use super::super::script::{BOOK, PERPETUAL_TICKER, TRADES};
use super::{Fact, Finding, median};

pub(super) const FACTS: [Fact; 4] = [
    Fact {
        id: "twins-ticker",
        sentence: "Two connections get the same frames of a perpetual's ticker.",
        section: "7",
        judge: |evidence| twins(evidence, &[PERPETUAL_TICKER.to_owned()]),
    },
    Fact {
        id: "twins-option",
        sentence: "Two connections get the same frames of options' tickers.",
        section: "7",
        judge: |evidence| {
            let tickers = evidence.options.iter().map(|name| format!("ticker.{name}.100ms"));
            twins(evidence, &tickers.collect::<Vec<_>>())
        },
    },
    Fact {
        id: "twins-book",
        sentence: "Two connections get the same changes of a book.",
        section: "6",
        judge: |evidence| twins(evidence, &[BOOK.to_owned()]),
    },
    Fact {
        id: "twins-trades",
        sentence: "Two connections get the same frames of trades.",
        section: "8",
        judge: |evidence| twins(evidence, &[TRADES.to_owned()]),
    },
];

/// How the frames of two connections relate.
#[derive(Default)]
struct Tally {
    /// Byte for byte.
    same: usize,
    /// The same values, written otherwise.
    rewritten: usize,
    /// The same identity, other values.
    other: usize,
    /// On the first connection only, on the second only.
    here: usize,
    there: usize,
    /// How much later the second read its copy, ms.
    later_ms: Vec<f64>,
    examples: Vec<Value>,
}

/// Compares the channels where both connections listened.
fn twins(evidence: &Evidence, channels: &[String]) -> Result<Finding, Finding> {
    let (main, twin) = (evidence.tape(Role::Main)?, evidence.tape(Role::Twin)?);
    if channels.is_empty() {
        return Err(Finding::not_tried("there is no option to listen to"));
    }
    let mut tally = Tally::default();
    for channel in channels {
        tally.compare(main, twin, channel);
    }
    let Tally { same, rewritten, other, here, there, .. } = tally;
    let total = same + rewritten + other + here + there;
    if total < FRAMES_MIN {
        let why = twin.ended.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
        return Err(Finding::not_seen(format!("{total} frames where both listened{why}")));
    }
    // The ends of the common time may cut a frame or two.
    let mostly = |count: usize| count * 100 >= total * 95;
    let relation = if mostly(same) {
        "identical"
    } else if mostly(same + rewritten) {
        "the same values"
    } else if mostly(same + rewritten + other) {
        "the same times"
    } else {
        "out of phase"
    };
    let seen = format!(
        "{relation}: {same} byte for byte, {rewritten} with the same values written otherwise, \
         {other} of the same time with other values, {here} and {there} on one connection alone"
    );
    let later = median(tally.later_ms);
    let numbers = json!({"identical": same, "rewritten": rewritten, "other_values": other,
        "first_alone": here, "second_alone": there, "second_reads_later_ms": later});
    Ok(Finding::of(mostly(same + rewritten), seen).with(numbers).with(json!(tally.examples)))
}

impl Tally {
    fn compare(&mut self, main: &Tape, twin: &Tape, channel: &str) {
        let (ours, theirs) = (by_identity(main, channel), by_identity(twin, channel));
        // Identities grow with time; only what lies in both spans can be on both.
        let bounds = |frames: &BTreeMap<i64, &Message>| {
            Some((*frames.first_key_value()?.0, *frames.last_key_value()?.0))
        };
        let (Some((from, to)), Some((start, end))) = (bounds(&ours), bounds(&theirs)) else {
            return;
        };
        // The first is the state at subscribing: only later ones are the stream's.
        let (from, to) = (from.max(start) + 1, to.min(end));
        if from > to {
            return;
        }
        for (identity, our) in ours.range(from..=to) {
            match theirs.get(identity) {
                None => self.alone(our, true),
                Some(their) => self.pair(our, their),
            }
        }
        for (identity, their) in theirs.range(from..=to) {
            if !ours.contains_key(identity) {
                self.alone(their, false);
            }
        }
    }

    fn alone(&mut self, frame: &Message, first: bool) {
        let count = if first { &mut self.here } else { &mut self.there };
        *count += 1;
        if *count <= EXAMPLES_MAX {
            let on = if first { "first" } else { "second" };
            self.examples.push(json!({"alone_on": on, "frame": shorten(&frame.text)}));
        }
    }

    fn pair(&mut self, our: &Message, their: &Message) {
        self.later_ms.push((their.at.as_secs_f64() - our.at.as_secs_f64()) * 1_000.0);
        let count = if our.text == their.text {
            &mut self.same
        } else if same_values(&our.data(), &their.data()) {
            &mut self.rewritten
        } else {
            &mut self.other
        };
        *count += 1;
        if our.text != their.text && *count <= EXAMPLES_MAX {
            self.examples.push(json!({"pair": [shorten(&our.text), shorten(&their.text)]}));
        }
    }
}

/// Whether they say the same: `1` and `1.0` do, and the order of keys says nothing.
fn same_values(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            let mut pairs = one.iter().zip(other);
            one.len() == other.len() && pairs.all(|(one, other)| same_values(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(key, value): (&String, &Value)| {
                other.get(key).is_some_and(|other| same_values(value, other))
            };
            one.len() == other.len() && one.iter().all(same)
        }
        (one, other) => one == other,
    }
}

/// The frames of a channel by what identifies their content: a book's change, the newest trade,
/// else the time.
fn by_identity<'a>(tape: &'a Tape, channel: &'a str) -> BTreeMap<i64, &'a Message> {
    let identity = |frame: &Message| match frame.data() {
        Value::Array(trades) => {
            trades.iter().filter_map(|trade| trade.get("trade_seq")?.as_i64()).max()
        }
        // A snapshot is made for one connection alone.
        data if data.get("type").is_some_and(|kind| kind == "snapshot") => None,
        data => data.get("change_id").or_else(|| data.get("timestamp")).and_then(Value::as_i64),
    };
    tape.frames(channel).filter_map(|frame| Some((identity(frame)?, frame))).collect()
}

const FRAMES_MIN: usize = 5;
const EXAMPLES_MAX: usize = 5;
