//! Every test that needs more than one room, and those that meet other people's code, in one
//! binary so that it links once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so best by stopping")]

mod autobahn;
mod books;
mod captures;
mod chaos;
mod clients;
mod cluster;
mod command;
mod compaction;
mod control;
mod database;
mod database_kills;
mod days;
mod disk;
mod drivers;
mod export;
mod faults;
mod fleet;
mod fuzz;
mod interleavings;
mod kills;
mod licences;
mod line;
mod market;
mod mending;
mod migrations;
mod predecessor;
mod probe;
mod readers;
mod recording;
mod refill;
mod refusal;
mod refusals;
mod replaying;
mod research;
mod runbook;
mod sinks;
mod soak;
/// The engine's files that `interleavings` includes find it here, where the engine has its own.
#[path = "interleavings/sync.rs"]
mod sync;
mod tidy;
mod timescale;
mod tls;
mod websocket;
