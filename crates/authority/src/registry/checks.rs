//! What is wrong with a workflow that can be known without a task: templates that no sample fills,
//! rules that never match, edges that are never used.

use std::collections::{HashMap, HashSet, VecDeque};

use bailiwick_core::ids::AgentId;
use bailiwick_core::scope::Scope;
use serde_json::{Map, Value};

use super::compile::{CompiledWorkflow, ConstraintTemplate};
use super::error::{RegistryErrorCode as Code, TemplateError, shown};
use super::fields::Faults;
use super::sample::{self, ATTEMPTS};
use super::template::{Guard, Template};
use super::workflow::WorkflowDocument;

impl CompiledWorkflow {
    /// Fills every template with sample values: what can never be filled is a fault now, not at the
    /// first task. Each template is tried by itself, so that one fault does not hide another.
    pub(super) fn check_samples(&self, faults: &mut Faults) {
        for (index, template) in self.scopes.iter().enumerate() {
            let place = format!("authority.scopes[{index}]");
            let names = template.places();
            let tries = self.try_samples(&names, |values| {
                let filled = template.fill(values, Guard::ScopeSegment, &place)?;
                super::instantiate::read_scopes(template, &filled, &place).map(drop)
            });
            report(tries, &names, &place, faults);
        }
        for constraint in &self.constraints {
            let names = constraint.template.places();
            let tries = self.try_samples(&names, |values| constraint.fill(values).map(drop));
            report(tries, &names, &constraint.place, faults);
        }
    }

