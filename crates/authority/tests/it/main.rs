//! The Authority over HTTP: a real server on loopback, real keys, real tokens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

mod approvals;
mod downstreams;
mod evidence;
mod feed;
mod gateways;
mod main_path;
mod openapi;
mod reads;
mod refusals;
mod restart;
mod world;
