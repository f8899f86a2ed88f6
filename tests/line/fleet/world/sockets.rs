//! The recorders' ends of their connections.

use tapedeck::reader::{Ending, Link};
use tapedeck::session::Session;

use super::super::super::lives::End;
use super::super::super::network::{Segment, Way};
use super::super::super::venue::Out;
use super::super::record::Connection;
use super::{Event, SHARDS, World};

impl World {
    pub(super) fn dial(&mut self, member: usize, link: usize) {
        let Some(program) = &mut self.members[member].program else { return };
        program.links[link].connecting();
        self.after(30_000, Event::Dialled(member, self.members[member].life, link));
    }

    pub(super) fn dialled(&mut self, member: usize, link: usize) {
        let now = self.clock(member);
        let Some(program) = &mut self.members[member].program else { return };
        let (sent, given) = (Vec::new(), Vec::new());
        self.record.connections.push(Connection { member, link, sent, given });
        let socket = self.record.connections.len() as u64;
        self.network.connect(socket);
        program.links[link].connected(now).expect("the endpoint is sound");
        self.sockets[member][link] = Some(socket);
        self.record.lives[member].connected(link, self.now);
        self.flush(member, link);
    }

    /// Sends what a link has to say.
    pub(super) fn flush(&mut self, member: usize, link: usize) {
        let Some(program) = &mut self.members[member].program else { return };
        self.network.flush(self.sockets[member][link], &mut program.links[link], self.now);
    }

    pub(super) fn send(&mut self, socket: u64, out: Out) {
        if !out.bytes.is_empty() || out.last {
            if !out.heard.sent.is_empty() {
                self.record.connections[socket as usize - 1].sent.push(out.heard.sent.clone());
            }
            let message = (out.bytes, out.heard);
            self.network.send_heard(socket, Way::Down, message, out.last, self.now);
        }
    }

    pub(super) fn arrived(&mut self, socket: u64, way: Way, segment: Segment) {
        if way == Way::Up {
            if !segment.bytes.is_empty() {
                let out = self.venue.receive(socket, &segment.bytes, self.now);
                self.send(socket, out);
            }
            if segment.last {
                self.venue.hang_up(socket, self.now);
            }
            return;
        }
        let Connection { member, link, .. } = self.record.connections[socket as usize - 1];
        if self.sockets[member][link] != Some(socket) {
            return;
        }
        self.received(member, link, (&segment.bytes, segment.last), End::Told);
        if self.sockets[member][link] == Some(socket) {
            self.record.given(socket, segment.heard, self.now);
        }
        self.watch(member, link);
    }

    /// A link reads; `end` is how it ends if it does.
    pub(super) fn received(
        &mut self,
        member: usize,
        link: usize,
        (bytes, last): (&[u8], bool),
        end: End,
    ) {
        let (time, socket) = (self.clock(member), self.sockets[member][link]);
        let Self { members, network, now, .. } = self;
        let Some(program) = &mut members[member].program else { return };
        let say = |line: &mut Link| network.flush(socket, line, *now);
        let ended = program.receive(link, (bytes, last), time, say);
        if let Err(ending) = ended {
            self.lost(member, link, ending, end);
        }
    }

    fn lost(&mut self, member: usize, link: usize, ending: Ending, end: End) {
        self.watch(member, link);
        self.record.idle(member, link);
        self.note(&format!("{} lost: {ending:?}", SHARDS[member][link]));
        let now = self.clock(member);
        let Some(program) = &mut self.members[member].program else { return };
        let lost = program.links[link].lost(ending, now);
        assert!(lost.hopeless.is_none(), "nothing is hopeless here");
        if let Some(socket) = self.sockets[member][link].take() {
            self.network.send(socket, Way::Up, Vec::new(), true, self.now);
        }
        self.watch(member, link);
        let pause = lost.pause.as_micros() as u64;
        self.record.lives[member].lost(link, end, self.now, pause);
        self.after(pause, Event::Dial(member, self.members[member].life, link));
    }

    /// Sees what a link has got acknowledged.
    pub(super) fn watch(&mut self, member: usize, link: usize) {
        let Some(program) = &self.members[member].program else { return };
        let session = program.links[link].session();
        if !self.record.lives[member].is_whole(link) && session.reached().is_some() {
            self.record.lives[member].whole(link, self.now);
        }
        let seen = (self.members[member].life, session.changes());
        if std::mem::replace(&mut self.changes[member][link], seen) != seen {
            let whole = session.reached().is_some();
            let channels = session.acknowledged();
            self.record.listens(SHARDS[member][link], channels, whole, self.now);
        }
    }
}
