//! `cargo fuzz run mcp_message`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bailiwick_fuzz::run("mcp_message", data));
