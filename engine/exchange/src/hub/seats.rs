//! The guests' seats, and how what happens gets to them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tungstenite::Utf8Bytes;

use crate::channel::Channel;
use crate::clock::Now;
use crate::error::ExchangeError;
use crate::lane::Lane;
use crate::market::{Event, Market};
use crate::mischief::{Mischief, Way};
use crate::outbox::{BACKLOG_BYTES_MAX, Outbox};
use crate::outgoing::Outgoing;
use crate::phase::Gathering;
use crate::random::Random;
use crate::replay::Replay;
use crate::session::Session;
use crate::topics::{Topic, Topics};
use crate::wire::{Era, Numbers, Order, Style, notification};

/// The backlog at which a replay waits.
const CROWDED_BYTES: usize = BACKLOG_BYTES_MAX / 4;

/// In the order of their numbers, so that the same seed does the same in the same order.
pub(super) type Seats = BTreeMap<u64, Seat>;

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) connection: u64,
    pub(super) session: Session,
    pub(super) address: IpAddr,
    pub(super) outbox: Outbox,
    /// What a fault holds up.
    pub(super) lane: Lane,
    /// Until when a fault lets nothing out.
    pub(super) stalled: Option<Duration>,
    /// Where frames are shifted.
    pub(super) gathering: Option<Gathering>,
}

impl Seat {
    /// A seat; frames come at once, or at beats with this shift.
    pub(super) fn new(
        connection: u64,
        address: IpAddr,
        shift: Option<Duration>,
        now: Duration,
    ) -> Seat {
        Seat {
            connection,
            session: Session::new(connection, now),
            address,
            outbox: Outbox::default(),
            lane: Lane::default(),
            stalled: None,
            gathering: shift.map(Gathering::new),
        }
    }

    /// When it has something to do by itself.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let gathering = self.gathering.as_ref().and_then(Gathering::deadline);
        let all = [self.session.deadline(), self.lane.deadline(), self.stalled, gathering];
        all.into_iter().flatten().min()
    }
}

/// Where events go: to the seats, past what may befall them on the way.
pub(super) struct Out<'a> {
    pub(super) seats: &'a mut Seats,
    pub(super) mischief: &'a mut Mischief,
    pub(super) now: Now,
}

impl Out<'_> {
    fn hand(&mut self, connection: u64, channel: &Arc<str>, text: &Utf8Bytes) {
        if let Some(seat) = self.seats.get_mut(&connection) {
            let outgoing = Outgoing::notification(channel, text.clone());
            hand(seat, outgoing, self.mischief, self.now);
        }
    }

    /// Whether a connection takes an event in until its next beat.
    fn gathers(&mut self, connection: u64, channel: Channel, event: &Event) -> bool {
        let seat = self.seats.get_mut(&connection);
        let gathering = seat.and_then(|seat| seat.gathering.as_mut());
        gathering.is_some_and(|it| it.take_in(channel, event, self.now.monotonic))
    }
}

/// The one door to a connection: what may go wrong on purpose goes wrong here.
pub(super) fn hand(seat: &mut Seat, outgoing: Outgoing, mischief: &mut Mischief, now: Now) {
    for (outgoing, way) in mischief.message(seat.connection, outgoing, now) {
        let behind = seat.lane.behind(&outgoing);
        match (way, behind) {
            (Way::Now, None) => pass(seat, outgoing),
            (Way::Now, Some(due)) => seat.lane.delay(outgoing, due),
            (Way::Late(due), behind) => {
                seat.lane.delay(outgoing, behind.map_or(due, |behind| due.max(behind)));
            }
            (Way::Overtaken(due), _) => seat.lane.let_pass(outgoing, due),
        }
    }
}

/// Out it goes, and behind it what it has overtaken.
pub(super) fn pass(seat: &mut Seat, outgoing: Outgoing) {
    let overtaken = seat.lane.overtaken_by(&outgoing);
    seat.outbox.push(outgoing);
    overtaken.into_iter().for_each(|outgoing| seat.outbox.push(outgoing));
}

/// One event of the market, printed once for each era that has a listener.
pub(super) fn tell(
    market: &Market,
    event: &Event,
    topics: &Topics,
    out: &mut Out<'_>,
    whims: &mut Random,
) {
    let whims = (whims.once_in(8), whims.once_in(64).then(|| whims.bits()));
    if topics.is_empty() {
        return;
    }
    for channel in market.channels_of(event) {
        let Some(topic) = topics.get(channel) else { continue };
        for era in Era::ALL {
            // Whoever gathers is told at a beat of its own.
            let at_once: Vec<u64> = topic
                .readers
                .iter()
                .filter(|reader| reader.era == era)
                .map(|reader| reader.connection)
                .filter(|connection| !out.gathers(*connection, channel, event))
                .collect();
            if at_once.is_empty() {
                continue;
            }
            let Some(data) = market.data(event, channel) else { continue };
            let text = notification(&topic.name, data, style(era, whims)).into();
            at_once.into_iter().for_each(|connection| out.hand(connection, &topic.name, &text));
        }
    }
}

/// What has gathered until a beat that is over.
pub(super) fn beat(market: &Market, topics: &Topics, out: &mut Out<'_>, whims: &mut Random) {
    let mut due = Vec::new();
    for seat in out.seats.values_mut() {
        let gathering = seat.gathering.as_mut();
        let told = gathering.map(|it| it.due(out.now.monotonic)).unwrap_or_default();
        due.extend(told.into_iter().map(|(channel, what)| (seat.connection, channel, what)));
    }
    for (connection, channel, what) in due {
        let reader = topics.get(channel).and_then(|topic| {
            let reader = topic.readers.iter().find(|reader| reader.connection == connection)?;
            Some((topic, reader.era))
        });
        let Some((topic, era)) = reader else { continue };
        let Some(data) = what.data(market, channel) else { continue };
        let whims = (whims.once_in(8), whims.once_in(64).then(|| whims.bits()));
        let text = notification(&topic.name, data, style(era, whims)).into();
        out.hand(connection, &topic.name, &text);
    }
}

/// An era's way to print, and now and then another.
fn style(era: Era, (whole, order): (bool, Option<u64>)) -> Style {
    let usual = era.style();
    Style {
        numbers: match usual.numbers {
            Numbers::Short if whole => Numbers::Whole,
            usual => usual,
        },
        order: order.map_or(usual.order, Order::Shuffled),
    }
}

/// Every frame of the recording that is due, verbatim. A market does not wait for its readers, but
/// a recording that is played faster than they read does.
pub(super) fn play(
    replay: &mut Replay,
    topics: &Topics,
    out: &mut Out<'_>,
) -> Result<(), ExchangeError> {
    let (mut played, now) = (false, out.now.monotonic);
    let crowded = |seats: &Seats| seats.values().any(|seat| seat.outbox.bytes() > CROWDED_BYTES);
    while !crowded(out.seats)
        && let Some((channel, frame)) = replay.due(now)?
    {
        if let Some(topic) = topics.get(channel) {
            spread(topic, &frame.into(), out);
            played = true;
        }
    }
    if played {
        mark_busy(out.seats, now);
    }
    Ok(())
}

/// The same text to every reader of a topic.
pub(super) fn spread(topic: &Topic, text: &Utf8Bytes, out: &mut Out<'_>) {
    topic.readers.iter().for_each(|reader| out.hand(reader.connection, &topic.name, text));
}

pub(super) fn mark_busy(seats: &mut Seats, now: Duration) {
    for seat in seats.values_mut().filter(|seat| seat.session.is_listening()) {
        seat.session.told = now;
    }
}
