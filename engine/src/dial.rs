//! Making connections: names are resolved and sockets connected away from the readers.
//!
//! Resolving blocks, and a connection attempt would have to be raced against a deadline, which a
//! reader on io_uring must never do. So each attempt is a short-lived thread; the reader looks for
//! its result at its timer and receives a connected socket.

use std::fmt;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Duration;

/// One attempt to connect.
#[derive(Debug)]
pub struct Dial {
    result: Receiver<Result<TcpStream, DialError>>,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// The name has no address.
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address of the name took the connection.
    Connect {
        /// The name and port.
        host: String,
        /// What the last address said.
        source: io::Error,
    },
    /// No thread could be started.
    Thread(io::Error),
}

impl Dial {
    /// Starts to connect to the first address of `host` that answers within `timeout`.
    #[must_use]
    pub fn start(host: &str, port: u16, timeout: Duration) -> Self {
        let (sender, result) = channel();
        let host = host.to_owned();
        let failed = sender.clone();
        let thread = thread::Builder::new().name("dial".into()).spawn(move || {
            // The reader may have stopped waiting: then nobody wants the socket.
            let _ = sender.send(connect(&host, port, timeout));
        });
        if let Err(error) = thread {
            let _ = failed.send(Err(DialError::Thread(error)));
        }
        Self { result }
    }

    /// The result, once there is one.
    pub fn poll(&self) -> Option<Result<TcpStream, DialError>> {
        match self.result.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err(DialError::Thread(io::Error::other("the dialling thread ended"))))
            }
        }
    }
}

fn connect(host: &str, port: u16, timeout: Duration) -> Result<TcpStream, DialError> {
    let named = |source| DialError::Resolve { host: host.to_owned(), source };
    let addresses = (host, port).to_socket_addrs().map_err(named)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => {
                // Our frames are small and answer something: they must not wait for a full packet.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(DialError::Connect { host: format!("{host}:{port}"), source: last })
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, source } => write!(f, "cannot resolve {host}: {source}"),
            Self::Connect { host, source } => write!(f, "cannot connect to {host}: {source}"),
            Self::Thread(source) => write!(f, "cannot start a thread to connect: {source}"),
        }
    }
}

impl std::error::Error for DialError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn wait(dial: &Dial) -> Result<TcpStream, DialError> {
        loop {
            if let Some(result) = dial.poll() {
                return result;
            }
            thread::yield_now();
        }
    }

    #[test]
    fn a_listener_is_reached_and_a_closed_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(wait(&Dial::start("127.0.0.1", port, Duration::from_secs(5))).is_ok());
        drop(listener);
        let error = wait(&Dial::start("127.0.0.1", port, Duration::from_secs(5))).unwrap_err();
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    }
}
