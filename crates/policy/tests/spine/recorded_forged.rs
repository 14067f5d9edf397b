//! A record that no journal has made durable.
use bailiwick_ledger::{LeafIndex, Recorded};

fn forge() -> Recorded<&'static str> {
    Recorded { item: "call the tool", index: LeafIndex(0) }
}

fn main() {}
