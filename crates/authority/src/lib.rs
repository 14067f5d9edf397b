//! Tasks, issue, settle, revoke, introspect, ledger sequencing, store.

mod attempt;
mod authority;
mod caller;
pub mod clock;
mod compact;
pub mod config;
pub mod dev;
mod fault;
mod feed;
pub mod keys;
mod ledger_view;
pub mod metrics;
pub mod model;
mod ops;
pub mod registry;
mod revoked;
mod routes;
pub mod serve;
mod shown;
mod spine;
pub mod status_list;
pub mod store;
mod suggest;

pub use routes::openapi;
