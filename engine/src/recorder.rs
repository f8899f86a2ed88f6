//! A recorder: everything that a configuration asks for, put together, started and ended.

mod account;
mod catalogue;
mod choices;
mod controlled;
mod courier;
mod desk;
mod destinations;
mod events;
mod ledger;
mod lines;
mod part;
mod routine;
mod secrets;
mod spread;
mod state;
mod status;
pub mod steward;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use journal::disk::{Disk, System};
use journal::{Journal, Options, Recovery};
use lifecycle::Plan;
use schema::Now;

use crate::clock::Clock;
use crate::config::{BookMode, Config, Interval};
use crate::control::{self, Control, Overview, Published};
use crate::endpoint::Endpoint;
use crate::failure::{Failure, FailureKind};
use crate::lock::Lock;
use crate::metrics;
use crate::pipeline::{Pipeline, Setup};
use crate::reader::{LineSetup, ReaderSetup};
use crate::recording::Recording;
use crate::rpc::Credentials;
use crate::stop::Stop;
use crate::tls::Trust;
pub use account::Account;
pub use catalogue::{Catalogue, List, Unlisted};
pub use choices::Keeping;
use controlled::{Answering, Controlled};
pub use destinations::{Database, known_sinks};
pub use ledger::{Broken, Ledger, Told};
pub use lines::{allowance, lines};
pub use part::Part;
use part::{Cast, Following, Ground};
use routine::Routine;
pub use spread::{Remote, deputize, resumed};
pub use state::State;

/// What is to be recorded, and how.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// The configuration, flags laid over it.
    pub config: Config,
    /// Which channels.
    pub channels: Channels,
    /// Whether batches also go to memory, which forgets them: for measurements.
    pub memory: bool,
    /// Keep verbatim frames within so many bytes.
    pub raw_frames: Option<u64>,
    /// Which part of the work is this process's.
    pub part: Part,
}

impl Wishes {
    /// What is listed channel by channel is recorded, and nothing beside it.
    fn sample_books(&self) -> bool {
        self.config.book_mode() == BookMode::Sampled && self.channels == Channels::Selected
    }

    /// The connections that a plan asks for.
    fn lines(
        &self,
        plan: &Plan,
        (endpoint, trust, credentials): (&Endpoint, &Trust, Option<&Credentials>),
        recovery: &Recovery,
        now: Now,
    ) -> Vec<LineSetup> {
        let sampled = self.sample_books();
        let allowance = allowance(recovery, sampled, now);
        let mut lines = lines(plan, endpoint, credentials, recovery, &allowance, secrets::entropy);
        if sampled {
            lines::sample(&mut lines, plan, &self.config.books);
        }
        if endpoint.tls {
            lines.iter_mut().for_each(|line| line.tls = Some(Arc::clone(&trust.config)));
        }
        lines
    }
}

/// Where the list of channels comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channels {
    /// From the exchange's instruments, as the configuration selects.
    Selected,
    /// From a file or an http address.
    From(String),
}

/// A recorder at work.
#[derive(Debug)]
pub struct Recorder {
    pipeline: Pipeline,
    /// Answers, where that is wished.
    control: Option<Control>,
    /// What follows the exchange's lists, speaks with recorders elsewhere and tells how this one
    /// is, in the order in which they end.
    routines: Vec<Routine>,
    recording: Option<Recording>,
    data: PathBuf,
    /// Held until the end: no other recorder may touch the folder.
    _lock: Lock,
}

impl Recorder {
    /// Checks everything that can be checked, then starts.
    ///
    /// # Errors
    /// One sentence that names what is wrong and what to do; nothing runs then. `stop` raised
    /// before anything was begun is [`FailureKind::Stopped`].
    pub fn start(wishes: &Wishes, stop: &Stop) -> Result<Self, Failure> {
        let config = &wishes.config;
        let clock = Clock::system();
        let usage = |error: &dyn std::fmt::Display| Failure::new(FailureKind::Usage, error);
        let endpoint = Endpoint::parse(&config.exchange.url).map_err(|error| usage(&error))?;
        let credentials = credentials(config)?;
        let trust = Trust::of(config.tls.ca_file.as_deref()).map_err(|error| usage(&error))?;
        tracing::info!("trusting {}", trust.roots);
        let data = config.journal.data.clone();
        let controlled = Controlled::prepare(config, &wishes.part)?;
        let lock = Lock::take(&data)?;
        let disk: Arc<dyn Disk> = Arc::new(System);
        let journal = open_journal(config, &disk, &clock)?;
        let sinks = destinations::sinks(wishes, &disk, &trust, &journal.recovery.journal)?;
        let published = Published::default();
        let (orders, intake) = control::orders();
        let ground = Ground {
            wishes,
            stop,
            endpoint: &endpoint,
            trust: &trust,
            credentials: credentials.as_ref(),
            disk: &disk,
            recovery: &journal.recovery,
            published: &published,
            orders: &orders,
            clock: &clock,
        };
        let cast = ground.cast(intake)?;
        let Cast { lines, plan, ends, mut rows, following, deputy, couriers } = cast;
        let recording = wishes.raw_frames.map(|budget| keep_frames(&data, budget)).transpose()?;
        let restarts = journal.recovery.opened_before;
        let setup = Setup {
            journal,
            sinks,
            queue_bytes_max: config.exchange.queue_bytes_max,
            reader: readers(config, recording.as_ref()),
            readers: config.exchange.readers.count(),
            lines,
            clock: clock.clone(),
        };
        destinations::hold(&data, &setup.journal.feed, &setup.sinks);
        let pipeline = Pipeline::start(setup, &mut rows)?;
        wishes.part.announce(&pipeline, &plan, &endpoint);
        let shards = pipeline.lines().to_vec();
        let (inlet, trouble) = (pipeline.inlet(), pipeline.trouble());
        published.publish(Overview::of_plan(&plan));
        let answering = Answering {
            ends,
            clock: &clock,
            published: &published,
            orders: (following.is_some() || deputy.is_some()).then_some(orders),
            deputy,
        };
        let answer = |it: Controlled| it.start(&pipeline, answering);
        let control = controlled.map(answer).transpose()?;
        let mut routines = Vec::new();
        let follow = |it: Following| {
            let rest = catalogue::rest(config, &endpoint, &trust);
            let setup = it.setup(config, pipeline.inlet(), published);
            steward::start(setup, rest, clock.clone(), pipeline.trouble())
        };
        routines.extend(following.map(follow).transpose()?);
        for courier in couriers {
            routines.push(courier.start(clock.clone(), pipeline.trouble())?);
        }
        routines.push(status::start(shards, restarts, inlet, clock, trouble)?);
        Ok(Self { pipeline, control, routines, recording, data, _lock: lock })
    }

