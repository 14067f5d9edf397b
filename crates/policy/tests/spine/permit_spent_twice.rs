//! One permit for two calls.
use bailiwick_policy::Permit;

fn twice(permit: Permit<String>) -> (Permit<String>, Permit<String>) {
    (permit.clone(), permit)
}

fn main() {}
