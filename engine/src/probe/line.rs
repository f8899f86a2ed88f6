//! One connection: asks, waits for the answer, and writes down whatever else comes.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::evidence::{Asked, Message, Role, Step, Tape};
use super::pace::Pace;
use crate::dial::{Dial, DialError};
use crate::endpoint::Endpoint;
use crate::websocket::Event;
use crate::wire::{Wire, WireError};

/// A websocket that is driven by whoever calls: it reads only while it is asked or listened to.
#[derive(Debug)]
pub(super) struct Line<'a> {
    socket: TcpStream,
    wire: Wire,
    pace: &'a Pace,
    tape: Tape,
    order: u64,
    kept_bytes: usize,
}

/// Why there is no connection, or none any more.
#[derive(Debug)]
pub enum LineError {
    /// The host cannot be reached.
    Dial(DialError),
    /// The bytes make no websocket.
    Wire(WireError),
    /// The socket failed.
    Socket(io::Error),
    /// The exchange closed it.
    Closed(String),
    /// Nothing came in time.
    Silent,
}

/// What happened while waiting.
enum Heard {
    Open,
    Text(String),
    Closed(String),
}

/// As much of a message as says what it is.
#[derive(Deserialize)]
struct Envelope {
    method: Option<String>,
    id: Option<Value>,
    params: Option<Params>,
}

#[derive(Deserialize)]
struct Params {
    channel: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "data")]
    _data: Option<IgnoredAny>,
}

