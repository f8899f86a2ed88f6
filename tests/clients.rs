//! Clients that others made, unchanged, against the simulated exchange: what they made of it is
//! what its truth log says that it sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use exchange::truth::{self, Line};
use exchange::{Clock, Config, Exchange, MarketConfig, Source, TlsIdentity};
use serde_json::Value;
use tapedeck_tests::{Python, python, skip};
use tempfile::TempDir;

#[test]
fn ccxt() {
    let Some(python) = python() else {
        return skip("clients::ccxt", "no Python with clients: tests/run --install");
    };
    let before_ms = now_ms();
    let house = House::start(None);
    let address = house.exchange.address();
    let (rest, socket) = (format!("http://{address}"), format!("ws://{address}/ws/api/v2"));
    let (seen, truth) = house.meet(&python, "ccxt_pro.py", &[&rest, &socket], None);
    check_markets(&seen["markets"], &truth);

    let watched = &seen["watched"];
    let tickers = rows(&watched["tickers"]);
    assert!(tickers.len() > 20);
    tickers.iter().for_each(|ticker| truth.check_ticker(ticker, &TICKER));
    // What is asked for knows of the newest trade, which the newest quote may not.
    let ticker = &seen["fetched"]["ticker"];
    truth.check_ticker(ticker, &TICKER[1..]);
    let traded = |trade: &Value| trade["price"].as_f64() == ticker["last"].as_f64();
    assert!(truth.trades.values().any(traded), "{ticker}");
    check_frames(rows(&watched["trades"]), &truth);
    let heard_from = truth.trades.keys().next().copied().unwrap();
    let fetched: Vec<Value> = rows(&seen["fetched"]["trades"])
        .iter()
        .filter(|trade| trade["seq"].as_i64().unwrap() >= heard_from)
        .cloned()
        .collect();
    check_trades(&fetched, &truth);

    for book in rows(&watched["books"]) {
        let at: Vec<&Book> =
            truth.books.values().filter(|it| it.timestamp == book["timestamp"]).collect();
        assert!(at.iter().any(|it| it.is(book, usize::MAX)), "no such book: {book}");
    }
    let book = &seen["fetched"]["book"];
    assert!(truth.books[&book["nonce"].as_i64().unwrap()].is(book, 20), "no such book: {book}");

    let greeks = &seen["fetched"]["greeks"];
    let sent = truth.ticker(greeks["instrument_name"].as_str().unwrap(), &greeks["timestamp"]);
    let same = |frame: &&Value| {
        let names = ["delta", "gamma", "vega", "theta", "rho"];
        names.iter().all(|it| greeks["greeks"][it].as_f64() == frame["greeks"][it].as_f64())
    };
    assert!(sent.iter().any(same), "{greeks}");
    let chain = rows(&seen["fetched"]["chain"]).iter().map(|it| it["name"].as_str().unwrap());
    let options: BTreeSet<&str> = truth.options("BTC").collect();
    assert_eq!(chain.collect::<BTreeSet<_>>(), options);
    assert_eq!(seen["fetched"]["status"], "ok");
    let time = seen["fetched"]["time"].as_i64().unwrap();
    assert!((before_ms..=now_ms()).contains(&time), "{time}");
}

#[test]
fn deribit_sdk() {
    let Some(python) = python() else {
        return skip("clients::deribit_sdk", "no Python with clients: tests/run --install");
    };
    let minted = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, minted.cert.pem()).unwrap();
    let identity = TlsIdentity {
        certificate_pem: minted.cert.pem().into_bytes(),
        key_pem: minted.signing_key.serialize_pem().into_bytes(),
    };
    let house = House::start(Some(identity));
    let domain = format!("localhost:{}", house.exchange.address().port());
    let (seen, truth) = house.meet(&python, "deribit_sdk.py", &[&domain], Some(&authority));
    let listed = rows(&seen["instruments"]).iter().map(|name| name.as_str().unwrap());
    assert_eq!(listed.collect::<BTreeSet<_>>(), truth.options("BTC").collect());
    check_trades(rows(&seen["trades"]), &truth);
    assert_eq!(seen["again"], seen["trades"], "asked for by their sequence");
    let book = &seen["book"];
    let sent = &truth.books[&book["change_id"].as_i64().unwrap()];
    assert!(sent.is(book, usize::MAX), "{book} {sent:?}");
    assert!(rows(&seen["windows"]).len() >= 20);
    // The first window may show a book that was not listened to yet.
    for window in rows(&seen["windows"]).iter().skip(1) {
        let sent = &truth.books[&window["change_id"].as_i64().unwrap()];
        assert!(sent.is(window, 10), "{window} {sent:?}");
    }
}

/// An exchange and where it writes the truth.
struct House {
    exchange: Exchange,
    folder: TempDir,
}

