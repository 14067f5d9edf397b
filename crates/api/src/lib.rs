//! The HTTP contract of Bailiwick: wire types, problems, and a typed client.
//!
//! The authority and the gateway meet only here. Nothing in this crate decides anything: a type
//! that arrives through it is untrusted until `bailiwick-core` or `bailiwick-identity` verifies it.
//!
//! Requests refuse unknown members, except the OAuth forms, where RFC 6749 §3.2 asks a server to
//! ignore them.

pub mod approvals;
pub mod authzen;
pub mod client;
pub mod dev;
pub mod enforcement;
pub mod gap;
pub mod keys;
pub mod oauth;
pub mod openapi;
pub mod policies;
pub mod problem;
pub mod receipts;
pub mod registry;
pub mod revocations;
pub mod tasks;
pub mod timestamp;
pub mod trace;

pub use approvals::*;
pub use authzen::*;
pub use client::{Client, ClientError};
pub use dev::*;
pub use gap::*;
pub use keys::*;
pub use oauth::*;
pub use openapi::openapi_base;
pub use policies::*;
pub use problem::*;
pub use receipts::*;
pub use registry::*;
pub use revocations::*;
pub use tasks::*;
pub use timestamp::{BadTimestamp, Timestamp};
pub use trace::*;
