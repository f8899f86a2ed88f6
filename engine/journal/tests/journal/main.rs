//! Tests of the journal through its public door.

mod failures;
mod power_cuts;
mod reading;
mod round_trip;
mod rows;
mod torn;
