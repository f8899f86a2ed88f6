//! A proxy that makes a line bad: latency, jitter, little room, tiny segments, stalls, resets,
//! ends in the middle of a frame, and peers that accept and never answer.
//!
//! It knows nothing of what passes. What it does is a [`Script`], or said while it runs; chance
//! comes from a seed. `cargo run -p tapedeck-tests --bin chaos` runs it for a person.

mod link;
mod script;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use link::{End, Link};
pub use script::{Deed, Script, ScriptError, Weather};

/// A proxy at work. Dropping it resets what passes through it and frees its port.
#[derive(Debug)]
pub struct Chaos {
    address: SocketAddr,
    line: Arc<Line>,
    threads: Vec<JoinHandle<()>>,
}

/// What every connection shares.
#[derive(Debug)]
pub(crate) struct Line {
    to: SocketAddr,
    weather: Mutex<Weather>,
    links: Mutex<Vec<Weak<Link>>>,
    stopped: AtomicBool,
    seed: u64,
}

impl Chaos {
    /// Listens on any free port and leads to `to`; the script's time begins now.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub fn start(to: SocketAddr, script: Script, seed: u64) -> io::Result<Self> {
        Self::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), to, script, seed)
    }

    /// The same, on an address of the caller's.
    ///
    /// # Errors
    /// When it cannot be listened on.
    pub fn listen(at: SocketAddr, to: SocketAddr, script: Script, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind(at)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let line = Arc::new(Line {
            to,
            weather: Mutex::default(),
            links: Mutex::default(),
            stopped: AtomicBool::new(false),
            seed,
        });
        let (accepting, playing) = (Arc::clone(&line), Arc::clone(&line));
        let threads = vec![
            thread::spawn(move || accept(&listener, &accepting)),
            thread::spawn(move || play(script, &playing)),
        ];
        Ok(Self { address, line, threads })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does something now.
    pub fn act(&self, deed: Deed) {
        self.line.act(deed);
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.line.alive().len()
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.line.stopped.store(true, Ordering::Relaxed);
        self.line.act(Deed::Reset);
        for thread in self.threads.drain(..) {
            // A panic of the proxy has printed itself.
            let _ = thread.join();
        }
    }
}

impl Line {
    pub(crate) fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn act(&self, deed: Deed) {
        match deed {
            Deed::Weather(weather) => {
                *self.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
            }
            Deed::Reset => self.alive().iter().for_each(|link| link.end(End::Reset)),
            Deed::Close => self.alive().iter().for_each(|link| link.end(End::Close)),
        }
    }

    fn alive(&self) -> Vec<Arc<Link>> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.strong_count() > 0);
        links.iter().filter_map(Weak::upgrade).collect()
    }
}

fn accept(listener: &TcpListener, line: &Arc<Line>) {
    let mut number = 0;
    while !line.is_stopped() {
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(POLL);
            continue;
        };
        number += 1;
        if let Ok(link) = open(client, line) {
            let mut links = line.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.push(Arc::downgrade(&link));
            link.start(line, line.seed.wrapping_add(number));
        }
    }
}

fn open(client: TcpStream, line: &Line) -> io::Result<Arc<Link>> {
    client.set_nonblocking(false)?;
    let server = match line.weather().mute {
        true => None,
        false => Some(TcpStream::connect(line.to)?),
    };
    Ok(Arc::new(Link::new(client, server)?))
}

fn play(script: Script, line: &Line) {
    let began = Instant::now();
    for (at, deed) in script.deeds() {
        while began.elapsed() < at {
            if line.is_stopped() {
                return;
            }
            thread::sleep(POLL.min(at.saturating_sub(began.elapsed())));
        }
        line.act(deed);
    }
}

/// How often a thread that waits looks whether it should end.
pub(crate) const POLL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
