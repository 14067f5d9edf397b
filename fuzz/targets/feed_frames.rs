//! `cargo fuzz run feed_frames`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bailiwick_fuzz::run("feed_frames", data));
