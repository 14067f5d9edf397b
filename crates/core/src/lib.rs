//! Delegation tokens: scopes, constraints, grants, chains; sans-IO.
