//! The registry: owners, agents and workflows, as strictly parsed and mutually checked documents.
//!
//! Documents come in as TOML or the same in JSON ([`RegistryDocuments`]), are checked against what
//! is registered ([`validate`]) and become a [`Registry`], the snapshot that tasks are opened and
//! settled against. A workflow is compiled once per version ([`CompiledWorkflow`]).

mod agent;
mod approvers;
mod checks;
mod compile;
mod error;
mod fields;
mod instantiate;
mod owner;
mod parameters;
mod sample;
mod snapshot;
mod template;
mod validate;
mod workflow;

use serde_json::{Map, Value};

pub use agent::{AgentDocument, AgentIdentity, AgentRole};
pub use approvers::People;
pub use compile::CompiledWorkflow;
pub use error::{DocumentKind, RegistryError, RegistryErrorCode, TemplateError};
pub use instantiate::Instantiated;
pub use owner::{OwnerDocument, OwnerStatus};
pub use snapshot::{AgentEntry, OwnerEntry, Registry, WorkflowEntry};
pub use validate::{Change, ChangeKind, RegistryView, ValidatedChanges, validate};
pub use workflow::{DelegationEdge, WorkflowDocument, WorkflowStatus, WorkflowTemplate};

use fields::Faults;

/// Most bytes of a registry file.
pub const REGISTRY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most documents of one kind in one change.
pub const DOCUMENTS_MAX: usize = 10_000;

/// The documents of one change, each well formed by itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegistryDocuments {
    /// People and teams who answer for agents and workflows.
    pub owners: Vec<OwnerDocument>,
    /// Agents.
    pub agents: Vec<AgentDocument>,
    /// Workflows.
    pub workflows: Vec<WorkflowDocument>,
}

impl RegistryDocuments {
    /// Reads TOML with `[[owner]]`, `[[agent]]` and `[[workflow]]` tables.
    ///
    /// # Errors
    /// Every fault found; a syntax fault names its line.
    pub fn from_toml(text: &str) -> Result<Self, Vec<RegistryError>> {
        if text.len() > REGISTRY_BYTES_MAX {
            return Err(vec![too_large()]);
        }
        let table: toml::Table = text.parse().map_err(|error| vec![syntax(&error, text)])?;
        let object = table.into_iter().map(|(key, value)| (key, to_json(value))).collect();
        Self::from_json(&Value::Object(object))
    }

    /// Reads the same documents from JSON: `{"owner":[…],"agent":[…],"workflow":[…]}`.
    ///
    /// # Errors
    /// Every fault found.
    pub fn from_json(value: &Value) -> Result<Self, Vec<RegistryError>> {
        let mut faults = Faults::new(DocumentKind::File, "");
        let mut documents = Self::default();
        if let Some(mut reader) = faults.object(value, "", &["owner", "agent", "workflow"]) {
            let owners = reader.documents(DocumentKind::Owner, "owner", OwnerDocument::read);
            let agents = reader.documents(DocumentKind::Agent, "agent", AgentDocument::read);
            let flows =
                reader.documents(DocumentKind::Workflow, "workflow", WorkflowDocument::read);
            documents = Self { owners, agents, workflows: flows };
        }
        faults.finish(documents)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty() && self.agents.is_empty() && self.workflows.is_empty()
    }
}

fn too_large() -> RegistryError {
    RegistryError {
        kind: DocumentKind::File,
        id: String::new(),
        field: String::new(),
        code: RegistryErrorCode::TooLarge,
        message: format!("is larger than {REGISTRY_BYTES_MAX} bytes; apply it in parts"),
    }
}

fn syntax(error: &toml::de::Error, text: &str) -> RegistryError {
    let start = error.span().map_or(0, |span| span.start);
    let line = text.get(..start).unwrap_or("").matches('\n').count().saturating_add(1);
    RegistryError {
        kind: DocumentKind::File,
        id: String::new(),
        field: format!("line {line}"),
        code: RegistryErrorCode::Syntax,
        message: format!("is not TOML: {}", error.message().trim()),
    }
}

/// TOML has dates and JSON has not: they become their text.
fn to_json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Value::from(number),
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(instant) => Value::String(instant.to_string()),
        toml::Value::Array(items) => Value::Array(items.into_iter().map(to_json).collect()),
        toml::Value::Table(table) => Value::Object(
            table.into_iter().map(|(key, value)| (key, to_json(value))).collect::<Map<_, _>>(),
        ),
    }
}

#[cfg(test)]
mod tests;
