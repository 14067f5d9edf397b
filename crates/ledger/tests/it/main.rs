//! The ledger from outside: proofs, oracles, tampering, the file driver.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "test code"
)]

mod export;
mod file;
mod log;
mod notes;
mod oracle;
mod paths;
mod proofs;
mod receipts;
mod robust;
mod tamper;
