//! Tasks, issue, settle, revoke, introspect, ledger sequencing, store.

pub mod clock;
mod compact;
pub mod config;
pub mod dev;
pub mod keys;
pub mod metrics;
pub mod model;
mod private_files;
pub mod registry;
pub mod status_list;
pub mod store;
mod suggest;
mod attempt;
mod authority;
mod caller;
mod fault;
mod ledger_view;
mod ops;
mod revoked;
mod routes;
mod spine;
pub mod serve;

pub use routes::openapi;
