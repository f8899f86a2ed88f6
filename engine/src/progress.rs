//! Progress on a terminal: one line that is written again and again; nothing elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::metrics::State;
use crate::recorder::Recorder;

/// The progress line.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    started: Instant,
    shown: Option<Instant>,
    rows: u64,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// A line that is not shown yet.
    #[must_use]
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { terminal, started: Instant::now(), shown: None, rows: 0 }
    }

    /// Shows the line, at most twice a second.
    pub fn show(&mut self, recorder: &Recorder) {
        let since = self.shown.map_or(INTERVAL, |shown| shown.elapsed());
        if !self.terminal || since < INTERVAL {
            return;
        }
        self.shown = Some(Instant::now());
        let lines: Vec<_> = recorder.lines().iter().filter(|line| line.goal.get() > 0).collect();
        let count = |state| lines.iter().filter(|line| line.state() == state).count();
        let rows = recorder.rows_received();
        let rate = (rows - self.rows) as f64 / since.as_secs_f64();
        self.rows = rows;
        let seconds = self.started.elapsed().as_secs();
        let shown = write!(
            std::io::stderr(),
            "\r\x1b[2K{:02}:{:02}:{:02}  {}/{} connections  {} channels  {rate:.0} rows/s  \
             {rows} received, {} durable records  queue {:.0} %",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            count(State::Recording),
            lines.len(),
            lines.iter().map(|line| line.acknowledged.get()).sum::<u64>(),
            recorder.durable_records(),
            recorder.queue_usage_pct(),
        );
        // A terminal that is gone is no reason to stop recording, nor to try again.
        self.terminal = shown.and_then(|()| std::io::stderr().flush()).is_ok();
    }

    /// Leaves the line as it is.
    pub fn end(&self) {
        if self.shown.is_some() {
            let _ = writeln!(std::io::stderr());
        }
    }
}

const INTERVAL: Duration = Duration::from_millis(500);
