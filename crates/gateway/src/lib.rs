//! The enforcement point: verifies a delegated agent's call, decides it with its arguments, debits,
//! records, and only then forwards it, without the agent's token and with its provenance.
//!
//! Follow one call in six files: `proxy.rs` → `identity/src/peer.rs` → `core/src/chain/verify.rs` →
//! `policy/src/decide.rs` → `ledger/src/append.rs` → `forward.rs`.

mod a2a;
mod approvals;
mod budget;
mod call;
mod carry;
mod clock;
mod config;
mod connector;
mod feed;
#[cfg(test)]
mod fixture;
mod http_api;
mod json;
mod link;
mod mcp;
mod reads;
mod reply;
mod ship;
mod spool;
mod sse;
mod standing;
mod stop;
mod trust;
mod uplink;

pub use self::config::Config;
pub use self::mcp::{Pin, PinsError, approve_pin, pins_path, read_pins};
