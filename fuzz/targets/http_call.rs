//! `cargo fuzz run http_call`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bailiwick_fuzz::run("http_call", data));
