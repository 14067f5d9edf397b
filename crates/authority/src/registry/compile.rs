//! A workflow compiled once per version: schema, templates and edges, ready for the task path.

use std::collections::HashMap;
use std::sync::Arc;

use bailiwick_core::ids::AgentId;
use bailiwick_core::scope::{Scope, ScopeForm, ScopeSet};
use serde_json::Value;

use super::checks::{check_contradictions, check_edges};
use super::error::{DocumentKind, RegistryError, RegistryErrorCode as Code};
use super::fields::Faults;
use super::parameters::Parameters;
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
        // A scope that did not compile would make what rests on it look wrong too.
        let whole = scopes.len() == document.authority.scopes.len();
        if whole {
            check_edges(&document, &scopes, &mut faults);
        }
        let edges = compile_edges(&document);
        let Some(parameters) = parameters else { return Err(faults.into_found()) };
        let compiled = Self { document, version, parameters, scopes, constraints, edges };
        if whole {
            compiled.check_samples(&mut faults);
            compiled.check_keys(&mut faults);
        }
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
                let message = format!(
                    "`${{{name}}}`: there is no such parameter; {}",
                    suggest::hint(name, &known)
                );
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
