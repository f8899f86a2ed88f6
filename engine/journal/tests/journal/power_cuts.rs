//! A thousand seeded histories of appends, syncs, rotations, failures and power cuts.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use schema::Batch;
use tapedeck_journal::disk::Simulated;
use tapedeck_journal::{ErrorKind, Journal, JournalError, Options, ShardFact, open};

use crate::rows::{self, Dice};

#[test]
fn a_thousand_power_cuts() {
    let mut torn = 0;
    for seed in seeds() {
        let run = catch_unwind(AssertUnwindSafe(|| History::new(seed).run()));
        torn += run.unwrap_or_else(|panic| {
            eprintln!("this was seed {seed}: SEEDS={seed}..{}", seed + 1);
            resume_unwind(panic)
        });
    }
    assert!(torn > 50 || seeds().count() < 1_000, "the cuts tear something: {torn}");
}

/// The first thousand, or those of the environment: `SEEDS=871..872` runs one again.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("SEEDS").ok();
    let asked = asked.as_deref().map(|seeds| seeds.split_once("..").expect("FROM..TO"));
    asked.map_or(0..1_000, |(from, to)| from.parse().unwrap()..to.parse().unwrap())
}

/// What must be true of the journal, kept beside it.
struct History {
    dice: Dice,
    disk: Simulated,
    options: Options,
    clock: i64,
    /// Every batch handed in and not known to be lost, by position.
    batches: BTreeMap<u64, Arc<Batch>>,
    /// By instant that `through` was told: the last position handed in before.
    told: BTreeMap<i64, u64>,
    /// Up to here the journal said that it is durable.
    durable: u64,
    /// What a sink was offered.
    sink: BTreeMap<u64, Arc<Batch>>,
    /// Batches before this may have been trimmed.
    released: u64,
    torn: u64,
}