    fn try_samples(
        &self,
        names: &[&str],
        check: impl Fn(&Map<String, Value>) -> Result<(), TemplateError>,
    ) -> Result<(), TemplateError> {
        // A place that names no parameter is a fault already.
        if names.iter().any(|name| self.parameters.get(name).is_none()) {
            return Ok(());
        }
        let mut first = None;
        for attempt in 0..ATTEMPTS {
            let values = sample::values(&self.parameters, names, attempt);
            match check(&values) {
                Ok(()) => return Ok(()),
                Err(error) => first = first.or(Some(error)),
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// A constraint on `S:k` applies to calls of scope S only, and `from_read` to what reads of its
    /// scopes return: each must be a scope that a task can have.
    pub(super) fn check_keys(&self, faults: &mut Faults) {
        for constraint in &self.constraints {
            let keyed = constraint.key().and_then(|key| key.rsplit_once(':'));
            let keyed = keyed.map(|(scope, _)| (scope, format!("{}.key", constraint.place)));
            let reads = constraint.read_scopes().into_iter();
            let reads = reads.map(|scope| (scope, format!("{}.from_read", constraint.place)));
            for (scope, field) in keyed.into_iter().chain(reads) {
                if !self.scopes.iter().any(|held| may_cover(held, scope)) {
                    let message = format!(
                        "can never match: no scope of this workflow covers `{}`; add it to \
                         authority.scopes or correct it here",
                        shown(scope)
                    );
                    faults.add(Code::NeverMatches, field, message);
                }
            }
        }
    }
}

impl ConstraintTemplate {
    /// The literal scopes of a `from_read`.
    fn read_scopes(&self) -> Vec<&str> {
        fn scope_of(item: &Template) -> Option<&str> {
            match item {
                Template::Literal(value) => value.get("scope")?.as_str(),
                Template::Object(members) => members.iter().find_map(|(name, value)| match value {
                    Template::Literal(Value::String(text)) if name == "scope" => {
                        Some(text.as_str())
                    }
                    _ => None,
                }),
                _ => None,
            }
        }
        let Template::Object(members) = &self.template else { return Vec::new() };
        let sources = members.iter().find(|(name, _)| name == "from_read").map(|(_, value)| value);
        match sources {
            Some(Template::Literal(Value::Array(items))) => {
                items.iter().filter_map(|item| item.get("scope")?.as_str()).collect()
            }
            Some(Template::Array(items)) => items.iter().filter_map(scope_of).collect(),
            _ => Vec::new(),
        }
    }
}

fn report(tries: Result<(), TemplateError>, names: &[&str], place: &str, faults: &mut Faults) {
    let Err(error) = tries else { return };
    let cause = match &error {
        TemplateError::NotAuthority { message, .. } | TemplateError::Unfit { message, .. } => {
            message.clone()
        }
        other => other.to_string(),
    };
    let message = if names.is_empty() {
        cause
    } else {
        format!(
            "cannot be filled with sample values: {cause}; if it can be filled, give `examples` in \
             the schema of {}",
            names.join(", ")
        )
    };
    faults.add(Code::Template, place, message);
}

/// Whether a scope template, once filled, may cover `scope`.
fn may_cover(template: &Template, scope: &str) -> bool {
    match (template, template.outline("*")) {
        (Template::Literal(Value::String(held)), _) => {
            let (held, wanted) = (held.parse::<Scope>(), scope.parse::<Scope>());
            matches!((held, wanted), (Ok(held), Ok(wanted)) if held.covers(&wanted))
        }
        (_, Some(outline)) => outline_matches(&outline, scope),
        _ => true,
    }
}

/// Segment by segment; a segment with a place may become anything, a final `*` covers the rest.
fn outline_matches(outline: &str, scope: &str) -> bool {
    let mut held = outline.split('.').peekable();
    let mut wanted = scope.split('.');
    while let Some(segment) = held.next() {
        let last = held.peek().is_none();
        match wanted.next() {
            None => return false,
            Some(_) if segment == "*" && last => return true,
            Some(word) if segment.contains('*') || segment == word => {}
            Some(_) => return false,
        }
    }
    wanted.next().is_none()
}

/// Literal rules on one key that no value can satisfy together.
pub(super) fn check_contradictions(constraints: &[ConstraintTemplate], faults: &mut Faults) {
    let mut bounds: HashMap<&str, (f64, f64)> = HashMap::new();
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    for constraint in constraints.iter().filter(|constraint| !constraint.ask) {
        if let Some(key) = constraint.key()
            && !seen.insert((key, &constraint.rule))
        {
            let message = format!("repeats `{}` on this key; keep one", shown(&constraint.rule));
            faults.add(Code::Duplicate, &constraint.place, message);
        }
        let (Some(key), Template::Object(members)) = (constraint.key(), &constraint.template)
        else {
            continue;
        };
        let literal = members.iter().find_map(|(name, value)| match value {
            Template::Literal(value) if *name == constraint.rule => Some(value),
            _ => None,
        });
        let Some(value) = literal else { continue };
        let entry = bounds.entry(key).or_insert((f64::NEG_INFINITY, f64::INFINITY));
        match (constraint.rule.as_str(), value) {
            ("min", Value::Number(number)) => {
                entry.0 = entry.0.max(number.as_f64().unwrap_or(entry.0))
            }
            ("max", Value::Number(number)) => {
                entry.1 = entry.1.min(number.as_f64().unwrap_or(entry.1))
            }
            ("one_of" | "subset_of" | "host" | "from_read", Value::Array(items))
                if items.is_empty() =>
            {
                let message = "can never match: the list is empty";
                faults.add(Code::NeverMatches, &constraint.place, message);
            }
            ("prefix" | "contains", Value::String(text)) if text.is_empty() => {
                let message = "restricts nothing: every text has the empty one; remove it";
                faults.add(Code::NeverMatches, &constraint.place, message);
            }
            _ => {}
        }
        if entry.0 > entry.1 {
            let message =
                format!("can never match: min {} is above max {} on this key", entry.0, entry.1);
            faults.add(Code::NeverMatches, &constraint.place, message);
            *entry = (f64::NEG_INFINITY, f64::INFINITY);
        }
    }
}

/// Every edge can be used: its start is reachable within the depth, and its scopes are among the
/// workflow's.
pub(super) fn check_edges(document: &WorkflowDocument, scopes: &[Template], faults: &mut Faults) {
    let depth_of = depths(document);
    for (index, edge) in document.edges.iter().enumerate() {
        let at = format!("edges[{index}]");
        match depth_of.get(&edge.from) {
            None => {
                let message = "can never be used: no entry agent reaches `from`";
                faults.add(Code::NeverMatches, &at, message);
            }
            Some(depth) if *depth >= usize::from(document.max_depth) => {
                let message = format!(
                    "can never be used: `from` holds depth {depth} at best and max_depth is {}",
                    document.max_depth
                );
                faults.add(Code::NeverMatches, &at, message);
            }
            Some(_) => {}
        }
        for (nth, text) in edge.scopes.iter().enumerate() {
            let met = scopes.iter().any(|held| may_meet(held, text));
            if !met {
                let message = format!(
                    "can never match: `{}` meets no scope of authority.scopes",
                    shown(text)
                );
                faults.add(Code::NeverMatches, format!("{at}.scopes[{nth}]"), message);
            }
        }
    }
    if !document.edges.is_empty() {
        let agents: HashSet<&AgentId> =
            document.edges.iter().flat_map(|edge| [&edge.from, &edge.to]).collect();
        for (index, agent) in document.entry.iter().enumerate() {
            if !agents.contains(agent) {
                let message = "has no edge: an entry agent of a workflow with edges must be in one";
                faults.add(Code::Value, format!("entry[{index}]"), message);
            }
        }
    }
}

fn may_meet(held: &Template, wanted: &str) -> bool {
    if !held.is_literal() {
        return true;
    }
    let Template::Literal(Value::String(held)) = held else { return false };
    match (held.parse::<Scope>(), wanted.parse::<Scope>()) {
        (Ok(held), Ok(wanted)) => held.covers(&wanted) || wanted.covers(&held),
        _ => false,
    }
}

fn depths(document: &WorkflowDocument) -> HashMap<&AgentId, usize> {
    let mut depth_of: HashMap<&AgentId, usize> = HashMap::new();
    let mut queue: VecDeque<(&AgentId, usize)> =
        document.entry.iter().map(|agent| (agent, 0)).collect();
    while let Some((agent, depth)) = queue.pop_front() {
        if depth_of.contains_key(agent) {
            continue;
        }
        depth_of.insert(agent, depth);
        let next = document.edges.iter().filter(|edge| edge.from == *agent);
        queue.extend(next.map(|edge| (&edge.to, depth.saturating_add(1))));
    }
    depth_of
}
