//! Books: sampled or rebuilt from the tape they are the exchange's own, and a chain that breaks is
//! named.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use schema::Micros;
use schema::tables::BookChange;
use serde_json::Value;
use tapedeck::book::Book;
use tapedeck::rest::Rest;
use tapedeck_tests::Running;
use tapedeck_tests::books::{Change, changes};
use tapedeck_tests::tape::Gap;

use crate::market::{Market, PATIENCE, text};

/// Instrument and version of a book, and its levels: bids, asks.
type Books = HashMap<(String, i64), [Levels; 2]>;
type Levels = Vec<(f64, f64)>;

#[test]
fn a_rebuilt_book_is_the_exchanges_own() {
    let mut market = Market::start(&["--options", "24", "--rate", "800", "--no-credits"]);
    let asked = record_and_ask(&market, &["--books", "incremental", "--for", "8s"]);
    let tape = market.assert_complete();
    assert!(tape.gaps.is_empty(), "{:?}", tape.gaps);
    let judged = judge(&changes(&market.data()), &asked, &[]);
    assert!(judged.equal > 100 && judged.broken == 0, "{judged:?} of {} asked", asked.len());
}

/// Changes are lost on the way: each broken book is named, mended, and wrong at no other time.
#[test]
fn a_broken_chain_is_named_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faults.toml");
    let fault = |what| format!("[[fault]]\ndo = \"{what}\"\nchannel = \"book.*\"\nto = 6\n");
    let faults = ["gap", "drop", "reorder", "duplicate"].map(fault);
    std::fs::write(&path, faults.join("probability = 0.004\n") + "probability = 0.004\n").unwrap();
    let faults = ["--faults", path.to_str().unwrap()];
    let flags = [&["--options", "24", "--rate", "800", "--no-credits"][..], &faults].concat();
    let mut market = Market::start(&flags);
    let asked = record_and_ask(&market, &["--books", "incremental", "--for", "22s"]);
    let tape = market.assert_gaps_cover();
    let broken: Vec<&Gap> = tape.gaps.iter().filter(|gap| gap.cause == "book_chain").collect();
    assert!(broken.len() > 3, "{:?}", tape.gaps);
    assert!(broken.iter().all(|gap| gap.end.is_some()), "all are mended: {broken:?}");
    let judged = judge(&changes(&market.data()), &asked, &broken);
    assert!(judged.equal > 100, "{judged:?} of {} asked", asked.len());
    println!("{judged:?}, {} gaps", broken.len());
}

/// The default: each sample is the whole window that the exchange sent then, with the marks of the
/// ticker before it, and neither it nor letting it go disturbs the tape. The address has no more
/// credits than the real exchange gives.
#[test]
fn samples_are_the_exchanges_own_books() {
    let mut market = Market::start(&["--options", "24", "--rate", "800"]);
    let config = market.folder.path().join("tapedeck.toml");
    let shards = "[[shards]]\nname = \"all\"\ncount = 4\n";
    std::fs::write(&config, format!("[books]\nevery = \"10s\"\n{shards}")).unwrap();
    let output = market.record(&["--config", text(&config), "--for", "24s"]);
    assert!(output.contains("Connections lost: 0."), "{output}");
    let tape = market.assert_complete();
    assert!(tape.gaps.is_empty(), "{:?}", tape.gaps);
    let samples = |name: &str| {
        let of = |key: &&String| key.contains("_orderbook_depth ") && key.contains(name);
        tape.keys.iter().filter(of).collect::<Vec<_>>()
    };
    let quotes = tape.keys.iter().filter_map(|key| key.split_once("_quotes "));
    let names: BTreeSet<&str> = quotes.filter_map(|(_, key)| key.split(' ').next()).collect();
    assert!(names.len() > 24, "{names:?}");
    let mut deepest = 0;
    for name in names {
        let samples = samples(&format!(" {name} "));
        match name.ends_with("-PERPETUAL") {
            true => assert_eq!(samples.len(), 1, "{name} is sampled at the start: {samples:?}"),
            false => assert!((2..=3).contains(&samples.len()), "{name}, each 10 s: {samples:?}"),
        }
        for sample in samples {
            let sides: Vec<&str> = sample.split(" |").skip(1).collect();
            assert_eq!(sides.len(), 2, "{sample}");
            let bare = sides[1].split(' ').any(|word| word == "-");
            assert!(!bare, "the ticker's marks are there: {sample}");
            let levels = |side: &&str| side.matches(':').count();
            deepest = sides.iter().map(levels).max().unwrap_or_default().max(deepest);
        }
    }
    assert_eq!(deepest, 20, "levels a side");
}