impl House {
    fn start(tls: Option<TlsIdentity>) -> House {
        let folder = tempfile::tempdir().unwrap();
        let market = MarketConfig { seed: 3, options: 60, rate: 1000, ..MarketConfig::default() };
        let (source, truth) = (Source::Market(market), Some(folder.path().join("truth.jsonl")));
        let exchange = Exchange::start(Config { source, tls, truth, ..Config::default() }).unwrap();
        House { exchange, folder }
    }

    /// Runs a client to its end: what it made of the exchange, and what was so.
    fn meet(
        self,
        python: &Python,
        script: &str,
        words: &[&str],
        authority: Option<&Path>,
    ) -> (Value, Truth) {
        let mut client = python.script(&format!("tests/clients/{script}"));
        client.args(words);
        client.envs(authority.map(|path| ("SSL_CERT_FILE", path)));
        let output = client.output().expect("Python runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{err}");
        self.exchange.stop();
        let truth = Truth::read(&self.folder.path().join("truth.jsonl"));
        (serde_json::from_slice(&output.stdout).expect("a client prints JSON"), truth)
    }
}

/// A book as it stood after a frame: levels by their price's bits, which order as the prices do.
#[derive(Clone, Debug, Default)]
struct Book {
    timestamp: Value,
    bids: BTreeMap<u64, f64>,
    asks: BTreeMap<u64, f64>,
}

/// What was sent.
#[derive(Debug, Default)]
struct Truth {
    /// By instrument.
    tickers: BTreeMap<String, Vec<Value>>,
    /// Of the perpetual, by sequence.
    trades: BTreeMap<i64, Value>,
    /// The sequences that came in one frame.
    frames: Vec<Vec<i64>>,
    /// Of the perpetual, by the newest change.
    books: BTreeMap<i64, Book>,
    instruments: BTreeSet<String>,
}

impl Truth {
    fn read(path: &Path) -> Truth {
        let mut truth = Truth::default();
        let mut book = Book::default();
        for line in truth::read(path).unwrap() {
            let Line::Sent(sent) = line.unwrap() else { continue };
            let frame: Value = serde_json::from_str(&sent.frame).unwrap();
            let data = &frame["params"]["data"];
            if sent.channel.starts_with("ticker.") {
                let name = data["instrument_name"].as_str().unwrap().to_owned();
                truth.tickers.entry(name).or_default().push(data.clone());
            } else if sent.channel == format!("trades.{PERPETUAL}.100ms") {
                for trade in rows(data) {
                    truth.trades.insert(trade["trade_seq"].as_i64().unwrap(), trade.clone());
                }
                let seqs = rows(data).iter().map(|trade| trade["trade_seq"].as_i64().unwrap());
                truth.frames.push(seqs.collect());
            } else if sent.channel == format!("book.{PERPETUAL}.100ms") {
                book.apply(data);
                truth.books.insert(data["change_id"].as_i64().unwrap(), book.clone());
            }
        }
        truth.instruments = listed();
        truth
    }

    /// The tickers of an instrument that were sent with this time.
    fn ticker(&self, name: &str, timestamp: &Value) -> Vec<&Value> {
        let of = self.tickers.get(name).map(Vec::as_slice).unwrap_or_default();
        let same = |it: &&Value| integer(&it["timestamp"]) == integer(timestamp);
        of.iter().filter(same).collect()
    }

    /// A client's ticker was sent, in these fields.
    fn check_ticker(&self, ticker: &Value, fields: &[(&str, &str)]) {
        let sent = self.ticker(ticker["name"].as_str().unwrap(), &ticker["timestamp"]);
        let is = |frame: &&Value| {
            fields.iter().all(|(theirs, ours)| ticker[*theirs].as_f64() == frame[*ours].as_f64())
        };
        assert!(sent.iter().any(is), "{ticker} was never sent: {sent:?}");
    }

    fn options<'a>(&'a self, coin: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.instruments.iter().map(String::as_str);
        names.filter(move |name| name.starts_with(coin) && !name.ends_with("PERPETUAL"))
    }
}

impl Book {
    fn apply(&mut self, data: &Value) {
        if data["type"] == "snapshot" {
            *self = Book::default();
        }
        self.timestamp = data["timestamp"].clone();
        for (side, levels) in [("bids", &mut self.bids), ("asks", &mut self.asks)] {
            for level in rows(&data[side]) {
                let (price, amount) = (level[1].as_f64().unwrap(), level[2].as_f64().unwrap());
                levels.remove(&price.to_bits());
                if amount > 0.0 {
                    levels.insert(price.to_bits(), amount);
                }
            }
        }
    }

    /// Whether a client's book, best levels first, is this one, as deep as it was asked for.
    fn is(&self, book: &Value, depth: usize) -> bool {
        let level = |(bits, amount): (&u64, &f64)| (f64::from_bits(*bits), *amount);
        let bids: Vec<_> = self.bids.iter().rev().map(level).take(depth).collect();
        let asks: Vec<_> = self.asks.iter().map(level).take(depth).collect();
        let theirs = |side: &str| -> Vec<(f64, f64)> {
            let pair = |it: &Value| (it[0].as_f64().unwrap(), it[1].as_f64().unwrap());
            rows(&book[side]).iter().map(pair).collect()
        };
        theirs("bids") == bids && theirs("asks") == asks
    }
}

