//! Tests of the journal through its public door.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod during_sync;
mod failures;
mod inspecting;
mod power_cuts;
mod reading;
mod round_trip;
mod rows;
mod torn;
