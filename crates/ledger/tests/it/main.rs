//! The ledger from outside: proofs, oracles, tampering, the file driver.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "test code"
)]

mod log;
mod notes;
mod oracle;
mod proofs;
mod tamper;
