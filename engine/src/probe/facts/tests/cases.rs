//! The evidence, and what each judgement must make of it.

use serde_json::{Value, json};

use super::super::super::evidence::{Role, Step};
use super::super::super::script::{
    BOOK, BOOK_SLOW, INDEX, MARKS, OPTION_TRADES, PERPETUAL_TICKER, PLATFORM, REFUSED, STATES,
    TRADES, UNKNOWN,
};
use super::Verdict::{Confirmed, Different, NotSeen, NotTried};
use super::{Invented, Verdict};

/// One fact, one invented run.
pub(super) struct Case {
    pub(super) id: &'static str,
    pub(super) verdict: Verdict,
    pub(super) seen: &'static str,
    pub(super) evidence: Invented,
}

fn case(id: &'static str, verdict: Verdict, seen: &'static str, evidence: Invented) -> Case {
    Case { id, verdict, seen, evidence }
}

pub(super) fn all() -> Vec<Case> {
    let groups = [framing, numbers, calls, books, tickers, crowds, heartbeats];
    let others = [seconds, rows, ranges, sequences, lists, twins, edges];
    groups.into_iter().chain(others).flat_map(|cases: fn() -> Vec<Case>| cases()).collect()
}

fn new() -> Invented {
    Invented::new()
}

fn framing() -> Vec<Case> {
    let answer = |role, step, answer: Value| new().ask(role, step, &json!({}), &answer);
    let main = |step, value| answer(Role::Main, step, value);
    let keys = |text: &str| new().beat(Role::Main, "heartbeat").text(Role::Main, None, text);
    let crude = |value| answer(Role::Crude, Step::JsonInvalid, value);
    vec![
        case("id-number", Confirmed, "7", main(Step::IdNumber, json!({"id": 7}))),
        case("id-number", Different, "\"7\"", main(Step::IdNumber, json!({"id": "7"}))),
        case("id-number", NotSeen, "no answer", new().unanswered(Role::Main, Step::IdNumber)),
        case("id-number", NotTried, "gone", new().ended(Role::Main, "gone")),
        case("id-text", Confirmed, "seven", main(Step::IdText, json!({"id": "seven"}))),
        case("id-text", Different, "no id", main(Step::IdText, json!({}))),
        case("id-none", Confirmed, "without", main(Step::IdNone, json!({"result": 1}))),
        case("id-none", Different, "with an id", main(Step::IdNone, json!({"id": 0, "result": 1}))),
        case("id-none", Different, "error", main(Step::IdNone, json!({"error": {"code": 1}}))),
        case("key-order", Confirmed, "jsonrpc", keys(r#"{"jsonrpc":"2.0","method":"x"}"#)),
        case("key-order", Different, "2 messages", keys(r#"{"method":"x","jsonrpc":"2.0"}"#)),
        case("method-unknown", Confirmed, "", new().error(Step::MethodUnknown, -32601)),
        case("method-unknown", Different, "-1", new().error(Step::MethodUnknown, -1)),
        case("json-invalid", Confirmed, "", crude(json!({"error": {"code": 11050}}))),
        case("json-invalid", Different, "-32700", crude(json!({"error": {"code": -32700}}))),
        case(
            "json-invalid-open",
            Confirmed,
            "",
            answer(Role::Crude, Step::JsonAfter, json!({"result": 1})),
        ),
        case(
            "json-invalid-open",
            Different,
            "1002",
            crude(json!({})).ended(Role::Crude, "closed: 1002"),
        ),
    ]
}

fn numbers() -> Vec<Case> {
    let frames = |one: &str, two: &str| {
        let text = |number: &str| format!(r#"{{"params":{{"mark":{number}}}}}"#);
        let first = new().text(Role::Main, Some(INDEX), &text(one));
        first.text(Role::Main, Some(INDEX), &text(two))
    };
    vec![
        case("number-exponents", Confirmed, "mark=8.5e4", frames("1", "8.5e4")),
        case("number-exponents", Different, "none in 2", frames("1", "85000.0")),
        case("number-forms", Confirmed, "2700 and 9.4e3", frames("2700", "9.4e3")),
        case("number-forms", Different, "1 fields", frames("2.5", "9.4e3")),
    ]
}

fn subscribed(asked: &[&str], acknowledged: &[&str]) -> Invented {
    new().result(Step::Subscribe, &json!({ "channels": asked }), &json!(acknowledged))
}

fn calls() -> Vec<Case> {
    let unknown = |step, result| new().result(step, &json!({}), &result);
    let raw = |code| new().error(Step::SubscribeRaw, code);
    let tick = |run: Invented| run.frame(Role::Main, PERPETUAL_TICKER, &json!({}));
    let early = new().frame(Role::Main, BOOK, &json!({}));
    vec![
        case("unknown-omitted", Confirmed, "3", subscribed(&[BOOK, UNKNOWN[0]], &[BOOK])),
        case("unknown-omitted", Different, "bogus", subscribed(&UNKNOWN, &[UNKNOWN[2]])),
        case("known-acknowledged", Confirmed, "all 1", subscribed(&[BOOK, UNKNOWN[0]], &[BOOK])),
        case("known-acknowledged", Different, "markprice", subscribed(&[BOOK, MARKS], &[BOOK])),
        case("ack-order", Confirmed, "backwards", subscribed(&["a", "b", "c"], &["c", "b"])),
        case("ack-order", Confirmed, "some other", subscribed(&["a", "b", "c"], &["b", "c", "a"])),
        case("ack-order", Different, "keeps", subscribed(&["a", "b", "c"], &["a", "c"])),
        case("ack-order", NotSeen, "fewer", subscribed(&["a", "b"], &["a"])),
        case("only-unknown", Confirmed, "[]", unknown(Step::SubscribeUnknown, json!([]))),
        case("only-unknown", Different, "-32602", new().error(Step::SubscribeUnknown, -32602)),
        case("raw-refused", Confirmed, "13778", raw(13778)),
        case("raw-refused", Different, "BTC", unknown(Step::SubscribeRaw, json!(["BTC"]))),
        case(
            "raw-refused",
            Different,
            "1 frames",
            raw(13778).frame(Role::Main, REFUSED, &json!({})),
        ),
        case("raw-keeps", Confirmed, "after", tick(raw(13778).at(10))),
        case("raw-keeps", NotSeen, "", raw(13778).at(10)),
        case("raw-keeps", NotSeen, "", unknown(Step::SubscribeRaw, json!([]))),
        case(
            "raw-keeps",
            Different,
            "1 frames before and 0 after",
            tick(new()).at(10).error(Step::SubscribeRaw, 13778).at(9_000).beat(Role::Main, "x"),
        ),
        case("unsubscribe-lists", Confirmed, BOOK, unknown(Step::Unsubscribe, json!([BOOK]))),
        case("unsubscribe-lists", Different, "a", unknown(Step::Unsubscribe, json!([BOOK, "a"]))),
        case(
            "ack-first",
            Confirmed,
            "1 of 1",
            subscribed(&[BOOK], &[BOOK]).frame(Role::Main, BOOK, &json!({})),
        ),
        case(
            "ack-first",
            Different,
            "0 of 1",
            early.result(Step::Subscribe, &json!({}), &json!([])),
        ),
        case("state-any", Confirmed, "it is", subscribed(&[STATES], &[STATES])),
        case("state-any", Different, "left out", subscribed(&[STATES], &[])),
    ]
}

fn snapshot() -> Value {
    json!({"type": "snapshot", "change_id": 1})
}

fn change() -> Value {
    json!({"type": "change", "prev_change_id": 1, "change_id": 2})
}

fn books() -> Vec<Case> {
    let twice = |data: &Value| {
        let run = new().result(Step::SubscribeTwice, &json!({}), &json!([BOOK]));
        run.at(10).frame(Role::Main, BOOK, data)
    };
    let again = |data: &Value| {
        let left = new().result(Step::Unsubscribe, &json!({}), &json!([BOOK]));
        let run = left.at(10).result(Step::SubscribeAgain, &json!({}), &json!([BOOK]));
        run.at(20).frame(Role::Main, BOOK, data)
    };
    let first = |data: &Value| subscribed(&[BOOK], &[BOOK]).at(5).frame(Role::Main, BOOK, data);
    let odd = json!({"type": "snapshot", "prev_change_id": 20, "change_id": 21});
    vec![
        case("subscribed-twice", Confirmed, "0 snapshots in 1", twice(&change())),
        case("subscribed-twice", Different, "1 snapshots in 1", twice(&snapshot())),
        case(
            "subscribed-twice",
            Different,
            "[]",
            new().result(Step::SubscribeTwice, &json!({}), &json!([])),
        ),
        case("subscribed-again", Confirmed, "snapshot", again(&snapshot())),
        case("subscribed-again", Different, "change", again(&change())),
        case("first-book", Confirmed, "5 ms", first(&snapshot())),
        case("first-book", Different, "change", first(&change())),
        case("first-book", Different, "prev_change_id 20", first(&odd)),
    ]
}

fn tickers() -> Vec<Case> {
    let asked = || subscribed(&[PERPETUAL_TICKER], &[PERPETUAL_TICKER]);
    let tick = |run: Invented, at: u64, mark: u32| {
        run.at(at).frame(Role::Main, PERPETUAL_TICKER, &json!({ "mark_price": mark }))
    };
    vec![
        case("first-ticker", Confirmed, "1 tickers", tick(asked(), 900, 1)),
        case("first-ticker", Different, "3000 ms", tick(asked(), 3_000, 1)),
        case("first-ticker", Different, "nothing", asked()),
        case("first-ticker", NotSeen, "no ticker", subscribed(&[PERPETUAL_TICKER], &[])),
        case("ticker-twice", Confirmed, PERPETUAL_TICKER, tick(tick(asked(), 1, 1), 2, 1)),
        case("ticker-twice", NotSeen, "none of 1", tick(tick(asked(), 1, 1), 2, 2)),
    ]
}

fn crowds() -> Vec<Case> {
    let run = |last: &Value| {
        let call = |run: Invented, step, asked: Value, got: &Value| {
            let answer = json!({ "result": got });
            run.ask(Role::Crowd, step, &json!({ "channels": asked }), &answer)
        };
        let run = call(new(), Step::CrowdFirst, json!(["a"]), &json!(["a"]));
        let run = call(run, Step::CrowdSecond, json!(["b"]), &json!(["b"]));
        call(run, Step::CrowdMore, json!(["c"]), last)
    };
    vec![
        case("crowd", Confirmed, "3 channels", run(&json!(["c"]))),
        case("crowd", Different, "0 of 1 acknowledged after 2", run(&json!([]))),
        case("crowd", Different, "null", run(&Value::Null)),
        case("crowd", Different, "closed", run(&json!(["c"])).ended(Role::Crowd, "closed")),
        case("crowd", NotTried, "fewer", new()),
    ]
}

fn heartbeats() -> Vec<Case> {
    let beating = |role, with_beats: bool, times: &[u64]| {
        let answer = json!({"result": "ok"});
        let run = new().ask(role, Step::Heartbeat, &json!({}), &answer);
        times.iter().fold(run, |run, &ms| {
            let run = run.at(ms).beat(role, "test_request");
            if with_beats { run.beat(role, "heartbeat") } else { run }
        })
    };
    let on_time = [12_300, 23_000, 33_650];
    let slow = [12_300, 23_000, 53_000];
    vec![
        case("heartbeat-fast", Confirmed, "-32602", new().error(Step::HeartbeatFast, -32602)),
        case(
            "heartbeat-fast",
            Different,
            "ok",
            new().result(Step::HeartbeatFast, &json!({}), &json!("ok")),
        ),
        case("heartbeat-idle", Confirmed, "10.7, 10.6", beating(Role::Idle, true, &on_time)),
        case("heartbeat-idle", Different, "30.0", beating(Role::Idle, true, &slow)),
        case("heartbeat-idle", Different, "0 heart", beating(Role::Idle, false, &on_time)),
        case("heartbeat-idle", NotSeen, "12.3 s", beating(Role::Idle, true, &on_time[..1])),
        case("heartbeat-busy", Confirmed, "0 heart", beating(Role::Main, false, &on_time)),
        case("heartbeat-busy", Different, "30.0", beating(Role::Main, false, &slow)),
        case("heartbeat-busy", Different, "3 heart", beating(Role::Main, true, &on_time)),
        case("heartbeat-busy", Different, "error", new().error(Step::Heartbeat, -32601)),
    ]
}

/// Ten frames of a channel, so many milliseconds apart.
fn each(run: Invented, channel: &str, ms: u64) -> Invented {
    let frame = |run: Invented, at| run.at(at * ms).frame(Role::Main, channel, &json!({}));
    (0..10).fold(run, frame)
}

fn seconds() -> Vec<Case> {
    let option = "ticker.BTC-1JAN27-90000-C.100ms";
    vec![
        case("agg2-cadence", Confirmed, "1.00 s", each(new(), BOOK_SLOW, 1_004)),
        case("agg2-cadence", Different, "2.00 s", each(new(), BOOK_SLOW, 2_000)),
        case("index-cadence", Confirmed, "1.00 s", each(new(), INDEX, 1_000)),
        case("index-cadence", Different, "0.50 s", each(new(), INDEX, 500)),
        case("index-cadence", NotSeen, "too few", new().frame(Role::Main, INDEX, &json!({}))),
        case("option-cadence", Confirmed, "1.01 s", each(new(), option, 1_007)),
        case("option-cadence", Different, "0.10 s", each(new(), option, 100)),
    ]
}

fn rows() -> Vec<Case> {
    let marks = |counts: [usize; 4]| {
        let run = subscribed(&[MARKS], &[MARKS]);
        counts
            .iter()
            .fold(run, |run, &count| run.frame(Role::Main, MARKS, &json!(vec![json!({}); count])))
    };
    let state = || subscribed(&[PLATFORM], &[PLATFORM]);
    let noise = || each(each(state(), PLATFORM, 10), PLATFORM, 10);
    let quiet = || state().at(40_000).beat(Role::Main, "test_request");
    vec![
        case("markprice-rows", Confirmed, "40 rows", marks([700, 12, 40, 3])),
        case("markprice-rows", Different, "700 rows", marks([700, 700, 700, 699])),
        case("markprice-rows", Different, "not acknowledged", subscribed(&[MARKS], &[])),
        case("platform-noise", Confirmed, "20 frames", noise()),
        case("platform-noise", Different, "0 frames in 40 s", quiet()),
        case("platform-noise", NotSeen, "0 frames", state()),
    ]
}

fn trades(seqs: impl IntoIterator<Item = i64>) -> Value {
    seqs.into_iter().map(|seq| json!({"trade_seq": seq, "timestamp": 0})).collect()
}

fn ranges() -> Vec<Case> {
    let ten = json!({"start_seq": 11, "end_seq": 20});
    let answer = |got: Value, more: bool| json!({"trades": got, "has_more": more});
    let range = |got: Value| new().result(Step::TradesRange, &ten, &answer(got, false));
    let page = |got: Value, more| {
        range(trades(11..=20)).result(Step::TradesPage, &ten, &answer(got, more))
    };
    let oldest = |hours: i64| {
        // The run starts on the second day of the epoch.
        let timestamp = 86_400_000 - hours * 3_600_000;
        let trades = json!([{"trade_seq": 5, "timestamp": timestamp}]);
        new().result(Step::TradesOldest, &json!({}), &answer(trades, true))
    };
    let beyond = |got| new().result(Step::TradesBeyond, &json!({}), &answer(got, false));
    vec![
        case("trades-count", Confirmed, "-32602", new().error(Step::TradesTooMany, -32602)),
        case(
            "trades-count",
            Different,
            "trades",
            new().result(Step::TradesTooMany, &json!({}), &answer(trades([1]), true)),
        ),
        case("trades-bounds", Confirmed, "11 to 20", range(trades(11..=20))),
        case("trades-bounds", Different, "11 to 19", range(trades(11..=19))),
        case("trades-bounds", Different, "nothing", range(trades([]))),
        case("trades-bounds", Different, "-32601", new().error(Step::TradesRange, -32601)),
        case("trades-has-more", Confirmed, "true with 4", page(trades(11..=14), true)),
        case("trades-has-more", Different, "false with 4", page(trades(11..=14), false)),
        case("trades-has-more", NotSeen, "no shorter", page(trades(11..=20), false)),
        case("trades-beyond", Confirmed, "[]", beyond(trades([]))),
        case("trades-beyond", Different, "20", beyond(trades([20]))),
        case("trades-kept", Confirmed, "24.0 hours", oldest(24)),
        case("trades-kept", Different, "100.0 hours", oldest(100)),
    ]
}

fn sequences() -> Vec<Case> {
    let heard = |got: Value| new().frame(Role::Main, TRADES, &got);
    let named = |names: &[&str]| {
        let trades: Value = names.iter().map(|name| json!({ "instrument_name": name })).collect();
        let run = subscribed(&OPTION_TRADES, &OPTION_TRADES);
        run.frame(Role::Main, OPTION_TRADES[1], &trades)
    };
    let liquidated = json!([{"trade_seq": 8, "liquidation": "T"}]);
    let answered =
        |run: Invented| run.result(Step::TradesEnd, &json!({}), &json!({"trades": liquidated}));
    vec![
        case("trades-contiguous", Confirmed, "0 holes among 2", heard(trades([4, 5, 6]))),
        case("trades-contiguous", Different, "1 holes among 2", heard(trades([4, 6, 7]))),
        case("trades-contiguous", NotSeen, "fewer", heard(trades([4]))),
        case("trades-option", Confirmed, "2 instruments", named(&["a", "b"])),
        case("trades-option", NotSeen, "1 instruments", named(&["a", "a"])),
        case("trades-option", Different, "not acknow", subscribed(&OPTION_TRADES, &[])),
        case("trades-liquidation", Confirmed, "one does", heard(liquidated.clone())),
        case("trades-liquidation", Different, "trade 8", answered(heard(trades([7, 8])))),
        case("trades-liquidation", NotSeen, "among 1", answered(heard(trades([7])))),
    ]
}

fn lists() -> Vec<Case> {
    let entry = |name: &str, id: i64| {
        json!({"instrument_name": name, "instrument_id": id, "state": "open", "price_index": "x",
            "tick_size_steps": [], "creation_timestamp": -id, "expiration_timestamp": 28_800_000})
    };
    let list = |entries: &[Value]| {
        let answer = json!({ "result": entries });
        new().ask(Role::Rest, Step::Instruments, &json!({}), &answer)
    };
    let mixed = [("B", 2), ("A", 3), ("C", 1)].map(|(name, id)| entry(name, id));
    let mut late = mixed.clone();
    late[0]["expiration_timestamp"] = json!(28_800_001);
    late[1]["creation_timestamp"] = json!(0);
    let mut bare = mixed.clone();
    bare[2].as_object_mut().expect("an entry").remove("price_index");
    let sorted = ["A", "B", "C"].map(|name| entry(name, 1));
    vec![
        case("instruments-fields", Confirmed, "all 3", list(&mixed)),
        case("instruments-fields", Different, "\"price_index\": 1", list(&bare)),
        case("instruments-order", Different, "by instrument_name", list(&sorted)),
        case("instruments-expiry", Confirmed, "3 of 3", list(&mixed)),
        case("instruments-expiry", Different, "2 of 3", list(&late)),
        case("instruments-expiry", NotSeen, "[]", list(&[])),
    ]
    .into_iter()
    .chain(unsorted())
    .collect()
}

fn unsorted() -> Vec<Case> {
    let entries = [("B", 2, 9, 5), ("A", 3, 3, 4), ("C", 1, 7, 6)].map(|(name, id, at, end)| {
        json!({"instrument_name": name, "instrument_id": id, "creation_timestamp": at,
            "expiration_timestamp": end})
    });
    let answer = json!({ "result": entries });
    let run = new().ask(Role::Rest, Step::Instruments, &json!({}), &answer);
    vec![case("instruments-order", Confirmed, "no order", run)]
}

/// What the twin hears of what the first connection hears.
type Echo = fn(i64) -> Option<(i64, Value)>;

fn both(channel: &str, of: fn(i64, Value) -> Value, echo: Echo) -> Invented {
    (0..30).fold(new(), |run, time| {
        let run = run.frame(Role::Main, channel, &of(time, json!(1)));
        match echo(time) {
            Some((time, value)) => run.frame(Role::Twin, channel, &of(time, value)),
            None => run,
        }
    })
}

fn twins() -> Vec<Case> {
    let option = "ticker.BTC-1JAN27-90000-C.100ms";
    let ticker = |time: i64, mark: Value| json!({"timestamp": time * 10, "mark_price": mark});
    let book = |id: i64, price: Value| json!({"change_id": id, "bids": [["new", price, 1]]});
    let trade = |seq: i64, price: Value| json!([{"trade_seq": seq, "price": price}]);
    let same: Echo = |time| Some((time, json!(1)));
    let rewritten: Echo = |time| Some((time, json!(1.0)));
    let other: Echo = |time| Some((time, json!(2)));
    let half: Echo = |time| (time % 2 == 0).then(|| (time, json!(1)));
    let silent: Echo = |_| None;
    let all = [
        ("twins-ticker", PERPETUAL_TICKER, ticker as fn(i64, Value) -> Value),
        ("twins-option", option, ticker),
        ("twins-book", BOOK, book),
        ("twins-trades", TRADES, trade),
    ];
    let mut cases = Vec::new();
    for (id, channel, of) in all {
        let run = |echo| both(channel, of, echo);
        cases.push(case(id, Confirmed, "identical: 29 byte for byte", run(same)));
        cases.push(case(id, Confirmed, "the same values: 0 byte", run(rewritten)));
        cases.push(case(id, Different, "the same times: 0 byte", run(other)));
        cases.push(case(id, Different, "out of phase", run(half)));
        cases.push(case(id, NotTried, "no such connection", run(silent)));
    }
    cases
}

fn edges() -> Vec<Case> {
    let streams = |answer: &Value| {
        let channels = json!({ "channels": [PERPETUAL_TICKER] });
        let run = new().ask(Role::Streams, Step::Subscribe, &channels, answer);
        run.frame(Role::Streams, PERPETUAL_TICKER, &json!({}))
    };
    let states = |states: [&str; 2]| {
        states.iter().fold(new().between(28_790, 28_850), |run, state| {
            let data = json!({"instrument_name": "BTC-1JAN27-90000-C", "state": state});
            run.frame(Role::Main, STATES, &data)
        })
    };
    let refused = json!({"error": {"code": -32601, "message": "method not in allowlist"}});
    let closed = new().ended(Role::Streams, "cannot resolve streams.deribit.com");
    vec![
        case(
            "streams-host",
            Confirmed,
            "1 frames",
            streams(&json!({"result": [PERPETUAL_TICKER]})),
        ),
        case("streams-host", Different, "allowlist", streams(&refused)),
        case("streams-host", Different, "cannot resolve", closed),
        case("streams-host", NotTried, "not asked", new()),
        case("expiry-states", Confirmed, "1 of 1", states(["settlement", "delivered"])),
        case("expiry-states", Different, "0 of 1", states(["delivered", "settlement"])),
        case("expiry-states", NotSeen, "did not cross", states(["x", "y"]).between(1, 60)),
        case("quota", NotTried, "address", new()),
    ]
}
