//! What a person sees while an export runs.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::manifest::Entry;

/// One line of rows, files, percent and rate, written anew; without a terminal a line a file.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    started: Instant,
    shown: Option<Instant>,
    files: usize,
    files_total: usize,
    /// Rows of the archive that were read, and that there are to read.
    rows: u64,
    rows_total: u64,
}

impl Progress {
    pub(super) fn start(files_total: usize, rows_total: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let started = Instant::now();
        Self { terminal, started, shown: None, files: 0, files_total, rows: 0, rows_total }
    }

    /// Rows of the archive were read.
    pub(super) fn read(&mut self, rows: usize) {
        self.rows += rows as u64;
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL);
        if self.terminal && due {
            self.show();
        }
    }

    /// A file of so many of the archive's rows is there: made now, or found whole.
    pub(super) fn file(&mut self, entry: &Entry, made: bool) {
        self.files += 1;
        if !made {
            self.rows_total = self.rows_total.saturating_sub(entry.source.rows);
        }
        if self.terminal {
            self.show();
            return;
        }
        let Entry { path, rows, bytes, .. } = entry;
        let found = if made { "" } else { ", found whole" };
        let _ = writeln!(std::io::stderr(), "{path}: {rows} rows, {bytes} bytes{found}");
    }

    /// Leaves the line as it is.
    pub(super) fn end(&self) {
        if self.shown.is_some() {
            let _ = writeln!(std::io::stderr());
        }
    }

    fn show(&mut self) {
        self.shown = Some(Instant::now());
        let percent = 100.0 * self.rows.min(self.rows_total) as f64 / self.rows_total.max(1) as f64;
        let rate = self.rows as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        let shown = write!(
            std::io::stderr(),
            "\r\x1b[2K{} of {} files  {percent:.0} %  {} rows read  {rate:.0} rows/s",
            self.files,
            self.files_total,
            self.rows,
        );
        // A terminal that is gone is no reason to stop.
        self.terminal = shown.and_then(|()| std::io::stderr().flush()).is_ok();
    }
}

const INTERVAL: Duration = Duration::from_millis(250);
