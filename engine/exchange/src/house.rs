//! The hub at work: what it must not know itself, which are the time, the tasks that serve its
//! connections, and the file of the truth.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::clock::Now;
use crate::hub::Hub;
use crate::truth::TruthLog;

/// The house, shared by the tasks of the exchange's one thread. Nobody holds a borrow over an
/// await.
pub(crate) type Shared = Rc<House>;

/// A hub with a clock, a bell for each connection, and a truth log.
#[derive(Debug)]
pub(crate) struct House {
    pub(crate) clock: Clock,
    hub: RefCell<Hub>,
    bells: RefCell<HashMap<u64, Rc<Notify>>>,
    truth: RefCell<Option<TruthLog>>,
}

impl House {
    pub(crate) fn new(hub: Hub, clock: Clock, truth: Option<TruthLog>) -> Shared {
        let (hub, truth) = (RefCell::new(hub), RefCell::new(truth));
        Rc::new(House { clock, hub, bells: RefCell::default(), truth })
    }

    /// Does something at this time, writes down what it led to, and rings where something waits.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut Hub, Now) -> T) -> T {
        let mut hub = self.hub.borrow_mut();
        let done = act(&mut hub, self.clock.now());
        if let Some(truth) = &mut *self.truth.borrow_mut() {
            for line in hub.truth() {
                if let Err(error) = truth.write(&line) {
                    hub.counters.failed(&error);
                }
            }
        }
        let bells = self.bells.borrow();
        let stirred = hub.stirred();
        stirred.iter().filter_map(|id| bells.get(id)).for_each(|bell| bell.notify_one());
        done
    }

    /// Seats a guest; the bell rings when there is something to write, or an end.
    pub(crate) fn open(&self, address: IpAddr) -> (u64, Rc<Notify>) {
        let id = self.act(|hub, now| hub.open(address, now));
        let bell = Rc::new(Notify::new());
        self.bells.borrow_mut().insert(id, Rc::clone(&bell));
        (id, bell)
    }

    pub(crate) fn close(&self, connection: u64) {
        self.act(|hub, now| hub.close(connection, now));
        self.bells.borrow_mut().remove(&connection);
    }

    pub(crate) fn flush_truth(&self) {
        if let Some(Err(error)) = self.truth.borrow_mut().as_mut().map(TruthLog::flush) {
            self.hub.borrow().counters.failed(&error);
        }
    }
}
