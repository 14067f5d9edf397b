//! A constraint is not met by leaving its argument out: what an upstream takes for a value that is not
//! there, nobody decided.

use bailiwick_core::constraint::Rule;
use bailiwick_core::constraint::call::CALLS;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::Scope;
use bailiwick_core::token::HopClaims;
use serde_json::{Map, Value};

use crate::stop::Stop;

/// Refuses a call that a constraint would let by for want of the argument that it is about. A constraint
/// for the scope alone (`scope:key`) is about each of its calls, one for all scopes about those that
/// `has` such an argument. `optional` are arguments of which it is known what leaving them out means.
///
/// # Errors
/// `ceiling_exceeded`.
pub(crate) fn require_given(
    claims: &HopClaims,
    scope: &Scope,
    arguments: &Map<String, Value>,
    has: impl Fn(&str) -> bool,
    optional: impl Fn(&str) -> bool,
) -> Result<(), Stop> {
    let own = format!("{scope}:");
    for key in keys(claims) {
        let scoped = key.strip_prefix(&own);
        let name = scoped.unwrap_or(key);
        let about = scoped.is_some() || has(name);
        let given = arguments.get(name).is_some_and(|value| !value.is_null());
        // These two are of every call.
        if about && !given && !optional(name) && !["sensitivity", CALLS].contains(&name) {
            let detail = format!("{key}: not given, and nothing says what that means");
            return Err(Stop::new(Outcome::CeilingExceeded, detail));
        }
    }
    Ok(())
}

/// The keys that bind a value when there is one, also where an approver is asked otherwise.
fn keys(claims: &HopClaims) -> impl Iterator<Item = &str> {
    let bound = claims.authority.constraints.iter();
    let bound = bound.filter(|it| !matches!(it.rule(), Rule::Absent)).map(|it| it.key());
    let asked = claims.hop.ask.as_ref().and_then(|ask| ask.get("constraints")?.as_array());
    let asked = asked.into_iter().flatten().filter(|it| it.get("absent").is_none());
    bound.chain(asked.filter_map(|it| it.get("key")?.as_str()))
}
