//! Websocket frames: see tests/src/fuzz/frame.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tapedeck_tests::fuzz::frame::check(input));
