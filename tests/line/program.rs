//! One life of the program: the pipeline without its threads. Every stage is the real one; what
//! stands here is the glue that `pipeline.rs`, `reader.rs` and the threads are in production.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use journal::disk::{Disk, Simulated};
use journal::{Journal, Options, Recovery};
use lifecycle::{Choices, Handover, Plan, Swap};
use schema::tables::Rows;
use schema::{Micros, Now, Origin};
use sinks::Parquet;
use tapedeck::clock::Clock;
use tapedeck::config::Config;
use tapedeck::control::{self, Intake, Published};
use tapedeck::deribit::Estate;
use tapedeck::endpoint::Endpoint;
use tapedeck::ferry::Ferry;
use tapedeck::fleet::Deputy;
use tapedeck::keeper::{self, Appending, Kept, Syncing};
use tapedeck::outbox::Outbox;
use tapedeck::queue::{Inlet, Item, Outlet, Urgency, queue};
use tapedeck::reader::{Board, Ending, LineSetup, Link, Mailbox};
use tapedeck::recorder::steward::{Apart, Setup, Steward, Ties, Wishes};
use tapedeck::recorder::{Catalogue, Keeping, List};
use tapedeck::stop::Stop;
use tapedeck::worker::{self, Following, Progress};
use tapedeck::{reader, recorder};

use super::{DATA, START_US};
use tapedeck_tests::random::Random;

/// What does not change from one life to the next.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) journal: Options,
    pub(super) parquet: sinks::parquet::Options,
    pub(super) queue_bytes_max: usize,
    pub(super) held_bytes_max: usize,
    pub(super) batch_age_max: Duration,
    pub(super) readers: u16,
    /// What a steward follows; without it the plan stays as it is.
    pub(super) followed: Option<Config>,
}

impl Frame {
    /// Bounds as a seed draws them: some are reached in any world, some in none.
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            journal: Options {
                segment_bytes_max: random.pick(&[20_000, 200_000, 64 << 20]),
                segment_age_max: Duration::from_secs(random.pick(&[5, 3600])),
                tail_bytes_max: random.pick(&[10_000, 8 << 20]),
                ..Options::default()
            },
            parquet: sinks::parquet::Options {
                age_max: Duration::from_secs(random.pick(&[5, 20, 600])),
                bytes_max: random.pick(&[1 << 20, 24 << 20]),
                ..sinks::parquet::Options::default()
            },
            queue_bytes_max: random.pick(&[TIGHT_BYTES, 3 << 20, 32 << 20]),
            held_bytes_max: random.pick(&[200_000, 8 << 20]),
            batch_age_max: Duration::from_millis(random.pick(&[100, 1_000])),
            readers: random.pick(&[1, 2]),
            followed: None,
        }
    }

    /// As a configuration has it that says nothing; but the journal keeps everything, for the
    /// judge.
    pub(super) fn followed(config: Config) -> Self {
        let keep = Duration::from_hours(24 * 30);
        Self {
            journal: Options { keep, ..Options::default() },
            parquet: sinks::parquet::Options::default(),
            queue_bytes_max: config.exchange.queue_bytes_max,
            held_bytes_max: 8 << 20,
            batch_age_max: config.exchange.batch_age_max,
            readers: 1,
            followed: Some(config),
        }
    }
}

/// The program at work.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) links: Vec<Link>,
    mailboxes: Vec<Mailbox>,
    boards: BTreeMap<Arc<str>, Board>,
    /// Where links meet, if no steward tells them to.
    pub(super) ferry: Ferry<Estate>,
    outboxes: Vec<Outbox>,
    outlet: Outlet,
    appending: Appending,
    syncing: Syncing,
    following: Following,
    kept: Arc<Kept>,
    progress: Arc<Progress>,
    stop: Stop,
    finish: Stop,
    /// Follows the exchange's lists, where that is wished.
    pub(super) steward: Option<Steward>,
    /// Does what a lifecycle says, where one does.
    pub(super) deputy: Option<Deputy>,
    /// Whether the journal had known any shard before.
    pub(super) resumed: bool,
    /// What the journal held when it was opened, in words.
    pub(super) found: String,
}

/// What a life begins with.
pub(super) struct Opened<'a> {
    pub(super) recovery: &'a Recovery,
    pub(super) door: &'a Arc<dyn Disk>,
    pub(super) inlet: &'a Inlet,
    pub(super) now: Now,
}

impl Opened<'_> {
    /// The lines of a plan.
    pub(super) fn lines(&self, plan: &Plan, random: &mut Random) -> Vec<LineSetup> {
        let endpoint = Endpoint::parse("ws://exchange.test/ws/api/v2").unwrap();
        let allowance = recorder::allowance(self.recovery, false, self.now);
        recorder::lines(plan, &endpoint, None, self.recovery, &allowance, || random.next())
    }
}

/// Who takes part in a life.
#[derive(Default)]
pub(super) struct Cast {
    pub(super) lines: Vec<LineSetup>,
    /// Where lines meet, if nobody else tells them to.
    pub(super) ferry: Ferry<Estate>,
    pub(super) steward: Option<Steward>,
    pub(super) deputy: Option<Deputy>,
}

