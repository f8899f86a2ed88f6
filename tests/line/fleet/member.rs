//! The three processes: what each is made of, on a disk of its own.

use std::path::Path;
use std::sync::Arc;

use journal::disk::{Disk, Simulated};
use schema::Micros;
use tapedeck::clock::Clock;
use tapedeck::config::Config;
use tapedeck::control::{self, Orders, Published};
use tapedeck::fleet::{Desk, Goals, Passed, Relay};
use tapedeck::recorder::{self, Ledger, List, Remote, State, Told};
use tapedeck_tests::random::Random;

use super::super::program::{Cast, Followed, Frame, Program};
use super::super::{DATA, START_US};

/// A process, which lives more than once.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) disk: Simulated,
    /// Of this life: each begins to count anew.
    pub(super) clock: Clock,
    /// Counts the lives and the deaths.
    pub(super) life: u64,
    pub(super) program: Option<Program>,
    /// Whether its disk has no room.
    pub(super) full: bool,
    /// Where wishes at its port go.
    pub(super) orders: Option<Orders>,
}

/// What a lifecycle has beside its program.
#[derive(Debug)]
pub(super) struct Managing {
    pub(super) relays: Vec<Relay>,
    pub(super) published: Published,
}

impl Member {
    pub(super) fn new(seed: u64) -> Self {
        let (disk, clock) = (Simulated::new(seed), Clock::simulated(Micros(START_US)));
        Self { disk, clock, life: 0, program: None, full: false, orders: None }
    }

    fn begin(&mut self, now: u64) {
        self.life += 1;
        self.clock = Clock::simulated(Micros(START_US + now as i64));
    }

    /// A recorder of these shards.
    pub(super) fn record(
        &mut self,
        shards: &[String],
        (config, frame): (&Config, &Frame),
        now: u64,
        random: &mut Random,
    ) -> Result<(), String> {
        self.begin(now);
        let (orders, intake) = control::orders();
        let program = Program::open(&self.disk, &self.clock, frame, |opened| {
            let goals = Goals::new(State::new(opened.door, Path::new(DATA)));
            let kept = goals.read().map_err(|failure| failure.to_string())?;
            let plan = recorder::resumed(config, shards, &kept);
            let mut lines = opened.lines(&plan, random);
            let ties = (goals, Passed::new(intake), Published::default());
            let deputy = recorder::deputize(&mut lines, &plan, kept, ties, opened.now);
            Ok(Cast { lines, deputy: Some(deputy), ..Cast::default() })
        });
        self.program = Some(program?);
        self.orders = Some(orders);
        Ok(())
    }

    /// What a lifecycle was told last; none if it never was.
    pub(super) fn told(&self) -> Option<Told> {
        let door: Arc<dyn Disk> = Arc::new(self.disk.clone());
        Ledger::new(State::new(&door, Path::new(DATA))).read().expect("its disk is sound")
    }

    /// A lifecycle of these recorders. `ask` asks them what they were told, if nothing is noted.
    pub(super) fn manage(
        &mut self,
        (config, frame): (&Config, &Frame),
        lists: Vec<List>,
        now: u64,
        ask: impl FnOnce(&mut [Relay]) -> Told,
    ) -> Result<Managing, String> {
        self.begin(now);
        let told = self.told();
        let (orders, intake) = control::orders();
        let published = Published::default();
        let desk = Desk { orders: orders.clone(), published: published.clone() };
        let mut managing = None;
        let program = Program::open(&self.disk, &self.clock, frame, |opened| {
            let recovery = opened.recovery;
            let manager = (&*recovery.journal, recovery.opened_before);
            let remote = Remote::new(config, manager, desk);
            let mut relays = Vec::from(URLS.map(|url| remote.relay(url)));
            let told = told.unwrap_or_else(|| ask(&mut relays));
            let followed = Followed::new(config, opened.door, lists);
            let ledger = Ledger::new(State::new(opened.door, Path::new(DATA)));
            let groups = &followed.catalogue.groups;
            let resumed = remote.resume(told, groups, ledger, opened.now.monotonic);
            let (handover, apart) = resumed.map_err(|failure| failure.to_string())?;
            let ties = remote.ties(&recovery.resume.told);
            let parts = (handover, Some(apart), ties);
            let steward = followed.steward(parts, (intake, published.clone()), opened);
            managing = Some(Managing { relays, published });
            Ok(Cast { steward: Some(steward), ..Cast::default() })
        });
        self.program = Some(program?);
        self.orders = Some(orders);
        Ok(managing.expect("the program began"))
    }
}

/// The recorders' addresses.
pub(super) const URLS: [&str; 2] = ["http://a.test", "http://b.test"];
