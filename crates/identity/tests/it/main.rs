//! The crate as its users see it: tokens, key servers, mutual TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "test code"
)]

mod algorithms;
mod keys;
mod mtls;
mod subjects;
mod support;
mod workloads;
