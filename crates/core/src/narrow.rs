//! Narrowing: the meet of what a parent holds and what is asked for.

use crate::authority::{ConstraintSet, HeldAuthority};
use crate::constraint::{Constraint, Meet};

/// What a child may hold: within the parent and within the request, for every request.
///
/// Scopes are met exactly. Constraints of one (key, type) are met by [`Constraint::meet`]; every
/// other constraint of either side is kept. The result satisfies
/// [`HeldAuthority::is_narrower_than`] of `parent`, and denies whatever `requested` denies.
/// Idempotent; associative except that incomparable `contains` constraints may end as "nothing"
/// in one order and as a string that contains all in another, both sound. A result with more
/// constraints than a token may carry permits nothing.
#[must_use]
pub fn narrow(parent: &HeldAuthority, requested: &HeldAuthority) -> HeldAuthority {
    let mut constraints: Vec<Constraint> = Vec::new();
    let mut denied: Vec<Constraint> = Vec::new();
    for bound in &parent.constraints {
        let asked = requested.constraints.get(bound.key(), bound.type_name());
        match asked.map(|asked| bound.meet(asked)) {
            None | Some(Meet::Both) => constraints.push(bound.clone()),
            Some(Meet::One(met)) => constraints.push(met),
            Some(Meet::Nothing(kept)) => {
                denied.push(Meet::deny(&kept));
                constraints.push(kept);
            }
        }
    }
    let added = requested
        .constraints
        .iter()
        .filter(|asked| parent.constraints.get(asked.key(), asked.type_name()).is_none());
    constraints.extend(added.cloned());
    for deny in denied {
        constraints.retain(|kept| kept.identity() != deny.identity());
        constraints.push(deny);
    }
    let scopes = parent.scopes.meet(&requested.scopes);
    match ConstraintSet::new(constraints) {
        Ok(constraints) => HeldAuthority { scopes, constraints },
        Err(_) => HeldAuthority {
            scopes: crate::scope::ScopeSet::empty(),
            constraints: parent.constraints.clone(),
        },
    }
}

#[cfg(test)]
mod tests;
