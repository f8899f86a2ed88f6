//! A recording played back: every frame verbatim to whoever listens to its channel.
//!
//! The clock of a replay starts once all listeners had time to subscribe: `settle` after the newest
//! subscribe call. Recorded gaps are kept, divided by `speed`; bare frames come at `bare_rate`.
//! The file is read twice, once at the start for its channels and then as it plays, so that a
//! recording may be larger than memory.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::channel::Channel;
use crate::error::ExchangeError;
use crate::name::Name;
use crate::recording::{Recorded, Recording};

/// What to replay, and how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayConfig {
    /// A `.jsonl` or `.jsonl.zst` file, or a folder of them.
    pub path: PathBuf,
    /// Recorded gaps are divided by this.
    pub speed: f64,
    /// Frames a second for frames that were recorded without a time.
    pub bare_rate: u32,
    /// How long nobody must have subscribed before the first frame goes out.
    pub settle: Duration,
}

impl Default for ReplayConfig {
    fn default() -> ReplayConfig {
        ReplayConfig {
            path: PathBuf::new(),
            speed: 1.0,
            bare_rate: 100,
            settle: Duration::from_secs(1),
        }
    }
}

/// A recording and how far it has played.
#[derive(Debug)]
pub(crate) struct Replay {
    config: ReplayConfig,
    channels: Vec<String>,
    by_name: HashMap<String, u32>,
    instruments: Vec<String>,
    /// Lines that are no notification.
    pub(crate) skipped: u64,
    recording: Recording,
    /// The frame to play next, and when after the start.
    next: Option<(Duration, Recorded)>,
    newest_at: Option<i64>,
    subscribed: Option<Duration>,
    started: Option<Duration>,
    failed: Option<ExchangeError>,
}

impl Replay {
    /// Reads the whole recording once; a line that is not JSON is an error here, not later.
    pub(crate) fn new(config: ReplayConfig) -> Result<Replay, ExchangeError> {
        if !(config.speed.is_finite() && config.speed > 0.0) || config.bare_rate == 0 {
            let reason = "a replay's speed and its rate of bare frames must be above 0";
            return Err(ExchangeError::Config(reason.to_owned()));
        }
        let mut first = Recording::open(&config.path)?;
        let (mut channels, mut by_name) = (Vec::new(), HashMap::new());
        let mut instruments = BTreeSet::new();
        while let Some(recorded) = first.next()? {
            let named = instrument_of(&recorded.channel);
            if !by_name.contains_key(&recorded.channel) {
                by_name.insert(recorded.channel.clone(), channels.len() as u32);
                channels.push(recorded.channel.clone());
                instruments.extend(named.map(str::to_owned));
            }
            if named.is_none() {
                instruments.extend(instruments_in(&recorded.frame));
            }
        }
        if channels.is_empty() {
            return Err(ExchangeError::EmptyRecording(config.path));
        }
        let mut replay = Replay {
            recording: Recording::open(&config.path)?,
            config,
            channels,
            by_name,
            instruments: instruments.into_iter().collect(),
            skipped: first.skipped,
            next: None,
            newest_at: None,
            subscribed: None,
            started: None,
            failed: None,
        };
        replay.read_on(Duration::ZERO)?;
        Ok(replay)
    }

    /// The recording's channels, in the order of their first frames.
    pub(crate) fn channels(&self) -> &[String] {
        &self.channels
    }

    /// The names of the recording's instruments, sorted.
    pub(crate) fn instruments(&self) -> &[String] {
        &self.instruments
    }

    pub(crate) fn parse(&self, channel: &str) -> Option<Channel> {
        self.by_name.get(channel).map(|at| Channel::Recorded(*at))
    }

    /// Somebody subscribed: until the first frame is out, the wait begins anew.
    pub(crate) fn subscribed(&mut self, now: Duration) {
        if self.started.is_none() {
            self.subscribed = Some(now);
        }
    }

    /// When the next frame is due; `None` where nobody listens yet, or nothing is left.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let (after, _) = self.next.as_ref()?;
        let settled = self.subscribed.map(|subscribed| subscribed + self.config.settle);
        self.started.or(settled)?.checked_add(*after)
    }

    /// Whether the last frame has been played.
    pub(crate) fn is_over(&self) -> bool {
        self.next.is_none()
    }

    /// The next frame that is due; `None` when there is nothing to play yet, or any more.
    pub(crate) fn due(
        &mut self,
        now: Duration,
    ) -> Result<Option<(Channel, String)>, ExchangeError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let Some((after, _)) = &self.next else { return Ok(None) };
        let after = *after;
        let started = match (self.started, self.subscribed) {
            (Some(started), _) => started,
            (None, Some(subscribed)) if now >= subscribed + self.config.settle => {
                *self.started.insert(subscribed + self.config.settle)
            }
            (None, _) => return Ok(None),
        };
        if started.checked_add(after).is_none_or(|due| now < due) {
            return Ok(None);
        }
        let Some((after, recorded)) = self.next.take() else { return Ok(None) };
        // The frame in hand goes out even where the next one cannot be read.
        self.failed = self.read_on(after).err();
        Ok(self.parse(&recorded.channel).map(|channel| (channel, recorded.frame)))
    }

    /// Reads the next frame; a recording that fails under way ends there.
    fn read_on(&mut self, after: Duration) -> Result<(), ExchangeError> {
        let Some(recorded) = self.recording.next()? else { return Ok(()) };
        let gap = match recorded.received_at {
            Some(received_at) => {
                let newest_at = self.newest_at.replace(received_at).unwrap_or(received_at);
                let micros = received_at.saturating_sub(newest_at).max(0) as f64;
                let gap = Duration::try_from_secs_f64(micros / 1e6 / self.config.speed);
                gap.unwrap_or(Duration::MAX)
            }
            None => Duration::from_secs(1) / self.config.bare_rate,
        };
        self.next = Some((after.saturating_add(gap), recorded));
        Ok(())
    }
}

