//! Questions over REST and websocket: who may ask what, and how often.

use serde_json::json;
use tapedeck_exchange::{Config, Credentials, Exchange, ExchangeError, Limits};
use tokio_tungstenite::client_async;

use crate::{channel_of, config, connect, hear, json_of, market, rest, say};

#[test]
fn rest_lists_instruments() {
    let exchange = Exchange::start(config(market(100, 10))).unwrap();
    let ask = |request: &str| json_of(rest(exchange.address(), request));
    let (status, answer) = ask("GET /api/v2/public/get_instruments?currency=BTC&kind=option");
    assert_eq!(status, 200);
    let options = answer["result"].as_array().unwrap();
    assert_eq!(options.len(), 47);
    for field in [
        "state",
        "price_index",
        "kind",
        "instrument_name",
        "instrument_id",
        "instrument_type",
        "expiration_timestamp",
        "creation_timestamp",
        "is_active",
        "contract_size",
        "tick_size",
        "tick_size_steps",
        "strike",
        "option_type",
        "min_trade_amount",
        "lot_size",
        "base_currency",
        "quote_currency",
        "counter_currency",
        "settlement_currency",
        "settlement_period",
        "maker_commission",
        "taker_commission",
        "block_trade_commission",
        "block_trade_min_trade_amount",
        "block_trade_tick_size",
        "product_group",
        "underlying_type",
        "index_id",
        "base_currency_uuid",
        "quote_currency_uuid",
    ] {
        assert!(options[0].get(field).is_some(), "{field}");
    }
    assert!(answer["usDiff"].is_i64() && answer["testnet"].is_boolean());
    let (_, futures) = ask("GET /api/v2/public/get_instruments?currency=any&kind=future");
    assert_eq!(futures["result"].as_array().unwrap().len(), 2);
    let (_, none) = ask("GET /api/v2/public/get_instruments?currency=USDC");
    assert_eq!(none["result"], json!([]));
}

#[test]
fn every_method_answers() {
    let exchange = Exchange::start(config(market(100, 10))).unwrap();
    let ask = |request: &str| {
        let (status, answer) = json_of(rest(exchange.address(), &format!("GET /api/v2/{request}")));
        assert_eq!(status, 200, "{request}: {answer}");
        answer["result"].clone()
    };
    assert_eq!(ask("public/status"), json!({"locked": "false", "locked_indices": []}));
    assert!(ask("public/get_time").as_i64().unwrap() > 1_700_000_000_000);
    let all = ask("public/get_instruments");
    assert_eq!(all.as_array().unwrap().len(), 102, "of any currency where none is named");
    let options = ask("public/get_instruments?currency=BTC&kind=option");
    let option = options[0]["instrument_name"].as_str().unwrap();
    let one = ask(&format!("public/get_instrument?instrument_name={option}"));
    assert_eq!(one, options[0]);
    let expirations = ask("public/get_expirations?currency=BTC&kind=option");
    let days: Vec<&str> = expirations["btc"]["option"]
        .as_array()
        .unwrap()
        .iter()
        .map(|day| day.as_str().unwrap())
        .collect();
    assert!(days.len() > 5 && days.contains(&option.split('-').nth(1).unwrap()), "{days:?}");
    let summaries = ask("public/get_book_summary_by_currency?currency=BTC&kind=option");
    let summaries = summaries.as_array().unwrap();
    assert_eq!(summaries.len(), options.as_array().unwrap().len());
    assert!(summaries.iter().any(|it| it["bid_price"].is_null() && it["mark_price"].is_number()));
    let one = ask(&format!("public/get_book_summary_by_instrument?instrument_name={option}"));
    let ticker = ask(&format!("public/ticker?instrument_name={option}"));
    let (exact, rounded) = (one[0]["mark_price"].as_f64(), ticker["mark_price"].as_f64());
    assert!((exact.unwrap() - rounded.unwrap()).abs() <= 0.000_051, "{one} {ticker}");
    let index = ask("public/get_index_price?index_name=btc_usd");
    assert!(index["index_price"].is_number());
    assert_eq!(ask("public/get_currencies").as_array().unwrap().len(), 2);
}

