//! Instruments go from one shard to another while they are traded: nothing is lost, nothing stored
//! twice, nothing told twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tapedeck_tests::tape::{Tape, cell, column, for_each_batch};
use tapedeck_tests::truth::{Truth, is_of_options};

use super::client::{Api, TOKEN};
use crate::market::{Market, assert_each_once};

#[test]
fn a_swap_of_250_instruments_loses_and_doubles_nothing() {
    swap("identical");
}

/// No frame of one connection is one of another's: both are kept for as long as both listen.
#[test]
fn a_swap_between_connections_of_another_phase_loses_and_doubles_nothing() {
    swap("shifted");
}

fn swap(frames: &str) {
    let flags = ["--options", "840", "--rate", "2000", "--frames", frames];
    let mut market = Market::start(&flags);
    let api = Api::start(&mut market, &[]);
    api.wait_until_healthy();
    for _ in 0..SWAPS {
        let (left, right) = (instruments(&api, 0), instruments(&api, 1));
        std::thread::scope(|scope| {
            for (to, names) in [("btc-options-1", &left), ("btc-options-0", &right)] {
                let api = &api;
                scope.spawn(move || relocate(api, to, &names[..EACH]));
            }
        });
        let there: BTreeSet<String> = instruments(&api, 1).into_iter().collect();
        assert!(left[..EACH].iter().all(|name| there.contains(name)), "they have changed places");
    }
    // What the last one brings.
    std::thread::sleep(std::time::Duration::from_secs(1));
    api.end(&mut market);

    let (truth, tape) = (market.truth(), Tape::read(&market.data()));
    let each = Truth::read_each(&market.log());
    assert_each_once(&truth, &each, &tape);
    assert_told_once(&market);
    let rows = tape.keys.iter().filter(|key| is_of_options(key)).count();
    println!("{frames}: {rows} rows of options stored, each as often as it was said");
}

/// An option moves without a word: it is subscribed as before.
fn assert_told_once(market: &Market) {
    let mut told: BTreeMap<(String, String), usize> = BTreeMap::new();
    for_each_batch(&market.data().join("parquet/lifecycle_events"), |batch| {
        for row in 0..batch.num_rows() {
            let text = |name| cell(column(batch, name), row);
            *told.entry((text("instrument_name"), text("event_type"))).or_default() += 1;
        }
    });
    let twice = told.iter().find(|(_, times)| **times > 1);
    assert_eq!(twice, None, "told twice");
    assert!(told.keys().all(|(_, event)| event != "subscription_removed"), "nothing has ended");
}

fn instruments(api: &Api, shard: usize) -> Vec<String> {
    super::client::names(&api.get(shard, "/api/status").1["instruments"])
}

fn relocate(api: &Api, shard: &str, names: &[String]) {
    let body = json!({ "shard": shard, "instruments": names }).to_string();
    let (code, answer) = api.post_whole("/api/v1/plan", Some(TOKEN), &body);
    assert_eq!((code, &answer["success"]), (200, &Value::Bool(true)), "{answer}");
    assert_eq!(answer["moved"].as_array().map(Vec::len), Some(names.len()), "{answer}");
}

/// Whoever asks for what cannot be is told so, and nothing changes.
#[test]
fn what_cannot_move_stays() {
    let mut market = Market::start(&["--options", "60", "--rate", "300"]);
    let api = Api::start(&mut market, &[]);
    api.wait_until_healthy();
    let plan = api.get_whole("/api/v1/plan").1;
    let name = &instruments(&api, 0)[0];
    let body = |shard: &str, name: &str| json!({ "shard": shard, "instruments": [name] });
    let (code, answer) = api.post_whole("/api/v1/plan", None, &body("a", name).to_string());
    assert_eq!((code, &answer["success"]), (401, &json!(false)));
    for (body, status, said) in [
        (body("btc-options-9", name), 422, "there is no shard btc-options-9"),
        (body("eth-options-0", name), 422, "is not for the shards of eth-options"),
        (body("btc-options-1", "BTC-1JAN20-1-C"), 422, "no shard has a channel of BTC-1JAN20-1-C"),
        (json!({ "instruments": [name] }), 400, "the body names no shard"),
        (json!({ "shard": "btc-options-1" }), 400, "No instruments provided"),
    ] {
        let (code, answer) = api.post_whole("/api/v1/plan", Some(TOKEN), &body.to_string());
        assert_eq!((code, &answer["success"]), (status, &json!(false)), "{answer}");
        assert!(answer.to_string().contains(said), "{answer}");
    }
    let (code, answer) =
        api.post_whole("/api/v1/plan", Some(TOKEN), &body("btc-options-0", name).to_string());
    assert_eq!((code, &answer["already_there"]), (200, &json!([name])), "{answer}");
    assert_eq!(api.get_whole("/api/v1/plan").1["shards"], plan["shards"]);
    api.end(&mut market);
}

/// Of each of two shards.
const EACH: usize = 125;
const SWAPS: usize = 4;
