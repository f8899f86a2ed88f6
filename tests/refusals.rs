//! Bad input: one clear sentence, and the right exit code.

use std::path::Path;
use std::process::Command;

use tapedeck_tests::Running;

use crate::market::{Market, PATIENCE, run, tapedeck, text};

/// Runs to the end and checks the exit code and that the last line is one sentence with the words.
#[track_caller]
fn check(command: &mut Command, code: i32, words: &[&str]) {
    let (got, output) = run(command);
    assert_eq!(got, Some(code), "{output}");
    let sentences: Vec<&str> =
        output.lines().filter(|line| line.starts_with("tapedeck: ")).collect();
    assert_eq!(sentences.len(), 1, "one sentence: {output}");
    for word in words {
        assert!(sentences[0].contains(word), "{word:?} is not in {}", sentences[0]);
    }
    assert!(!output.contains("panicked"), "{output}");
}

fn record(data: &Path, flags: &[&str]) -> Command {
    let mut command = tapedeck(&["record", "--for", "2s", "--data", text(data)]);
    command.args(flags);
    command
}

#[test]
fn a_wrong_address_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let port = tapedeck_tests::free_port();
    let url = format!("ws://127.0.0.1:{port}/ws/api/v2");
    check(&mut record(&data, &["--exchange-url", &url]), 3, &["127.0.0.1", "refused"]);
    check(&mut record(&data, &["--exchange-url", "http://x"]), 2, &["http://x", "wss://"]);
    let nowhere = "ws://no-such-host.invalid/ws/api/v2";
    check(&mut record(&data, &["--exchange-url", nowhere]), 3, &["no-such-host.invalid"]);
}

#[test]
fn a_wrong_path_is_named_although_rest_answers() {
    let market = Market::start(&["--options", "10"]);
    let url = market.url.replace("/ws/api/v2", "/nothing/here");
    check(&mut record(&market.data(), &["--exchange-url", &url]), 3, &["404"]);
}

#[test]
fn an_unknown_instrument_is_named() {
    let market = Market::start(&["--options", "10"]);
    check(
        &mut market.recorder(&["--instrument", "BTC-PERPETUALL"]),
        2,
        &["BTC-PERPETUALL", "BTC-PERPETUAL?"],
    );
}

#[test]
fn raw_without_credentials_is_refused_before_anything_starts() {
    let market = Market::start(&["--options", "10"]);
    check(
        &mut market.recorder(&["--interval", "raw"]),
        2,
        &["raw", "DERIBIT_CLIENT_ID", "DERIBIT_CLIENT_SECRET"],
    );
}

/// A peer that takes connections and says nothing must not hold up the end.
#[test]
fn a_signal_is_heard_while_the_exchange_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws/api/v2", mute.local_addr().unwrap());
    let data = folder.path().join("data");
    let mut recorder = Running::start(&mut record(&data, &["--exchange-url", &url]));
    let _ = recorder.wait_for("trusting", PATIENCE);
    recorder.terminate();
    let status = recorder.wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{}", recorder.output());
    assert!(recorder.output().contains("nothing was recorded"), "{}", recorder.output());
}

#[test]
fn an_unknown_key_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tapedeck.toml");
    std::fs::write(&file, "[journal]\nsynk_interval = \"1s\"\n").unwrap();
    let flags = ["--config", text(&file)];
    check(&mut record(&folder.path().join("data"), &flags), 2, &["synk_interval", text(&file)]);
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let market = Market::start(&["--options", "10"]);
    let mut first = Running::start(&mut market.recorder(&[]));
    let _ = first.wait_for("recording", PATIENCE);
    let pid = first.id().to_string();
    check(&mut market.recorder(&[]), 6, &["in use", &pid]);
    first.terminate();
    assert!(first.wait(PATIENCE).success());
}

#[test]
fn a_file_in_the_folders_place_is_named() {
    let market = Market::start(&["--options", "10"]);
    std::fs::write(market.data(), "").unwrap();
    check(&mut market.recorder(&[]), 4, &["cannot write", text(&market.data())]);
}

#[test]
fn an_unreadable_recording_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording.jsonl");
    std::fs::write(&file, "{\"frame\": 1}\nnot json\n").unwrap();
    let (code, output) = run(&mut tapedeck(&["simulate", "--replay", text(&file)]));
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("line 2") && output.contains(text(&file)), "{output}");
}

#[test]
fn inspect_names_what_is_not_there() {
    let (code, output) = run(&mut tapedeck(&["inspect", "/no/such/thing"]));
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("/no/such/thing"), "{output}");
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("x.parquet");
    std::fs::write(&garbage, "garbage").unwrap();
    let (code, output) = run(&mut tapedeck(&["inspect", text(&garbage)]));
    assert_eq!(code, Some(4), "{output}");
    assert!(output.contains("x.parquet"), "{output}");
}
