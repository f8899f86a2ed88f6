//! An exchange that speaks Deribit's protocol on one port: a simulated market, or a recording
//! played back.
//!
//! The data path: `market` or `replay` → `venue` → `hub` → `outbox` → `connection`. The
//! conversation: `connection` → `session` → `rpc`, `methods` → `desk`. What was really sent goes to
//! the `truth` log. Up to the outbox nothing knows a socket or reads a clock: [`Exchange`] is all
//! of it behind a port, [`Floor`] the part without one, for simulations in virtual time.

mod black;
mod channel;
mod clock;
mod connection;
mod counts;
mod desk;
mod error;
mod faults;
mod floor;
mod garbage;
mod heartbeat;
mod house;
mod http;
mod hub;
mod lane;
mod limits;
mod listing;
mod market;
mod methods;
mod mischief;
mod name;
mod oracle;
mod outbox;
mod outgoing;
mod phase;
mod random;
mod recording;
mod replay;
mod rpc;
mod server;
mod session;
mod topics;
pub mod truth;
mod venue;
mod wire;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use clock::{Clock, Now};
pub use counts::Counts;
pub use desk::Credentials;
pub use error::ExchangeError;
pub use faults::{Faults, FaultsError};
pub use floor::{Farewell, Floor, Frame, Refusal, Setup, Taken};
pub use limits::Limits;
pub use market::{Expiry, Frames, MarketConfig};
pub use oracle::{Book, Instrument, Oracle, State, Trade};
pub use outgoing::Form;
pub use replay::ReplayConfig;
pub use server::TlsIdentity;

use counts::Counters;
use house::{House, Shared};
use truth::TruthLog;

/// What exchange to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Serve TLS with this; plain without.
    pub tls: Option<TlsIdentity>,
    /// Where the data comes from.
    pub source: Source,
    /// The time that the exchange shows.
    pub clock: Clock,
    /// Where to write what was sent.
    pub truth: Option<PathBuf>,
    /// The one account; without it nobody can authenticate.
    pub credentials: Option<Credentials>,
    /// What one address may do.
    pub limits: Limits,
    /// What goes wrong on purpose.
    pub faults: Faults,
}

impl Default for Config {
    /// A market on any free port of the loopback interface, on the machine's clock.
    fn default() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            source: Source::Market(MarketConfig::default()),
            clock: Clock::system(),
            truth: None,
            credentials: None,
            limits: Limits::default(),
            faults: Faults::default(),
        }
    }
}

/// Where the data comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A seeded market.
    Market(MarketConfig),
    /// A recording.
    Replay(ReplayConfig),
}

/// A running exchange. Dropping it stops it too.
#[derive(Debug)]
pub struct Exchange {
    address: SocketAddr,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Exchange {
    /// Reads the recording or makes the market, binds, and serves from a thread of its own;
    /// returns when it listens.
    pub fn start(config: Config) -> Result<Exchange, ExchangeError> {
        let tls = config.tls.as_ref().map(TlsIdentity::acceptor).transpose()?;
        let (clock, counters) = (config.clock, Arc::new(Counters::default()));
        let (source, limits, credentials) = (config.source, config.limits, config.credentials);
        let setup = Setup { source, limits, faults: config.faults, credentials };
        let truthful = config.truth.is_some();
        let hub = setup.hub(truthful, Arc::clone(&counters), clock.now())?;
        let truth = config.truth.as_deref().map(TruthLog::create).transpose()?;
        let listen = |source| listen_error(config.listen, source);
        let listener = TcpListener::bind(config.listen).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ExchangeError::Thread)?;
        let (stop, stopped) = watch::channel(false);
        let counted = Arc::clone(&counters);
        let serve = move || {
            let house = House::new(hub, clock, truth);
            let server = serve(listener, tls, house, counted, stopped);
            tokio::task::LocalSet::new().block_on(&runtime, server);
        };
        let thread = std::thread::Builder::new().name("exchange".to_owned());
        let thread = thread.spawn(serve).map_err(ExchangeError::Thread)?;
        Ok(Exchange { address, counters, stop, thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Writes what still waits, closes every connection, flushes the truth log, and joins.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic of the exchange's thread has printed itself.
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    house: Shared,
    counters: Arc<Counters>,
    stop: watch::Receiver<bool>,
) {
    match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => server::run(listener, tls, house, stop).await,
        Err(source) => counters.failed(&ExchangeError::Thread(source)),
    }
}

fn listen_error(address: SocketAddr, source: std::io::Error) -> ExchangeError {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => ExchangeError::AddressInUse(address),
        _ => ExchangeError::Listen(address, source),
    }
}
