//! What the threads of each process do, turn by turn.

use lifecycle::ChannelSet;

use super::super::super::lives::End;
use super::super::member::Member;
use super::{Event, LIFECYCLE, LOOK_US, TEND_US, World, steward};

impl World {
    pub(super) fn turn(&mut self, member: usize) {
        let now = self.members[member].clock.now();
        for link in 0..self.sockets[member].len() {
            let Some(program) = &mut self.members[member].program else { return };
            let (line, outbox) = program.link(link);
            let shut = line.turn(now, None, outbox);
            self.flush(member, link);
            if shut {
                self.received(member, link, (&[], true), End::GivenUp);
            }
            self.watch(member, link);
            self.record.turned(member, link, self.now);
        }
        if let Some(program) = &mut self.members[member].program {
            program.turn(now);
        }
        self.after(50_000, Event::Turn(member, self.members[member].life));
    }

    pub(super) fn append(&mut self, member: usize) {
        let Some(program) = &mut self.members[member].program else { return };
        let mut pause = 5_000 + self.random.next() % 40_000;
        match program.append() {
            Ok(None) => self.record.lives[member].drained(self.now),
            Ok(Some(wait)) => {
                self.full(member, "there is no room for the journal");
                pause = wait.as_micros() as u64;
            }
            Err(sentence) => return self.failed(member, &sentence),
        }
        self.after(pause, Event::Append(member, self.members[member].life));
    }

    pub(super) fn sync(&mut self, member: usize) {
        let Member { program, clock, life, .. } = &mut self.members[member];
        let (Some(program), life) = (program, *life) else { return };
        if let Err(sentence) = program.sync(clock.now()) {
            return self.failed(member, &sentence);
        }
        self.record.lives[member].synced();
        let pause = 900_000 + self.random.next() % 200_000;
        self.after(pause, Event::Sync(member, life));
    }

    pub(super) fn follow(&mut self, member: usize) {
        let Member { program, clock, life, .. } = &mut self.members[member];
        let (Some(program), life) = (program, *life) else { return };
        match program.follow(clock) {
            Ok(pause) => self.after(pause.as_micros() as u64, Event::Follow(member, life)),
            Err(sentence) => self.failed(member, &sentence),
        }
    }

    /// What the steward's threads do.
    pub(super) fn tend(&mut self) {
        let now = self.members[LIFECYCLE].clock.now();
        let Some(steward) = steward(&mut self.members) else { return };
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.questions).into_iter().partition(|(due, _)| *due <= self.now);
        self.questions = later;
        for (_, question) in due {
            let answer = self.venue.list(&question.currency, self.now);
            steward.answered(question, answer, now);
        }
        steward.turn(now);
        while let Some(question) = steward.question(now) {
            self.questions.push((self.now + self.random.next() % 3_000_000, question));
        }
        let goals: Vec<ChannelSet> = steward.swaps().map(|(_, swap)| swap.goal).collect();
        goals.iter().for_each(|goal| self.venue.observe(goal.iter(), self.now));
        self.wants(&goals);
        self.hear_answers();
        self.after(TEND_US, Event::Tend(self.members[LIFECYCLE].life));
    }

    pub(super) fn look(&mut self, member: usize) {
        let Member { program, clock, life, .. } = &mut self.members[member];
        let (Some(program), life) = (program, *life) else { return };
        let deputy = program.deputy.as_mut().expect("a recorder has one");
        if let Err(refused) = deputy.tend(clock.now()) {
            self.full(member, &refused.to_string());
        }
        self.hear_answers();
        self.after(LOOK_US, Event::Look(member, life));
    }
}
