//! What goes wrong between processes, and with them.

use tapedeck_tests::random::Random;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Instruments are to go to another shard, by a wish at the lifecycle.
    Move,
    /// The same, by a wish at a recorder.
    MoveElsewhere,
    /// Options are excluded, or pinned again, by a wish at any of the three.
    Choose,
    /// A recorder is killed.
    KillRecorder,
    /// The lifecycle is killed.
    KillLifecycle,
    /// Two of the three are killed at once.
    KillTwo,
    /// A recorder's machine, or the lifecycle's, loses its power.
    PowerCut,
    /// A recorder, or the lifecycle, ends in order and is started again.
    Stop,
    /// The disk of a recorder, or the lifecycle's, is full for a while.
    DiskFull,
    /// A connection to the exchange is reset.
    Reset,
    /// The lifecycle and a recorder cannot reach each other for a while.
    Parted,
    /// Briefs and news are lost, and late ones arrive all the same, for a while.
    Storm,
}

pub(super) const ALL: [Fault; 12] = [
    Fault::Move,
    Fault::MoveElsewhere,
    Fault::Choose,
    Fault::KillRecorder,
    Fault::KillLifecycle,
    Fault::KillTwo,
    Fault::PowerCut,
    Fault::Stop,
    Fault::DiskFull,
    Fault::Reset,
    Fault::Parted,
    Fault::Storm,
];

/// What a world has in store.
#[derive(Debug)]
pub(super) struct Weather {
    /// What may happen; moves more often than the rest.
    pub(super) faults: Vec<Fault>,
    /// Until when, µs.
    pub(super) until: u64,
    /// How long it waits at most from one to the next, µs.
    pub(super) pause_us: u64,
}

impl Weather {
    /// As a seed has it. In some worlds nothing but moves happens.
    pub(super) fn of(random: &mut Random) -> Self {
        let mut faults = vec![Fault::Move, Fault::MoveElsewhere, Fault::Move];
        if random.below(2) == 0 {
            faults.push(Fault::Choose);
        }
        if random.below(5) > 0 {
            faults.extend(ALL.iter().filter(|_| random.below(3) > 0));
        }
        let until = 60_000_000 + random.next() % 120_000_000;
        Self { faults, until, pause_us: random.pick(&[2_000_000, 8_000_000, 20_000_000]) }
    }

    /// Whether anything may be missing: a move alone loses nothing.
    pub(super) fn is_calm(&self) -> bool {
        self.faults.iter().all(|it| {
            let wish = matches!(it, Fault::Move | Fault::MoveElsewhere | Fault::Choose);
            wish || matches!(it, Fault::Parted | Fault::Storm)
        })
    }
}
