//! Who listens to what. Pure: no clock, no I/O.

mod plan;
mod set;

pub use plan::{Group, Overflow, Plan, Swap};
pub use set::ChannelSet;
