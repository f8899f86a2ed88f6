//! The recorder under load: what it costs, and whether everything that was sent is stored once.
//!
//! `cargo run --release -p tapedeck-benches --bin load -- [SECONDS] [RATE] [OPTIONS]` runs the
//! simulated exchange and the recorder as two processes, reads the recorder's CPU time and memory
//! from /proc, and compares the tape with the truth log row by row.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tapedeck_tests::tape::Tape;
use tapedeck_tests::truth::Truth;

fn main() {
    let number = |index, default| {
        let argument = std::env::args().nth(index);
        argument.map_or(default, |text| text.parse::<u64>().expect("a whole number"))
    };
    let (seconds, rate, options) = (number(1, 60), number(2, 2_000), number(3, 1_548));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, truth) = (folder.path().join("data"), folder.path().join("truth.jsonl"));
    let port = tapedeck_tests::free_port();
    let exchange = Guard(
        tapedeck()
            .args(["simulate", "--listen", &format!("127.0.0.1:{port}")])
            .args(["--rate", &rate.to_string(), "--options", &options.to_string()])
            .arg("--truth")
            .arg(&truth)
            .stdout(Stdio::null())
            .spawn()
            .expect("the exchange starts"),
    );
    wait_for_port(port);
    let started = Instant::now();
    let mut recorder = Guard(
        tapedeck()
            .args(["record", "--exchange-url", &format!("ws://127.0.0.1:{port}/ws/api/v2")])
            .args(["--for", &format!("{seconds}s")])
            .arg("--data")
            .arg(&data)
            .spawn()
            .expect("the recorder starts"),
    );
    let mut samples = Vec::new();
    let status = loop {
        if let Some(status) = recorder.0.try_wait().expect("a child can be waited for") {
            break status;
        }
        if let Some(sample) = Sample::of(recorder.0.id(), started) {
            samples.push(sample);
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let exchange_cpu = Sample::of(exchange.0.id(), started).map_or(0.0, |sample| sample.cpu);
    terminate(exchange);
    assert!(status.success(), "the recorder failed: {status}");
    report(&samples, seconds, exchange_cpu);
    compare(&truth, &data);
}

fn report(samples: &[Sample], seconds: u64, exchange_cpu: f64) {
    let last = samples.last().expect("the recorder lived for a sample");
    // The start (TLS roots, instruments, subscribing) is not the steady state.
    let steady = samples.iter().find(|sample| sample.at > 5.0).unwrap_or(last);
    let share = 100.0 * (last.cpu - steady.cpu) / (last.at - steady.at).max(0.001);
    let rss = samples.iter().map(|sample| sample.rss_bytes).max().unwrap_or(0);
    println!("recorder: {:.2} CPU s in {seconds} s", last.cpu);
    println!("recorder: {share:.1} % of a core after the first 5 s");
    println!("recorder: {:.1} MiB resident at most", rss as f64 / f64::from(1 << 20));
    println!("exchange: {exchange_cpu:.2} CPU s");
}

fn compare(truth: &Path, data: &Path) {
    let (truth, tape) = (Truth::read(truth), Tape::read(data));
    let difference = truth.compare(&tape);
    println!(
        "sent: {} frames, {} rows; stored: {} rows; missing {}, surplus {}",
        truth.frames,
        truth.rows.len(),
        tape.keys.len(),
        difference.missing.len(),
        difference.surplus.len()
    );
    // What was sent after the recorder had hung up was never received.
    let end = tape.newest_received;
    let lost: Vec<_> = difference.missing.iter().filter(|sent| sent.at <= end).collect();
    println!("missing among what was sent before the end: {}", lost.len());
    for sent in lost.iter().take(5) {
        println!("  missing {}", sent.key);
    }
    for key in difference.surplus.iter().take(5) {
        println!("  surplus {key}");
    }
}

/// A process at a moment.
struct Sample {
    at: f64,
    /// User and system time, s.
    cpu: f64,
    rss_bytes: u64,
}

impl Sample {
    fn of(pid: u32, started: Instant) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Fields after the name in brackets: state is the first; utime the 12th, stime the 13th.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: u64 =
            fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        let pages: u64 = fields.get(21)?.parse().ok()?;
        let cpu = ticks as f64 / TICKS_PER_SECOND;
        Some(Self { at: started.elapsed().as_secs_f64(), cpu, rss_bytes: pages * PAGE_BYTES })
    }
}

/// Ends its process, whatever happens.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets the exchange write its truth to the end.
fn terminate(mut exchange: Guard) {
    let pid = exchange.0.id().to_string();
    let _ = Command::new("kill").args(["-TERM", &pid]).status();
    let _ = exchange.0.wait();
}

fn tapedeck() -> Command {
    let mut path: PathBuf = std::env::current_exe().expect("this program has a path");
    path.set_file_name("tapedeck");
    assert!(path.exists(), "{} is missing: cargo build --release", path.display());
    Command::new(path)
}

fn wait_for_port(port: u16) {
    for _ in 0..200 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the exchange does not listen");
}

/// Linux's USER_HZ, which /proc counts in, is 100 on every architecture we run on.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: u64 = 4_096;
