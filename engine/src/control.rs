//! Questions and wishes over HTTP while the recorder works: one thread, which only looks at numbers
//! that others write, so that nobody who records waits for it.

mod answer;
mod api;
mod change;
mod exposition;
mod health;
mod hub;
mod legacy;
mod limits;
mod orders;
mod overview;
mod progress;
mod server;
mod stream;
mod token;
pub mod views;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use rustix::process::{Pid, setpriority_process};
use schema::Now;

use crate::config;
use crate::failure::{Failure, FailureKind};
use crate::fleet::Deputy;
use crate::stop::Stop;
use hub::Hub;
pub use hub::{Shard, Sources};
pub(crate) use orders::CROWDED;
pub use orders::{Answer, Intake, Order, Orders, Outcome, Verb, orders};
pub use overview::{Known, Overview, Planned, Published};
pub use progress::Progress;
pub use token::Guard;

/// Ports that are ours, before anybody is answered.
#[derive(Debug)]
pub struct Doors {
    whole: TcpListener,
    shards: Vec<TcpListener>,
}

impl Doors {
    /// Takes the port of the recorder and those of the shards at these places.
    ///
    /// # Errors
    /// One sentence that names the port that cannot be had.
    pub fn open(config: &config::Control, shards: &[usize]) -> Result<Self, Failure> {
        let door = |shard: &usize| {
            let port = config.port_of(*shard).expect("the configuration was checked");
            listen(SocketAddr::new(config.listen, port), "control.shard_port")
        };
        let whole = listen(SocketAddr::new(config.listen, config.port), "control.port")?;
        Ok(Self { whole, shards: shards.iter().map(door).collect::<Result<_, _>>()? })
    }
}

/// The thread that answers.
#[derive(Debug)]
pub struct Control {
    thread: JoinHandle<()>,
    stop: Stop,
}

impl Control {
    /// Starts to answer.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        doors: Doors,
        config: &config::Control,
        guard: Guard,
        sources: Sources,
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let sentence = format_args!("cannot start the control thread: {error}");
            Failure::new(FailureKind::Storage, sentence)
        };
        let hub = Arc::new(Hub::new(sources, guard, config.requests_per_second));
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().map_err(failed)?;
        let stop = Stop::default();
        let stopped = stop.clone();
        let apps: Vec<(TcpListener, Router)> = doors.apps(&hub);
        let thread = thread::Builder::new().name("control".into()).spawn(move || {
            // On Linux this is the calling thread's alone: recording goes first.
            let _ = setpriority_process(None::<Pid>, NICE);
            runtime.block_on(answer(apps, hub, stopped));
            // What is under way is not waited for.
            runtime.shutdown_background();
        });
        Ok(Self { thread: thread.map_err(failed)?, stop })
    }

    /// Stops answering.
    pub fn end(self) {
        self.stop.raise();
        // A panic has printed itself; it has cost answers and nothing else.
        let _ = self.thread.join();
    }
}

impl Doors {
    fn apps(self, hub: &Arc<Hub>) -> Vec<(TcpListener, Router)> {
        let shards = self.shards.into_iter().enumerate();
        let shards = shards.map(|(shard, listener)| {
            let name = &hub.sources.shards[shard].line.shard;
            announce(&format_args!("shard {name}"), &listener);
            (listener, legacy::routes(Arc::clone(hub), shard))
        });
        announce(&"the recorder", &self.whole);
        let whole = (self.whole, api::routes(Arc::clone(hub)));
        std::iter::once(whole).chain(shards).collect()
    }
}

fn announce(what: &dyn std::fmt::Display, listener: &TcpListener) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!("control of {what}: http://{address}");
    }
}

/// Answers until it is to stop.
async fn answer(apps: Vec<(TcpListener, Router)>, hub: Arc<Hub>, stop: Stop) {
    for (listener, app) in apps {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => drop(tokio::spawn(server::serve(listener, app, Arc::clone(&hub)))),
            Err(error) => tracing::error!("a control port does not answer: {error}"),
        }
    }
    let mut looked = tokio::time::interval(LOOK);
    while !stop.raised() {
        looked.tick().await;
        hub.look();
        if let Some(deputy) = hub.sources.deputy.clone() {
            // It writes to the disk, for which nobody else is to wait.
            let now = hub.sources.clock.now();
            drop(tokio::task::spawn_blocking(move || tend(&deputy, now)));
        }
    }
}

/// Lets a deputy do what is due. One look at a time.
fn tend(deputy: &Mutex<Deputy>, now: Now) {
    if let Ok(mut deputy) = deputy.try_lock()
        && let Err(why) = deputy.tend(now)
    {
        tracing::error!("channels have arrived, and that cannot be kept: {why}");
    }
}

fn listen(address: SocketAddr, key: &str) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| {
        let sentence = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "{address} is taken by another program: end that one, or give the control API \
                 another port with {key}"
            ),
            _ => format!("the control API cannot listen on {address} ({key}): {error}"),
        };
        Failure::new(FailureKind::Usage, sentence)
    })
}

/// How often health is judged, and the wish to end looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Behind everything that records, ahead of what is idle.
const NICE: i32 = 10;
