//! The enforcement point: verifies a delegated agent's call, decides it with its arguments, debits,
//! records, and only then forwards it, without the agent's token and with its provenance.
//!
//! Follow one call in six files: `proxy.rs` → `identity/src/peer.rs` → `core/src/chain/verify.rs` →
//! `policy/src/decide.rs` → `ledger/src/append.rs` → `forward.rs`.

mod a2a;
mod approvals;
mod attempt;
mod authorize;
mod budget;
mod call;
mod carry;
mod clock;
mod config;
mod connector;
mod constrained;
mod downstreams;
mod errand;
mod ext_authz;
mod feed;
#[cfg(test)]
mod fixture;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod gateway;
mod http_api;
mod identify;
mod json;
mod link;
mod listener;
mod management;
mod mcp;
mod metrics;
mod offline;
mod outcome;
mod pass;
mod proxy;
mod reads;
mod receipt;
mod refusal;
mod refusals;
mod remote;
mod repeated;
mod reply;
mod route;
mod ship;
mod shown;
mod spool;
mod sse;
mod stall;
mod standing;
mod start;
mod stop;
mod stream;
mod trust;
mod tunnel;
mod upgrade;
mod uplink;
mod upstream;

pub use self::config::{Config, ConfigError};
pub use self::mcp::{Pin, PinsError, approve_pin, pins_path, read_pins};
pub use self::start::{Server, StartError};