/// How a run of the process ended.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// kill -9, or an orderly end: what was written is still there.
    Process,
    /// The power went.
    Power,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let options = Options {
            segment_bytes_max: 1 + dice.below(12_000),
            tail_bytes_max: usize::try_from(dice.below(20_000)).unwrap(),
            keep: Duration::from_micros(dice.below(40)),
            ..Options::default()
        };
        let (batches, told, sink) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let disk = Simulated::new(dice.next());
        let (clock, durable, released, torn) = (0, 0, 0, 0);
        Self { dice, disk, options, clock, batches, told, durable, sink, released, torn }
    }

    fn run(mut self) -> u64 {
        for _ in 0..4 {
            let end = self.life();
            if end == End::Power {
                self.disk = self.disk.cut();
            }
        }
        let journal = self.open().expect("an undisturbed disk opens");
        drop(journal);
        self.torn
    }

    /// One run of the process, from opening to its end.
    fn life(&mut self) -> End {
        if self.dice.chance(60) {
            self.disk.off_after(1 + self.dice.below(250));
        }
        if self.dice.chance(20) {
            self.disk.fail_sync(1 + self.dice.below(12));
        }
        if self.dice.chance(5) {
            self.disk.fail_write(1 + self.dice.below(40));
        }
        if self.dice.chance(15) {
            self.disk.set_room(Some(self.dice.below(9_000)));
        }
        let ended = self.open().and_then(|mut journal| {
            let ended = self.work(&mut journal);
            if ended.is_ok() && self.dice.chance(30) {
                let watermark = journal.appender.close()?;
                self.durable = watermark.position;
            }
            ended
        });
        let refused = ended.is_err();
        if let Err(error) = ended {
            let damaged = matches!(error.kind(), ErrorKind::Damaged { .. } | ErrorKind::Newer);
            assert!(!damaged, "a power cut was taken for damage: {error}");
        }
        self.disk.calm();
        if refused || self.dice.chance(50) { End::Power } else { End::Process }
    }

    /// Opens the journal and compares everything that it holds.
    fn open(&mut self) -> Result<Journal, JournalError> {
        self.clock += 1;
        let disk = Arc::new(self.disk.clone());
        let folder = Path::new("/data/journal");
        let now = rows::at(self.clock);
        let mut journal = open(disk, folder, self.options.clone(), now)?;
        let position = journal.recovery.position;
        self.torn += u64::from(journal.recovery.torn.is_some());
        assert!(position >= self.durable, "{position} of durable {} are left", self.durable);
        let last = self.batches.keys().last().copied().unwrap_or(0);
        assert!(position <= last, "{position} was never appended");
        self.batches.retain(|at, _| *at <= position);
        for (at, seen) in &self.sink {
            let kept = self.batches.get(at).expect("a sink holds what the journal lost");
            assert!(Arc::ptr_eq(kept, seen), "a sink holds another batch {at}");
        }
        if let Some(watermark) = journal.recovery.watermark {
            assert!(watermark.position <= position);
            let told = self.told.get(&watermark.through.0).copied().unwrap_or(0);
            assert!(position >= told, "the watermark covers {told} of which {position} are left");
        }
        self.durable = position;
        self.check_rows(&mut journal)?;
        self.check_resume(&journal);
        journal.feed.attach("sink", self.released)?;
        Ok(journal)
    }

    /// Everything that was not trimmed reads back, once, to the bit.
    fn check_rows(&self, journal: &mut Journal) -> Result<(), JournalError> {
        let position = journal.recovery.position;
        let mut after = match journal.feed.read(0, 0, Duration::ZERO) {
            Err(error) => match error.kind() {
                ErrorKind::Gone { oldest } => *oldest - 1,
                _ => return Err(error),
            },
            Ok(_) => 0,
        };
        assert!(after <= self.released, "a segment went before the sink had it");
        while after < position {
            for batch in journal.feed.read(after, 10_000, Duration::ZERO)? {
                after += 1;
                assert_eq!(batch.position(), after);
                assert!(rows::same(&batch, &self.batches[&after]), "batch {after} is another");
            }
        }
        Ok(())
    }

    /// The identities are those of the batches that are left.
    fn check_resume(&self, journal: &Journal) {
        let mut trade_seqs = BTreeMap::new();
        for batch in self.batches.values().filter(|batch| batch.table().name == "option_trades") {
            let column = |name| batch.columns().column_by_name(name).unwrap();
            let names = column("instrument").as_dictionary::<Int32Type>();
            let names = names.downcast_dict::<arrow_array::StringArray>().unwrap();
            for (name, seq) in
                names.into_iter().zip(column("trade_seq").as_primitive::<Int64Type>())
            {
                let entry = trade_seqs.entry(name.unwrap().to_owned());
                let (lowest, highest) = entry.or_insert((seq, seq));
                (*lowest, *highest) = (seq.min(*lowest), seq.max(*highest));
            }
        }
        for (name, known) in trade_seqs {
            let last = journal.recovery.resume.instruments.get(&name);
            let found = last.map(|last| (last.lowest_seq, last.trade_seq));
            assert_eq!(found, Some(known), "{name}");
        }
    }

    fn work(&mut self, journal: &mut Journal) -> Result<(), JournalError> {
        for _ in 0..self.dice.below(60) {
            self.clock += 1;
            match self.dice.below(10) {
                0..=4 => self.append(journal)?,
                5 => {
                    self.durable = journal.syncer.sync()?.position;
                }
                6 => {
                    let at = rows::at(self.clock).utc;
                    self.told.insert(at.0, journal.appender.next_position() - 1);
                    journal.appender.through(at).or_else(full)?;
                }
                7 => {
                    let channels = vec![format!("channel {}", self.dice.below(3))];
                    let at = rows::at(self.clock).utc;
                    let shard = "btc-0".to_owned();
                    let fact = ShardFact { shard, channels, at, unasked_since: Some(at) };
                    journal.appender.shard(fact).or_else(full)?;
                }
                8 => self.drain(journal)?,
                _ => {
                    journal.feed.trim(rows::at(self.clock))?;
                }
            }
            self.durable = self.durable.max(journal.feed.durable());
        }
        Ok(())
    }

    fn append(&mut self, journal: &mut Journal) -> Result<(), JournalError> {
        let before = journal.appender.next_position();
        // A draft made twice from equal dice is the same draft, also where the journal keeps it.
        let dice = Dice(self.dice.next());
        let copy = rows::small_draft(&mut Dice(dice.0));
        let sequence = self.batches.values().next_back();
        let sequence = sequence.map_or(0, |last| last.sequence() + last.rows() as i64);
        let appended = journal.appender.append(rows::small_draft(&mut Dice(dice.0)));
        if journal.appender.next_position() > before {
            let batch = appended.as_ref().map(Arc::clone);
            let batch = batch.unwrap_or_else(|_| Arc::new(copy.number(before, sequence)));
            self.batches.insert(before, batch);
        }
        appended.map(|_| ()).or_else(full)
    }

    /// Lets the sink read a little, and sometimes release it.
    fn drain(&mut self, journal: &mut Journal) -> Result<(), JournalError> {
        let after = self.sink.keys().next_back().copied().unwrap_or(self.released);
        for batch in journal.feed.read(after, 2_000, Duration::ZERO)? {
            assert!(batch.position() <= journal.feed.durable());
            let ours = &self.batches[&batch.position()];
            assert!(rows::same(&batch, ours));
            self.sink.insert(batch.position(), Arc::clone(ours));
        }
        if self.dice.chance(50) {
            self.released = self.sink.keys().next_back().copied().unwrap_or(self.released);
            journal.feed.release("sink", self.released);
        }
        Ok(())
    }
}

/// A full disk is not the end.
fn full(error: JournalError) -> Result<(), JournalError> {
    if error.is_full() { Ok(()) } else { Err(error) }
}
