//! The straight line as threads: readers, queue, journal, sinks; and the order in which they end.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use journal::Journal;
use sinks::{Position, Sink};

use crate::clock::Clock;
use crate::failure::{Failure, FailureKind};
use crate::keeper::{Keeper, Kept};
use crate::metrics;
use crate::queue::{self, Inlet, Item, Urgency};
use crate::reader::{LineSetup, Reader, ReaderSetup, Report};
use crate::stop::Stop;
use crate::worker::Worker;

/// What a pipeline is made of.
#[derive(Debug)]
pub struct Setup {
    /// The journal, opened.
    pub journal: Journal,
    /// Where its records go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Bytes that may wait between readers and journal.
    pub queue_bytes_max: usize,
    /// How the readers run; `lines` are dealt out over `readers` of them.
    pub reader: ReaderSetup,
    /// How many readers.
    pub readers: u16,
    /// The connections.
    pub lines: Vec<LineSetup>,
    /// The time.
    pub clock: Clock,
}

/// A pipeline at work.
#[derive(Debug)]
pub struct Pipeline {
    readers: Vec<Reader>,
    lines: Vec<Arc<metrics::Line>>,
    inlet: Inlet,
    keeper: Keeper,
    kept: Arc<Kept>,
    before: u64,
    workers: Vec<Worker>,
    stop: Stop,
    finish: Stop,
    trouble: Stop,
}

/// What was recorded, once a pipeline has ended.
#[derive(Debug, Default)]
pub struct Summary {
    /// What each connection saw.
    pub reports: Vec<Report>,
    /// Rows appended to the journal.
    pub rows: u64,
    /// The journal's last record before this pipeline started.
    pub before: u64,
    /// The journal's last durable record.
    pub durable: u64,
    /// The sinks, each with its durable position.
    pub sinks: Vec<(String, Position)>,
}

impl Pipeline {
    /// Starts every thread. What is in `own_rows` is journaled first: rows that no reader makes.
    ///
    /// # Errors
    /// When a thread or a driver cannot be had.
    pub fn start(setup: Setup, own_rows: &mut schema::tables::Rows) -> Result<Self, Failure> {
        let refused = |error: std::io::Error| {
            Failure::new(FailureKind::Storage, format_args!("cannot start a thread: {error}"))
        };
        let Journal { appender, syncer, feed, recovery } = setup.journal;
        let (stop, finish, trouble) = (Stop::default(), Stop::default(), Stop::default());
        let (inlet, outlet) = queue::queue(setup.queue_bytes_max);
        let (clock, readers) = (setup.clock, setup.readers);
        let ends = (appender, syncer, feed.clone());
        let (keeper, kept) =
            Keeper::start(outlet, ends, readers, clock.clone(), (stop.clone(), trouble.clone()))
                .map_err(refused)?;
        let mut workers = Vec::new();
        for sink in setup.sinks {
            let (feed, clock) = (feed.clone(), clock.clone());
            let (finish, trouble) = (finish.clone(), trouble.clone());
            let worker = Worker::start(sink, &recovery.journal, feed, clock, finish, trouble)
                .map_err(refused)?;
            workers.push(worker);
        }
        own_rows.take_from(1, schema::Origin::default(), |draft| {
            let taken = inlet.offer(Item::Rows(draft), Urgency::Reserved);
            assert!(taken.is_ok(), "a queue that nobody has used yet has room");
        });
        let lines: Vec<_> = setup.lines.iter().map(|line| Arc::clone(&line.meters)).collect();
        let mut dealt: Vec<Vec<LineSetup>> = (0..readers).map(|_| Vec::new()).collect();
        for (index, line) in setup.lines.into_iter().enumerate() {
            dealt[index % usize::from(readers)].push(line);
        }
        let mut started = Vec::new();
        for (id, lines) in (0..readers).zip(dealt) {
            let reader = Reader::start(
                id,
                &setup.reader,
                lines,
                inlet.clone(),
                clock.clone(),
                stop.clone(),
            )?;
            started.push(reader);
        }
        let readers = started;
        let before = recovery.position;
        Ok(Self { readers, lines, inlet, keeper, kept, before, workers, stop, finish, trouble })
    }

    /// The connections' numbers.
    #[must_use]
    pub fn lines(&self) -> &[Arc<metrics::Line>] {
        &self.lines
    }

    /// What the journal has kept.
    #[must_use]
    pub fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    /// The sinks' threads.
    #[must_use]
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// The readers' threads.
    #[must_use]
    pub fn readers(&self) -> &[Reader] {
        &self.readers
    }

    /// A way into the journal, for rows that no reader makes. It must be dropped before the
    /// pipeline can end.
    #[must_use]
    pub fn inlet(&self) -> Inlet {
        self.inlet.clone()
    }

    /// Raised when something has failed for good.
    #[must_use]
    pub fn trouble(&self) -> Stop {
        self.trouble.clone()
    }

    /// How full the queue is, percent.
    #[must_use]
    pub fn queue_usage_pct(&self) -> f64 {
        self.inlet.usage_pct()
    }

    /// Whether something has failed for good, so that the pipeline must end.
    #[must_use]
    pub fn troubled(&self) -> bool {
        self.trouble.raised() || self.readers.iter().any(Reader::failed)
    }

    /// Ends in order: readers flush, the queue drains, the journal is synced, the sinks finish.
    ///
    /// # Errors
    /// What failed, with what is not stored where it should be.
    pub fn end(self) -> Result<Summary, Failure> {
        let mut summary = Summary { before: self.before, ..Summary::default() };
        let mut failure = None;
        self.stop.raise();
        for reader in self.readers {
            let (reports, refusal) = reader.join();
            summary.reports.extend(reports);
            failure = failure.or(refusal);
        }
        drop(self.inlet);
        let journal = self.keeper.join();
        summary.rows = self.kept.rows.get();
        summary.durable = self.kept.durable.get();
        self.finish.raise();
        let deadline = Instant::now() + SINKS_FINISH_MAX;
        for worker in self.workers {
            while !worker.finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
            let name = worker.name.clone();
            let late = !worker.finished();
            let durable = Position(worker.progress().durable.get());
            let error = if late {
                Some("it did not finish in time".into())
            } else {
                worker.join().err().map(|error| error.to_string())
            };
            if let Some(error) = error {
                let sentence = format!(
                    "sink {name}: {error}; it holds the journal up to record {} of {}, the next \
                     start stores the rest",
                    durable.0, summary.durable
                );
                let kind = match name == sinks::postgres::NAME {
                    true => FailureKind::Database,
                    false => FailureKind::Storage,
                };
                failure = failure.or(Some(Failure::new(kind, sentence)));
            }
            summary.sinks.push((name, durable));
        }
        if let Err(error) = journal {
            let sentence = format!(
                "{error}; everything up to record {} is stored, what came after it is not and the \
                 next start records the gap",
                summary.durable
            );
            return Err(Failure::new(FailureKind::Storage, sentence));
        }
        match failure {
            Some(failure) => Err(failure),
            None => Ok(summary),
        }
    }
}

/// SIGTERM leaves a container 10 s; the sinks get the half of it that the readers leave.
const SINKS_FINISH_MAX: Duration = Duration::from_secs(4);
