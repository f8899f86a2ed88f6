//! A channel goes from one line to another, without their sockets: who lets go of what, and when.

use std::collections::VecDeque;

use arrow_array::StringArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use lifecycle::{Crossings, Swap};
use schema::tables::OptionQuote;
use schema::{Micros, Origin, Row};
use serde_json::{Value, json};

use super::*;
use crate::deribit::{Estate, Limits};
use crate::ferry::Ferry;
use crate::queue::{Inlet, Next, Outlet, Urgency, queue};
use crate::rpc::{Allowance, Settings};
use crate::session::Cause;

const EXPIRED: &str = "ticker.BTC-1JAN25-90000-C.100ms";
const CHANNEL: &str = "ticker.BTC-1JAN27-90000-C.100ms";

/// A line, what it has asked the exchange, and its way to the journal.
struct End {
    link: Link,
    mailbox: Mailbox,
    outbox: Outbox,
    inlet: Inlet,
    outlet: Outlet,
    asked: VecDeque<Value>,
    /// What the exchange does not know.
    refuses: Vec<&'static str>,
}

impl End {
    /// Connected to an exchange that answers when it is told to.
    fn new(shard: &str, ferry: &Ferry<Estate>) -> Self {
        let shard: Arc<str> = shard.into();
        let allowance = Allowance::after(Duration::from_secs(600), false, Duration::ZERO);
        let decoder = Decoder::new(Limits::default()).of_shard(Arc::clone(&shard));
        let mut session = Talk::new(Settings::new(Arc::clone(&shard), allowance), decoder);
        session.cross(ferry.clone());
        session.connected(now());
        let mailbox = Mailbox::default();
        let setup = LineSetup {
            meters: metrics::Line::new(Arc::clone(&shard)),
            shard,
            connection: 0,
            endpoint: Endpoint::parse("ws://127.0.0.1:1/ws/api/v2").unwrap(),
            tls: None,
            session,
            backoff: Backoff::new(1),
            mailbox: mailbox.clone(),
            board: Board::default(),
            seed: 1,
        };
        let (inlet, outlet) = queue(1);
        let outbox = Outbox::new(inlet.clone(), Origin::default(), Duration::ZERO);
        let link = Link::new(setup, None, Stop::default());
        let (asked, refuses) = (VecDeque::new(), vec![EXPIRED]);
        Self { link, mailbox, outbox, inlet, outlet, asked, refuses }
    }

    fn wants(&mut self, generation: u64, channels: &[&str]) {
        let goal = channels.iter().copied().collect();
        self.mailbox.leave(Swap { generation, goal });
        self.turn();
    }

    fn turn(&mut self) {
        let _ = self.link.turn(now(), None, &mut self.outbox);
        let mut request = Vec::new();
        while self.link.setup.session.transmit(now(), &mut request) {
            self.asked.push_back(serde_json::from_slice(&request).unwrap());
            request.clear();
        }
    }

    /// The exchange does what it was asked, as far as it knows the channels, and says so.
    fn answered(&mut self) {
        while let Some(request) = self.asked.pop_front() {
            let mut result = request["params"]["channels"].clone();
            match result.as_array_mut() {
                Some(channels) => {
                    channels.retain(|it| !self.refuses.iter().any(|refused| it == refused));
                }
                None => result = json!("ok"),
            }
            self.receives(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}));
            self.turn();
        }
    }

    /// Tickers of these milliseconds.
    fn hears(&mut self, times: &[i64]) {
        let [_, instrument, _] = *CHANNEL.split('.').collect::<Vec<_>>() else { unreachable!() };
        for at in times {
            let data = json!({"timestamp": at, "instrument_name": instrument, "mark_price": 0.5});
            let params = json!({"channel": CHANNEL, "data": data});
            self.receives(&json!({"jsonrpc": "2.0", "method": "subscription", "params": params}));
        }
    }

    fn receives(&mut self, message: &Value) {
        let mut bytes = message.to_string().into_bytes();
        let session = &mut self.link.setup.session;
        session.receive(&mut bytes, now(), &mut self.outbox.rows).unwrap();
    }

    /// The milliseconds of the tickers that the journal takes now.
    fn journaled(&mut self) -> Vec<i64> {
        let mut times = Vec::new();
        while let Next::Item(item) = self.outlet.take(Duration::ZERO) {
            let Item::Rows(draft) = item else { continue };
            assert_eq!(draft.table().name, OptionQuote::TABLE.name);
            let batch = draft.number(1, 0);
            let stamps = batch.columns().column_by_name("timestamp").unwrap();
            let stamps = stamps.as_primitive::<TimestampMicrosecondType>();
            times.extend(stamps.values().iter().map(|us| us / 1_000));
        }
        times
    }
}

fn now() -> Now {
    Now { monotonic: Duration::from_secs(700), utc: Micros(1_800_000_000_000_000) }
}

