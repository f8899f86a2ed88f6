//! The whole program over real sockets: what was sent is stored once.

use std::process::Command;

use tapedeck_tests::Running;
use tapedeck_tests::tape::Tape;

use crate::market::{Market, PATIENCE, run, tapedeck, text};

#[test]
fn a_market_is_recorded_by_one_two_and_four_readers() {
    for readers in ["1", "2", "4"] {
        let mut market = Market::start(&["--options", "300", "--rate", "1500"]);
        let output = market.record(&["--for", "6s", "--readers", readers]);
        assert!(output.contains("option_quotes"), "{output}");
        let tape = market.assert_complete();
        assert!(tape.keys.len() > 1_000, "{} rows with {readers} readers", tape.keys.len());
        assert!(tape.gaps.is_empty(), "{:?}", tape.gaps);
    }
}

#[test]
fn recorders_that_follow_each_other_ask_no_more_than_they_may() {
    let market = Market::start(&["--options", "200", "--rate", "400"]);
    for _ in 0..3 {
        // So many connections that not all of them may ask at once.
        let output =
            market.record(&["--channels", "ticker,trades,perpetual,index,book", "--for", "6s"]);
        assert!(output.contains("Connections lost: 0."), "{output}");
    }
    let sent = std::fs::read_to_string(market.folder.path().join("truth.jsonl")).unwrap();
    assert!(sent.contains(r#""open","connection":45"#), "fifteen connections, three times");
    assert!(!sent.contains("too_many_requests"), "the exchange was asked too often");
}

#[test]
fn a_market_is_recorded_over_tls_by_one_two_and_four_readers() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path());
    let (cert, key) = (text(&cert), text(&key));
    let secure = ["--options", "100", "--rate", "800", "--tls-cert", cert, "--tls-key", key];
    for readers in ["1", "2", "4"] {
        let mut market = Market::start(&secure);
        market.url = market.url.replace("127.0.0.1", "localhost");
        if readers == "1" {
            let (code, output) = run(&mut market.recorder(&["--for", "2s"]));
            assert_eq!(code, Some(3), "nobody vouches for this certificate: {output}");
            assert!(output.contains("certificate"), "{output}");
        }
        market.record(&["--for", "4s", "--ca-file", cert, "--readers", readers]);
        market.assert_complete();
    }
}

#[test]
fn a_lost_exchange_is_found_again_and_the_gap_is_named() {
    let port = tapedeck_tests::free_port();
    let listen = format!("127.0.0.1:{port}");
    let simulate = || {
        let flags = ["simulate", "--options", "40", "--rate", "400", "--listen", &listen];
        let mut exchange = Running::start(&mut tapedeck(&flags));
        let _ = exchange.wait_for("listening on ", PATIENCE);
        exchange
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let url = format!("ws://{listen}/ws/api/v2");
    let mut exchange = simulate();
    let flags = ["record", "--exchange-url", &url, "--data", text(&data), "--for", "15s"];
    let mut recorder = Running::start(&mut tapedeck(&flags));
    let _ = recorder.wait_for("recording", PATIENCE);
    std::thread::sleep(std::time::Duration::from_secs(3));
    exchange.kill();
    let _again = simulate();
    let status = recorder.wait(PATIENCE);
    assert!(status.success(), "{status}\n{}", recorder.output());
    let tape = Tape::read(&data);
    let gaps: Vec<_> = tape.gaps.iter().filter(|gap| gap.cause == "disconnected").collect();
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap.end.is_some()), "{:?}", tape.gaps);
    let end = gaps.iter().filter_map(|gap| gap.end).max().unwrap();
    assert!(tape.newest_received > end, "rows follow the gap");
}

