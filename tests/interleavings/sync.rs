//! In the place of the engine's `sync`: loom's atomics and locks, and of what crossbeam makes, one
//! lock each. How crossbeam works inside is its own matter; what we do around it is played here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use loom::sync::Mutex;
pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// As `crossbeam_queue::ArrayQueue`.
#[derive(Debug)]
pub(crate) struct ArrayQueue<T> {
    items: Mutex<VecDeque<T>>,
    items_max: usize,
}

impl<T> ArrayQueue<T> {
    pub(crate) fn new(items_max: usize) -> Self {
        Self { items: Mutex::new(VecDeque::new()), items_max }
    }

    pub(crate) fn force_push(&self, item: T) -> Option<T> {
        let mut items = self.items.lock().unwrap();
        items.push_back(item);
        if items.len() > self.items_max { items.pop_front() } else { None }
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.items.lock().unwrap().pop_front()
    }
}

/// As `crossbeam_channel::bounded`; its receiver does not wait for longer than for one other step.
pub(crate) fn bounded<T>(items_max: usize) -> (Sender<T>, Receiver<T>) {
    let line = Line { items: VecDeque::new(), items_max, senders: 1, has_receiver: true };
    let line = Arc::new(Mutex::new(line));
    (Sender(Arc::clone(&line)), Receiver(line))
}

#[derive(Debug)]
struct Line<T> {
    items: VecDeque<T>,
    items_max: usize,
    senders: usize,
    has_receiver: bool,
}

#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Mutex<Line<T>>>);

#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Mutex<Line<T>>>);

pub(crate) enum TrySendError<T> {
    Full(T),
    Disconnected(T),
}

pub(crate) enum TryRecvError {
    Empty,
    Disconnected,
}

pub(crate) enum RecvTimeoutError {
    Timeout,
    Disconnected,
}

impl<T> Sender<T> {
    pub(crate) fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        let mut line = lock(&self.0);
        match (line.has_receiver, line.items.len() < line.items_max) {
            (false, _) => Err(TrySendError::Disconnected(item)),
            (true, false) => Err(TrySendError::Full(item)),
            (true, true) => {
                line.items.push_back(item);
                Ok(())
            }
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        lock(&self.0).senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        lock(&self.0).senders -= 1;
    }
}

impl<T> Receiver<T> {
    pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut line = lock(&self.0);
        match (line.items.pop_front(), line.senders) {
            (Some(item), _) => Ok(item),
            (None, 0) => Err(TryRecvError::Disconnected),
            (None, _) => Err(TryRecvError::Empty),
        }
    }

    pub(crate) fn recv_timeout(&self, _wait: Duration) -> Result<T, RecvTimeoutError> {
        self.try_recv().map_err(|error| match error {
            TryRecvError::Empty => {
                loom::thread::yield_now();
                RecvTimeoutError::Timeout
            }
            TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
        })
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut line = lock(&self.0);
        line.has_receiver = false;
        line.items.clear();
    }
}

fn lock<T>(line: &Mutex<Line<T>>) -> loom::sync::MutexGuard<'_, Line<T>> {
    line.lock().unwrap()
}