impl Program {
    /// Opens the journal and puts everything together; nothing is connected yet. `lists` are what
    /// a steward begins with; without one it goes by the plan.
    pub(super) fn start(
        plan: &Plan,
        disk: &Simulated,
        clock: &Clock,
        frame: &Frame,
        lists: Vec<List>,
        random: &mut Random,
    ) -> Result<Self, String> {
        Self::open(disk, clock, frame, |opened| {
            let followed = frame.followed.as_ref();
            let followed = followed.map(|config| Followed::new(config, opened.door, lists));
            let plan = followed.as_ref().map_or(plan, |it| &it.plan);
            let mut lines = opened.lines(plan, random);
            let ferry = Ferry::default();
            lines.iter_mut().for_each(|line| line.session.cross(ferry.clone()));
            let steward = followed.map(|it| it.start(&mut lines, opened));
            Ok(Cast { lines, ferry, steward, deputy: None })
        })
    }

    /// Opens the journal and puts together whoever takes part.
    pub(super) fn open(
        disk: &Simulated,
        clock: &Clock,
        frame: &Frame,
        cast: impl FnOnce(&Opened<'_>) -> Result<Cast, String>,
    ) -> Result<Self, String> {
        let door: Arc<dyn Disk> = Arc::new(disk.clone());
        let folder = Path::new(DATA).join("journal");
        let opened = journal::open(Arc::clone(&door), &folder, frame.journal.clone(), clock.now());
        let Journal { appender, syncer, feed, recovery } =
            opened.map_err(|error| error.to_string())?;
        let (stop, finish, reached) = (Stop::default(), Stop::default(), Stop::default());
        let (kept, progress) = (Arc::new(Kept::default()), Arc::new(Progress::default()));
        let (inlet, outlet) = queue(frame.queue_bytes_max);
        let appending = Appending::new(appender, frame.readers, Arc::clone(&kept), stop.clone());
        let syncing = Syncing::new(syncer, feed.clone(), Arc::clone(&kept), clock.now());
        let sink = Box::new(Parquet::new(Arc::clone(&door), Path::new(DATA), frame.parquet));
        let (ends, moved) = (finish.clone(), Arc::clone(&progress));
        let following = Following::new(sink, &recovery.journal, feed, ends, moved);
        let outbox = |reader| {
            let origin = Origin { reader, read_coalesce_us: 0 };
            Outbox::new(inlet.clone(), origin, frame.batch_age_max).holding(frame.held_bytes_max)
        };
        let outboxes = (0..frame.readers).map(outbox).collect();
        let (recovery, now) = (&recovery, clock.now());
        let Cast { lines, ferry, steward, deputy } =
            cast(&Opened { recovery, door: &door, inlet: &inlet, now })?;
        let mailboxes = lines.iter().map(|line| line.mailbox.clone()).collect();
        let board = |line: &LineSetup| (Arc::clone(&line.shard), line.board.clone());
        let boards = lines.iter().map(board).collect();
        let link = |line| Link::new(line, None, reached.clone());
        let links = lines.into_iter().map(link).collect();
        let resumed = !recovery.resume.shards.is_empty();
        let alive = recovery
            .resume
            .shards
            .iter()
            .map(|(shard, it)| format!(", {shard} alive at {:.6}", since_start(it.alive_at)));
        let alive: String = alive.collect();
        let through = recovery.watermark.map_or(0.0, |it| since_start(it.through));
        let found = format!("record {}, all read until {through:.6}{alive}", recovery.position);
        Ok(Self {
            links,
            mailboxes,
            boards,
            ferry,
            outboxes,
            outlet,
            appending,
            syncing,
            following,
            kept,
            progress,
            stop,
            finish,
            steward,
            deputy,
            resumed,
            found,
        })
    }

    /// Leaves a new goal to a shard.
    pub(super) fn swap(&self, link: usize, swap: Swap) {
        self.mailboxes[link].leave(swap);
    }

    /// Whether the exchange has acknowledged a channel to a shard, as far as others see it.
    pub(super) fn heard(&self, shard: &str, channel: &str) -> bool {
        self.boards[shard].channels().contains(channel)
    }

    /// A link and the outbox of its reader.
    pub(super) fn link(&mut self, link: usize) -> (&mut Link, &mut Outbox) {
        let readers = self.outboxes.len();
        (&mut self.links[link], &mut self.outboxes[link % readers])
    }

    /// A link reads, up to where its connection ends if it does; `last` if nothing follows. After
    /// each read it may have something to say.
    pub(super) fn receive(
        &mut self,
        link: usize,
        (mut bytes, last): (&[u8], bool),
        now: Now,
        mut say: impl FnMut(&mut Link),
    ) -> Result<(), Ending> {
        while !bytes.is_empty() || last {
            let (line, outbox) = self.link(link);
            let Some(mut input) = line.take_input() else { break };
            let room = (input.capacity() - input.len()).min(bytes.len());
            let (read, rest) = bytes.split_at(room);
            input.extend_from_slice(read);
            let ended = line.received(input, room, now, outbox);
            say(line);
            ended?;
            bytes = rest;
        }
        Ok(())
    }

    /// What a reader does after each of its turns.
    pub(super) fn turn(&mut self, now: Now) {
        self.outboxes.iter_mut().for_each(|outbox| outbox.turn(now));
    }

    /// The append thread: takes everything that waits; how long it then waits for room on a full
    /// disk.
    pub(super) fn append(&mut self) -> Result<Option<Duration>, String> {
        loop {
            match self.appending.step(&self.outlet, Duration::ZERO) {
                Ok(keeper::Step::On) => {}
                Ok(keeper::Step::Idle) => return Ok(None),
                Ok(keeper::Step::Full) => return Ok(Some(keeper::ROOM_PAUSE)),
                Ok(keeper::Step::Ended) => unreachable!("the readers are there"),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// The fsync thread.
    pub(super) fn sync(&mut self, now: Now) -> Result<(), String> {
        self.syncing.step(now).map_err(|error| error.to_string())
    }

    /// The sink's thread; how long it waits before it goes on.
    pub(super) fn follow(&mut self, clock: &Clock) -> Result<Duration, String> {
        match self.following.step(clock, Duration::ZERO) {
            Ok(worker::Step::On) => Ok(FOLLOWING),
            Ok(worker::Step::Again(pause)) => Ok(pause),
            Ok(worker::Step::Ended(_)) => unreachable!("nobody asked it to end"),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Ends in order, as on SIGTERM: readers flush, the queue drains, the journal is synced, the
    /// sink finishes. The position of the journal, and of the sink.
    pub(super) fn end(mut self, clock: &Clock) -> Result<(u64, u64), String> {
        self.stop.raise();
        for link in 0..self.links.len() {
            let (link, outbox) = self.link(link);
            link.finish(clock.now(), outbox);
        }
        loop {
            let now = clock.now();
            // Every one, even if the first is not done.
            let open =
                self.outboxes.iter_mut().filter_map(|outbox| (!outbox.end(now)).then_some(()));
            if open.count() == 0 {
                break;
            }
            clock.advance(reader::TURN);
            self.append()?;
        }
        self.outboxes.clear();
        (self.steward, self.deputy) = (None, None);
        let Self { outlet, mut appending, kept, finish, mut following, progress, .. } = self;
        while appending.step(&outlet, Duration::ZERO).map_err(|error| error.to_string())?
            != keeper::Step::Ended
        {}
        appending.close().map_err(|error| error.to_string())?;
        finish.raise();
        loop {
            match following.step(clock, Duration::ZERO).map_err(|error| error.to_string())? {
                worker::Step::Ended(position) => {
                    assert_eq!(position.0, progress.durable.get());
                    return Ok((kept.durable.get(), position.0));
                }
                worker::Step::On | worker::Step::Again(_) => {}
            }
        }
    }
}

/// A plan that a steward is to follow.
pub(super) struct Followed {
    config: Config,
    keeping: Keeping,
    choices: Choices,
    pub(super) catalogue: Catalogue,
    plan: Plan,
}

impl Followed {
    pub(super) fn new(config: &Config, door: &Arc<dyn Disk>, lists: Vec<List>) -> Self {
        let keeping = Keeping::new(door, Path::new(DATA));
        let choices = keeping.read(Micros(START_US)).expect("nothing was chosen");
        let catalogue = Catalogue::select(config, &choices, lists).expect("there are options");
        let plan = Plan::first(&catalogue.groups).expect("there is room for all");
        Self { config: config.clone(), keeping, choices, catalogue, plan }
    }

    fn start(self, lines: &mut [LineSetup], opened: &Opened<'_>) -> Steward {
        let handover = Handover::new(self.plan.clone());
        let ties = Ties::new(lines, &opened.recovery.resume.told);
        let (_, intake) = control::orders();
        self.steward((handover, None, ties), (intake, Published::default()), opened)
    }

    pub(super) fn steward(
        self,
        (handover, apart, ties): (Handover, Option<Apart>, Ties),
        (intake, published): (Intake, Published),
        opened: &Opened<'_>,
    ) -> Steward {
        let Self { config, keeping, choices, catalogue, .. } = self;
        let Opened { inlet, now, .. } = *opened;
        let mut rows = Rows::default();
        catalogue.push(now, &mut rows);
        rows.take_from(1, Origin::default(), |draft| {
            let taken = inlet.offer(Item::Rows(draft), Urgency::Reserved);
            assert!(taken.is_ok(), "a new queue has room");
        });
        let wishes = Wishes { choices, intake, keeping, published };
        let (asked, inlet) = (now.utc, inlet.clone());
        Steward::new(Setup { config, handover, apart, ties, catalogue, asked, inlet, wishes }, now)
    }
}

fn since_start(at: Micros) -> f64 {
    (at.0 - START_US) as f64 / 1e6
}

/// How often the sink looks for something new.
const FOLLOWING: Duration = Duration::from_millis(100);
/// A queue that a burst may overflow.
pub(super) const TIGHT_BYTES: usize = 1 << 20;
