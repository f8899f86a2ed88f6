//! A journal's folder: see tests/src/fuzz/segment.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tapedeck_tests::fuzz::segment::check(input));
