//! JSON-RPC messages and every decoder behind them: see tests/src/fuzz/message.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tapedeck_tests::fuzz::message::check(input));
