//! A thread of the recorder's own that looks many times a second for something to do.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::failure::{Failure, FailureKind};
use crate::stop::Stop;

/// The thread.
#[derive(Debug)]
pub(super) struct Routine {
    thread: JoinHandle<()>,
    stop: Stop,
}

impl Routine {
    /// Starts the thread, which takes its turns until it is ended. A panic in it raises `trouble`:
    /// unattended, nobody would notice that its work is not done.
    pub(super) fn start(
        name: &str,
        trouble: Stop,
        mut turn: impl FnMut() + Send + 'static,
    ) -> Result<Self, Failure> {
        let stop = Stop::default();
        let stopped = stop.clone();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let _guard = trouble.on_panic();
            while !stopped.raised() {
                turn();
                thread::sleep(TURN);
            }
        });
        match thread {
            Ok(thread) => Ok(Self { thread, stop }),
            Err(error) => {
                let sentence = format_args!("cannot start a thread: {error}");
                Err(Failure::new(FailureKind::Storage, sentence))
            }
        }
    }

    /// Ends it after the turn that is under way.
    pub(super) fn end(self) {
        self.stop.raise();
        // A panic has printed itself and raised the trouble.
        let _ = self.thread.join();
    }
}

/// How often it looks.
const TURN: Duration = Duration::from_millis(100);
