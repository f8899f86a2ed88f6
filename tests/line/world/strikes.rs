//! How trouble strikes: the network, the program, the disk, the clock.

use super::{Event, World};
use crate::line::network::Loss;
use crate::line::weather::Fault;

impl World {
    pub(super) fn fault(&mut self) {
        if self.now > self.weather.until {
            // The exchange may hold back what it began to hold back before.
            let held = self.weather.until + HELD_US;
            if self.weather.rules.contains("stall") && self.now < held {
                return self.after(held - self.now, Event::Fault);
            }
            self.disk.calm();
            (self.refused_until, self.black_until, self.slow_until) = (0, 0, 0);
            self.calm = true;
            return;
        }
        if !self.weather.faults.is_empty() {
            let fault = self.random.pick(&self.weather.faults);
            self.strike(fault);
        }
        let pause = 1 + self.random.next() % self.weather.pause_us;
        // Where faults are rare, the end of the weather does not wait for the next one.
        let last = (self.weather.until + CALM_US).saturating_sub(self.now);
        self.after(pause.min(last.max(1)), Event::Fault);
    }

    fn strike(&mut self, fault: Fault) {
        let now = self.now;
        let struck = match fault {
            Fault::Reset
            | Fault::ForProgram
            | Fault::ForExchange
            | Fault::Stall
            | Fault::Garble => {
                let link = self.random.below(self.sockets.len());
                let until = self.sockets[link].map(|socket| self.strike_socket(fault, socket));
                until.map(|until| (until, Some(link)))
            }
            Fault::Refuse | Fault::BlackHole => {
                let until = now + self.seconds(1, 15);
                match fault {
                    Fault::Refuse => self.refused_until = until,
                    _ => self.black_until = until,
                }
                Some((until, None))
            }
            Fault::Kill | Fault::PowerCut | Fault::Stop => {
                self.strike_program(fault).map(|until| (until, None))
            }
            Fault::PowerFails
            | Fault::DiskFull
            | Fault::SyncFails
            | Fault::WriteFails
            | Fault::SlowDisk => Some((self.strike_disk(fault), None)),
            Fault::WallClock => {
                let most = self.random.pick(&[500_000, 5_000_000, 120_000_000]);
                let by = self.random.next() as i64 % most;
                self.clock.set_wall(by);
                self.record.wall_set(now, by);
                Some((now, None))
            }
            Fault::Swap => {
                self.swap();
                Some((now, None))
            }
            Fault::Move => self.relocate().then_some((now, None)),
        };
        if let Some((until, link)) = struck {
            self.record.saw(&format!("{fault:?}"));
            self.record.incident(fault, now, until, link);
        }
    }

    /// Until when it lasts.
    fn strike_socket(&mut self, fault: Fault, socket: u64) -> u64 {
        let now = self.now;
        let loss = match fault {
            Fault::Stall => {
                let until = now + self.seconds(1, 40);
                self.network.stall(socket, until);
                return until;
            }
            Fault::Garble => {
                self.network.garble(socket, now);
                return now;
            }
            Fault::ForProgram => Loss::ForProgram,
            Fault::ForExchange => Loss::ForExchange,
            _ => Loss::Reset,
        };
        self.network.lose(socket, loss, now);
        now
    }

    /// Until when there is no program, unless there is none already.
    fn strike_program(&mut self, fault: Fault) -> Option<u64> {
        let program = self.program.take()?;
        let now = self.now;
        let pause = match fault {
            Fault::Stop => {
                let ended = program.end(&self.clock);
                match ended {
                    Ok((journal, sink)) => {
                        assert_eq!(journal, sink, "the sink has everything");
                        self.record.lives.closed(now);
                    }
                    Err(sentence) => {
                        self.failed(&sentence);
                        return None;
                    }
                }
                self.seconds(0, 10)
            }
            _ => 1 + self.random.next() % self.random.pick(&[200_000, 20_000_000]),
        };
        self.gone(fault == Fault::PowerCut, pause);
        Some(now + pause)
    }

    /// The machine is without power for so long.
    pub(super) fn power_off(&mut self, pause: u64) {
        self.program = None;
        self.gone(true, pause);
        self.record.saw(&format!("{:?}", Fault::PowerCut));
        self.record.incident(Fault::PowerCut, self.now, self.now + pause, None);
    }

    /// The program is gone, and started again after a while.
    fn gone(&mut self, power_cut: bool, pause: u64) {
        self.disconnect(power_cut);
        self.record.lives.died(self.now, power_cut);
        if power_cut {
            self.disk = self.disk.cut();
            self.failing = false;
        }
        self.after(pause, Event::Start);
    }

    /// Until when it lasts, or will have struck.
    fn strike_disk(&mut self, fault: Fault) -> u64 {
        let random = &mut self.random;
        match fault {
            Fault::PowerFails => {
                self.disk.off_after(1 + random.next() % 80);
                self.failing = true;
            }
            Fault::SyncFails => self.disk.fail_sync(1 + random.next() % 6),
            Fault::WriteFails => self.disk.fail_write(1 + random.next() % 20),
            Fault::DiskFull => {
                self.disk.set_room(Some(random.next() % 30_000));
                let length = self.seconds(1, 25);
                self.after(length, Event::Room);
                return self.now + length;
            }
            _ => {
                self.slow_until = self.now + self.seconds(1, 15);
                return self.slow_until;
            }
        }
        self.now + STRUCK_US
    }

    /// Most channels are wanted, others not.
    fn swap(&mut self) {
        let mut groups = self.groups.clone();
        for group in &mut groups {
            let random = &mut self.random;
            group.channels = group.channels.iter().filter(|_| random.below(5) > 0).collect();
        }
        let (plan, overflows) = self.handover.next_plan(&groups);
        assert!(overflows.is_empty(), "there is room: {overflows:?}");
        self.handover.follow(plan);
        self.hand();
    }

    /// Some instruments of one shard go to another one of its group, if there is one.
    fn relocate(&mut self) -> bool {
        let random = &mut self.random;
        let plan = self.handover.plan();
        let to = random.pick(&["options-0", "options-1"]);
        let names = plan.swaps().filter(|(shard, _)| shard.starts_with("options-"));
        let names: Vec<String> = names
            .flat_map(|(_, swap)| {
                swap.goal.instruments().into_iter().map(String::from).collect::<Vec<_>>()
            })
            .filter(|_| random.below(3) == 0)
            .collect();
        let moved = plan.moving(&names.iter().map(String::as_str).collect(), to);
        let Some(moved) = moved.ok().filter(|_| !names.is_empty()) else { return false };
        self.handover.follow(moved);
        self.hand();
        true
    }
}

/// By when after the last fault it is looked whether the weather is over.
const CALM_US: u64 = 60_000_000;
/// How long the exchange's longest stall is, and a bit.
const HELD_US: u64 = 42_000_000;
/// By when a failure that was ordered from the disk has happened.
const STRUCK_US: u64 = 10_000_000;
