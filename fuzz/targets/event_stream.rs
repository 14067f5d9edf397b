//! `cargo fuzz run event_stream`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bailiwick_fuzz::run("event_stream", data));
