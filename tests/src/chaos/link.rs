//! One connection through the proxy: two sockets, and two directions of bytes that wait.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::{Line, POLL, Weather};
use crate::random::Random;

/// A client, and the server that it wants; none where nobody is to answer.
#[derive(Debug)]
pub(super) struct Link {
    client: TcpStream,
    server: Option<TcpStream>,
    end: AtomicU8,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both ends get a RST, and lose what they have not read.
    Reset = 1,
    /// The client gets a part of what waits for it, then a FIN.
    Close = 2,
}

/// Bytes under way, and when they are there.
type Chunk = (Instant, Vec<u8>);

impl Link {
    pub(super) fn new(client: TcpStream, server: Option<TcpStream>) -> io::Result<Self> {
        for socket in [Some(&client), server.as_ref()].into_iter().flatten() {
            socket.set_nodelay(true)?;
            // A thread that reads must notice the end.
            socket.set_read_timeout(Some(POLL))?;
            socket.set_write_timeout(Some(POLL))?;
        }
        if let Some(server) = &server {
            // A long queue before a narrow place would hide it from the server for minutes.
            SockRef::from(server).set_recv_buffer_size(ROOM_BYTES)?;
        }
        Ok(Self { client, server, end: AtomicU8::new(0) })
    }

    /// Lets the bytes pass, each direction in two threads, until the end.
    pub(super) fn start(self: Arc<Self>, line: &Arc<Line>, seed: u64) {
        if self.server.is_none() {
            let line = Arc::clone(line);
            thread::spawn(move || {
                let mut room = [0; 4096];
                while self.is_open(&line) && !matches!((&self.client).read(&mut room), Ok(0)) {}
            });
            return;
        }
        for upward in [true, false] {
            let (sender, receiver) = sync_channel(CHUNKS);
            let (reading, writing) = (Arc::clone(&self), Arc::clone(&self));
            let (one, other) = (Arc::clone(line), Arc::clone(line));
            let seed = seed.wrapping_mul(2).wrapping_add(u64::from(upward));
            thread::spawn(move || reading.read(upward, &one, &sender, Random(seed)));
            thread::spawn(move || writing.write(upward, &other, &receiver, Random(!seed)));
        }
    }

    /// Ends it; the threads do so within a moment.
    pub(super) fn end(&self, end: End) {
        if end == End::Reset {
            for socket in [Some(&self.client), self.server.as_ref()].into_iter().flatten() {
                // With nothing to linger for, closing is a RST.
                let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
        }
        self.end.store(end as u8, Ordering::Relaxed);
    }

    fn ends_by(&self, end: End) -> bool {
        self.end.load(Ordering::Relaxed) == end as u8
    }

    fn is_open(&self, line: &Line) -> bool {
        self.end.load(Ordering::Relaxed) == 0 && !line.is_stopped()
    }

    /// The socket that is read, and the one that is written.
    fn ends(&self, upward: bool) -> (&TcpStream, &TcpStream) {
        let server = self.server.as_ref().unwrap_or(&self.client);
        if upward { (&self.client, server) } else { (server, &self.client) }
    }

    fn read(&self, upward: bool, line: &Line, to: &SyncSender<Chunk>, mut random: Random) {
        let (mut from, _) = self.ends(upward);
        let mut room = vec![0; 16 << 10];
        let mut due = Instant::now();
        while self.is_open(line) {
            match from.read(&mut room) {
                Ok(0) => return,
                Ok(bytes) => {
                    let weather = line.weather();
                    // What was sent later does not overtake.
                    due = due.max(Instant::now() + weather.delay(&mut random));
                    let mut chunk = (due, room.get(..bytes).unwrap_or_default().to_vec());
                    // A full queue is a full line: the sender feels it.
                    while let Err(TrySendError::Full(back)) = to.try_send(chunk) {
                        if !self.is_open(line) {
                            return;
                        }
                        chunk = back;
                        thread::sleep(POLL);
                    }
                }
                Err(error) if waits(&error) => {}
                Err(_) => return self.end(End::Reset),
            }
        }
    }

    fn write(&self, upward: bool, line: &Line, chunks: &Receiver<Chunk>, mut random: Random) {
        let (_, to) = self.ends(upward);
        while self.is_open(line) {
            match chunks.recv_timeout(POLL) {
                Ok((due, chunk)) => {
                    if self.hold(due, line) {
                        self.pass(to, &chunk, line, &mut random);
                    } else if !upward && self.ends_by(End::Close) {
                        // Somewhere in a frame, most likely.
                        let part = random.below(chunk.len());
                        let _ = (&mut &*to).write(chunk.get(..part).unwrap_or_default());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if !self.ends_by(End::Reset) {
            let _ = to.shutdown(Shutdown::Write);
        }
        if !upward && self.ends_by(End::Close) {
            self.drain();
        }
    }

    /// Waits until the bytes are due and the line is not stalled; false at the connection's end.
    fn hold(&self, due: Instant, line: &Line) -> bool {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if !self.is_open(line) {
                return false;
            }
            if left.is_zero() && !line.weather().stalled {
                return true;
            }
            thread::sleep(if left.is_zero() { POLL } else { left.min(POLL) });
        }
    }

    fn pass(&self, mut to: &TcpStream, mut chunk: &[u8], line: &Line, random: &mut Random) {
        while !chunk.is_empty() && self.is_open(line) {
            let weather: Weather = line.weather();
            let most = weather.piece_bytes.map_or(chunk.len(), |most| 1 + random.below(most));
            let piece = chunk.get(..most).unwrap_or(chunk);
            match to.write(piece) {
                Ok(written) => {
                    chunk = chunk.get(written..).unwrap_or_default();
                    if let Some(rate) = weather.bytes_per_s {
                        let seconds = written as f64 / rate as f64;
                        thread::sleep(Duration::from_secs_f64(seconds));
                    }
                }
                Err(error) if waits(&error) => {}
                Err(_) => return self.end(End::Reset),
            }
        }
    }

    /// Reads what the client still says, so that its kernel does not answer our FIN with a RST.
    fn drain(&self) {
        let mut room = [0; 4096];
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(1) {
            match (&self.client).read(&mut room) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if waits(&error) => {}
                Err(_) => return,
            }
        }
    }
}

impl Weather {
    fn delay(&self, random: &mut Random) -> Duration {
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX);
        self.latency + Duration::from_micros(random.next() % jitter.saturating_add(1).max(1))
    }
}

fn waits(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// Chunks that are under way in one direction, at most.
const CHUNKS: usize = 32;
/// What a server's socket may hold for us.
const ROOM_BYTES: usize = 64 << 10;
