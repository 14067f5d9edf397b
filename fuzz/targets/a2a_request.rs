//! `cargo fuzz run a2a_request`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bailiwick_fuzz::run("a2a_request", data));
