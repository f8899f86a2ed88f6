//! What threads share state by, in one place: a test has loom's instead, which plays every order of
//! events (tests/interleavings.rs).

use std::sync::{MutexGuard, PoisonError};

pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub(crate) use crossbeam_channel::{
    Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded,
};
pub(crate) use crossbeam_queue::ArrayQueue;

/// What is in the mutex, whoever has panicked with it: nothing of ours is left half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
