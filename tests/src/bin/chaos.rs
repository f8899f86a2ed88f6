//! `cargo run -p tapedeck-tests --bin chaos -- LISTEN TO [SCRIPT [SEED]]` stands between a recorder
//! and an exchange and makes their line as bad as the script says (tests/src/chaos/script.rs), for
//! ever: end it with Ctrl-C.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tapedeck_tests::chaos::{Chaos, Script};

fn main() -> ExitCode {
    match start(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(chaos) => {
            println!("listening on {}", chaos.address());
            loop {
                std::thread::sleep(Duration::from_secs(5));
                println!("{} connections", chaos.connections());
            }
        }
        Err(sentence) => {
            eprintln!("chaos: {sentence}");
            ExitCode::from(2)
        }
    }
}

fn start(arguments: &[String]) -> Result<Chaos, String> {
    let (listen, to, rest) = match arguments {
        [listen, to, rest @ ..] if rest.len() <= 2 => (listen, to, rest),
        _ => return Err("usage: chaos LISTEN TO [SCRIPT [SEED]]".to_owned()),
    };
    let address = |text: &String| {
        let wrong = |_| format!("{text:?} is not an address: write 127.0.0.1:9000");
        text.parse::<SocketAddr>().map_err(wrong)
    };
    let script = match rest.first() {
        None => Script::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
            Script::parse(&text).map_err(|error| format!("{path}: {error}"))?
        }
    };
    let seed = rest.get(1).map_or(Ok(1), |text| text.parse());
    let seed = seed.map_err(|_| "SEED is a whole number".to_owned())?;
    Chaos::listen(address(listen)?, address(to)?, script, seed).map_err(|error| error.to_string())
}
