//! From Cedar text to validated policies, or to the list of everything that is wrong with it.

mod scopes;
mod validate;

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::sha256;
use cedar_policy as cedar;
use cedar_policy::Effect;
use miette::Diagnostic;
use serde_json::Value;

use crate::act::Act;
use crate::annotation::{self, Annotations};
use crate::need::Needs;
use crate::schema::ScopeActions;
use crate::source::{LoadError, LoadErrors, PolicySource};

/// Bytes of all sources together.
pub(crate) const SOURCE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Policies in a set.
pub(crate) const POLICIES_MAX: usize = 100_000;

/// A policy that passed every check.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) id: String,
    pub(crate) effect: Effect,
    pub(crate) annotations: Annotations,
    pub(crate) policy: cedar::Policy,
    /// SHA-256 of its canonical form, annotations included.
    pub(crate) digest: [u8; 32],
    /// Facts it looks at.
    pub(crate) needs: Needs,
    /// Scopes it names.
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) source: usize,
    pub(crate) offset: usize,
}

/// Parses and validates every source.
pub(crate) fn load(sources: &[PolicySource]) -> Result<Vec<Loaded>, LoadErrors> {
    let mut errors = Vec::new();
    let mut loaded = Vec::new();
    if let Some(error) = too_large(sources) {
        errors.push(error);
    } else {
        for (index, source) in sources.iter().enumerate() {
            let policies = parse(source).unwrap_or_else(|faults| {
                errors.extend(faults);
                Vec::new()
            });
            for (policy, offset) in policies {
                match understand(source, index, &policy, offset) {
                    Ok((one, faults)) => {
                        loaded.push(one);
                        errors.extend(faults);
                    }
                    Err(error) => errors.push(error),
                }
            }
        }
    }
    if loaded.len() > POLICIES_MAX
        && let Some(source) = sources.first()
    {
        let message = format!("{} policies, more than {POLICIES_MAX}", loaded.len());
        errors.push(LoadError::at(source, 0, message));
        loaded.clear();
    }
    errors.extend(duplicates(sources, &loaded));
    // A fault found so far is clearer than what the validator would say about the same policy.
    if errors.is_empty() {
        errors.extend(validate::strictly(sources, &loaded));
    }
    LoadErrors::check(errors)?;
    Ok(loaded)
}

fn too_large(sources: &[PolicySource]) -> Option<LoadError> {
    let bytes: usize = sources.iter().map(|source| source.text.len()).sum();
    let first = sources.first()?;
    (bytes > SOURCE_BYTES_MAX).then(|| {
        let message = format!("{bytes} bytes of policy, more than {SOURCE_BYTES_MAX}");
        LoadError::at(first, 0, message).with_help("split the set by tenant or by system")
    })
}

/// The static policies of one source, with the offset of each, in order.
fn parse(source: &PolicySource) -> Result<Vec<(cedar::Policy, usize)>, Vec<LoadError>> {
    let set: cedar::PolicySet = source.text.parse().map_err(|faults: cedar::ParseErrors| {
        faults.iter().map(|fault| diagnosed(source, 0, fault)).collect::<Vec<_>>()
    })?;
    let templates: Vec<LoadError> = set
        .templates()
        .map(|template| {
            let offset = template.as_ref().loc().map_or(0, |loc| loc.start());
            LoadError::at(source, offset, "templates with slots are not supported")
                .with_help("write one policy for each value instead of `?principal` or `?resource`")
        })
        .collect();
    if !templates.is_empty() {
        return Err(templates);
    }
    let mut policies: Vec<_> = set
        .policies()
        .map(|policy| (policy.clone(), policy.as_ref().loc().map_or(0, |loc| loc.start())))
        .collect();
    policies.sort_by_key(|(_, offset)| *offset);
    Ok(policies)
}

