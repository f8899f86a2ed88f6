//! What a faults file says, and what it may not say.

use super::*;

fn one(text: &str) -> Rule {
    let mut rules = Faults::parse(text).unwrap().rules;
    assert_eq!(rules.len(), 1);
    rules.remove(0)
}

/// A file that is refused, with these words in the sentence.
fn refused(text: &str, line: usize, words: &[&str]) {
    let error = Faults::parse(text).unwrap_err();
    assert_eq!(error.line, line, "{error}");
    assert!(words.iter().all(|word| error.reason.contains(word)), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[test]
fn a_fault_is_read() {
    let rule = one(concat!(
        "# A comment.\n\n[[fault]]\ndo = \"delay\"\nby = 0.5\nfrom = 10\nto = 20.5\n",
        "probability = 0.25\ntimes = 7\nconnection = [2, 3]\nchannel = \"book.*\"\n"
    ));
    let (seconds, by) = (Duration::from_secs_f64, Duration::from_millis(500));
    assert_eq!(rule.deed, Deed::Message(Mishap::Delay { by }));
    assert_eq!((rule.line, rule.probability, rule.times), (3, 0.25, 7));
    assert_eq!(rule.from, Moment::After(seconds(10.0)));
    assert_eq!(rule.to, Some(Moment::After(seconds(20.5))));
    assert!(rule.is_for(2) && !rule.is_for(1));
    assert_eq!(rule.channel.as_deref(), Some("book.*"));
    let rule = one("[[fault]]\ndo = \"close\"\ncode = 4000\nat = 2026-11-24T08:00:00Z\n");
    assert_eq!(rule.from, Moment::At(1_795_507_200_000_000));
    assert!(rule.to.is_none() && rule.once && rule.times > 1, "once, to every connection");
    assert_eq!(one("[[fault]]\ndo = \"drop\"\nat = 3\n").times, 1);
    let rule = one("[[fault]]\ndo = \"close\"\ncode = 1006\n");
    assert_eq!(rule.deed, Deed::Connection(Cut::Close { code: None, reason: String::new() }));
    assert!(Faults::parse("").unwrap().is_empty());
}

#[test]
fn every_deed_has_its_word() {
    for (word, keys) in [
        ("drop", ""),
        ("delay", "by = 1"),
        ("reorder", ""),
        ("duplicate", "times = 3"),
        ("gap", "channel = \"trades.*\""),
        ("fragment", "pieces = 5"),
        ("dribble", "bytes = 3\nevery = 0.01"),
        ("garbage", "form = \"utf8\"\ninstead = true"),
        ("partial", "keep = 0.0"),
        ("error", "code = 10040\nmessage = \"retry\"\nreply = \"public/get_*\""),
        ("spent", ""),
        ("close", "reason = \"bye\""),
        ("stall", "length = 20"),
        ("refuse", "status = 503\ndoor = \"any\""),
        ("locked", "index = \"eth_usd\""),
        ("maintenance", "from = 1\nto = 2"),
    ] {
        let rule = one(&format!("[[fault]]\ndo = {word:?}\n{keys}\n"));
        assert_eq!(rule.deed.word(), word);
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    refused("[[fault]]\ndo = \"drop\"\nby = 1\n", 3, &["by", "drop", "it has", "probability"]);
    refused("[[fault]]\ndo = \"explode\"\n", 2, &["explode", "use one of", "drop"]);
    refused("\n[[fault]]\nat = 3\n", 2, &["do is missing"]);
    refused("[[fault]]\ndo = \"drop\"\nprobability = 1.5\n", 3, &["probability", "0 to 1"]);
    refused("[[fault]]\ndo = \"close\"\ncode = 999\n", 3, &["code", "1000 to 4999"]);
    refused("[[fault]]\ndo = \"drop\"\ntimes = \"x\"\n", 3, &["times", "whole number"]);
    refused("[[fault]]\ndo = \"stall\"\n", 1, &["length is missing", "seconds"]);
    refused("[[fault]]\ndo = \"drop\"\nfrom = 5\nto = 5\n", 4, &["later than from"]);
    refused("[[fault]]\ndo = \"drop\"\nat = 5\nto = 6\n", 4, &["at stands alone"]);
    refused("[[fault]]\ndo = \"drop\"\nat = -5\n", 3, &["seconds after the start"]);
    refused("[[fault]]\ndo = \"drop\"\nconnection = 0\n", 3, &["number from 1"]);
    refused("[[fault]]\ndo = \"drop\"\nchannel = 3\n", 3, &["channel", "quotes"]);
    refused("[[fault]]\ndo = \"garbage\"\nform = \"x\"\n", 3, &["form", "truncated"]);
    refused("[[fault]]\ndo = \"locked\"\nprobability = 0.5\n", 3, &["probability", "index"]);
    refused("[[fault]]\ndo = \"refuse\"\nconnection = 1\n", 3, &["connection", "door"]);
    refused("faults = 3\n", 1, &["faults", "[[fault]]"]);
    refused("fault = 3\n", 1, &["[[fault]]"]);
    refused("[[fault]]\ndo = \n", 2, &["not TOML"]);
}

#[test]
fn patterns_are_followed() {
    for (pattern, name, expected) in [
        ("book.*", "book.BTC-PERPETUAL.100ms", true),
        ("*.100ms", "book.BTC-PERPETUAL.100ms", true),
        ("*PERP*", "book.BTC-PERPETUAL.100ms", true),
        ("book.*.agg2", "book.BTC-PERPETUAL.100ms", false),
        ("book", "book.x", false),
        ("b??k.*", "book.x", true),
        ("*", "", true),
        ("?", "", false),
        ("a*b*c", "a-b-b-c", true),
    ] {
        assert_eq!(follows(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn windows_are_on_either_clock() {
    let now = |seconds: u64| Now {
        monotonic: Duration::from_secs(100 + seconds),
        utc_us: 1_795_507_190_000_000 + seconds as i64 * 1_000_000,
    };
    let rule = one("[[fault]]\ndo = \"drop\"\nfrom = 3\nto = 2026-11-24T08:00:00Z\n");
    let covered: Vec<u64> = (0..20).filter(|at| rule.covers(now(*at), now(0))).collect();
    assert_eq!(covered, (3..10).collect::<Vec<_>>());
}