/// The instrument that a channel's name holds: `BTC-PERPETUAL` of `ticker.BTC-PERPETUAL.100ms`.
fn instrument_of(channel: &str) -> Option<&str> {
    let parts: Vec<&str> = channel.split('.').collect();
    let name = match parts.as_slice() {
        ["ticker" | "incremental_ticker" | "book" | "quote" | "perpetual", name, ..]
        | ["trades", name, _]
        | ["chart", "trades", name, _] => *name,
        _ => return None,
    };
    Name::parse(name).map(|_| name)
}

/// The instruments that a frame of a whole kind speaks of.
fn instruments_in(frame: &str) -> Vec<String> {
    let frame: Value = serde_json::from_str(frame).unwrap_or_default();
    let data = &frame["params"]["data"];
    let rows = data.as_array().map_or(std::slice::from_ref(data), Vec::as_slice);
    let names = rows.iter().filter_map(|row| row["instrument_name"].as_str());
    names.filter(|name| Name::parse(name).is_some()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(channel: &str, price: i64) -> String {
        format!(r#"{{"method":"subscription","params":{{"channel":"{channel}","data":{price}}}}}"#)
    }

    fn line(received_at: i64, channel: &str) -> String {
        let frame = frame(channel, received_at);
        serde_json::json!({"received_at": received_at, "connection": 0, "frame": frame}).to_string()
    }

    fn replay(lines: &[String], speed: f64) -> Replay {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        let settle = Duration::from_secs(1);
        Replay::new(ReplayConfig { path, speed, bare_rate: 10, settle }).unwrap()
    }

    #[test]
    fn gaps_are_kept_and_the_wait_restarts() {
        let lines = [line(1_000_000, "x.1"), line(3_000_000, "x.2"), line(2_000_000, "x.1")];
        let mut replay = replay(&lines, 2.0);
        assert_eq!(replay.channels(), ["x.1", "x.2"]);
        let start = Duration::ZERO;
        let at = |ms| start + Duration::from_millis(ms);
        assert!(replay.due(at(5000)).unwrap().is_none(), "nobody listens");
        replay.subscribed(at(0));
        replay.subscribed(at(500));
        assert!(replay.due(at(1499)).unwrap().is_none());
        assert_eq!(replay.due(at(1500)).unwrap().unwrap().0, Channel::Recorded(0));
        replay.subscribed(at(1600));
        assert!(replay.due(at(2499)).unwrap().is_none());
        let second = replay.due(at(2500)).unwrap().unwrap();
        assert_eq!(second, (Channel::Recorded(1), frame("x.2", 3_000_000)));
        assert!(replay.due(at(2500)).unwrap().is_some(), "time never runs backwards");
        assert!(replay.is_over());
        assert!(replay.due(at(99_999)).unwrap().is_none(), "the end is quiet");
    }

    #[test]
    fn a_recording_that_breaks_under_way_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        // Beyond what one read of the file takes in ahead.
        let lines: Vec<String> = (0..2000).map(|at| frame("x", at)).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        let config = ReplayConfig { path: path.clone(), ..ReplayConfig::default() };
        let mut replay = Replay::new(config).unwrap();
        std::fs::write(&path, "oops\n".repeat(100_000)).unwrap();
        let start = Duration::ZERO;
        replay.subscribed(start);
        let later = start + Duration::from_secs(1000);
        let mut played = 0;
        let error = loop {
            match replay.due(later) {
                Ok(Some((_, text))) => {
                    assert_eq!(text, frame("x", played));
                    played += 1;
                }
                Ok(None) => panic!("the end came without a word"),
                Err(error) => break error,
            }
        };
        assert!(played > 50 && error.to_string().contains("is not JSON"), "{played} {error}");
        assert!(replay.is_over() && replay.due(later).unwrap().is_none());
    }

    #[test]
    fn absurd_times_only_wait() {
        let lines = [line(i64::MIN, "x"), line(i64::MAX, "x"), line(0, "x")];
        let mut replay = replay(&lines, 1e-300);
        let start = Duration::ZERO;
        replay.subscribed(start);
        let later = start + Duration::from_secs(9_999_999);
        assert!(replay.due(later).unwrap().is_some());
        assert!(replay.due(later).unwrap().is_none());
    }

    #[test]
    fn bare_frames_are_paced() {
        let mut replay = replay(&[frame("ticker.BTC-PERPETUAL.raw", 1), frame("b", 2)], 1.0);
        assert_eq!(replay.instruments(), ["BTC-PERPETUAL"]);
        let start = Duration::ZERO;
        replay.subscribed(start);
        assert!(replay.due(start + Duration::from_millis(1099)).unwrap().is_none());
        assert!(replay.due(start + Duration::from_millis(1100)).unwrap().is_some());
        assert!(replay.due(start + Duration::from_millis(1199)).unwrap().is_none());
        assert!(replay.due(start + Duration::from_millis(1200)).unwrap().is_some());
    }

    #[test]
    fn instruments_come_from_channels_and_rows() {
        assert_eq!(instrument_of("trades.option.BTC.100ms"), None);
        assert_eq!(instrument_of("book.BTC_USDT.none.10.100ms"), Some("BTC_USDT"));
        let rows = r#"{"params":{"data":[{"instrument_name":"BTC-25DEC26"},{"a":1}]}}"#;
        assert_eq!(instruments_in(rows), ["BTC-25DEC26"]);
    }
}
