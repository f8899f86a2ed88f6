//! The answer to the websocket's handshake: see tests/src/fuzz/handshake.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tapedeck_tests::fuzz::handshake::check(input));
