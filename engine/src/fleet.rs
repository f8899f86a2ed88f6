//! Several recorders that one lifecycle manages: shards spread over processes and hosts.
//!
//! | | |
//! |---|---|
//! | `wire.rs` | what the two say to each other |
//! | `deputy.rs` | in a recorder: does what it is told, and says what its shards do |
//! | `goals.rs` | what such a recorder keeps for its next start |
//! | `relay.rs` | in the lifecycle: one recorder's shards, as if they were lines of its own |
//! | `wishes.rs` | wishes that a recorder passes on to the lifecycle, and their answers |
//!
//! The lifecycle asks each recorder many times a second. A [`Brief`] says what is to be, all of it
//! that the recorder does not have yet; the [`News`] say what is. So a lost brief, a lost answer
//! and a repeated one do no harm. No thread and no socket here; the deputy alone writes to a disk.

mod deputy;
mod goals;
mod relay;
mod wire;
mod wishes;

use std::sync::Arc;

pub use deputy::{Deputy, Parts, Refused};
pub use goals::{Goals, Kept};
pub use relay::{Anew, Claims, Relay};
pub use wire::{Brief, News, Passage};
pub use wishes::{Desk, Passed};

use crate::metrics;
use crate::reader::{Board, LineSetup, Mailbox};

/// A shard as whoever plans sees it.
#[derive(Clone, Debug)]
pub struct End {
    /// Its name.
    pub shard: Arc<str>,
    /// Where its swaps go.
    pub mailbox: Mailbox,
    /// Where it shows what is acknowledged.
    pub board: Board,
    /// Its numbers.
    pub meters: Arc<metrics::Line>,
}

impl End {
    /// A shard that is elsewhere.
    #[must_use]
    pub fn remote(shard: Arc<str>) -> Self {
        let meters = metrics::Line::new(Arc::clone(&shard));
        Self { shard, mailbox: Mailbox::default(), board: Board::default(), meters }
    }
}

impl From<&LineSetup> for End {
    fn from(line: &LineSetup) -> Self {
        Self {
            shard: Arc::clone(&line.shard),
            mailbox: line.mailbox.clone(),
            board: line.board.clone(),
            meters: Arc::clone(&line.meters),
        }
    }
}
