//! Who listens to what. Pure: no clock, no I/O.

mod choices;
mod chronicle;
mod handover;
mod manager;
mod plan;
mod set;
mod state;
mod universe;

pub use choices::{Choices, has_expired};
pub use chronicle::{Chronicle, Fact, Happened, Listener};
pub use handover::{Crossings, Handover, Moving};
pub use manager::{Failed, Manager};
pub use plan::{Group, Immovable, Overflow, Plan, Swap, instrument, is_trades};
pub use set::ChannelSet;
pub use state::State;
pub use universe::{Event, Listed, Universe, What, Why};