/// The names of a market of this seed and size: the exchange without its building makes them too.
fn listed() -> BTreeSet<String> {
    let market = MarketConfig { seed: 3, options: 60, rate: 1000, ..MarketConfig::default() };
    let setup = exchange::Setup { source: Source::Market(market), ..exchange::Setup::default() };
    let (monotonic, utc_us) = (std::time::Duration::ZERO, Clock::system().now_us());
    let floor = exchange::Floor::new(setup, exchange::Now { monotonic, utc_us }).unwrap();
    floor.oracle().unwrap().instruments().into_iter().map(|it| it.name).collect()
}

fn check_markets(markets: &Value, truth: &Truth) {
    let ids: BTreeSet<String> =
        rows(markets).iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, truth.instruments);
    for market in rows(markets) {
        let id = market["id"].as_str().unwrap();
        let parts: Vec<&str> = id.split('-').collect();
        assert_eq!((&market["base"], &market["settle"]), (&parts[0].into(), &parts[0].into()));
        assert_eq!(market["active"], true, "{id}");
        let &[_, day, strike, right] = parts.as_slice() else {
            assert_eq!((market["type"].as_str(), parts[1]), (Some("swap"), "PERPETUAL"));
            continue;
        };
        let right = if right == "C" { "call" } else { "put" };
        assert_eq!((&market["type"], &market["optionType"]), (&"option".into(), &right.into()));
        assert_eq!(market["strike"].as_f64(), strike.parse().ok(), "{id}");
        assert_eq!(market["expiry"].as_i64(), Some(eight_ms(day)), "{id}");
    }
}

/// Each of them was sent as the client has it, and none is missing between them.
fn check_trades(trades: &[Value], truth: &Truth) {
    assert!(trades.len() > 10, "{}", trades.len());
    let seqs: Vec<i64> = trades.iter().map(|trade| trade["seq"].as_i64().unwrap()).collect();
    let (first, last) = (seqs.iter().min().unwrap(), seqs.iter().max().unwrap());
    let missing: Vec<i64> = (*first..=*last).filter(|seq| !seqs.contains(seq)).collect();
    let sent: Vec<_> = missing.iter().map(|seq| truth.trades.get(seq)).collect();
    assert!(missing.is_empty(), "{missing:?} are missing, of which these were sent: {sent:?}");
    check_values(trades, truth);
}

/// Each of them was sent as the client has it, and each frame is whole or not there at all. ccxt
/// (4.5.90) makes a new cache for each trades message, as `safe_dict` takes its `ArrayCache` for no
/// dictionary: of two frames that come between two calls of watchTrades it gives back one.
fn check_frames(trades: &[Value], truth: &Truth) {
    assert!(trades.len() > 10, "{}", trades.len());
    let seqs: BTreeSet<i64> = trades.iter().map(|it| it["seq"].as_i64().unwrap()).collect();
    for frame in &truth.frames {
        let there = frame.iter().filter(|seq| seqs.contains(seq)).count();
        assert!(there == 0 || there == frame.len(), "{there} of {frame:?}");
    }
    check_values(trades, truth);
}

fn check_values(trades: &[Value], truth: &Truth) {
    for trade in trades {
        let sent = &truth.trades[&trade["seq"].as_i64().unwrap()];
        let words = [("name", "instrument_name"), ("id", "trade_id"), ("side", "direction")];
        for (theirs, ours) in words {
            assert_eq!(trade[theirs].as_str(), sent[ours].as_str(), "{trade} {sent}");
        }
        for name in ["timestamp", "price", "amount"] {
            assert_eq!(trade[name].as_f64(), sent[name].as_f64(), "{trade} {sent}");
        }
    }
}

/// `6OCT26` as ms since 1970 at 08:00 UTC.
fn eight_ms(day: &str) -> i64 {
    const MONTHS: &str = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC";
    let (head, year) = day.split_at(day.len() - 2);
    let (day, month) = head.split_at(head.len() - 3);
    let month = 1 + MONTHS.find(month).unwrap() as i8 / 3;
    let date = jiff::civil::date(2000 + year.parse::<i16>().unwrap(), month, day.parse().unwrap());
    let days = date.since(jiff::civil::date(1970, 1, 1)).unwrap().get_days();
    i64::from(days) * 86_400_000 + 8 * 3_600_000
}

fn now_ms() -> i64 {
    Clock::system().now_us() / 1000
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// ccxt keeps some of the numbers of an answer as texts.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

const PERPETUAL: &str = "BTC-PERPETUAL";

/// What ccxt calls the fields of a ticker.
const TICKER: [(&str, &str); 7] = [
    ("last", "last_price"),
    ("bid", "best_bid_price"),
    ("ask", "best_ask_price"),
    ("bidVolume", "best_bid_amount"),
    ("askVolume", "best_ask_amount"),
    ("markPrice", "mark_price"),
    ("indexPrice", "index_price"),
];
