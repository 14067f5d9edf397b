//! What enforcement points and the Authority tell each other.

pub mod feed;
