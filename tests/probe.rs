//! The probe, as a program: against a simulated exchange, and against nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::market::{Market, run, tapedeck, text};

const VERDICTS: [&str; 4] = ["confirmed", "different", "not seen", "not tried"];

fn probe(url: &str, out: &Path, flags: &[&str]) -> Command {
    let mut command = tapedeck(&["probe", "--exchange-url", url, "--out", text(out)]);
    command.args(flags);
    // Whoever has credentials must not find them in the bundle.
    command.env("DERIBIT_CLIENT_ID", "guarded-id").env("DERIBIT_CLIENT_SECRET", "guarded-secret");
    command
}

/// The bundle's facts: name, verdict, words.
fn facts(bundle: &Value) -> Vec<[&str; 3]> {
    let facts = bundle["facts"].as_array().unwrap().iter();
    facts.map(|fact| ["id", "verdict", "seen"].map(|key| fact[key].as_str().unwrap())).collect()
}

#[test]
fn a_simulated_exchange_is_probed_to_the_end() {
    let market = Market::start(&["--options", "1200", "--no-credits"]);
    let out = market.folder.path().join("bundle.json");
    let (code, output) = run(&mut probe(&market.url, &out, &["--for", "8s"]));
    assert_eq!(code, Some(0), "{output}");
    let written = std::fs::read_to_string(&out).unwrap();
    let bundle: Value = serde_json::from_str(&written).unwrap();
    let facts = facts(&bundle);
    assert!(facts.len() > 40, "{}", facts.len());
    for [id, verdict, seen] in &facts {
        assert!(VERDICTS.contains(verdict) && !seen.is_empty(), "{id}: {verdict} {seen}");
        let prefix = format!("{verdict:<9}  {id} ");
        assert!(output.lines().any(|line| line.starts_with(&prefix)), "{prefix}\n{output}");
    }
    let verdict = |id: &str| facts.iter().find(|fact| fact[0] == id).map(|fact| fact[1]);
    // What the simulator is known to play, and what eight seconds cannot show.
    for id in ["raw-refused", "raw-keeps", "subscribed-twice", "twins-ticker", "crowd", "id-none"] {
        assert_eq!(verdict(id), Some("confirmed"), "{id}\n{output}");
    }
    assert_eq!(verdict("trades-bounds"), Some("confirmed"), "{output}");
    assert_eq!(verdict("heartbeat-idle"), Some("not seen"), "{output}");
    assert_eq!(verdict("streams-host"), Some("not tried"), "{output}");
    assert!(!output.contains("panicked"), "{output}");
    let paths = [market.folder.path(), tapedeck_tests::root()].map(text);
    for secret in ["guarded-id", "guarded-secret"].iter().chain(&paths) {
        assert!(!written.contains(secret), "the bundle holds {secret}");
    }
    assert_eq!(bundle["host"], "127.0.0.1");
    assert!(written.len() < 8 << 20, "{} bytes", written.len());
}

#[test]
fn a_time_that_is_too_short_is_said() {
    let market = Market::start(&["--options", "10", "--no-credits"]);
    let out = market.folder.path().join("bundle.json");
    let (code, output) = run(&mut probe(&market.url, &out, &["--for", "1ms"]));
    assert_eq!(code, Some(0), "{output}");
    let bundle: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    let verdicts: BTreeSet<&str> = facts(&bundle).iter().map(|fact| fact[1]).collect();
    assert!(!verdicts.contains("different"), "{output}");
    assert!(output.contains("the time was over"), "{output}");
}

#[test]
fn what_cannot_be_probed_is_said_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("bundle.json");
    let closed = format!("ws://127.0.0.1:{}/ws/api/v2", tapedeck_tests::free_port());
    let nowhere = folder.path().join("no/such/folder/bundle.json");
    for (url, out, code, words) in [
        (closed.as_str(), &out, 3, ["127.0.0.1", "refused"]),
        ("http://x", &out, 2, ["http://x", "wss://"]),
        (closed.as_str(), &nowhere, 4, ["cannot write", text(&nowhere)]),
    ] {
        let (got, output) = run(&mut probe(url, out, &["--for", "1s"]));
        assert_eq!(got, Some(code), "{output}");
        let sentences: Vec<_> = output.lines().filter(|it| it.starts_with("tapedeck: ")).collect();
        assert_eq!(sentences.len(), 1, "{output}");
        assert!(words.iter().all(|word| sentences[0].contains(word)), "{output}");
        assert!(!out.exists(), "nothing is left behind");
    }
}
