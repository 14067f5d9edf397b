//! A workflow compiled once per version: schema, templates and edges, ready for the task path.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bailiwick_core::ids::AgentId;
use bailiwick_core::scope::{Scope, ScopeForm, ScopeSet};
use serde_json::{Map, Value};

use super::error::{DocumentKind, RegistryError, RegistryErrorCode as Code, TemplateError, shown};
use super::fields::Faults;
use super::parameters::Parameters;
use super::sample::{self, ATTEMPTS};
use super::template::{Guard, Template};
use super::workflow::WorkflowDocument;
use crate::suggest;

/// One constraint template.
#[derive(Debug)]
pub(super) struct ConstraintTemplate {
    /// The constraint, without `otherwise`.
    pub(super) template: Template,
    /// How interpolated values are checked.
    pub(super) guard: Guard,
    /// Whether outside it an approver is asked (`otherwise = "ask"`).
    pub(super) ask: bool,
    /// The rule's member name, such as `one_of`.
    pub(super) rule: String,
    /// Where it is, for errors.
    pub(super) place: String,
}

/// A workflow with its schema and templates compiled. Immutable; keep it in an `Arc`.
#[derive(Debug)]
pub struct CompiledWorkflow {
    document: Arc<WorkflowDocument>,
    version: u32,
    pub(super) parameters: Parameters,
    pub(super) scopes: Vec<Template>,
    pub(super) constraints: Vec<ConstraintTemplate>,
    edges: HashMap<(AgentId, AgentId), Option<ScopeSet>>,
}

impl CompiledWorkflow {
    /// Compiles one version of a workflow and checks everything that can be checked without a task.
    ///
    /// # Errors
    /// Every fault of the schema, the templates and the edges.
    pub fn compile(
        document: Arc<WorkflowDocument>,
        version: u32,
    ) -> Result<Self, Vec<RegistryError>> {
        let mut faults = Faults::new(DocumentKind::Workflow, document.id.as_ref());
        let parameters = Parameters::compile(&document.parameters, &mut faults);
        let scopes = compile_scopes(&document, parameters.as_ref(), &mut faults);
        let constraints = compile_constraints(&document, parameters.as_ref(), &mut faults);
        check_edges(&document, &scopes, &mut faults);
        let edges = compile_edges(&document);
        let Some(parameters) = parameters else { return Err(faults.into_found()) };
        let compiled = Self { document, version, parameters, scopes, constraints, edges };
        compiled.check_samples(&mut faults);
        compiled.check_keys(&mut faults);
        faults.finish(compiled)
    }

