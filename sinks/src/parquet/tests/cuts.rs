//! Power cuts, kills and failing disks, at random calls of the disk.
//!
//! The oracle: a position once reported is never taken back; the files that the manifest knows
//! hold every row up to the position once and no other row; after opening, no other file is there
//! but markers, and those stand beside what they belong to and are gone in the end.

use super::*;
use crate::contract::{Rows, add, rows};

/// One journal on its way through processes that die.
struct Story {
    sample: Sample,
    disk: Simulated,
    batches: Vec<Arc<Batch>>,
    /// The greatest position that a sink reported as durable.
    promised: u64,
    /// Whether the days of the rows are over, so that they are merged while rows still come.
    over: bool,
}

/// How a process ended.
enum End {
    /// Everything was stored.
    Closed,
    /// The power is off.
    Dark,
    /// The process was killed; the disk goes on.
    Killed,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut sample = Sample::new(seed);
        let count = 1 + sample.below(14);
        let batches = sample.batches(count);
        let over = sample.below(2) == 0;
        Self { sample, disk: Simulated::new(seed), batches, promised: 0, over }
    }

    fn run(mut self) {
        for _ in 0..1 + self.sample.below(3) {
            let reach = 1 << (1 + self.sample.below(12));
            let calls = 1 + self.sample.below(reach) as u64;
            match self.sample.below(4) {
                0 => self.disk.fail_sync(1 + self.sample.below(24) as u64),
                1 => self.disk.fail_write(1 + self.sample.below(120) as u64),
                2 => self.disk.set_room(Some(self.sample.below(20_000) as u64)),
                _ => {}
            }
            self.disk.off_after(calls);
            match self.life() {
                End::Dark => self.disk = self.disk.cut(),
                End::Killed | End::Closed => self.disk.off_after(u64::MAX),
            }
            self.disk.set_room(None);
            if self.sample.below(2) == 0 {
                self.look();
            }
        }
        self.look();
        self.disk.fail_sync(u64::MAX);
        self.disk.fail_write(u64::MAX);
        assert!(matches!(self.life_to(None), End::Closed));
        assert_eq!(self.promised, self.batches.len() as u64);
        self.look();
        let merging = merging(&self.disk);
        assert!(!self.over || merging.is_empty(), "{merging:?}");
        let markers = markers(&self.disk);
        assert!(!self.over || markers.is_empty(), "{markers:?}");
        let mut folders = BTreeSet::new();
        for path in files(&self.disk) {
            let folder = path.parent().unwrap().to_owned();
            let dated = folder.to_str().unwrap().contains("/date=");
            assert!(folders.insert(folder) || !dated || !self.over, "{}", path.display());
        }
    }

    /// One process, from its start to its end.
    fn life(&mut self) -> End {
        let killed_after = self.sample.below(60);
        self.life_to(Some(killed_after))
    }

    fn life_to(&mut self, mut steps: Option<usize>) -> End {
        let options = Options {
            age_max: Duration::from_secs(5),
            bytes_max: 12_000,
            settle: Duration::ZERO,
            ..Options::default()
        };
        // Long enough for every folder to be merged, or cut short.
        let mut linger = if steps.is_some() { self.sample.below(300) as u64 } else { 3_000 };
        let mut sink = Parquet::new(Arc::new(self.disk.clone()), Path::new(DATA), options);
        let mut position = None;
        for second in 0.. {
            if let Some(left) = &mut steps {
                if *left == 0 {
                    return End::Killed;
                }
                *left -= 1;
            }
            let step = match position {
                None => sink.open("j").inspect(|Position(at)| position = Some(*at)),
                Some(at) if at == self.batches.len() as u64 && linger > 0 => {
                    linger -= 1;
                    steps = steps.map(|left| left + 1);
                    sink.flush(self.now(second * 10))
                }
                Some(at) if at == self.batches.len() as u64 => {
                    if self.disk.list(Path::new(DATA)).is_err() {
                        return End::Dark;
                    }
                    let closed = sink.close();
                    if let Ok(Position(durable)) = closed {
                        assert_eq!(durable, at);
                        self.promised = durable;
                        return End::Closed;
                    }
                    closed
                }
                Some(at) => self.feed(&mut sink, at, second).map(|(accepted, durable)| {
                    position = Some(accepted);
                    durable
                }),
            };
            match step {
                Ok(Position(durable)) => {
                    assert!(durable >= self.promised, "a position was taken back");
                    self.promised = durable;
                }
                Err(error) => {
                    assert_eq!(error.kind, SinkErrorKind::Retry, "{error}");
                    if self.disk.list(Path::new(DATA)).is_err() {
                        return End::Dark;
                    }
                    self.disk.set_room(None);
                    position = None;
                }
            }
        }
        unreachable!("a life ends")
    }

    fn feed(
        &mut self,
        sink: &mut Parquet,
        from: u64,
        second: u64,
    ) -> Result<(u64, Position), crate::SinkError> {
        let rest = &self.batches[from as usize..];
        let some = self.sample.below(4).min(rest.len());
        let accepted = sink.write(&rest[..some])?;
        Ok((accepted.0, sink.flush(self.now(second))?))
    }

    fn now(&self, second: u64) -> Now {
        let day = schema::Date::from_civil(2026, 11, if self.over { 25 } else { 24 });
        Now { monotonic: Duration::from_secs(second), utc: day.start() }
    }

    /// Opens the sink with the power on, and compares the disk with what was fed.
    fn look(&self) {
        let disk = &self.disk;
        disk.off_after(u64::MAX);
        disk.fail_sync(u64::MAX);
        disk.fail_write(u64::MAX);
        let Position(position) = sink(disk).open("j").unwrap();
        assert!(position >= self.promised, "{position} after {} was promised", self.promised);
        let root = Path::new(DATA).join(NAME);
        let known: BTreeSet<PathBuf> =
            known(disk).iter().map(|file| root.join(&file.path)).collect();
        let (mut found, markers) = (files(disk), markers(disk));
        for (marker, successor) in &markers {
            assert!(found.contains(successor), "{} without its file", marker.display());
        }
        found.retain(|path| !markers.contains_key(path));
        assert_eq!(found, known, "a glob finds what the manifest knows");
        let mut found = Rows::new();
        for (table, columns) in stored(disk) {
            add(&mut found, table, columns.columns());
        }
        let expected = rows(&self.batches[..position as usize]);
        assert!(found == expected, "{} rows of {} are as fed", found.len(), expected.len());
    }
}

#[test]
fn a_thousand_power_cuts() {
    for seed in 0..1_000 {
        let run = std::panic::AssertUnwindSafe(|| Story::new(seed).run());
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
