//! The checks of the fuzz targets over what the simulated exchange says, what a fuzzer has found,
//! and, in the heavy suite `fuzz`, the fuzzers themselves.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tapedeck_tests::fuzz::{TARGETS, seeds, segment};
use tapedeck_tests::random::{Random, Seed};
use tapedeck_tests::{heavy, root, say, skip};

#[test]
fn every_seed_passes() {
    let seeds = seeds::make();
    for (target, check) in TARGETS {
        let inputs = seeds.iter().filter(|seed| seed.target == target);
        for seed in inputs.clone() {
            println!("{target} {}", seed.name);
            check(&seed.bytes);
        }
        let count = inputs.count();
        assert!(count >= 4, "{target} begins with {count} inputs");
    }
}

/// Inputs that a fuzzer has found, each with what was wrong.
#[test]
fn what_was_found_holds() {
    let found: [(&str, &[u8]); 2] = [
        // The check: tungstenite refuses a masked frame when all of it is there, and this one is
        // long.
        ("frame", b"i\x01\x01\0\0\0\0\0\0\0\0\xff\0\0\0\0\0\x01\x11\x70\xfa"),
        // The check: tungstenite reads a close frame whose short length is written long, and finds
        // fault with its reason; ours never gets so far.
        (
            "frame",
            b"\0\0\x88\x7e\0\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x10\x80\0",
        ),
    ];
    for (target, input) in found {
        let check = TARGETS.iter().find(|(name, _)| *name == target);
        check.expect("a target has this name").1(input);
    }
}

/// The check: a byte between two records that is not zero is damage, as any other is.
#[test]
fn a_byte_between_two_records_is_damage() {
    let seeds = seeds::make();
    let one = |bytes: &&Vec<u8>| bytes[0] & 3 == 0;
    let inputs = seeds.iter().filter(|it| it.target == "segment").map(|it| &it.bytes);
    let mut seen = 0;
    for input in inputs.filter(one) {
        segment::check(&segment::unclean(input.clone()));
        seen += 1;
    }
    assert!(seen > 0, "a folder of one segment is among the seeds");
}

/// Without a fuzzer's eyes, but in every test run: seeds with random damage.
#[test]
fn damaged_seeds_hold() {
    let seeds = seeds::make();
    for (target, check) in TARGETS {
        let inputs: Vec<_> = seeds.iter().filter(|seed| seed.target == target).collect();
        for round in 0..ROUNDS {
            let named = Seed(round);
            let mut random = Random(round);
            let other = &inputs[random.below(inputs.len())].bytes;
            let mut bytes = inputs[random.below(inputs.len())].bytes.clone();
            for _ in 0..=random.below(4) {
                damage(&mut bytes, other, &mut random);
            }
            check(&bytes);
            drop(named);
        }
    }
}

fn damage(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let length = random.pick(&[1, 1, 2, 4, 8, 100]);
    let end = bytes.len().min(at + length);
    match random.below(7) {
        0 if at < end => bytes[at] ^= 1 << random.below(8),
        1 if at < end => bytes[at] = random.pick(&[0, 1, 9, b'"', b'0', b'{', 0x7f, 0x80, 0xff]),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        4 => {
            let from = random.below(other.len() + 1);
            let piece = &other[from..other.len().min(from + length)];
            bytes.splice(at..at, piece.iter().copied());
        }
        5 => bytes[at..end].fill(random.pick(&[0, 0xff])),
        _ => bytes.truncate(at),
    }
}

#[test]
fn frame_holds() {
    fuzz("frame", "fuzz::frame_holds");
}

#[test]
fn handshake_holds() {
    fuzz("handshake", "fuzz::handshake_holds");
}

#[test]
fn message_holds() {
    fuzz("message", "fuzz::message_holds");
}

#[test]
fn segment_holds() {
    fuzz("segment", "fuzz::segment_holds");
}

/// Fuzzes one target for `FUZZ_SECONDS`, from the simulator's seeds and from what earlier runs
/// have kept.
fn fuzz(target: &str, name: &str) {
    if !heavy("fuzz", name) {
        return;
    }
    let Some(cargo_fuzz) = cargo_fuzz() else {
        return skip(name, "no cargo-fuzz: run tests/run --install fuzz");
    };
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| build(&cargo_fuzz));
    let [corpus, artifacts] = ["corpus", "artifacts"].map(|name| home().join(name).join(target));
    fs::create_dir_all(&corpus).unwrap();
    fs::create_dir_all(&artifacts).unwrap();
    let log = home().join(format!("{target}.log"));
    let output = File::create(&log).unwrap();
    let mut command = Command::new(built().join(target));
    command.arg(corpus).arg(home().join("seeds").join(target));
    command.arg(format!("-max_total_time={}", seconds()));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.args(["-print_final_stats=1", "-rss_limit_mb=1024", "-timeout=20"]);
    // Longer inputs are only slower: a few messages, a small journal.
    command.arg(format!("-max_len={}", if target == "segment" { 32_768 } else { 4_096 }));
    let words = root().join(format!("tests/fuzz/{target}.dict"));
    if words.is_file() {
        command.arg(format!("-dict={}", words.display()));
    }
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    let status = command.status().expect("the target was built");
    let said = fs::read(&log).unwrap();
    let said = String::from_utf8_lossy(&said);
    assert!(status.success(), "{target} failed ({status}); {}\n{}", log.display(), tail(&said));
    let done = said.lines().rev().find(|line| line.contains("DONE")).unwrap_or_default();
    say(&format_args!("{target}, {} s: {done}", seconds()));
}

/// Makes the seeds and every target. What it depends on is the workspace's own.
fn build(cargo_fuzz: &Path) {
    seeds::write(&home().join("seeds")).expect("the target folder takes files");
    let folder = root().join("tests/fuzz");
    fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock"))
        .expect("a lock file to begin with");
    let built = Command::new(cargo_fuzz)
        .args(["fuzz", "build", "--fuzz-dir"])
        .arg(folder)
        .arg("--target-dir")
        .arg(home())
        // The sanitizer is unstable: the pinned compiler has the same as a nightly one.
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(root())
        .stdin(Stdio::null())
        .status()
        .expect("cargo-fuzz runs");
    assert!(built.success(), "the fuzz targets are not built: {built}");
}

fn cargo_fuzz() -> Option<PathBuf> {
    let path = root().join("tests/.parts/fuzz/bin/cargo-fuzz");
    path.is_file().then_some(path)
}

/// Where targets, seeds, corpora and findings lie.
fn home() -> PathBuf {
    root().join("target/fuzz")
}

fn built() -> PathBuf {
    home().join(format!("{}-unknown-linux-gnu/release", std::env::consts::ARCH))
}

fn seconds() -> u64 {
    let seconds = std::env::var("FUZZ_SECONDS");
    seconds.map_or(60, |text| text.parse().expect("FUZZ_SECONDS is a whole number"))
}

/// The end of a log, which says what failed and where the input lies.
fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

const LINES: usize = 60;
/// Damaged inputs of each target.
const ROUNDS: u64 = 1_000;
