//! Real messages of the exchange against an independent reading of them.
//!
//! The captures are other people's recordings and no part of this project: they are read from the
//! folder that TAPEDECK_CAPTURES names, else from `../shared/captures` beside the workspace, and
//! these tests skip, saying so, where it is missing. `oracle/` holds what the npm package
//! tardis-dev makes of the same lines.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its input fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use schema::tables::Rows;
use schema::{Micros, Now};
use serde_json::Value;
use tapedeck::deribit::{Decoder, Limits, instruments};

use cells::{Cells, rows_of};

mod account;
mod cells;
mod oracle;
mod wire;

/// A line of a capture file: one notification.
struct Line {
    file: String,
    number: u64,
    channel: String,
    /// The data as sent, and as read by a parser that is not the decoder's.
    raw: String,
    data: Value,
}

/// What the decoder made of a line.
enum Outcome {
    /// Rows, by table.
    Stored(BTreeMap<&'static str, Vec<Cells>>),
    /// The repeat of a message before.
    Duplicate,
    /// Of these kinds, which have no table.
    Unsupported(Vec<String>),
}

#[test]
fn every_captured_message_is_accounted_for() {
    let Some(folder) = folder() else { return };
    let oracle = oracle::read(&folder);
    let mut decoder = Decoder::new(Limits::default());
    let mut account = account::Account::default();
    let mut before: BTreeMap<String, Value> = BTreeMap::new();
    for line in lines(&folder, "ws_") {
        let outcome = decode(&mut decoder, &line);
        let expected = oracle.get(&(line.file.clone(), line.number)).unwrap_or(&Value::Null);
        match &outcome {
            Outcome::Stored(rows) => {
                wire::compare(&line, rows);
                account.matched += oracle::compare(&line, expected, rows);
            }
            Outcome::Duplicate => {
                assert_eq!(Some(&line.data), before.get(&line.channel), "{}", line.name());
            }
            Outcome::Unsupported(_) => {}
        }
        account.add(&line, &outcome);
        before.insert(line.channel, line.data);
    }
    account.print(decoder.tally());
    assert!(decoder.tally().quarantined.is_empty(), "{:?}", decoder.tally().quarantined);
    assert!(account.matched >= 80, "only {} of the oracle's values compared", account.matched);
}

#[test]
fn the_documentations_examples_are_decoded() {
    let Some(folder) = folder() else { return };
    let mut decoder = Decoder::new(Limits::default());
    let mut account = account::Account::default();
    for line in lines(&folder.join("doc_examples"), "ws_") {
        let outcome = decode(&mut decoder, &line);
        if let Outcome::Stored(rows) = &outcome {
            wire::compare(&line, rows);
        }
        account.add(&line, &outcome);
    }
    account.print(decoder.tally());
    assert!(decoder.tally().quarantined.is_empty(), "{:?}", decoder.tally().quarantined);
}

#[test]
fn every_captured_instrument_is_listed() {
    let Some(folder) = folder() else { return };
    let text = fs::read_to_string(folder.join("rest_get_instruments.jsonl")).unwrap();
    let mut listed = 0;
    for line in text.lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        let entries = answer["result"].as_array().unwrap();
        let listing = instruments::parse(slice(line, "result")).unwrap();
        assert_eq!((listing.listed.len(), listing.broken), (entries.len(), 0));
        let mut rows = Rows::default();
        for instrument in &listing.listed {
            instrument.push(Micros(1), Now::default(), &mut rows);
        }
        let rows = rows_of(&mut rows).remove("instruments").unwrap();
        for (cells, entry) in rows.iter().zip(entries) {
            wire::compare_instrument(cells, entry);
        }
        listed += rows.len();
    }
    println!("{listed} instruments listed, each field equal to the answer's");
    assert!(listed > 800, "{listed}");
}

fn decode(decoder: &mut Decoder, line: &Line) -> Outcome {
    let before = decoder.tally().clone();
    let mut rows = Rows::default();
    let now = Now { monotonic: std::time::Duration::ZERO, utc: Micros(7) };
    decoder.decode(&line.channel, &line.raw, now, &mut rows);
    let after = decoder.tally();
    if rows.rows() > 0 {
        return Outcome::Stored(rows_of(&mut rows));
    }
    if after.duplicates_dropped.sum() > before.duplicates_dropped.sum() {
        return Outcome::Duplicate;
    }
    let grew = |(name, count): &(&String, &u64)| before.unsupported.get(*name) != Some(count);
    let kinds: Vec<_> = after.unsupported.iter().filter(grew).map(|(n, _)| n.clone()).collect();
    assert!(!kinds.is_empty(), "{} left no trace", line.name());
    Outcome::Unsupported(kinds)
}

fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/captures");
    let folder = std::env::var_os("TAPEDECK_CAPTURES").map_or_else(|| beside.into(), PathBuf::from);
    if folder.join("ws_trades.jsonl").is_file() {
        return Some(folder);
    }
    println!("SKIPPED: no captures in {} (TAPEDECK_CAPTURES)", folder.display());
    None
}

/// Every line of the files of that kind. Snapshots of books come before their changes.
fn lines(folder: &std::path::Path, prefix: &str) -> Vec<Line> {
    let mut files: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(prefix) && name.ends_with(".jsonl"))
        .collect();
    files.sort_by_key(|name| (!name.contains("snapshot"), name.clone()));
    let mut lines = Vec::new();
    for file in files {
        let text = fs::read_to_string(folder.join(&file)).unwrap();
        for (index, line) in text.lines().enumerate() {
            let frame: Value = serde_json::from_str(line).unwrap();
            lines.push(Line {
                file: file.clone(),
                number: index as u64 + 1,
                channel: frame["params"]["channel"].as_str().unwrap().to_owned(),
                raw: slice(line, "data").to_owned(),
                data: frame["params"]["data"].clone(),
            });
        }
    }
    lines
}

/// The text of the object or array under that key, as sent.
fn slice<'a>(line: &'a str, key: &str) -> &'a str {
    let start = line.find(&format!("\"{key}\":")).unwrap() + key.len() + 3;
    let (mut depth, mut in_text) = (0, false);
    for (index, byte) in line.bytes().enumerate().skip(start) {
        match byte {
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(byte, b'}' | b']') {
            return &line[start..=index];
        }
    }
    panic!("{key} does not end")
}

impl Line {
    fn name(&self) -> String {
        format!("{}:{} {}", self.file, self.number, self.channel)
    }
}
