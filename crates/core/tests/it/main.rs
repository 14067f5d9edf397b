//! Tokens, chains and grants against every rule of the profile, each with a benign twin.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

mod action;
mod chain;
mod fixture;
mod grant;
mod interop;
mod leaf;
mod robust;
mod vectors;
