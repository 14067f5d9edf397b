//! A permit that no decision gave.
use bailiwick_policy::{Decision, Permit};

fn forge(decision: Decision) -> Permit<&'static str> {
    Permit { decision, request: "call the tool" }
}

fn main() {}