    /// The workflow.
    pub fn document(&self) -> &Arc<WorkflowDocument> {
        &self.document
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether `from` may hand exactly these scopes to `to`. An empty set is never handed over.
    pub fn edge_allows(&self, from: &AgentId, to: &AgentId, scopes: &ScopeSet) -> bool {
        if scopes.is_empty() {
            return false;
        }
        match self.edges.get(&(from.clone(), to.clone())) {
            None => false,
            Some(None) => true,
            Some(Some(allowed)) => scopes.is_narrower_than(allowed),
        }
    }

    /// Whether there is an edge between the two at all.
    pub fn has_edge(&self, from: &AgentId, to: &AgentId) -> bool {
        self.edges.contains_key(&(from.clone(), to.clone()))
    }

    /// Whether `agent` may hold the first token of a task.
    pub fn is_entry(&self, agent: &AgentId) -> bool {
        self.document.entry.contains(agent)
    }

    /// Whether its tokens may be for `audience`.
    pub fn allows_audience(&self, audience: &str) -> bool {
        self.document.audiences.iter().any(|allowed| allowed == audience)
    }

    /// Fills every template with sample values: what can never be filled is a fault now, not at the
    /// first task. Each template is tried by itself, so that one fault does not hide another.
    fn check_samples(&self, faults: &mut Faults) {
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
    fn check_keys(&self, faults: &mut Faults) {
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
    /// The literal key.
    pub(super) fn key(&self) -> Option<&str> {
        let Template::Object(members) = &self.template else { return None };
        members.iter().find_map(|(name, value)| match value {
            Template::Literal(Value::String(text)) if name == "key" => Some(text.as_str()),
            _ => None,
        })
    }
}

impl ConstraintTemplate {
    /// The literal scopes of a `from_read`.
    fn read_scopes(&self) -> Vec<&str> {
        fn scope_of(item: &Template) -> Option<&str> {
            match item {
                Template::Literal(value) => value.get("scope")?.as_str(),
                Template::Object(members) => members.iter().find_map(|(name, value)| match value {
                    Template::Literal(Value::String(text)) if name == "scope" => Some(text.as_str()),
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

fn report(
    tries: Result<(), TemplateError>,
    names: &[&str],
    place: &str,
    faults: &mut Faults,
) {
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

fn compile_scopes(
    document: &WorkflowDocument,
    parameters: Option<&Parameters>,
    faults: &mut Faults,
) -> Vec<Template> {
    let mut out = Vec::new();
    for (index, text) in document.authority.scopes.iter().enumerate() {
        let place = format!("authority.scopes[{index}]");
        match Template::compile(&Value::String(text.clone())) {
            Ok(template) => {
                check_places(&template, parameters, &place, faults);
                check_open_scope(&template, parameters, &place, faults);
                out.push(template);
            }
            Err(message) => faults.add(Code::Template, place, message),
        }
    }
    out
}

/// A scope that is nothing but a parameter would let whoever starts a task choose its authority,
/// unless the schema lists the values.
fn check_open_scope(
    template: &Template,
    parameters: Option<&Parameters>,
    place: &str,
    faults: &mut Faults,
) {
    let (Template::Whole(name), Some(parameters)) = (template, parameters) else { return };
    let Some(parameter) = parameters.get(name) else { return };
    let closed = |schema: &Value| schema.get("enum").is_some() || schema.get("const").is_some();
    let items = parameter.schema.get("items");
    if !closed(&parameter.schema) && !items.is_some_and(closed) {
        let message = format!(
            "lets whoever starts a task choose any scope; list the allowed ones with `enum` in the \
             schema of `{name}`"
        );
        faults.add(Code::Template, place, message);
    }
}

fn compile_constraints(
    document: &WorkflowDocument,
    parameters: Option<&Parameters>,
    faults: &mut Faults,
) -> Vec<ConstraintTemplate> {
    let mut out = Vec::new();
    for (index, value) in document.authority.constraints.iter().enumerate() {
        let place = format!("authority.constraints[{index}]");
        out.extend(compile_constraint(value, place, parameters, faults));
    }
    check_contradictions(&out, faults);
    out
}

fn compile_constraint(
    value: &Value,
    place: String,
    parameters: Option<&Parameters>,
    faults: &mut Faults,
) -> Option<ConstraintTemplate> {
    let Some(object) = value.as_object() else {
        faults.add(Code::Value, place, "must be a table such as { key = \"rows\", max = 100 }");
        return None;
    };
    let mut object = object.clone();
    let ask = match object.remove("otherwise") {
        None => false,
        Some(Value::String(word)) if word == "ask" => true,
        Some(_) => {
            let message = "must be \"ask\"; leave it out for a constraint that refuses";
            faults.add(Code::Value, format!("{place}.otherwise"), message);
            false
        }
    };
    match object.get("key").and_then(Value::as_str) {
        Some(key) if key.contains("${") => {
            let message = "cannot be a template: which argument is bound is fixed by the workflow";
            faults.add(Code::Template, format!("{place}.key"), message);
            return None;
        }
        Some(key) if !key.is_empty() => {}
        _ => {
            let message = "is required: the argument, as `name` or `scope:name`";
            faults.add(Code::Missing, format!("{place}.key"), message);
            return None;
        }
    }
    let rule = object.keys().find(|name| !matches!(name.as_str(), "key" | "order"));
    let rule = rule.cloned().unwrap_or_default();
    if ask && matches!(rule.as_str(), "max_lifetime" | "max_subtree") {
        let message = "cannot be asked about: a budget is debited, not compared";
        faults.add(Code::Value, format!("{place}.otherwise"), message);
    }
    let guard = match rule.as_str() {
        "under" => Guard::PathSegment,
        "host" => Guard::HostLabel,
        _ => Guard::Text,
    };
    match Template::compile(&Value::Object(object)) {
        Ok(template) => {
            check_places(&template, parameters, &place, faults);
            Some(ConstraintTemplate { template, guard, ask, rule, place })
        }
        Err(message) => {
            faults.add(Code::Template, place, message);
            None
        }
    }
}

/// Every place names a parameter that every task has.
fn check_places(
    template: &Template,
    parameters: Option<&Parameters>,
    place: &str,
    faults: &mut Faults,
) {
    let Some(parameters) = parameters else { return };
    for name in template.places() {
        match parameters.get(name) {
            None => {
                let known = parameters.names();
                let message = format!("`${{{name}}}`: there is no such parameter; {}", suggest::hint(name, &known));
                faults.add(Code::Template, place, message);
            }
            Some(parameter) if !parameter.required && parameter.default.is_none() => {
                let message = format!(
                    "`${{{name}}}` may be missing: put `{name}` in parameters.required or give it \
                     a `default`"
                );
                faults.add(Code::Template, place, message);
            }
            Some(_) => {}
        }
    }
}

/// Literal rules on one key that no value can satisfy together.
fn check_contradictions(constraints: &[ConstraintTemplate], faults: &mut Faults) {
    let mut bounds: HashMap<&str, (f64, f64)> = HashMap::new();
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    for constraint in constraints.iter().filter(|constraint| !constraint.ask) {
        if let Some(key) = constraint.key()
            && !seen.insert((key, &constraint.rule))
        {
            let message = format!("repeats `{}` on this key; keep one", shown(&constraint.rule));
            faults.add(Code::Duplicate, &constraint.place, message);
        }
        let (Some(key), Template::Object(members)) = (constraint.key(), &constraint.template) else {
            continue;
        };
        let literal = members.iter().find_map(|(name, value)| match value {
            Template::Literal(value) if *name == constraint.rule => Some(value),
            _ => None,
        });
        let Some(value) = literal else { continue };
        let entry = bounds.entry(key).or_insert((f64::NEG_INFINITY, f64::INFINITY));
        match (constraint.rule.as_str(), value) {
            ("min", Value::Number(number)) => entry.0 = entry.0.max(number.as_f64().unwrap_or(entry.0)),
            ("max", Value::Number(number)) => entry.1 = entry.1.min(number.as_f64().unwrap_or(entry.1)),
            ("one_of" | "subset_of" | "host" | "from_read", Value::Array(items)) if items.is_empty() => {
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
            let message = format!("can never match: min {} is above max {} on this key", entry.0, entry.1);
            faults.add(Code::NeverMatches, &constraint.place, message);
            *entry = (f64::NEG_INFINITY, f64::INFINITY);
        }
    }
}

fn compile_edges(document: &WorkflowDocument) -> HashMap<(AgentId, AgentId), Option<ScopeSet>> {
    let pairs = document.edges.iter().map(|edge| {
        let key = (edge.from.clone(), edge.to.clone());
        let scopes: Vec<Scope> = edge.scopes.iter().filter_map(|text| text.parse().ok()).collect();
        let allowed = if edge.scopes.is_empty() {
            None
        } else {
            // An unreadable set is the empty one, which allows nothing.
            Some(ScopeSet::new(scopes).unwrap_or_default())
        };
        (key, allowed)
    });
    pairs.collect()
}

/// Every edge can be used: its start is reachable within the depth, and its scopes are among the
/// workflow's.
fn check_edges(document: &WorkflowDocument, scopes: &[Template], faults: &mut Faults) {
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
                let message = format!("can never match: `{}` meets no scope of authority.scopes", shown(text));
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

/// Whether a filled scope keeps the form its template promises.
pub(super) fn form_kept(template: &Template, scope: &Scope) -> bool {
    match template.outline("x") {
        Some(outline) if !template.is_literal() => match outline.parse::<Scope>() {
            Ok(expected) => expected.form() == scope.form(),
            Err(_) => false,
        },
        None => scope.form() != ScopeForm::Wildcard || template.is_literal(),
        Some(_) => true,
    }
}
