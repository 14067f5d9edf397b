//! `cargo fuzz run feed_event`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bailiwick_fuzz::run("feed_event", data));
