//! The gateway over HTTP: a real gateway and a real Authority on loopback, real keys, real tokens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "test code"
)]

mod a2a;
#[path = "../../../authority/tests/it/world.rs"]
mod authority;
mod calls;
mod connectors;
mod edge;
mod mcp;
mod offline;
mod provenance;
mod reads;
mod refusals;
mod spellings;
mod spool;
mod stalls;
mod starts;
mod streams;
mod upgrades;
mod upstreams;
mod wire;
