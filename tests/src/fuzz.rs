//! What a fuzzer checks: each module takes any bytes and panics if the program was wrong.
//!
//! The same functions serve the fuzz targets (`tests/fuzz`), the seeds that the simulated exchange
//! makes, and the tests named after what a fuzzer has found. See docs/fuzzing.md.

pub mod frame;
pub mod handshake;
pub mod message;
pub mod seeds;
pub mod segment;

/// A check by its name.
pub type Check = fn(&[u8]);

/// Every fuzz target, by name.
pub const TARGETS: [(&str, Check); 4] = [
    ("frame", frame::check),
    ("handshake", handshake::check),
    ("message", message::check),
    ("segment", segment::check),
];
