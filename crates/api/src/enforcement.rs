//! What enforcement points and the Authority tell each other.

pub mod feed;
pub mod leases;
pub mod receipts;
