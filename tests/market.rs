//! Two processes in a test: a simulated exchange and a recorder, over real sockets.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tapedeck_tests::Running;
use tapedeck_tests::shards::Shards;
use tapedeck_tests::tape::Tape;
use tapedeck_tests::truth::{Difference, Sent, Truth};

/// A simulated exchange at work, and a folder for what happens.
pub(crate) struct Market {
    /// Removed with the market.
    pub(crate) folder: tempfile::TempDir,
    exchange: Running,
    /// Its websocket's address.
    pub(crate) url: String,
}

impl Market {
    /// Starts `tapedeck simulate` with these flags, and with a truth log.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::with_account(flags, &[])
    }

    /// The same, with an account that the environment names.
    pub(crate) fn with_account(flags: &[&str], account: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = tapedeck(&["simulate", "--listen", "127.0.0.1:0"]);
        command
            .envs(account.iter().copied())
            .args(flags)
            .arg("--truth")
            .arg(folder.path().join("truth.jsonl"));
        let mut exchange = Running::start(&mut command);
        let line = exchange.wait_for("listening on ", PATIENCE);
        let url = line.rsplit(' ').next().expect("an address ends the line").to_owned();
        Self { folder, exchange, url }
    }

    /// Where its recorder keeps everything.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A recorder of this exchange that is not started yet.
    pub(crate) fn recorder(&self, flags: &[&str]) -> Command {
        let mut command = tapedeck(&["record", "--exchange-url", &self.url, "--data"]);
        command.arg(self.data()).args(flags);
        command
    }

    /// Records with these flags to the end, which must be a good one: what was printed.
    pub(crate) fn record(&self, flags: &[&str]) -> String {
        let mut recorder = Running::start(&mut self.recorder(flags));
        let status = recorder.wait(PATIENCE);
        let output = recorder.output();
        assert!(status.success(), "{status}\n{output}");
        output
    }

    /// Ends the exchange and reads what it sent.
    pub(crate) fn truth(&mut self) -> Truth {
        self.exchange.terminate();
        let _ = self.exchange.wait(PATIENCE);
        Truth::read(&self.log())
    }

    /// What happened, as the exchange writes it down.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("truth.jsonl")
    }

    /// Ends the exchange and compares: every row that was sent while the recorder listened is
    /// stored once, nothing else is.
    #[track_caller]
    pub(crate) fn assert_complete(&mut self) -> Tape {
        let (truth, tape) = (self.truth(), Tape::read(&self.data()));
        let difference = truth.compare(&tape);
        let end = self.read_until(&tape);
        let lost: Vec<_> = difference.missing.iter().filter(|sent| sent.at < end).collect();
        assert!(lost.is_empty(), "{} rows are missing, {:?} …", lost.len(), lost.first());
        let surplus = &difference.surplus;
        assert!(surplus.is_empty(), "{} rows too many, {:?} …", surplus.len(), surplus.first());
        assert!(!tape.keys.is_empty(), "something was recorded");
        tape
    }

    /// Ends the exchange and compares: nothing is stored twice or was never sent, and what is
    /// missing was sent inside a gap that the recorder itself names.
    #[track_caller]
    pub(crate) fn assert_gaps_cover(&mut self) -> Tape {
        let (truth, tape) = (self.truth(), Tape::read(&self.data()));
        assert_named(&truth, &truth.compare(&tape), &tape, self.read_until(&tape) - 1);
        tape
    }

    /// Before this, µs UTC, everything that was sent was read.
    fn read_until(&self, tape: &Tape) -> i64 {
        let each = Truth::read_each(&self.log());
        Truth::read_until(&each, tape).min(tape.newest_received - UNDER_WAY_US)
    }

    /// The same for what was sent up to this instant, µs UTC.
    #[track_caller]
    pub(crate) fn assert_gaps_cover_until(&mut self, end: i64) -> Tape {
        let (truth, tape) = (self.truth(), Tape::read(&self.data()));
        assert_named(&truth, &truth.compare(&tape), &tape, end);
        tape
    }
}

/// Of the options every row that was read is stored as often as one connection said it, nothing
/// else is, and there is no gap. `each` is what was sent over each connection.
#[track_caller]
pub(crate) fn assert_each_once(truth: &Truth, each: &[Truth], tape: &Tape) {
    assert!(tape.gaps.is_empty(), "{:?}", tape.gaps);
    let Difference { missing, surplus } = truth.compare_each(each, tape);
    assert!(surplus.is_empty(), "{} rows too many, {:?}", surplus.len(), surplus.first());
    let end = Truth::read_until(each, tape);
    let lost: Vec<_> = missing.iter().filter(|sent| sent.at < end).collect();
    assert!(lost.is_empty(), "{} rows are lost, {:?}", lost.len(), lost.first());
}

/// Nothing is stored twice or was never sent, and what is missing of what was sent up to this
/// instant, µs UTC, was sent inside a gap that the recorder itself names, of the shard that it
/// would have come through.
#[track_caller]
pub(crate) fn assert_named(truth: &Truth, difference: &Difference, tape: &Tape, end: i64) {
    let surplus = &difference.surplus;
    assert!(surplus.is_empty(), "{} rows too many, {:?} …", surplus.len(), surplus.first());
    let shards = Shards::new(truth, tape, end);
    let named = |sent: &Sent| {
        let (table, instrument) = sent.subject();
        let covers = |start: i64, end: Option<i64>| {
            start - UNDER_WAY_US <= sent.at && end.is_none_or(|end| sent.at <= end)
        };
        let mut gaps = tape.gaps.iter().filter(|gap| shards.explains(gap, table, instrument));
        gaps.any(|gap| match gap.cause.as_str() {
            // The trades' own times, of which the exchange tells a little later.
            "trade_seq" => covers(gap.start, gap.end.map(|end| end + UNDER_WAY_US)),
            _ => covers(gap.start, gap.end),
        })
    };
    let lost: Vec<_> =
        difference.missing.iter().filter(|sent| sent.at <= end && !named(sent)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} missing rows are in no gap, {:?} …; gaps {:?}",
        lost.len(),
        difference.missing.len(),
        lost.first(),
        tape.gaps
    );
}

/// A command of the program.
pub(crate) fn tapedeck(arguments: &[&str]) -> Command {
    let mut command = Command::new(tapedeck_tests::binary("tapedeck"));
    command.args(arguments);
    command
}

/// Runs a command of the program to its end: exit code, and all that it printed.
pub(crate) fn run(command: &mut Command) -> (Option<i32>, String) {
    let mut running = Running::start(command);
    let status = running.wait(PATIENCE);
    (status.code(), running.output())
}

/// Runs a command of the program to this exit code: all that it printed.
#[track_caller]
pub(crate) fn ended(command: &mut Command, code: i32) -> String {
    let (ended, output) = run(command);
    assert_eq!(ended, Some(code), "{output}");
    output
}

/// The path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a test's path is UTF-8")
}

/// This machine's clock, and the simulated exchange's, µs UTC.
pub(crate) fn now_us() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_micros()).unwrap()
}

/// A bound for everything that a test waits for: far beyond what it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How long a frame may be under way on loopback, between its log line and its reading: a gap
/// begins with the last instant up to which everything that was *read* is kept.
pub(crate) const UNDER_WAY_US: i64 = 500_000;