/// Reads the annotations and settles the policy's id and canonical form. Beside it, the scopes it
/// names that are none.
fn understand(
    source: &PolicySource,
    index: usize,
    policy: &cedar::Policy,
    offset: usize,
) -> Result<(Loaded, Vec<LoadError>), LoadError> {
    let annotations = annotation::read(policy.effect(), policy.annotations()).map_err(|fault| {
        let at = offset + annotation_offset(source, offset, &fault.key);
        LoadError::at(source, at, fault.message).with_help(fault.help)
    })?;
    if annotations.needs_approval() && is_never_a_call(policy) {
        let at = offset + annotation_offset(source, offset, "approval");
        let message = "`@approval` here is never met: only calls are put to people";
        let help = "put it on a permit of a scope or of Action::\"Invoke\", or write a forbid";
        return Err(LoadError::at(source, at, message).with_help(help));
    }
    let json = syntax_free(policy).map_err(|fault| diagnosed(source, offset, &fault))?;
    let digest = sha256(canonical(&json).as_bytes());
    let id = annotations
        .id
        .clone()
        .unwrap_or_else(|| format!("policy-{}", digest.b64().get(..12).unwrap_or_default()));
    let scopes = ScopeActions::named_by(policy);
    let faults = scopes::check(source, offset, &scopes, &json);
    let loaded = Loaded {
        policy: policy.new_id(cedar::PolicyId::new(&id)),
        effect: policy.effect(),
        needs: Needs::of_policy(&json),
        digest: digest.0,
        scopes,
        id,
        annotations,
        source: index,
        offset,
    };
    Ok((loaded, faults))
}

/// Whether the policy names actions, and none of them is a call.
fn is_never_a_call(policy: &cedar::Policy) -> bool {
    let other = |uid: &cedar::EntityUid| {
        let id: &str = uid.id().as_ref();
        Act::RESERVED.contains(&id) && id != "Invoke"
    };
    match policy.action_constraint() {
        cedar::ActionConstraint::Any => false,
        cedar::ActionConstraint::Eq(uid) => other(&uid),
        cedar::ActionConstraint::In(uids) => uids.iter().all(other),
    }
}

/// The policy's JSON form, made from what was parsed and not from the text: eight times faster, and
/// the same for `a != b` and `!(a == b)`.
fn syntax_free(policy: &cedar::Policy) -> Result<Value, cedar::PolicyToJsonError> {
    cedar::Policy::from(policy.as_ref().clone()).to_json()
}

/// JSON with sorted members and no white space. Not RFC 8785, whose bounds on nesting and on
/// integers a policy may exceed; a policy has no other numbers than integers.
fn canonical(json: &Value) -> String {
    fn write(json: &Value, to: &mut String) {
        match json {
            Value::Object(members) => {
                let sorted: BTreeMap<&String, &Value> = members.iter().collect();
                to.push('{');
                for (index, (name, value)) in sorted.into_iter().enumerate() {
                    to.push_str(if index > 0 { "," } else { "" });
                    to.push_str(&Value::from(name.as_str()).to_string());
                    to.push(':');
                    write(value, to);
                }
                to.push('}');
            }
            Value::Array(items) => {
                to.push('[');
                for (index, item) in items.iter().enumerate() {
                    to.push_str(if index > 0 { "," } else { "" });
                    write(item, to);
                }
                to.push(']');
            }
            plain => to.push_str(&plain.to_string()),
        }
    }
    let mut text = String::new();
    write(json, &mut text);
    text
}

/// Where in a policy an annotation stands.
fn annotation_offset(source: &PolicySource, policy: usize, key: &str) -> usize {
    let text = source.text.get(policy..).unwrap_or_default();
    text.find(&format!("@{key}")).unwrap_or(0)
}

fn duplicates(sources: &[PolicySource], loaded: &[Loaded]) -> Vec<LoadError> {
    let mut first: BTreeMap<&str, &Loaded> = BTreeMap::new();
    let mut errors = Vec::new();
    for one in loaded {
        let Some(earlier) = first.insert(&one.id, one) else { continue };
        let (Some(source), Some(other)) = (sources.get(one.source), sources.get(earlier.source))
        else {
            continue;
        };
        let at = LoadError::at(other, earlier.offset, "");
        let message = format!("policy id `{}` is used twice", one.id);
        let help = if one.annotations.id.is_some() {
            format!("the other is at {}:{}; give each policy its own @id", at.file, at.line)
        } else {
            format!("the same policy is at {}:{}; delete one of them", at.file, at.line)
        };
        errors.push(LoadError::at(source, one.offset, message).with_help(help));
    }
    errors
}

/// A Cedar diagnostic at its own place, or at `fallback` when it has none.
fn diagnosed(source: &PolicySource, fallback: usize, fault: &dyn Diagnostic) -> LoadError {
    let offset = fault
        .labels()
        .and_then(|mut labels| labels.next())
        .map_or(fallback, |label| label.offset());
    let message = fault.to_string();
    // "for policy `id`, …": the place says it already.
    let message = match message.split_once("`, ").or_else(|| message.split_once("`: ")) {
        Some((head, rest)) if head.starts_with("for policy `") => rest.to_owned(),
        _ => message,
    };
    let error = LoadError::at(source, offset, message);
    match fault.help() {
        Some(help) => error.with_help(help.to_string()),
        None => error,
    }
}
