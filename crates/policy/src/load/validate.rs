//! Strict validation. Cedar's warnings are errors here: a rule that can never match, or a
//! string that does not read as it looks, is not loaded.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy as cedar;
use cedar_policy::{ActionConstraint, ValidationMode, ValidationWarning, Validator};
use miette::Diagnostic;

use crate::load::{Loaded, diagnosed};
use crate::schema::ScopeActions;
use crate::source::{LoadError, PolicySource};

/// Scopes that share one schema. Cedar checks every policy against every action, so one schema
/// with all scopes would make loading quadratic; building one for each policy costs more than
/// checking it. From 4 to 16 it makes little difference.
const SCOPES_PER_SCHEMA: usize = 8;

/// Validates every policy.
pub(super) fn strictly(sources: &[PolicySource], loaded: &[Loaded]) -> Vec<LoadError> {
    let mut errors = Vec::new();
    for (scopes, batch) in batches(loaded) {
        let by_id: BTreeMap<&str, &Loaded> =
            batch.iter().map(|one| (one.id.as_str(), *one)).collect();
        let checked =
            ScopeActions::schema(&scopes).map_err(|fault| fault.to_string()).and_then(|schema| {
                let policies = batch.iter().map(|one| one.policy.clone());
                let set = cedar::PolicySet::from_policies(policies).map_err(|e| e.to_string())?;
                Ok(Validator::new(schema).validate(&set, ValidationMode::Strict))
            });
        match checked {
            Ok(result) => {
                let mut faulty = BTreeSet::new();
                for fault in result.validation_errors() {
                    faulty.insert(fault.policy_id().clone());
                    errors.extend(placed(sources, &by_id, fault.policy_id(), fault, None));
                }
                // A policy with an error is called impossible too, which would only distract.
                let warnings = result.validation_warnings();
                for fault in warnings.filter(|fault| !faulty.contains(fault.policy_id())) {
                    let help = help_for(&by_id, fault);
                    errors.extend(placed(sources, &by_id, fault.policy_id(), fault, help));
                }
            }
            Err(message) => {
                let first = batch.first().and_then(|one| Some((one, sources.get(one.source)?)));
                errors
                    .extend(first.map(|(one, source)| LoadError::at(source, one.offset, message)));
            }
        }
    }
    errors
}

/// Policies grouped so that each group names few scopes.
fn batches(loaded: &[Loaded]) -> Vec<(BTreeSet<String>, Vec<&Loaded>)> {
    let mut ordered: Vec<&Loaded> = loaded.iter().collect();
    ordered.sort_by(|a, b| a.scopes.cmp(&b.scopes));
    let mut batches: Vec<(BTreeSet<String>, Vec<&Loaded>)> = Vec::new();
    for one in ordered {
        if let Some((scopes, batch)) = batches.last_mut() {
            let fresh = one.scopes.difference(scopes).count();
            if scopes.len() + fresh <= SCOPES_PER_SCHEMA {
                scopes.extend(one.scopes.iter().cloned());
                batch.push(one);
                continue;
            }
        }
        batches.push((one.scopes.clone(), vec![one]));
    }
    batches
}

fn placed(
    sources: &[PolicySource],
    by_id: &BTreeMap<&str, &Loaded>,
    id: &cedar::PolicyId,
    fault: &dyn Diagnostic,
    help: Option<String>,
) -> Option<LoadError> {
    let id: &str = id.as_ref();
    let one = by_id.get(id)?;
    let error = diagnosed(sources.get(one.source)?, one.offset, fault);
    Some(match help {
        Some(help) => error.with_help(help),
        None => error,
    })
}

/// Says of a rule that can never match what most likely went wrong.
fn help_for(by_id: &BTreeMap<&str, &Loaded>, fault: &ValidationWarning) -> Option<String> {
    let never = matches!(
        fault,
        ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_)
    );
    if !never {
        return Some("write the identifier or string in plain ASCII".to_owned());
    }
    let id: &str = fault.policy_id().as_ref();
    if let Some(one) = by_id.get(id)
        && let ActionConstraint::Eq(action) = one.policy.action_constraint()
        && (action.id().unescaped() == "Invoke" || action.id().unescaped().ends_with(".*"))
    {
        return Some(format!(
            "{action} is a group and is never asked for itself; write `action in {action}`"
        ));
    }
    Some(match fault.help() {
        Some(help) => help.to_string(),
        None => "this rule can never match: compare what it asks of principal, action, resource \
                 and context with the schema (`bailiwick policy schema`)"
            .to_owned(),
    })
}
