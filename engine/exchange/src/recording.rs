//! Recordings: folders and files of JSON lines, read one line at a time.
//!
//! A line is `{"received_at": µs, "connection": n, "frame": "verbatim text"}`, or a bare frame:
//! one JSON-RPC notification. Anything else that is JSON (answers to requests) is skipped.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::ExchangeError;

/// One notification of a recording.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recorded {
    /// µs since 1970; `None` for a bare frame.
    pub(crate) received_at: Option<i64>,
    pub(crate) channel: String,
    /// The text as it came over the socket.
    pub(crate) frame: String,
}

/// All lines of all files, in order.
#[derive(Debug)]
pub(crate) struct Recording {
    left: std::vec::IntoIter<PathBuf>,
    open: Option<OpenFile>,
    /// Lines that were no notification, so far.
    pub(crate) skipped: u64,
}

struct OpenFile {
    path: PathBuf,
    lines: Box<dyn BufRead + Send>,
    line: u64,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

impl Recording {
    /// Opens a file, or a folder's files by name; folders inside it are left alone.
    pub(crate) fn open(path: &Path) -> Result<Recording, ExchangeError> {
        let failed = |source| ExchangeError::Recording(path.to_owned(), source);
        let mut files = Vec::new();
        if path.metadata().map_err(failed)?.is_dir() {
            for entry in path.read_dir().map_err(failed)? {
                let file = entry.map_err(failed)?.path();
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let named = name.ends_with(".jsonl") || name.ends_with(".jsonl.zst");
                if named && file.is_file() {
                    files.push(file);
                }
            }
            files.sort();
        } else {
            files.push(path.to_owned());
        }
        if files.is_empty() {
            return Err(ExchangeError::EmptyRecording(path.to_owned()));
        }
        Ok(Recording { left: files.into_iter(), open: None, skipped: 0 })
    }

    /// The next notification; `None` at the end of the last file.
    pub(crate) fn next(&mut self) -> Result<Option<Recorded>, ExchangeError> {
        let mut text = String::new();
        loop {
            let Some(file) = &mut self.open else {
                let Some(path) = self.left.next() else { return Ok(None) };
                self.open = Some(OpenFile::open(path)?);
                continue;
            };
            text.clear();
            file.line += 1;
            let read = file.lines.read_line(&mut text);
            if read.map_err(|source| file.failed(source))? == 0 {
                self.open = None;
                continue;
            }
            let line = text.trim();
            if line.is_empty() {
                continue;
            }
            match read_line(line) {
                Ok(Some(recorded)) => return Ok(Some(recorded)),
                Ok(None) => self.skipped += 1,
                Err(reason) => return Err(file.error(reason)),
            }
        }
    }
}

impl OpenFile {
    fn open(path: PathBuf) -> Result<OpenFile, ExchangeError> {
        let failed = |source| ExchangeError::Recording(path.clone(), source);
        let file = File::open(&path).map_err(failed)?;
        let lines: Box<dyn BufRead + Send> = if path.extension().is_some_and(|end| end == "zst") {
            Box::new(BufReader::new(zstd::Decoder::new(file).map_err(failed)?))
        } else {
            Box::new(BufReader::new(file))
        };
        Ok(OpenFile { path, lines, line: 0 })
    }

    fn failed(&self, source: io::Error) -> ExchangeError {
        match source.kind() {
            io::ErrorKind::InvalidData => self.error("is not UTF-8 text"),
            _ => ExchangeError::Recording(self.path.clone(), source),
        }
    }

    fn error(&self, reason: &str) -> ExchangeError {
        ExchangeError::Line { path: self.path.clone(), line: self.line, reason: reason.to_owned() }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    received_at: Option<i64>,
    #[serde(borrow)]
    frame: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    channel: Option<Cow<'a, str>>,
}

fn read_line(text: &str) -> Result<Option<Recorded>, &'static str> {
    let Ok(line) = serde_json::from_str::<Line<'_>>(text) else {
        // JSON of another shape is no notification; what is no JSON is an error.
        let json = serde_json::from_str::<IgnoredAny>(text);
        return json.map(|_| None).map_err(|_| "is not JSON");
    };
    let Some(frame) = line.frame else {
        let channel = line.params.and_then(|params| params.channel);
        return Ok(channel.map(|channel| Recorded {
            received_at: None,
            channel: channel.into_owned(),
            frame: text.to_owned(),
        }));
    };
    // A recorder keeps garbage verbatim too; a frame that names no channel is for nobody.
    let channel = serde_json::from_str::<Line<'_>>(&frame).ok();
    let channel = channel.and_then(|line| line.params?.channel.map(Cow::into_owned));
    let received_at = line.received_at;
    Ok(channel.map(|channel| Recorded { received_at, channel, frame: frame.into_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(path: &Path) -> Result<(Vec<Recorded>, u64), ExchangeError> {
        let mut recording = Recording::open(path)?;
        let mut found = Vec::new();
        while let Some(recorded) = recording.next()? {
            found.push(recorded);
        }
        Ok((found, recording.skipped))
    }

    #[test]
    fn a_folder_is_read_by_name_and_answers_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let bare = r#"{"params":{"data":{},"channel":"a.b"},"method":"subscription"}"#;
        let line = serde_json::json!({"received_at": 5, "connection": 1, "frame": bare});
        let packed = zstd::encode_all(format!("{line}\n").as_bytes(), 1).unwrap();
        std::fs::write(folder.path().join("1.jsonl.zst"), packed).unwrap();
        let answers = "{\"id\":1,\"result\":[]}\n\n[1]\n{\"frame\":\"garbage\"}\n";
        std::fs::write(folder.path().join("2.jsonl"), format!("{answers}{bare}\r\n")).unwrap();
        std::fs::write(folder.path().join("INDEX.tsv"), "not read").unwrap();
        std::fs::create_dir(folder.path().join("deeper.jsonl")).unwrap();
        let (found, skipped) = all(folder.path()).unwrap();
        let one = |received_at| Recorded {
            received_at,
            channel: "a.b".to_owned(),
            frame: bare.to_owned(),
        };
        assert_eq!(found, [one(Some(5)), one(None)]);
        assert_eq!(skipped, 3);
    }

    #[test]
    fn errors_say_where() {
        let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().unwrap();
        writeln!(file, "{{\"id\":1}}\n{{oops").unwrap();
        let error = all(file.path()).unwrap_err().to_string();
        assert!(error.starts_with("line 2 of ") && error.contains("is not JSON"), "{error}");
        assert!(matches!(all(Path::new("/nowhere")), Err(ExchangeError::Recording(..))));
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(all(folder.path()), Err(ExchangeError::EmptyRecording(_))));
    }
}
