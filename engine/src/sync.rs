//! What threads share state by, in one place: a test has loom's instead, which plays every order of
//! events (tests/interleavings.rs).

pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub(crate) use crossbeam_channel::{
    Receiver, RecvTimeoutError, Sender, TryRecvError, TrySendError, bounded,
};
pub(crate) use crossbeam_queue::ArrayQueue;
