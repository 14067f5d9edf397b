//! From Cedar text to validated policies, or to the list of everything that is wrong with it.

mod scopes;
mod validate;

use std::collections::{BTreeMap, BTreeSet};

use bailiwick_core::jcs;
use cedar_policy as cedar;
use cedar_policy::Effect;
use miette::Diagnostic;

use crate::annotation::{self, Annotations};
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
    /// JCS of the policy's JSON form, annotations included.
    pub(crate) canonical: Vec<u8>,
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
            match parse(source) {
                Ok(policies) => {
                    policies.into_iter().for_each(|(policy, offset)| {
                        match understand(source, index, &policy, offset) {
                            Ok(one) => loaded.push(one),
                            Err(error) => errors.push(error),
                        }
                    })
                }
                Err(faults) => errors.extend(faults),
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
    for one in &loaded {
        errors.extend(scopes::check(sources, one));
    }
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

/// Reads the annotations and settles the policy's id and canonical form.
fn understand(
    source: &PolicySource,
    index: usize,
    policy: &cedar::Policy,
    offset: usize,
) -> Result<Loaded, LoadError> {
    let annotations = annotation::read(policy.effect(), policy.annotations()).map_err(|fault| {
        let at = offset + annotation_offset(source, offset, &fault.key);
        LoadError::at(source, at, fault.message).with_help(fault.help)
    })?;
    let json = policy.to_json().map_err(|fault| diagnosed(source, offset, &fault))?;
    let canonical = jcs::canonicalize(&json).map_err(|_| {
        LoadError::at(source, offset, "the policy has no canonical form to hash")
            .with_help("integers are at most 2^53 - 1, and nesting is at most 48 deep")
    })?;
    let id = annotations.id.clone().unwrap_or_else(|| {
        let digest = bailiwick_core::crypto::sha256(&canonical).b64();
        format!("policy-{}", digest.get(..12).unwrap_or_default())
    });
    Ok(Loaded {
        policy: policy.new_id(cedar::PolicyId::new(&id)),
        effect: policy.effect(),
        scopes: ScopeActions::named_by(policy),
        id,
        annotations,
        canonical,
        source: index,
        offset,
    })
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