#[test]
fn a_graceful_end_keeps_every_row() {
    for signal in ["TERM", "INT"] {
        let mut market = Market::start(&["--options", "100", "--rate", "1000"]);
        let mut recorder = Running::start(&mut market.recorder(&[]));
        let _ = recorder.wait_for("recording", PATIENCE);
        std::thread::sleep(std::time::Duration::from_secs(2));
        let pid = recorder.id().to_string();
        Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        let status = recorder.wait(PATIENCE);
        assert!(status.success(), "{signal}: {status}\n{}", recorder.output());
        market.assert_complete();
    }
}

#[test]
fn a_second_start_goes_on_and_names_the_gap() {
    let mut market = Market::start(&["--options", "60", "--rate", "600"]);
    market.record(&["--for", "3s"]);
    market.record(&["--for", "3s"]);
    let tape = market.assert_gaps_cover();
    assert!(tape.gaps.iter().any(|gap| gap.cause == "restart"), "{:?}", tape.gaps);
}

#[test]
fn raw_channels_are_recorded_with_a_key_that_is_never_shown() {
    let key = [("DERIBIT_CLIENT_ID", "the-id"), ("DERIBIT_CLIENT_SECRET", "the-secret")];
    let mut market = Market::with_account(&["--options", "20", "--rate", "300"], &key);
    let mut wrong = market.recorder(&["--interval", "raw", "--for", "4s"]);
    wrong.env("DERIBIT_CLIENT_ID", "the-id").env("DERIBIT_CLIENT_SECRET", "another");
    let (code, output) = run(&mut wrong);
    assert_eq!(code, Some(3), "{output}");
    assert!(output.contains("invalid_credentials") && !output.contains("another"), "{output}");
    let file = market.folder.path().join("secret");
    std::fs::write(&file, "the-secret\n").unwrap();
    let flags = ["--interval", "raw", "--for", "4s", "--raw-frames", "10000000"];
    let mut recorder = market.recorder(&flags);
    recorder.env("DERIBIT_CLIENT_ID", "the-id").env("DERIBIT_CLIENT_SECRET_FILE", &file);
    recorder.env("TAPEDECK_TELEMETRY__LEVEL", "debug");
    let (code, output) = run(&mut recorder);
    assert_eq!(code, Some(0), "{output}");
    market.assert_complete();
    let raw: Vec<u8> = std::fs::read_dir(market.data().join("raw"))
        .unwrap()
        .flat_map(|entry| {
            let file = std::fs::File::open(entry.unwrap().path()).unwrap();
            zstd::decode_all(file).unwrap()
        })
        .collect();
    let raw = String::from_utf8(raw).unwrap();
    assert!(raw.contains(".raw") && !raw.contains("token"), "frames, without what logs in");
    assert!(!output.contains("the-secret"), "{output}");
}

#[test]
fn raw_frames_can_be_replayed() {
    let mut market = Market::start(&["--options", "20", "--rate", "300"]);
    // Listed by hand, a window and the ticker that marks it may be on two connections.
    market.record(&["--books", "off", "--for", "4s", "--raw-frames", "10000000"]);
    let first = market.assert_complete();
    let raw = market.data().join("raw");
    let mut replay = Market::start(&["--replay", text(&raw)]);
    let channels = replay.url.replace("ws://", "http://").replace("/ws/api/v2", "/channels");
    replay.record(&["--for", "8s", "--channels-from", &channels]);
    let second = replay.assert_complete();
    let (mut first, mut second) = (first.keys, second.keys);
    first.sort();
    second.sort();
    assert_eq!(first.len(), second.len());
    assert_eq!(first, second);
}

#[test]
fn the_demo_says_what_it_stored() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let (code, output) =
        run(&mut tapedeck(&["demo", "--for", "4s", "--options", "50", "--data", text(&data)]));
    assert_eq!(code, Some(0), "{output}");
    for word in ["option_quotes", "read_parquet", text(&data)] {
        assert!(output.contains(word), "{word} is missing: {output}");
    }
    let (code, output) = run(&mut tapedeck(&["inspect", text(&data)]));
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("option_quotes"), "{output}");
}

/// A certificate for localhost that signs itself, and its key.
fn certificate(folder: &std::path::Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}
