//! The program, run as people run it: usage, files, exit codes; each refusal beside what passes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

mod apply;
mod approval;
mod gateway;
mod grant;
mod ledger;
mod policy;
mod run;
mod served;
mod token;
mod tokens;
mod usage;
