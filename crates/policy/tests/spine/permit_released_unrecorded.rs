//! An effect released on a permit alone, without its record.
use bailiwick_ledger::Recorded;
use bailiwick_policy::Permit;

fn release(_recorded: Recorded<Permit<String>>) {}

fn skip(permit: Permit<String>) {
    release(permit);
}

fn main() {}
