//! The ladder of I/O drivers: io_uring where it is good, epoll everywhere else.
//!
//! monoio's own choice asks only whether the system call exists and then fails for good when the
//! ring cannot be had (a 64 KiB memlock limit, a seccomp profile that comes later). Here every
//! error of io_uring leads to epoll, and the choice with its reason is there for the log.

use std::fmt;
use std::future::Future;
use std::io;

use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};
use serde::Deserialize;

/// What the configuration asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// io_uring on a kernel that is good at it, else epoll.
    #[default]
    Auto,
    /// io_uring, or an error.
    IoUring,
    /// epoll.
    Epoll,
}

/// What a reader runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// A ring of 256 entries, one issuer, work deferred to the reader's own turns.
    IoUring,
    /// epoll.
    Epoll,
}

/// A runtime of the chosen driver, for the thread that asked.
pub struct Chosen {
    runtime: Either,
    /// Why io_uring was not taken, where it was wished or would have been automatic.
    pub reason: Option<String>,
}

enum Either {
    Ring(Runtime<TimeDriver<IoUringDriver>>),
    Epoll(Runtime<TimeDriver<LegacyDriver>>),
}

impl Chosen {
    /// Takes the first driver of the ladder that works on this thread.
    ///
    /// # Errors
    /// When io_uring alone is wished and cannot be had, or epoll fails.
    pub fn take(wish: Wish) -> io::Result<Self> {
        let refused = match wish {
            Wish::Epoll => None,
            Wish::IoUring => return Ok(Self { runtime: Either::Ring(ring()?), reason: None }),
            Wish::Auto => match kernel_is_recent().and_then(|()| ring()) {
                Ok(ring) => return Ok(Self { runtime: Either::Ring(ring), reason: None }),
                Err(error) => Some(error.to_string()),
            },
        };
        let epoll = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?;
        Ok(Self { runtime: Either::Epoll(epoll), reason: refused })
    }

    /// The driver that was taken.
    #[must_use]
    pub fn driver(&self) -> Driver {
        match &self.runtime {
            Either::Ring(_) => Driver::IoUring,
            Either::Epoll(_) => Driver::Epoll,
        }
    }

    /// Runs the future to its end on this thread.
    pub fn run<F: Future>(&mut self, future: F) -> F::Output {
        match &mut self.runtime {
            Either::Ring(runtime) => runtime.block_on(future),
            Either::Epoll(runtime) => runtime.block_on(future),
        }
    }
}

fn ring() -> io::Result<Runtime<TimeDriver<IoUringDriver>>> {
    let mut flags = io_uring::IoUring::builder();
    flags.setup_single_issuer().setup_defer_taskrun();
    RuntimeBuilder::<IoUringDriver>::new()
        .with_entries(RING_ENTRIES)
        .uring_builder(flags)
        .enable_timer()
        .build()
}

/// Kernels before 6.1 know neither flag, and their io_uring measured slower than epoll here.
fn kernel_is_recent() -> io::Result<()> {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= KERNEL_MIN => Ok(()),
        _ => Err(io::Error::other(format!("kernel {release} is older than 6.1"))),
    }
}

impl Driver {
    /// Sockets of epoll must not block; a ring wants them to.
    #[must_use]
    pub fn nonblocking_sockets(self) -> bool {
        self == Self::Epoll
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chosen({})", self.driver())
    }
}

const RING_ENTRIES: u32 = 256;
const KERNEL_MIN: (u32, u32) = (6, 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_granted() {
        let mut epoll = Chosen::take(Wish::Epoll).unwrap();
        assert_eq!(epoll.driver(), Driver::Epoll);
        assert_eq!(epoll.run(async { 7 }), 7);
        let auto = Chosen::take(Wish::Auto).unwrap();
        assert_eq!(auto.driver() == Driver::Epoll, auto.reason.is_some(), "{:?}", auto.reason);
    }
}
