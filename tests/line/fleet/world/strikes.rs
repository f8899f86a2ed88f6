//! How trouble strikes: processes, connections, letters; and the moves that it meets.

use super::super::super::network::{Loss, Way};
use super::super::record::What;
use super::super::weather::Fault;
use super::{Event, LIFECYCLE, NAMES, SHARDS, World};

impl World {
    pub(super) fn fault(&mut self) {
        if self.now > self.weather.until {
            self.calm = true;
            return;
        }
        let fault = self.random.pick(&self.weather.faults);
        if let Some(words) = self.strike(fault) {
            *self.record.seen.entry(format!("{fault:?}")).or_default() += 1;
            self.note(&format!("{fault:?}: {words}"));
        }
        let pause = 1 + self.random.next() % self.weather.pause_us;
        self.after(pause, Event::Fault);
    }

    /// What happens, in words; nothing, if it cannot.
    fn strike(&mut self, fault: Fault) -> Option<String> {
        match fault {
            Fault::Move => self.relocate(LIFECYCLE),
            Fault::MoveElsewhere => {
                let recorder = self.random.below(2);
                self.relocate(recorder)
            }
            Fault::Choose => {
                let member = self.random.below(3);
                self.choose(member)
            }
            Fault::KillRecorder => {
                let recorder = self.random.below(2);
                self.kill(recorder, false)
            }
            Fault::KillLifecycle => self.kill(LIFECYCLE, false),
            Fault::KillTwo => {
                let spared = self.random.below(3);
                let killed = (0..3).filter(|it| *it != spared);
                let words: Vec<String> = killed.filter_map(|it| self.kill(it, false)).collect();
                (!words.is_empty()).then(|| words.join(" and "))
            }
            Fault::PowerCut => {
                let member = self.random.below(3);
                self.kill(member, true)
            }
            Fault::Stop => {
                let member = self.random.below(3);
                self.stop(member)
            }
            Fault::DiskFull => {
                let member = self.random.below(3);
                let length = 1_000_000 + self.random.next() % 25_000_000;
                self.members[member].full = true;
                self.members[member].disk.set_room(Some(self.random.next() % 30_000));
                self.after(length, Event::Room(member));
                Some(self.lasts(What::Full(member), length, NAMES[member]))
            }
            Fault::Reset => {
                let (member, link) = (self.random.below(2), self.random.below(4));
                let socket = self.sockets[member][link]?;
                self.network.lose(socket, Loss::Reset, self.now);
                Some(self.lasts(What::Network, 0, SHARDS[member][link]))
            }
            Fault::Parted => {
                let recorder = self.random.below(2);
                let longest = self.random.pick(&[45_000_000, 45_000_000, 100_000_000]);
                let length = 500_000 + self.random.next() % longest;
                self.parted_until[recorder] = self.now + length;
                Some(self.lasts(What::Network, length, NAMES[recorder]))
            }
            Fault::Storm => {
                let length = 1_000_000 + self.random.next() % 30_000_000;
                self.storm_until = self.now + length;
                Some(self.lasts(What::Network, length, "letters"))
            }
        }
    }

    /// Notes a trouble and how long it lasts; in words.
    fn lasts(&mut self, what: What, length: u64, whose: &str) -> String {
        self.record.trouble(what, self.now..self.now + length);
        format!("{whose} for {:.3} s", length as f64 / 1e6)
    }

    fn kill(&mut self, member: usize, power: bool) -> Option<String> {
        self.members[member].program.take()?;
        if power {
            self.members[member].disk = self.members[member].disk.cut();
        }
        Some(self.gone(member, power))
    }

    fn stop(&mut self, member: usize) -> Option<String> {
        let program = self.members[member].program.take()?;
        match program.end(&self.members[member].clock) {
            Ok((journal, sink)) => {
                assert_eq!(journal, sink, "the sink has everything");
                self.record.lives[member].closed(self.now);
            }
            Err(sentence) => self.full(member, &sentence),
        }
        Some(self.gone(member, false))
    }

    /// A member has failed, which it may if its disk has no room.
    pub(super) fn full(&mut self, member: usize, sentence: &str) {
        assert!(self.members[member].full, "its disk is sound: {sentence}");
        self.note(&format!("{}: {sentence}", NAMES[member]));
        self.record.saw("the disk is found full");
    }

    /// A process has ended itself.
    pub(super) fn failed(&mut self, member: usize, sentence: &str) {
        self.full(member, sentence);
        self.members[member].program = None;
        self.gone(member, false);
    }

    /// A process is gone, and started again after a while.
    fn gone(&mut self, member: usize, silently: bool) -> String {
        self.record.dies(member, silently, self.now);
        self.members[member].life += 1;
        self.members[member].orders = None;
        if member == LIFECYCLE {
            self.managing = None;
        } else {
            for link in 0..SHARDS[member].len() {
                match self.sockets[member][link].take() {
                    Some(socket) if silently => self.network.forget(socket),
                    Some(socket) => {
                        self.network.send(socket, Way::Up, Vec::new(), true, self.now);
                    }
                    None => {}
                }
            }
        }
        let longest = self.random.pick(&[300_000, 3_000_000, 40_000_000]);
        let pause = 1 + self.random.next() % longest;
        self.after(pause, Event::Start(member));
        self.record.trouble(What::Death(member), self.now..u64::MAX);
        format!("{} for {:.3} s", NAMES[member], pause as f64 / 1e6)
    }
}
