//! The program's ends of its connections: dialling, reading, writing, losing.

use std::collections::BTreeSet;
use std::io;

use tapedeck::reader::{Ending, Link};
use tapedeck::session::Session;

use super::{Event, MISHAPS, World};
use crate::line::lives::End;
use crate::line::network::{Loss, Segment, Way};
use crate::line::venue::Out;

/// How an attempt to connect ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    Taken,
    /// Connected, but nothing ever comes.
    Mute,
    Refused,
    TimedOut,
}

impl World {
    pub(super) fn dial(&mut self, link: usize) {
        let Some(program) = &mut self.program else { return };
        program.links[link].connecting();
        let (call, pause) = if self.refused_until > self.now {
            (Call::Refused, 30_000)
        } else if self.black_until > self.now {
            match self.random.below(2) {
                0 => (Call::TimedOut, 10_000_000),
                _ => (Call::Mute, 30_000),
            }
        } else {
            (Call::Taken, 30_000)
        };
        self.record.saw(MISHAPS[call as usize]);
        self.after(pause, Event::Dialled(self.life, link, call));
    }

    pub(super) fn dialled(&mut self, link: usize, call: Call) {
        let Some(program) = &mut self.program else { return };
        let error = match call {
            Call::Refused => Some(io::ErrorKind::ConnectionRefused),
            Call::TimedOut => Some(io::ErrorKind::TimedOut),
            Call::Taken | Call::Mute => None,
        };
        if let Some(kind) = error {
            return self.lost(link, Ending::broken(&io::Error::from(kind)));
        }
        self.sockets_made.push(link);
        let socket = self.sockets_made.len() as u64;
        self.network.connect(socket);
        if call == Call::Mute {
            self.network.lose(socket, Loss::ForProgram, self.now);
        }
        program.links[link].connected(self.clock.now()).expect("the endpoint is sound");
        self.sockets[link] = Some(socket);
        self.record.lives.connected(link, self.now);
        self.flush(link);
    }

    /// Sends what a link has to say.
    pub(super) fn flush(&mut self, link: usize) {
        let Some(program) = &mut self.program else { return };
        self.network.flush(self.sockets[link], &mut program.links[link], self.now);
    }

    pub(super) fn send(&mut self, socket: u64, out: Out) {
        if !out.bytes.is_empty() || out.last {
            let message = (out.bytes, out.heard);
            self.network.send_heard(socket, Way::Down, message, out.last, self.now);
        }
    }

    pub(super) fn arrived(&mut self, socket: u64, way: Way, segment: Segment) {
        match way {
            Way::Up => {
                if !segment.bytes.is_empty() {
                    let out = self.venue.receive(socket, &segment.bytes, self.now);
                    self.send(socket, out);
                }
                if segment.last {
                    self.venue.hang_up(socket, self.now);
                }
            }
            Way::Down => {
                let owner = self.sockets.iter().position(|it| *it == Some(socket));
                if let Some(link) = owner {
                    self.received(link, &segment.bytes, segment.last);
                    if self.sockets[link] == Some(socket) {
                        self.record.heard(self.now, link, segment.heard);
                    }
                    self.watch(link);
                }
            }
        }
    }

    /// A link reads.
    pub(super) fn received(&mut self, link: usize, bytes: &[u8], last: bool) {
        let Self { program, network, now, .. } = self;
        let (Some(program), socket) = (program, self.sockets[link]) else { return };
        let say = |line: &mut Link| network.flush(socket, line, *now);
        let ended = program.receive(link, (bytes, last), self.clock.now(), say);
        if let Err(ending) = ended {
            self.lost(link, ending);
        }
    }

    pub(super) fn lost(&mut self, link: usize, ending: Ending) {
        // It may have been whole for a moment.
        self.watch(link);
        let Some(program) = &mut self.program else { return };
        let shown = format!("{} lost: {ending:?}", self.record.shards[link]);
        self.record.note(self.now, &shown);
        let lost = program.links[link].lost(ending, self.clock.now());
        let end = if std::mem::take(&mut self.gives_up) { End::GivenUp } else { End::Told };
        if self.goals[link].is_empty() {
            self.record.lives.idle(link);
        }
        self.record.lives.lost(link, end, self.now, lost.pause.as_micros() as u64);
        if let Some(socket) = self.sockets[link].take() {
            self.network.send(socket, Way::Up, Vec::new(), true, self.now);
        }
        match lost.hopeless {
            Some(failure) => self.failed(&failure.to_string()),
            None => self.after(lost.pause.as_micros() as u64, Event::Dial(self.life, link)),
        }
    }

    /// Sees what a link has got acknowledged.
    pub(super) fn watch(&mut self, link: usize) {
        let Some(program) = &self.program else { return };
        let session = program.links[link].session();
        if !self.record.lives.is_whole(link) {
            let refused: BTreeSet<&str> = session.refused().collect();
            let acknowledged = session.acknowledged();
            let served = |it: &str| acknowledged.contains(it) || refused.contains(it);
            // A goal that it does not know yet is another's.
            if session.reached().is_some() || self.goals[link].iter().all(served) {
                self.record.lives.whole(link, self.now);
            }
        }
        if self.changes[link] != session.changes() {
            self.changes[link] = session.changes();
            let wanted = |channel: &&str| self.goals[link].contains(channel);
            let channels = session.acknowledged().iter().filter(wanted);
            self.record.acknowledged(self.now, channels);
        }
    }
}
