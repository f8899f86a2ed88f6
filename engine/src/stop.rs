//! The wish to end: a signal, or a time that is over.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

/// A flag that every thread looks at.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that SIGTERM and SIGINT raise. A second signal ends the process at once with 130.
    ///
    /// # Errors
    /// When the handlers cannot be set.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::default();
        for signal in [SIGTERM, SIGINT] {
            // In this order: the second signal finds the flag raised by the first.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop.0))?;
            signal_hook::flag::register(signal, Arc::clone(&stop.0))?;
        }
        Ok(stop)
    }

    /// Asks everybody to end.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Raises the flag if the thread that holds the guard ends in a panic: a thread that is gone
    /// must not go unnoticed.
    #[must_use]
    pub fn on_panic(&self) -> OnPanic {
        OnPanic(self.clone())
    }

    /// Whether everybody is asked to end.
    #[must_use]
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Made by [`Stop::on_panic`].
#[derive(Debug)]
pub struct OnPanic(Stop);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.raise();
        }
    }
}
