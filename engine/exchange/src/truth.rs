//! The truth log: what the exchange really sent, to compare with what a client stored.
//!
//! JSON lines: a frame once it was written to the socket, an event for each connection opened or
//! closed and each set of channels subscribed or let go, and each fault that struck. A frame whose
//! write was cut short by the connection's end may or may not have arrived: it is
//! `"certain":false`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::ExchangeError;

/// One line of a truth log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A frame that was sent.
    Sent(Sent),
    /// Something that happened to a connection.
    Event(Event),
    /// Something that went wrong on purpose.
    Fault(Fault),
}

/// A frame that was sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// µs since 1970 on the exchange's clock, after the write.
    pub sent_at: i64,
    /// The connection's number, from 1.
    pub connection: u64,
    /// The channel; empty for an answer or a heartbeat.
    pub channel: String,
    /// The text of the frame.
    pub frame: String,
    /// False where nobody can know whether the client got it.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub certain: bool,
}

/// Something that happened to a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What.
    pub event: What,
    /// The connection's number, from 1.
    pub connection: u64,
    /// µs since 1970 on the exchange's clock.
    pub at: i64,
    /// The channels that were acknowledged or let go.
    pub channels: Vec<String>,
}

/// Something that went wrong on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The faults file's word: `drop`, `delay`, `close`, …
    pub fault: String,
    /// The line at which the rule begins in the faults file.
    pub rule: usize,
    /// µs since 1970 on the exchange's clock.
    pub at: i64,
    /// The connection's number; 0 for one that was not let in.
    pub connection: u64,
    /// The channel of a message, or the method of an answer or request.
    pub about: String,
    /// The message as it was meant; of a gap what is missing.
    pub text: String,
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// A websocket was opened.
    Open,
    /// Channels were acknowledged.
    Subscribed,
    /// Channels were let go.
    Unsubscribed,
    /// The connection ended, whoever ended it.
    Closed,
}

fn yes() -> bool {
    true
}

// serde hands over a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_true(certain: &bool) -> bool {
    *certain
}

/// Reads a truth log line by line.
pub fn read(
    path: &Path,
) -> Result<impl Iterator<Item = Result<Line, ExchangeError>>, ExchangeError> {
    let path = path.to_owned();
    let file = File::open(&path).map_err(|source| ExchangeError::Truth(path.clone(), source))?;
    let lines = BufReader::new(file).lines().zip(1..);
    Ok(lines.map(move |(text, line)| {
        let text = text.map_err(|source| ExchangeError::Truth(path.clone(), source))?;
        serde_json::from_str(&text).map_err(|_| ExchangeError::Line {
            path: path.clone(),
            line,
            reason: "is no line of a truth log".to_owned(),
        })
    }))
}

/// Writes a truth log.
#[derive(Debug)]
pub(crate) struct TruthLog {
    path: PathBuf,
    file: BufWriter<File>,
}

impl TruthLog {
    pub(crate) fn create(path: &Path) -> Result<TruthLog, ExchangeError> {
        let file =
            File::create(path).map_err(|source| ExchangeError::Truth(path.to_owned(), source))?;
        Ok(TruthLog { path: path.to_owned(), file: BufWriter::with_capacity(1 << 18, file) })
    }

    pub(crate) fn write(&mut self, line: &Line) -> Result<(), ExchangeError> {
        let written = serde_json::to_writer(&mut self.file, line).map_err(io::Error::from);
        let written = written.and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|source| self.failed(source))
    }

    pub(crate) fn flush(&mut self) -> Result<(), ExchangeError> {
        let flushed = self.file.flush();
        flushed.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> ExchangeError {
        ExchangeError::Truth(self.path.clone(), source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.jsonl");
        let sent = |certain| Sent {
            sent_at: 5,
            connection: 1,
            channel: "a".into(),
            frame: "{\"b\":\"\\\"\"}".into(),
            certain,
        };
        let channels = vec!["a".to_owned()];
        let event = Event { event: What::Subscribed, connection: 1, at: 4, channels };
        let (fault, text) = ("drop".to_owned(), "{}".to_owned());
        let fault = Fault { fault, rule: 3, at: 6, connection: 1, about: "a".into(), text };
        let lines = [
            Line::Event(event),
            Line::Sent(sent(true)),
            Line::Sent(sent(false)),
            Line::Fault(fault),
        ];
        let mut log = TruthLog::create(&path).unwrap();
        lines.iter().for_each(|line| log.write(line).unwrap());
        log.flush().unwrap();
        let back: Result<Vec<Line>, _> = read(&path).unwrap().collect();
        assert_eq!(back.unwrap(), lines);
        std::fs::write(&path, "nonsense").unwrap();
        assert!(read(&path).unwrap().next().unwrap().is_err());
    }
}
