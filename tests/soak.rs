//! The recorder under load, on a bad line, before an exchange that makes mistakes, for as long as
//! one likes: what is lost is named, and memory does not grow.
//!
//! `SOAK_SECONDS=3600 tests/run soak`; ten minutes without a number. `SOAK_RATE` is how much the
//! market says a second, events, 1,000 without a number.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs;
use std::time::{Duration, Instant};

use exchange::Faults;
use tapedeck_tests::chaos::Script;
use tapedeck_tests::shards::Shards;
use tapedeck_tests::slope::{Slope, Trend};
use tapedeck_tests::tape::Tape;
use tapedeck_tests::{Running, heavy, say};

use crate::chaos::behind;
use crate::market::{Market, PATIENCE, UNDER_WAY_US, assert_named, text};

#[test]
fn what_is_lost_is_named_and_memory_stays() {
    if !heavy("soak", "soak::what_is_lost_is_named_and_memory_stays") {
        return;
    }
    let length = Duration::from_secs(number("SOAK_SECONDS", 600));
    let rate = number("SOAK_RATE", 1_000).to_string();
    let folder = tempfile::tempdir().unwrap();
    let faults = folder.path().join("faults.toml");
    fs::write(&faults, FAULTS).unwrap();
    let flags = ["--options", "300", "--rate", &rate, "--faults", text(&faults)];
    let mut market = Market::start(&flags);
    let _chaos = behind(&bad_line(length), &mut market);
    let whole = format!("{}s", length.as_secs());
    let mut recorder = Running::start(&mut market.recorder(&["--for", &whole]));
    let memory = Memory::watch(&recorder, length);
    assert!(recorder.wait(PATIENCE).success(), "{}", recorder.output());
    say(&memory);

    let (truth, tape) = (market.truth(), Tape::read(&market.data()));
    let difference = truth.compare(&tape);
    let end = tape.newest_received - UNDER_WAY_US;
    let missing = difference.missing.iter().filter(|sent| sent.at <= end).count();
    say(&format_args!("{} rows stored, {missing} missing", tape.keys.len()));
    say(&format_args!("{} after their sending", Lags(&truth.lags(&tape))));
    let blind = share_in_gaps(&tape, length);
    say(&format_args!("{}; {:.1} % of the time", Gaps(&tape), 100.0 * blind));

    let (known, groups) = Shards::new(&truth, &tape, end).known();
    say(&format_args!("the shard is known of {known} of {groups} groups of connections"));
    assert_named(&truth, &difference, &tape, end);
    assert!(blind < BLIND_MAX, "{:.1} % of the time is in gaps", 100.0 * blind);
    assert_ne!(memory.judgement(), Some(Trend::Exceeds), "{memory}");
}

/// The heavy run would find a mistake here too late.
#[test]
fn the_bad_line_and_the_mistakes_are_well_formed() {
    Script::parse(&bad_line(Duration::from_secs(3_600))).unwrap();
    Faults::parse(FAULTS).unwrap();
}

/// How much memory the recorder had, once a second: seconds and KiB.
struct Memory(Vec<(f64, f64)>);

impl Memory {
    /// Until the recorder ends, or should have.
    fn watch(recorder: &Running, length: Duration) -> Self {
        let began = Instant::now();
        let (mut samples, mut told) = (Vec::new(), 0);
        while began.elapsed() < length + PATIENCE {
            let Some(kib) = resident_kib(recorder.id()) else { break };
            let seconds = began.elapsed().as_secs();
            samples.push((began.elapsed().as_secs_f64(), kib));
            if seconds * 10 / length.as_secs() > told {
                told = seconds * 10 / length.as_secs();
                say(&format_args!("{seconds} s, {:.1} MiB resident", kib / 1_024.0));
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        Self(samples)
    }

    /// The samples behind the start, in which buffers and tables get their size.
    fn steady(&self) -> &[(f64, f64)] {
        let length = self.0.last().map_or(0.0, |sample| sample.0);
        let from = self.0.partition_point(|sample| sample.0 < (length / 4.0).min(START_S_MAX));
        &self.0[from..]
    }

    fn steady_s(&self) -> f64 {
        let (first, last) = (self.steady().first(), self.steady().last());
        first.zip(last).map_or(0.0, |(first, last)| last.0 - first.0)
    }

    /// Of a run that is long enough to tell.
    fn judgement(&self) -> Option<Trend> {
        let slope = Slope::of(self.steady()).filter(|_| self.steady_s() >= STEADY_S_MIN);
        slope.map(|slope| slope.trend(GROWTH_MAX))
    }
}

impl Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.0.iter().map(|sample| sample.1).fold(0.0, f64::max);
        write!(f, "{:.1} MiB resident at most; ", most / 1_024.0)?;
        let Some(Slope { per_hour, uncertainty }) = Slope::of(self.steady()) else {
            return write!(f, "too few samples for a slope");
        };
        let seconds = self.steady_s();
        write!(f, "{per_hour:+.0} ± {uncertainty:.0} KiB an hour over the last {seconds:.0} s, ")?;
        match self.judgement() {
            None => write!(f, "too short a run to judge: {STEADY_S_MIN} s are needed"),
            Some(Trend::Unknown) => write!(f, "which does not tell whether {GROWTH_MAX} are kept"),
            Some(Trend::Holds) => write!(f, "within {GROWTH_MAX}"),
            Some(Trend::Exceeds) => write!(f, "more than {GROWTH_MAX}: it leaks"),
        }
    }
}

