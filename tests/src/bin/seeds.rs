//! `cargo run -p tapedeck-tests --bin seeds -- FOLDER` writes what the fuzzers begin with: a folder
//! of inputs for each target, made by the simulated exchange.

use std::path::PathBuf;
use std::process::ExitCode;

use tapedeck_tests::fuzz::seeds;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: seeds FOLDER");
        return ExitCode::from(2);
    };
    match seeds::write(&folder) {
        Ok(count) => {
            println!("{count} inputs in {}", folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("seeds: cannot write into {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
