//! A refusal used as if it were leave.
use bailiwick_policy::{Denial, Permit};

fn mistake(denial: Denial<String>) -> Permit<String> {
    denial
}

fn main() {}
