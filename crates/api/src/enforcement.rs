//! What enforcement points and the Authority tell each other.

pub mod closure;
pub mod downstreams;
pub mod feed;
pub mod leases;
pub mod reads;
pub mod receipts;
