//! A decision about a token that nobody has verified.
use bailiwick_core::ids::DecisionId;
use bailiwick_core::{UnixMillis, UnverifiedToken};
use bailiwick_policy::{Act, Facts, PolicySet, decide};

fn skip(set: &PolicySet, token: &UnverifiedToken, facts: Facts, id: DecisionId) -> bool {
    decide(set, Some(token), Act::Delegate, facts, id, UnixMillis(1), ()).is_ok()
}

fn main() {}