/// A channel on its way: both listen, the giver has heard 1 to 3, the taker 2 and 3.
fn on_its_way() -> (Ferry<Estate>, End, End) {
    let ferry = Ferry::default();
    let (mut giver, mut taker) = (End::new("a", &ferry), End::new("b", &ferry));
    giver.wants(1, &[CHANNEL]);
    giver.answered();
    giver.hears(&[1]);
    ferry.announce(CHANNEL, &"a".into(), &"b".into());
    giver.turn();
    assert!(ferry.is_watched(CHANNEL));
    taker.wants(1, &[CHANNEL]);
    taker.answered();
    assert!(ferry.is_held(CHANNEL));
    giver.hears(&[2, 3]);
    taker.hears(&[2, 3]);
    (ferry, giver, taker)
}

fn given(ferry: &Ferry<Estate>) -> bool {
    ferry.passages().iter().all(|passage| passage.given)
}

#[test]
fn what_is_held_is_let_go_when_the_giver_has_reported() {
    let (ferry, mut giver, mut taker) = on_its_way();
    ferry.let_go(CHANNEL);
    giver.wants(2, &[]);
    giver.hears(&[4]);
    taker.hears(&[4, 5]);
    // Asked to stop, and the exchange has not said yet that it has: a ticker may still come.
    giver.turn();
    taker.turn();
    assert!(!given(&ferry) && taker.journaled().is_empty());
    giver.answered();
    assert!(given(&ferry) && giver.journaled() == [1, 2, 3, 4]);
    taker.turn();
    assert!(ferry.is_over(CHANNEL) && taker.journaled() == [5]);
    taker.hears(&[6]);
    taker.outbox.flush(now());
    assert_eq!(taker.journaled(), [6]);
}

/// An option that has expired is refused as long as it lingers.
#[test]
fn what_is_refused_keeps_nothing_back() {
    let ferry = Ferry::default();
    let mut giver = End::new("a", &ferry);
    giver.wants(1, &[CHANNEL, EXPIRED]);
    giver.answered();
    assert_eq!(giver.link.setup.session.refused().collect::<Vec<_>>(), [EXPIRED]);
    ferry.announce(CHANNEL, &"a".into(), &"b".into());
    ferry.let_go(CHANNEL);
    giver.wants(2, &[EXPIRED]);
    giver.answered();
    assert!(given(&ferry), "the journal is told that nothing is acknowledged any more");
}

/// What a taker holds is nowhere else once the giver has let go: it does not say that it was there
/// all the time, and what is refused then has a gap.
#[test]
fn a_refusal_hides_nothing_that_is_held() {
    let (ferry, mut giver, mut taker) = on_its_way();
    let later = Now { utc: Micros(now().utc.0 + 30_000_000), ..now() };
    let refused = |taker: &mut End| {
        let draft = taker.outbox.rows.data_gaps.take(Origin::default())?;
        let batch = draft.number(1, 0);
        let causes = batch.columns().column_by_name("cause").unwrap().as_dictionary::<Int32Type>();
        let causes = causes.downcast_dict::<StringArray>().unwrap();
        let of = causes.into_iter().flatten().filter(|cause| *cause == "subscription_refused");
        Some(of.count())
    };
    let held = taker.link.setup.session.alive_until(later).expect("it listens");
    let session = &mut taker.link.setup.session;
    session.disconnected(Cause { kind: CauseKind::Disconnected, detail: String::new() }, now());
    session.connected(now());
    taker.refuses.push(CHANNEL);
    taker.turn();
    taker.answered();
    assert_eq!(refused(&mut taker), Some(0), "the giver has it");
    assert_eq!(taker.link.setup.session.alive_until(later), Some(held));
    ferry.let_go(CHANNEL);
    giver.wants(2, &[]);
    taker.turn();
    assert_eq!(refused(&mut taker), Some(1), "nobody has it");
    assert_eq!(taker.link.setup.session.alive_until(later), Some(held));
}

#[test]
fn nothing_is_given_whose_rows_still_wait() {
    let (ferry, mut giver, _taker) = on_its_way();
    ferry.let_go(CHANNEL);
    giver.outbox.flush(now());
    // The queue has room for one batch: there is the first.
    giver.hears(&[4]);
    giver.wants(2, &[]);
    giver.answered();
    assert!(!given(&ferry) && giver.journaled() == [1, 2, 3]);
    giver.turn();
    assert!(given(&ferry) && giver.journaled() == [4]);
}

#[test]
fn nothing_is_given_before_the_journal_knows_that_it_has_left() {
    let (ferry, mut giver, _taker) = on_its_way();
    ferry.let_go(CHANNEL);
    giver.outbox.flush(now());
    assert_eq!(giver.journaled(), [1, 2, 3]);
    let marker = || Item::Through { reader: 9, at: now().utc };
    while giver.inlet.offer(marker(), Urgency::Reserved).is_ok() {}
    giver.wants(2, &[]);
    giver.answered();
    assert!(giver.outbox.is_empty() && !given(&ferry), "no room for the fact");
    assert!(giver.journaled().is_empty());
    giver.turn();
    assert!(given(&ferry));
    let Next::Item(Item::Shard { channels, .. }) = giver.outlet.take(Duration::ZERO) else {
        panic!("the journal was not told");
    };
    assert!(channels.is_empty());
}
