//! A reader: a pinned thread that owns its sockets, its sessions and its end of the queue.
//!
//! monoio's rules, kept here and in the files below: a read is never raced or dropped (a watchdog
//! shuts the socket down instead, and the read ends); nothing blocks but the chosen pause.

mod ending;
mod line;
mod link;
mod pause;
mod post;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use schema::Origin;

use crate::clock::Clock;
use crate::driver::{Chosen, Driver, Wish};
use crate::failure::{Failure, FailureKind};
use crate::outbox::Outbox;
use crate::queue::Inlet;
use crate::recording::Frames;
use crate::stop::Stop;
use line::Line;
use pause::Pause;

pub use ending::Ending;
pub use link::{LineSetup, Link, Lost, Report, Talk};
pub use post::{Board, Mailbox};

/// How readers run.
#[derive(Clone, Debug)]
pub struct ReaderSetup {
    /// What they run on.
    pub io: Wish,
    /// The pause after a wake-up; taken on a ring only.
    pub read_coalesce: Duration,
    /// A row waits at most this long before it is handed to the journal.
    pub batch_age_max: Duration,
    /// Whether each reader keeps to a core of its own.
    pub pin: bool,
    /// Where verbatim frames go, if they are kept.
    pub frames: Option<Frames>,
    /// Raised once any line has had a channel acknowledged: the address and the rights are good.
    pub reached: Stop,
}

/// A reader's thread.
#[derive(Debug)]
pub struct Reader {
    thread: JoinHandle<Vec<Report>>,
    driver: Driver,
    /// Why io_uring was not taken.
    fallback: Option<String>,
    refusals: Receiver<Failure>,
    refused: Stop,
}

/// What the lines of one reader share.
struct Shared {
    outbox: RefCell<Outbox>,
    clock: Clock,
    driver: Driver,
    pause: Pause,
    frames: Option<Frames>,
    stop: Stop,
    /// Raised once any line of the whole pipeline has had a channel acknowledged.
    reached: Stop,
    refuse: Box<dyn Fn(Failure)>,
}

impl Reader {
    /// Starts the thread, with a driver of its own.
    ///
    /// # Errors
    /// When there is no thread or no driver.
    pub fn start(
        id: u16,
        setup: &ReaderSetup,
        lines: Vec<LineSetup>,
        inlet: Inlet,
        clock: Clock,
        stop: Stop,
    ) -> Result<Self, Failure> {
        let setup = setup.clone();
        let (ready, is_ready) = channel();
        let (sender, refusals) = channel();
        let refused = Stop::default();
        let raise = refused.clone();
        let refuse = Box::new(move |failure| {
            raise.raise();
            // Nobody listens any more: then the pipeline is ending anyway.
            let _ = sender.send(failure);
        });
        let body = move || {
            if setup.pin {
                pin(id);
            }
            let mut chosen = match Chosen::take(setup.io) {
                Ok(chosen) => chosen,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return Vec::new();
                }
            };
            let driver = chosen.driver();
            let _ = ready.send(Ok((driver, chosen.reason.clone())));
            let pause = Pause::new(setup.read_coalesce, driver);
            let origin = Origin { reader: id, read_coalesce_us: pause.micros() };
            let outbox = RefCell::new(Outbox::new(inlet, origin, setup.batch_age_max));
            let frames = setup.frames;
            let reached = setup.reached;
            let shared =
                Rc::new(Shared { outbox, clock, driver, pause, frames, stop, reached, refuse });
            chosen.run(run(shared, lines))
        };
        // Only a wish for io_uring alone, and a machine out of threads, end here.
        let failed = |error: io::Error| {
            let sentence = format!("reader {id} cannot start: {error}; try exchange.io = \"auto\"");
            Failure::new(FailureKind::Usage, sentence)
        };
        let thread =
            thread::Builder::new().name(format!("reader-{id}")).spawn(body).map_err(failed)?;
        let (driver, fallback) = match is_ready.recv() {
            Ok(Ok(chosen)) => chosen,
            Ok(Err(error)) => return Err(failed(error)),
            Err(_) => return Err(failed(io::Error::other("its thread ended"))),
        };
        Ok(Self { thread, driver, fallback, refusals, refused })
    }

    /// What it runs on.
    #[must_use]
    pub fn driver(&self) -> Driver {
        self.driver
    }

    /// Why it does not run on io_uring, where that was wished.
    #[must_use]
    pub fn fallback(&self) -> Option<&str> {
        self.fallback.as_deref()
    }

    /// Whether it is of no more use: the exchange refused it for good (a wrong address, a
    /// certificate), or its thread is gone.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.refused.raised() || self.thread.is_finished()
    }

    /// Waits for the thread: what each line saw, and the refusal if there was one.
    #[must_use]
    pub fn join(self) -> (Vec<Report>, Option<Failure>) {
        let refusal = self.refusals.try_recv().ok();
        match self.thread.join() {
            Ok(reports) => (reports, refusal),
            Err(_) => (Vec::new(), Some(Failure::panicked("a reader"))),
        }
    }
}

/// The reader's main task: a timer that looks after every line and the outbox.
async fn run(shared: Rc<Shared>, lines: Vec<LineSetup>) -> Vec<Report> {
    let lines: Vec<Rc<Line>> =
        lines.into_iter().map(|setup| Rc::new(Line::new(setup, Rc::clone(&shared)))).collect();
    let tasks: Vec<_> = lines.iter().map(|line| monoio::spawn(Rc::clone(line).live())).collect();
    while !shared.stop.raised() {
        monoio::time::sleep(TURN).await;
        let now = shared.clock.now();
        for line in &lines {
            line.turn(now);
            // Not awaited: one socket that takes nothing must not hold up the others.
            monoio::spawn(Rc::clone(line).flush());
        }
        let mut outbox = shared.outbox.borrow_mut();
        outbox.turn(now);
        if outbox.closed() {
            // The journal has stopped: whoever watches it ends the pipeline.
            shared.stop.raise();
        }
    }
    for line in &lines {
        line.hang_up();
    }
    for task in tasks {
        task.await;
    }
    let now = shared.clock.now();
    let reports = lines.iter().map(|line| line.finish(now)).collect();
    loop {
        let ended = shared.outbox.borrow_mut().end(shared.clock.now());
        if ended {
            return reports;
        }
        monoio::time::sleep(TURN).await;
    }
}

/// Keeps the reader to one of the cores that the process may use, so that its caches stay warm.
/// Not having one is no trouble.
fn pin(id: u16) {
    let pinned = rustix::thread::sched_getaffinity(None).and_then(|allowed| {
        let cores: Vec<usize> =
            (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
        let mut one = rustix::thread::CpuSet::new();
        if let Some(core) = cores.get(usize::from(id) % cores.len().max(1)) {
            one.set(*core);
        }
        rustix::thread::sched_setaffinity(None, &one)
    });
    if let Err(error) = pinned {
        tracing::debug!("reader {id} is not pinned: {error}");
    }
}

/// How often lines are looked after: mailbox, deadlines, batches.
pub const TURN: Duration = Duration::from_millis(50);