    /// The connections' numbers.
    #[must_use]
    pub fn lines(&self) -> &[Arc<metrics::Line>] {
        self.pipeline.lines()
    }

    /// Rows that the readers have made.
    #[must_use]
    pub fn rows_received(&self) -> u64 {
        self.lines().iter().map(|line| line.rows.get()).sum()
    }

    /// The journal's last durable record.
    #[must_use]
    pub fn durable_records(&self) -> u64 {
        self.pipeline.kept().durable.get()
    }

    /// How full the queue between readers and journal is, percent.
    #[must_use]
    pub fn queue_usage_pct(&self) -> f64 {
        self.pipeline.queue_usage_pct()
    }

    /// Whether something has failed for good: it is time to [`end`](Self::end).
    #[must_use]
    pub fn troubled(&self) -> bool {
        self.pipeline.troubled()
    }

    /// Ends in order and gives the account.
    ///
    /// # Errors
    /// What failed, with what is not stored where it should be.
    pub fn end(self) -> Result<Account, Failure> {
        if let Some(control) = self.control {
            control.end();
        }
        self.routines.into_iter().for_each(Routine::end);
        let summary = self.pipeline.end()?;
        let frames = match self.recording {
            Some(recording) => Some(recording.finish().map_err(|error| {
                let sentence = format!("the raw frames could not be kept: {error}");
                Failure::new(FailureKind::Storage, sentence)
            })?),
            None => None,
        };
        Ok(Account::new(&summary, frames, &self.data))
    }
}

/// The exchange's key, if there is one; what cannot be had without it is refused.
fn credentials(config: &Config) -> Result<Option<Credentials>, Failure> {
    let credentials = secrets::credentials()?;
    match config.exchange.interval == Interval::Raw && credentials.is_none() {
        true => Err(Failure::new(FailureKind::Usage, RAW_NEEDS_CREDENTIALS)),
        false => Ok(credentials),
    }
}

/// How the readers run.
fn readers(config: &Config, recording: Option<&Recording>) -> ReaderSetup {
    ReaderSetup {
        io: config.exchange.io,
        read_coalesce: config.exchange.read_coalesce,
        batch_age_max: config.exchange.batch_age_max,
        pin: true,
        frames: recording.map(Recording::frames),
        reached: Stop::default(),
    }
}

fn keep_frames(data: &Path, budget: u64) -> Result<Recording, Failure> {
    Recording::start(&data.join("raw"), budget).map_err(|error| {
        let sentence = format!("cannot keep raw frames in {}: {error}", data.display());
        Failure::new(FailureKind::Storage, sentence)
    })
}

fn open_journal(config: &Config, disk: &Arc<dyn Disk>, clock: &Clock) -> Result<Journal, Failure> {
    let options = Options {
        segment_bytes_max: config.journal.segment_bytes_max,
        sync_interval: config.journal.sync_interval,
        keep: config.journal.keep,
        tail_bytes_max: TAIL_BYTES_MAX,
        ..Options::default()
    };
    let folder = config.journal.data.join("journal");
    let journal = journal::open(Arc::clone(disk), &folder, options, clock.now())
        .map_err(|error| Failure::new(FailureKind::Storage, error))?;
    let Recovery { opened_before, position, torn, .. } = &journal.recovery;
    if let Some(torn) = torn {
        let (segment, bytes) = (torn.segment.display(), torn.cut_bytes);
        tracing::warn!("{segment}: a torn tail of {bytes} bytes was cut, it was never durable");
    }
    if *opened_before > 0 {
        tracing::info!(records = position, restarts = opened_before, "the journal goes on");
    }
    Ok(journal)
}

/// A sink that keeps up reads from memory; several seconds of the whole market fit.
const TAIL_BYTES_MAX: usize = 8 << 20;
const RAW_NEEDS_CREDENTIALS: &str = "the interval raw needs credentials: set DERIBIT_CLIENT_ID and \
    DERIBIT_CLIENT_SECRET (or DERIBIT_CLIENT_ID_FILE and DERIBIT_CLIENT_SECRET_FILE), or record \
    with --interval 100ms";
