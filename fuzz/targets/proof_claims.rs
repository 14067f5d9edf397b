//! `cargo fuzz run proof_claims`
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bailiwick_fuzz::run("proof_claims", data));
