//! `cargo fuzz run spool_record`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bailiwick_fuzz::run("spool_record", data));