/// `None` once the process has ended.
fn resident_kib(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// µs, the shortest first.
struct Lags<'l>(&'l [i64]);

impl Display for Lags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |per_mille: usize| {
            let lag = self.0.get((self.0.len() * per_mille / 1_000).min(self.0.len() - 1));
            lag.map_or(0.0, |us| *us as f64 / 1_000.0)
        };
        let [half, most, all] = [500, 990, 1_000].map(at);
        write!(f, "half are received within {half:.1} ms, 99 % within {most:.1}, all {all:.0}")
    }
}

/// How many gaps of each cause.
struct Gaps<'t>(&'t Tape);

impl Display for Gaps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
        for gap in &self.0.gaps {
            *causes.entry(&gap.cause).or_default() += 1;
        }
        let causes: Vec<String> =
            causes.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
        write!(f, "{} gaps: {}", self.0.gaps.len(), causes.join(", "))
    }
}

/// What part of the time lies in gaps of a whole connection, of those that had any.
fn share_in_gaps(tape: &Tape, length: Duration) -> f64 {
    let mut blind_us: BTreeMap<&str, i64> = BTreeMap::new();
    for gap in tape.gaps.iter().filter(|gap| gap.instrument == "*") {
        let end = gap.end.unwrap_or(tape.newest_received);
        *blind_us.entry(&gap.shard).or_default() += end - gap.start;
    }
    let sum: i64 = blind_us.values().sum();
    sum as f64 / 1e6 / length.as_secs_f64() / blind_us.len().max(1) as f64
}

/// Two minutes of everything that a line does, again and again; at the end it is good for a while.
fn bad_line(length: Duration) -> String {
    let rounds = length.as_secs().saturating_sub(15) / ROUND_S;
    let mut script = String::new();
    for began in (0..=rounds).map(|round| round * ROUND_S) {
        for (after, words) in ROUND {
            script += &format!("{}s {words}\n", began + after);
        }
    }
    let until = length.as_secs().saturating_sub(15);
    let kept = script.lines().filter(|line| {
        let at = line.split('s').next().and_then(|at| at.parse::<u64>().ok());
        at.is_some_and(|at| at < until)
    });
    format!("{}\n{until}s calm\n", kept.collect::<Vec<_>>().join("\n"))
}

fn number(name: &str, without: u64) -> u64 {
    let value = std::env::var(name);
    value.map_or(without, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a whole number"))
    })
}

const ROUND_S: u64 = 120;
const ROUND: [(u64, &str); 11] = [
    (0, "latency 20ms jitter 30ms"),
    (20, "latency 5ms pieces 400"),
    (40, "stall"),
    (43, "latency 20ms jitter 200ms"),
    (55, "reset"),
    (70, "latency 10ms rate 400000"),
    (85, "close"),
    (95, "mute"),
    (95, "reset"),
    (99, "calm"),
    (99, "reset"),
];

/// Each of a message or a request now and then, or of a connection once in some ten minutes.
const FAULTS: &str = r#"
[[fault]]
do = "close"
probability = 0.001

[[fault]]
do = "close"
code = 4000
reason = "connection_too_slow"
probability = 0.0005

[[fault]]
do = "stall"
length = 5
probability = 0.001

[[fault]]
do = "stall"
length = 60
probability = 0.0002

[[fault]]
do = "delay"
by = 0.7
probability = 0.002

[[fault]]
do = "reorder"
channel = "ticker.*"
probability = 0.001

[[fault]]
do = "duplicate"
probability = 0.005

[[fault]]
do = "fragment"
pieces = 3
probability = 0.02

[[fault]]
do = "dribble"
bytes = 50
every = 0.001
probability = 0.001

[[fault]]
do = "garbage"
form = "json"
probability = 0.0005

[[fault]]
do = "garbage"
form = "frame"
probability = 0.00001

[[fault]]
do = "gap"
channel = "trades.*"
probability = 0.002

[[fault]]
do = "partial"
keep = 0.7
probability = 0.05

[[fault]]
do = "error"
probability = 0.02

[[fault]]
do = "spent"
probability = 0.002
"#;

/// Buffers, tables and the allocator have their size after this.
const START_S_MAX: f64 = 600.0;
/// A shorter run is not judged: what looks like growth may be the rest of the start.
const STEADY_S_MIN: f64 = 1_800.0;
/// What memory may grow by, KiB an hour: 24 MiB a day, which would still be a leak to look for.
const GROWTH_MAX: f64 = 1_024.0;
/// A recorder that is blind for longer does not record: in each two minutes the line loses every
/// connection four times, and each gap is seconds long.
const BLIND_MAX: f64 = 0.5;
