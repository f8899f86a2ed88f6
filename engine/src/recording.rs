//! Verbatim frames, kept beside the tape: compressed, within a budget.
//!
//! The format is the recording format of the simulator's `--replay`: one JSON object a line,
//! `{"received_at": µs, "connection": n, "frame": "verbatim text"}`, in zstd. A frame that finds
//! the writer too slow is left out and counted: the tape comes first.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use schema::Micros;
use serde_json::json;

/// A reader's end of the recording.
#[derive(Clone, Debug)]
pub struct Frames {
    sender: Sender<Frame>,
    left_out: Arc<AtomicU64>,
}

/// The recording's writer.
#[derive(Debug)]
pub struct Recording {
    frames: Frames,
    thread: JoinHandle<io::Result<u64>>,
}

#[derive(Debug)]
struct Frame {
    received_at: Micros,
    connection: u32,
    text: Vec<u8>,
}

impl Recording {
    /// Starts to record into `folder`, keeping at most `budget_bytes` of compressed files.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn start(folder: &Path, budget_bytes: u64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (sender, receiver) = bounded(FRAMES_WAITING_MAX);
        let frames = Frames { sender, left_out: Arc::default() };
        let mut shelf = Shelf::open(folder, budget_bytes)?;
        let thread = thread::Builder::new()
            .name("raw-frames".into())
            .spawn(move || write(&receiver, &mut shelf))?;
        Ok(Self { frames, thread })
    }

    /// An end for a reader.
    #[must_use]
    pub fn frames(&self) -> Frames {
        self.frames.clone()
    }

    /// Ends the recording once every reader's end is dropped: frames kept, frames left out.
    ///
    /// # Errors
    /// When writing failed; what was written before is kept.
    pub fn finish(self) -> io::Result<(u64, u64)> {
        let left_out = Arc::clone(&self.frames.left_out);
        drop(self.frames);
        let kept = self.thread.join().expect("the writer does not panic")?;
        Ok((kept, left_out.load(Ordering::Relaxed)))
    }
}

impl Frames {
    /// Keeps a copy of a frame that carries data, unless the writer is behind. Replies are not
    /// kept: the answer to a login holds tokens.
    pub fn keep(&self, connection: u32, received_at: Micros, text: &[u8]) {
        if !text.windows(CHANNEL.len()).any(|window| window == CHANNEL) {
            return;
        }
        let frame = Frame { received_at, connection, text: text.to_vec() };
        if self.sender.try_send(frame).is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write(frames: &Receiver<Frame>, shelf: &mut Shelf) -> io::Result<u64> {
    let mut kept = 0;
    let mut flushed = Instant::now();
    loop {
        match frames.recv_timeout(FLUSH_INTERVAL) {
            Ok(frame) => {
                let text = String::from_utf8_lossy(&frame.text);
                let line = json!({
                    "received_at": frame.received_at.0,
                    "connection": frame.connection,
                    "frame": text,
                });
                shelf.line(&line.to_string(), frame.received_at)?;
                kept += 1;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                shelf.close()?;
                return Ok(kept);
            }
        }
        if flushed.elapsed() >= FLUSH_INTERVAL {
            flushed = Instant::now();
            shelf.flush()?;
        }
    }
}

/// The recording's files: one open, the oldest removed when all together exceed the budget.
struct Shelf {
    folder: PathBuf,
    budget_bytes: u64,
    closed: VecDeque<(PathBuf, u64)>,
    open: Option<(PathBuf, zstd::Encoder<'static, Counted>)>,
}

struct Counted {
    file: File,
    bytes: u64,
}

impl Shelf {
    fn open(folder: &Path, budget_bytes: u64) -> io::Result<Self> {
        let mut closed = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(SUFFIX) {
                closed.push((entry.path(), entry.metadata()?.len()));
            }
        }
        closed.sort();
        Ok(Self { folder: folder.into(), budget_bytes, closed: closed.into(), open: None })
    }

    fn line(&mut self, line: &str, at: Micros) -> io::Result<()> {
        let (_, encoder) = match &mut self.open {
            Some(open) => open,
            None => {
                let name = at.to_string().replace([':', '-'], "");
                let path = self.folder.join(format!("{name}{SUFFIX}"));
                let file = Counted { file: File::create(&path)?, bytes: 0 };
                self.open.insert((path, zstd::Encoder::new(file, ZSTD_LEVEL)?))
            }
        };
        encoder.write_all(line.as_bytes())?;
        encoder.write_all(b"\n")?;
        if encoder.get_ref().bytes >= self.budget_bytes / FILES_IN_BUDGET {
            self.close()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.open {
            Some((_, encoder)) => encoder.flush(),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> io::Result<()> {
        let Some((path, encoder)) = self.open.take() else { return Ok(()) };
        let file = encoder.finish()?;
        self.closed.push_back((path, file.bytes));
        let mut bytes: u64 = self.closed.iter().map(|(_, bytes)| bytes).sum();
        // Room for the next file is made before it is begun, so that the budget holds.
        while bytes > self.budget_bytes - self.budget_bytes / FILES_IN_BUDGET
            && let Some((oldest, size)) = self.closed.pop_front()
        {
            std::fs::remove_file(oldest)?;
            bytes -= size;
        }
        Ok(())
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What every notification has, and no reply.
const CHANNEL: &[u8] = b"\"channel\"";
const SUFFIX: &str = ".jsonl.zst";
const FRAMES_WAITING_MAX: usize = 8_192;
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
const FILES_IN_BUDGET: u64 = 8;
const ZSTD_LEVEL: i32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(folder: &Path) -> Vec<String> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let text = |path: &PathBuf| zstd::decode_all(File::open(path).unwrap()).unwrap();
        let text: Vec<u8> = files.iter().flat_map(text).collect();
        String::from_utf8(text).unwrap().lines().map(String::from).collect()
    }

    #[test]
    fn frames_are_kept_verbatim() {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::start(folder.path(), 1 << 20).unwrap();
        let frames = recording.frames();
        frames.keep(3, Micros(17), "{\"channel\": \"é\\n\"}".as_bytes());
        frames.keep(3, Micros(18), b"{\"result\": {\"access_token\": \"secret\"}}");
        drop(frames);
        assert_eq!(recording.finish().unwrap(), (1, 0));
        let line: serde_json::Value = serde_json::from_str(&lines(folder.path())[0]).unwrap();
        let expected =
            json!({"received_at": 17, "connection": 3, "frame": "{\"channel\": \"é\\n\"}"});
        assert_eq!(line, expected);
    }

    #[test]
    fn the_budget_is_kept_by_forgetting_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = Shelf::open(folder.path(), 64 << 10).unwrap();
        let mut noise = 1u64;
        for second in 0..4_000 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shelf
                .line(&format!("{second} {noise}{noise}{noise}"), Micros(second * 1_000_000))
                .unwrap();
            shelf.flush().unwrap();
        }
        shelf.close().unwrap();
        let bytes: u64 = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes <= 64 << 10, "{bytes}");
        let lines = lines(folder.path());
        assert!(lines.last().unwrap().starts_with("3999 "), "the newest is kept");
        assert!(!lines[0].starts_with("0 "), "the oldest is gone");
    }
}