#[test]
fn without_books_none_is_recorded() {
    let mut market = Market::start(&["--options", "12", "--rate", "400"]);
    market.record(&["--books", "off", "--for", "6s"]);
    let tape = market.assert_complete();
    let book = |key: &&String| key.contains("_orderbook_depth ") || key.contains("book_changes ");
    assert_eq!(tape.keys.iter().find(book), None);
}

/// Records, and meanwhile asks the exchange for whole books, one instrument after the other.
fn record_and_ask(market: &Market, flags: &[&str]) -> Books {
    let rest = market.url.replace("ws://", "http://").replace("/ws/api/v2", "/api/v2");
    let rest = Rest::new(&rest, &[]);
    let list = "get_instruments?currency=any&expired=false";
    let list: Value = serde_json::from_str(&rest.ask(list).unwrap()).unwrap();
    let names = list["result"].as_array().unwrap().iter();
    let names: Vec<&str> = names.map(|it| it["instrument_name"].as_str().unwrap()).collect();
    let mut recorder = Running::start(&mut market.recorder(flags));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut books = Books::new();
            for name in names.iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let question = format!("get_order_book?instrument_name={name}&depth=10000");
                let answer: Value = serde_json::from_str(&rest.ask(&question).unwrap()).unwrap();
                let book = &answer["result"];
                let change_id = book["change_id"].as_i64().unwrap();
                let sides = ["bids", "asks"].map(|side| levels(&book[side]));
                books.insert(((*name).to_owned(), change_id), sides);
            }
            books
        });
        let status = recorder.wait(PATIENCE);
        over.store(true, Ordering::Relaxed);
        assert!(status.success(), "{status}\n{}", recorder.output());
        asking.join().unwrap()
    })
}

fn levels(side: &Value) -> Levels {
    let level = |level: &Value| (level[0].as_f64().unwrap(), level[1].as_f64().unwrap());
    side.as_array().unwrap().iter().map(level).collect()
}

/// How many of the books that were asked for the tape has.
#[derive(Debug, Default)]
struct Judged {
    equal: usize,
    broken: usize,
}

/// Rebuilds every book message by message, and compares it wherever the exchange was asked.
fn judge(changes: &[Change], asked: &Books, gaps: &[&Gap]) -> Judged {
    let mut judged = Judged::default();
    let mut by_instrument: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        by_instrument.entry(&change.instrument).or_default().push(change);
    }
    for (instrument, changes) in by_instrument {
        let mut book = Book::default();
        let message = |it: &Change| (it.change_id, it.prev_change_id, it.snapshot);
        for rows in changes.chunk_by(|one, next| message(one) == message(next)) {
            rows.iter().for_each(|row| take(&mut book, row));
            let last = rows[0];
            if !book.is_whole() {
                judged.broken += 1;
                let named = gaps.iter().any(|gap| {
                    gap.instrument == instrument
                        && gap.start <= last.received_at
                        && gap.end.is_none_or(|end| last.received_at <= end)
                });
                assert!(named, "{instrument} is broken at {last:?}, and no gap says so");
                continue;
            }
            let Some(own) = asked.get(&(instrument.to_owned(), last.change_id)) else { continue };
            let rebuilt: [Levels; 2] = [book.bids().collect(), book.asks().collect()];
            assert_eq!(&rebuilt, own, "{instrument} at {}", last.change_id);
            judged.equal += 1;
        }
        assert!(book.is_whole(), "{instrument} is broken in the end");
    }
    judged
}

fn take(book: &mut Book, row: &Change) {
    book.take(&BookChange {
        timestamp: Micros(0),
        received_at: Micros(row.received_at),
        instrument: &row.instrument,
        change_id: row.change_id,
        prev_change_id: row.prev_change_id,
        snapshot: row.snapshot,
        side: row.side.as_deref(),
        action: None,
        price: row.level.map(|(price, _)| price),
        amount: row.level.map(|(_, amount)| amount),
    });
}