impl<'a> Line<'a> {
    /// Connects and waits until the websocket is open.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn open(
        role: Role,
        endpoint: &Endpoint,
        tls: Option<Arc<ClientConfig>>,
        pace: &'a Pace,
    ) -> Result<Self, LineError> {
        let asked = pace.now().monotonic;
        let dial = Dial::start(&endpoint.host, endpoint.port, PATIENCE);
        let socket = loop {
            match dial.poll() {
                Some(result) => break result?,
                // A resolver may take as long as it likes; nobody waits for it.
                None if pace.now().monotonic > asked + 2 * PATIENCE => {
                    return Err(LineError::Silent);
                }
                None => thread::sleep(GLANCE),
            }
        };
        let seed = RandomState::new().build_hasher().finish();
        let wire = Wire::new(endpoint, tls, seed)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let tape = Tape::new(role, Duration::ZERO);
        let mut line = Self { socket, wire, pace, tape, order: 0, kept_bytes: 0 };
        let patience = pace.now().monotonic + PATIENCE;
        line.flush()?;
        while pace.now().monotonic < patience {
            for heard in line.read(patience)? {
                match heard {
                    Heard::Open => line.tape.opened = pace.now().monotonic,
                    Heard::Text(text) => drop(line.take(text)?),
                    Heard::Closed(why) => return Err(LineError::Closed(why)),
                }
            }
            if !line.tape.opened.is_zero() {
                return Ok(line);
            }
        }
        Err(LineError::Silent)
    }

    /// Waits for its turn, sends the text and waits for the answer. Asks nothing once the run is
    /// over.
    ///
    /// # Errors
    /// When the connection ends; the question is on the tape nevertheless.
    pub(super) fn ask(&mut self, step: Step, request: &str) -> Result<(), LineError> {
        let Some(turn) = self.pace.turn() else { return Ok(()) };
        self.listen(turn)?;
        if self.pace.stopped() {
            return Ok(());
        }
        let sent = self.pace.now().monotonic;
        self.tape.asked.push(Asked { step, request: request.into(), sent, answer: None });
        self.wire.send_text(request.as_bytes())?;
        self.flush()?;
        let wanted = id_of(request);
        while self.pace.now().monotonic < sent + PATIENCE && !self.pace.stopped() {
            for heard in self.read(sent + PATIENCE)? {
                if let Some((id, message)) = self.write_down(heard)? {
                    let asked = self.tape.asked.last_mut();
                    match asked.filter(|asked| asked.answer.is_none() && is_answer(&id, &wanted)) {
                        Some(asked) => asked.answer = Some(message),
                        None => self.keep(message),
                    }
                }
            }
            if self.tape.asked.last().is_some_and(|asked| asked.answer.is_some()) {
                break;
            }
        }
        Ok(())
    }

    /// Writes down what comes until then, or until the run is over.
    ///
    /// # Errors
    /// When the connection ends.
    pub(super) fn listen(&mut self, until: Duration) -> Result<(), LineError> {
        while self.pace.now().monotonic < until && !self.pace.over() {
            for heard in self.read(until)? {
                if let Some((_, message)) = self.write_down(heard)? {
                    self.keep(message);
                }
            }
        }
        Ok(())
    }

    /// What has happened so far.
    #[must_use]
    pub(super) fn tape(&self) -> &Tape {
        &self.tape
    }

    /// Hangs up. `ended` is what ended the connection before.
    #[must_use]
    pub(super) fn into_tape(mut self, ended: Result<(), LineError>) -> Tape {
        self.tape.ended = ended.err().map(|error| error.to_string());
        self.tape
    }

    fn write_down(&mut self, heard: Heard) -> Result<Option<(Option<Value>, Message)>, LineError> {
        match heard {
            Heard::Open => Ok(None),
            Heard::Text(text) => self.take(text),
            Heard::Closed(why) => Err(LineError::Closed(why)),
        }
    }

    /// Counts a message. Gives it back with its id if it may be an answer.
    fn take(&mut self, text: String) -> Result<Option<(Option<Value>, Message)>, LineError> {
        self.order += 1;
        let at = self.pace.now().monotonic;
        let envelope = serde_json::from_str::<Envelope>(&text).ok();
        let (id, method, params) = match envelope {
            Some(it) => (it.id, it.method, it.params),
            None => (None, None, None),
        };
        let (channel, kind) = params.map_or((None, None), |it| (it.channel, it.kind));
        let count = self.tape.counts.entry(channel.clone().unwrap_or_default()).or_default();
        count.frames += 1;
        count.bytes += text.len() as u64;
        let message = Message { order: self.order, at, channel, text };
        if method.is_none() {
            return Ok(Some((id, message)));
        }
        self.keep(message);
        if kind.as_deref() == Some("test_request") {
            // Not a question of ours: who does not answer is hung up on.
            self.wire.send_text(BEAT.as_bytes())?;
            self.flush()?;
        }
        Ok(None)
    }

    fn keep(&mut self, message: Message) {
        let channel = message.channel.clone().unwrap_or_default();
        let seen = self.tape.counts.get(&channel).map_or(0, |count| count.frames);
        let room = self.kept_bytes + message.text.len() <= KEPT_BYTES_MAX;
        if seen <= KEPT_FRAMES_MAX && room {
            self.kept_bytes += message.text.len();
            self.tape.frames.push(message);
        }
    }

    /// Reads once, at most until then.
    fn read(&mut self, until: Duration) -> Result<Vec<Heard>, LineError> {
        let wait = until.saturating_sub(self.pace.now().monotonic).clamp(GLANCE, WAIT_MAX);
        self.socket.set_read_timeout(Some(wait))?;
        let mut input = self.wire.take_input();
        let start = input.len();
        input.resize(start + READ_BYTES, 0);
        let read = match input.get_mut(start..) {
            Some(room) => self.socket.read(room),
            None => Ok(0),
        };
        input.truncate(start + read.as_ref().map_or(0, |&bytes| bytes));
        self.wire.put_input(input)?;
        let mut heard = Vec::new();
        while let Some(event) = self.wire.next()? {
            match event {
                Event::Open => heard.push(Heard::Open),
                Event::Text(bytes) => {
                    heard.push(Heard::Text(String::from_utf8_lossy(bytes).into_owned()));
                }
                Event::Closed { code, reason } => {
                    let code = code.map_or("no code".into(), |code| code.to_string());
                    heard.push(Heard::Closed(format!("{code} {reason:?}")));
                }
                Event::Binary(_) | Event::Ping(_) | Event::Pong(_) => {}
            }
        }
        self.flush()?;
        match read {
            Ok(0) if heard.is_empty() => {
                self.wire.end()?;
                Err(LineError::Closed("without a word".into()))
            }
            Ok(_) => Ok(heard),
            Err(error) if is_pause(&error) => Ok(heard),
            Err(error) => Err(error.into()),
        }
    }

    fn flush(&mut self) -> Result<(), LineError> {
        let output = self.wire.take_output()?;
        if !output.is_empty() {
            self.socket.write_all(&output)?;
        }
        Ok(())
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn id_of(request: &str) -> Option<Value> {
    serde_json::from_str::<Value>(request).ok()?.get("id").cloned()
}

/// Ids are compared as words: whether the type is kept is one of the questions. An error may have
/// lost its id.
fn is_answer(id: &Option<Value>, wanted: &Option<Value>) -> bool {
    let word = |id: &Value| id.to_string().trim_matches('"').to_owned();
    match (id, wanted) {
        (None | Some(Value::Null), _) => true,
        (Some(_), None) => false,
        (Some(id), Some(wanted)) => word(id) == word(wanted),
    }
}

impl From<DialError> for LineError {
    fn from(error: DialError) -> Self {
        Self::Dial(error)
    }
}

impl From<WireError> for LineError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<io::Error> for LineError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => error.fmt(f),
            Self::Wire(error) => error.fmt(f),
            Self::Socket(error) => write!(f, "the socket failed: {error}"),
            Self::Closed(why) => write!(f, "the exchange closed the connection: {why}"),
            Self::Silent => write!(f, "nothing came in {} s", PATIENCE.as_secs()),
        }
    }
}

impl std::error::Error for LineError {}

/// How long a connection or an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(8);
/// The shortest wait on a socket.
const GLANCE: Duration = Duration::from_millis(1);
/// The longest: a signal must be noticed.
const WAIT_MAX: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 64 * 1024;
/// What is kept of one channel, and of one connection; the rest is only counted.
const KEPT_FRAMES_MAX: u64 = 2_000;
const KEPT_BYTES_MAX: usize = 48 << 20;
const BEAT: &str = r#"{"jsonrpc":"2.0","id":"beat","method":"public/test","params":{}}"#;
