//! Trades and expiries, as a listener meets them.

use serde_json::{Value, json};
use tapedeck_exchange::{Clock, Config, Exchange};

use crate::{config, connect, hear, json_of, market, rest, say};

/// The same values in one of the forms that numbers have on the wire.
fn whole(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => json!(float as i64),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(whole).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), whole(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

#[tokio::test]
async fn trades_can_be_asked_for_again() {
    let exchange = Exchange::start(config(market(4, 4000))).unwrap();
    let mut client = connect(exchange.address()).await;
    let name = "BTC-PERPETUAL";
    let channels = json!({"channels": [format!("trades.{name}.100ms")]});
    say(&mut client, "public/subscribe", &channels).await;
    hear(&mut client).await.unwrap();
    let mut sent: Vec<Value> = Vec::new();
    while sent.len() < 60 {
        let frame: Value = serde_json::from_str(&hear(&mut client).await.unwrap()).unwrap();
        sent.extend(frame["params"]["data"].as_array().unwrap().iter().map(whole));
    }
    let seq = |at: usize| sent[at]["trade_seq"].as_i64().unwrap();
    let path = format!("GET /api/v2/public/get_last_trades_by_instrument?instrument_name={name}");
    let ask = |query: &str| {
        let (status, answer) = json_of(rest(exchange.address(), &format!("{path}{query}")));
        (status, whole(&answer))
    };
    let between = format!("&start_seq={}&end_seq={}", seq(3), seq(52));
    let (status, all) = ask(&format!("{between}&sorting=asc&count=1000"));
    assert_eq!((status, &all["result"]["has_more"]), (200, &json!(false)));
    assert_eq!(all["result"]["trades"].as_array().unwrap(), &sent[3..=52]);
    let (_, some) = ask(&format!("{between}&sorting=desc&count=2"));
    let expected = json!({"trades": [sent[52], sent[51]], "has_more": true});
    assert_eq!(some["result"], expected);
    let (_, none) = ask("&start_seq=1&end_seq=5");
    assert_eq!(none["result"], json!({"trades": [], "has_more": false}));

    let (status, answer) = ask("&count=1001");
    let error = json!({"code": -32602, "message": "Invalid params",
        "data": {"reason": "value is too high", "param": "count"}});
    assert_eq!((status, &answer["error"]), (400, &error));
    let unknown = "GET /api/v2/public/get_last_trades_by_instrument?instrument_name=BTC-1JAN20";
    let (status, answer) = json_of(rest(exchange.address(), unknown));
    let data = json!({"reason": "instrument not found", "param": "instrument_name"});
    assert_eq!((status, &answer["error"]["data"]), (400, &data));

    say(&mut client, "public/unsubscribe_all", &json!({})).await;
    let params = json!({"instrument_name": name, "start_seq": seq(7), "end_seq": seq(7)});
    say(&mut client, "public/get_last_trades_by_instrument", &params).await;
    let answer = loop {
        let frame: Value = serde_json::from_str(&hear(&mut client).await.unwrap()).unwrap();
        if frame["result"].is_object() {
            break frame;
        }
    };
    assert_eq!(whole(&answer["result"]["trades"]), json!([sent[7]]));
}

#[tokio::test]
async fn listeners_hear_of_an_expiry() {
    // Half a minute before 08:00 UTC of 2026-05-19, a minute a second.
    let clock = Clock::scaled(1_779_177_570_000_000, 60.0);
    let exchange = Exchange::start(Config { clock, ..config(market(60, 4000)) }).unwrap();
    let listed = || {
        let request = "GET /api/v2/public/get_instruments?currency=BTC&kind=option";
        let (_, answer) = json_of(rest(exchange.address(), request));
        let listed = answer["result"].as_array().unwrap().clone();
        listed.iter().map(|it| it["instrument_name"].as_str().unwrap().to_owned()).collect()
    };
    let before: Vec<String> = listed();
    let dying = before.iter().find(|name| name.starts_with("BTC-19MAY26")).unwrap();
    let ticker = format!("ticker.{dying}.100ms");
    let states = "instrument.state.option.BTC";
    let channels = json!({"channels": [states, ticker, "trades.option.BTC.100ms"]});
    let mut client = connect(exchange.address()).await;
    say(&mut client, "public/subscribe", &channels).await;
    let (mut heard, mut last, mut new): (Vec<String>, _, _) = (Vec::new(), None, None);
    loop {
        let frame: Value = serde_json::from_str(&hear(&mut client).await.unwrap()).unwrap();
        let (channel, data) = (&frame["params"]["channel"], &frame["params"]["data"]);
        if *channel == states {
            let state = data["state"].as_str().unwrap().to_owned();
            if state == "open" {
                new = Some(data["instrument_name"].clone());
            }
            if data["instrument_name"] == dying.as_str() || state == "open" {
                heard.push(state);
            }
        } else if *channel == ticker {
            last = Some(data.clone());
        } else if new.is_some() && data[0]["instrument_name"] == *new.as_ref().unwrap() {
            assert_eq!(data[0]["trade_seq"], 1, "its first trade needs no new subscription");
            break;
        }
    }
    heard.dedup();
    assert_eq!(heard, ["settlement", "delivered", "open"]);
    let last = last.unwrap();
    assert_eq!(
        (&last["state"], &last["estimated_delivery_price"]),
        (&json!("closed"), &json!("expired"))
    );
    assert!(last["delivery_price"].is_number());
    let after: Vec<String> = listed();
    assert_eq!(after.len(), before.len());
    assert!(
        !after.contains(dying)
            && after.iter().any(|name| *name == new.as_ref().unwrap().as_str().unwrap())
    );
}