#[test]
fn rest_errors_have_the_exact_shape() {
    let exchange = Exchange::start(config(market(100, 10))).unwrap();
    let ask = |request: &str| json_of(rest(exchange.address(), request));
    let (status, answer) = ask("GET /api/v2/public/get_instruments?currency=BTC&kind=nonsense");
    assert_eq!(status, 400);
    let error = json!({"code": -32602, "message": "Invalid params",
        "data": {"reason": "invalid value", "param": "kind"}});
    assert_eq!(answer["error"], error);
    let (status, answer) = ask("GET /api/v2/public/nothing");
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32601)));
    assert_eq!(answer["error"]["message"], "Method not found");
    let (status, answer) = ask("GET /api/v2/private/get_positions");
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(13009)));
    let (status, answer) =
        ask("POST /api/v2/public/get_time\n\n{\"id\":\"x\",\"method\":\"public/get_time\"}");
    assert_eq!((status, &answer["id"]), (200, &json!("x")));
    let (_, answer) = ask("POST /api/v2\n\n{\"id\":9,\"method\":\"public/status\",\"params\":{}}");
    assert_eq!(answer["result"]["locked"], "false");
    let (status, answer) = ask("POST /api/v2\n\n{oops");
    assert_eq!((status, &answer["error"]["data"]), (400, &json!("invalid json")));
    let (_, ticker) = ask("GET /api/v2/public/ticker?instrument_name=BTC-PERPETUAL");
    assert!(ticker["result"]["open_interest"].is_i64());
    let (_, book) = ask("GET /api/v2/public/get_order_book?instrument_name=BTC-PERPETUAL&depth=1");
    assert_eq!(book["result"]["bids"].as_array().unwrap().len(), 1);
    assert_eq!(rest(exchange.address(), "GET /nowhere").0, 404);
    assert_eq!(rest(exchange.address(), "GET /ws/api/v2").0, 400);
    assert_eq!(exchange.counts().requests, 9);

    let taken = Config { listen: exchange.address(), ..config(market(1, 1)) };
    let error = Exchange::start(taken).unwrap_err();
    assert!(matches!(error, ExchangeError::AddressInUse(_)), "{error}");
}

#[tokio::test]
async fn connection_33_is_refused() {
    let exchange = Exchange::start(config(market(1, 1))).unwrap();
    let address = exchange.address();
    let mut clients = Vec::new();
    for _ in 0..32 {
        clients.push(connect(address).await);
    }
    let knock = || async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        client_async(format!("ws://{address}/ws/api/v2"), stream).await
    };
    let refused = knock().await;
    let Err(tungstenite::Error::Http(answer)) = refused else { panic!("{refused:?}") };
    assert_eq!(answer.status(), 429);
    assert_eq!(rest(address, "GET /api/v2/public/get_time").0, 429);
    clients.pop().unwrap().close(None).await.unwrap();
    while exchange.counts().connections == 32 {
        tokio::task::yield_now().await;
    }
    let _back = knock().await.unwrap();

    let limits = Limits { connections_max: 1, ..Limits::default() };
    let small = Exchange::start(Config { limits, ..config(market(1, 1)) }).unwrap();
    let _one = connect(small.address()).await;
    assert_eq!(rest(small.address(), "GET /api/v2/public/get_time").0, 429);
}

#[test]
fn requests_cost_credits() {
    let ask = |exchange: &Exchange| rest(exchange.address(), "GET /api/v2/public/get_time");
    let exchange = Exchange::start(config(market(1, 1))).unwrap();
    let spent = (0..10_000).map(|_| ask(&exchange)).find(|(status, _)| *status != 200);
    let (status, answer) = json_of(spent.unwrap());
    let error = json!({"code": 10028, "message": "too_many_requests"});
    assert_eq!((status, &answer["error"]), (429, &error));
    let free = Exchange::start(Config { limits: Limits::NONE, ..config(market(1, 1)) }).unwrap();
    assert!((0..200).all(|_| ask(&free).0 == 200));
}

#[tokio::test]
async fn raw_channels_need_the_account() {
    let credentials = Credentials { client_id: "id".into(), client_secret: "secret".into() };
    let config = Config { credentials: Some(credentials), ..config(market(4, 200)) };
    let exchange = Exchange::start(config).unwrap();
    let mut client = connect(exchange.address()).await;
    let raw = json!({"channels": ["ticker.BTC-PERPETUAL.raw"]});
    say(&mut client, "public/subscribe", &raw).await;
    assert!(hear(&mut client).await.unwrap().contains("13778"));
    let login =
        json!({"grant_type": "client_credentials", "client_id": "id", "client_secret": "secret"});
    say(&mut client, "public/auth", &login).await;
    assert!(hear(&mut client).await.unwrap().contains("access_token"));
    say(&mut client, "private/subscribe", &raw).await;
    assert!(hear(&mut client).await.unwrap().contains(r#""result":["ticker.BTC-PERPETUAL.raw"]"#));
    assert!(channel_of(&hear(&mut client).await.unwrap()).is_some());
}
