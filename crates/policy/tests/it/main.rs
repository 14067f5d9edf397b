//! Policies are loaded, decided, explained and replayed as their authors would expect.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "test code"
)]

mod decide;
mod docs;
mod explain;
mod fixtures;
mod load;
mod replay;
mod set;
mod slice;
mod support;
