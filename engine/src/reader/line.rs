//! One connection of a reader: dial, speak, hang up, and again. What is said stands in `link.rs`.

use std::cell::RefCell;
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable};
use schema::Now;

use super::Shared;
use super::ending::Ending;
use super::link::{LineSetup, Link, Report};
use crate::dial::Dial;
use crate::session::CauseKind;

/// A link and its socket.
pub(super) struct Line {
    shared: Rc<Shared>,
    link: RefCell<Link>,
    socket: RefCell<Option<Socket>>,
}

struct Socket {
    /// Which of the line's sockets this is.
    number: u64,
    /// A second handle, to shut the socket down while a read is under way.
    handle: TcpStream,
    /// `None` while a flush is writing.
    writer: Option<OwnedWriteHalf<monoio::net::TcpStream>>,
    writing_since: Option<Duration>,
}

impl Line {
    pub(super) fn new(setup: LineSetup, shared: Rc<Shared>) -> Self {
        let link = Link::new(setup, shared.frames.clone(), shared.reached.clone());
        Self { shared, link: RefCell::new(link), socket: RefCell::default() }
    }

    /// Connects and reconnects until the reader stops.
    pub(super) async fn live(self: Rc<Self>) {
        while !self.shared.stop.raised() {
            if !self.link.borrow().wanted() {
                monoio::time::sleep(DIAL_POLL).await;
                continue;
            }
            self.link.borrow().connecting();
            let ending = match self.dial().await {
                // The stop may have come while the connection was made.
                Ok(_) if self.shared.stop.raised() => return,
                Ok(socket) => self.converse(socket).await,
                Err(ending) => ending,
            };
            if let Some(socket) = self.socket.borrow_mut().take() {
                // A flush that still writes would keep the descriptor alive.
                let _ = socket.handle.shutdown(Shutdown::Both);
            }
            if self.shared.stop.raised() {
                return;
            }
            let lost = self.link.borrow_mut().lost(ending, self.shared.clock.now());
            if let Some(failure) = lost.hopeless {
                (self.shared.refuse)(failure);
            }
            self.sleep(lost.pause).await;
        }
    }

    async fn dial(&self) -> Result<TcpStream, Ending> {
        let dial = {
            let link = self.link.borrow();
            Dial::start(&link.endpoint().host, link.endpoint().port, CONNECT_TIMEOUT)
        };
        loop {
            if let Some(result) = dial.poll() {
                return result.map_err(|error| Ending::broken(&error));
            }
            if self.shared.stop.raised() {
                return Err(Ending::new(CauseKind::Disconnected, "stopped"));
            }
            monoio::time::sleep(DIAL_POLL).await;
        }
    }

    /// One socket's life, from its first byte to the reason of its end.
    async fn converse(self: &Rc<Self>, socket: TcpStream) -> Ending {
        let mut read_half = match self.open(socket) {
            Ok(half) => half,
            Err(ending) => return ending,
        };
        Rc::clone(self).flush().await;
        while let Some(input) = self.take_input() {
            let filled = input.len();
            let room = input.capacity();
            let (result, slice) = read_half.read(input.slice_mut(filled..room)).await;
            self.shared.pause.after_read();
            let ending = match result {
                Ok(bytes) => self.received(slice.into_inner(), bytes).err(),
                Err(error) => Some(Ending::broken(&error)),
            };
            // Also after an error: a close frame or an alert may tell the exchange why.
            Rc::clone(self).flush().await;
            self.shared.pause.handled();
            if let Some(ending) = ending {
                return ending;
            }
        }
        unreachable!("a link's input is there until its conversation ends")
    }

    fn take_input(&self) -> Option<Vec<u8>> {
        self.link.borrow_mut().take_input()
    }

    fn open(&self, socket: TcpStream) -> Result<OwnedReadHalf<monoio::net::TcpStream>, Ending> {
        let broken = |error: std::io::Error| Ending::broken(&error);
        socket.set_nonblocking(self.shared.driver.nonblocking_sockets()).map_err(broken)?;
        let handle = socket.try_clone().map_err(broken)?;
        let socket = monoio::net::TcpStream::from_std(socket).map_err(broken)?;
        let number = self.link.borrow_mut().connected(self.shared.clock.now())?;
        let (read_half, writer) = socket.into_split();
        let writer = Some(writer);
        *self.socket.borrow_mut() = Some(Socket { number, handle, writer, writing_since: None });
        Ok(read_half)
    }

    fn received(&self, input: Vec<u8>, bytes: usize) -> Result<(), Ending> {
        let now = self.shared.clock.now();
        let mut outbox = self.shared.outbox.borrow_mut();
        self.link.borrow_mut().received(input, bytes, now, &mut outbox)
    }

    /// Looks after the line: the mailbox, deadlines, the session's facts.
    pub(super) fn turn(&self, now: Now) {
        let socket = self.socket.borrow();
        let writing_since = socket.as_ref().and_then(|socket| socket.writing_since);
        let mut outbox = self.shared.outbox.borrow_mut();
        let shut = self.link.borrow_mut().turn(now, writing_since, &mut outbox);
        if let Some(socket) = socket.as_ref().filter(|_| shut) {
            // The read that is under way ends, and the link knows why.
            let _ = socket.handle.shutdown(Shutdown::Both);
        }
    }

    /// Writes what waits. One flush at a time: another one finds the writer taken and leaves.
    pub(super) async fn flush(self: Rc<Self>) {
        loop {
            let (number, mut writer, bytes) = {
                let mut socket = self.socket.borrow_mut();
                let Some(socket) = socket.as_mut() else { return };
                let Some(writer) = socket.writer.take() else { return };
                let bytes = self.link.borrow_mut().take_output();
                if bytes.is_empty() {
                    socket.writer = Some(writer);
                    return;
                }
                socket.writing_since = Some(self.shared.clock.now().monotonic);
                (socket.number, writer, bytes)
            };
            let (result, _) = writer.write_all(bytes).await;
            let mut socket = self.socket.borrow_mut();
            // While this was writing, the line may have gone on to another socket.
            let Some(socket) = socket.as_mut().filter(|socket| socket.number == number) else {
                return;
            };
            socket.writing_since = None;
            socket.writer = Some(writer);
            // A failed write is a dead socket: the read says so with the better reason.
            if result.is_err() {
                return;
            }
        }
    }

    /// Shuts the socket down: the read that is under way ends.
    pub(super) fn hang_up(&self) {
        if let Some(socket) = self.socket.borrow().as_ref() {
            let _ = socket.handle.shutdown(Shutdown::Both);
        }
    }

    /// The account of the line's life; an open gap is written.
    pub(super) fn finish(&self, now: Now) -> Report {
        self.link.borrow_mut().finish(now, &mut self.shared.outbox.borrow_mut())
    }

    async fn sleep(&self, pause: Duration) {
        let mut left = pause;
        while !left.is_zero() && !self.shared.stop.raised() {
            monoio::time::sleep(DIAL_POLL.min(left)).await;
            left = left.saturating_sub(DIAL_POLL);
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const DIAL_POLL: Duration = Duration::from_millis(20);
