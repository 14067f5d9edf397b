//! The registry as it stands: an immutable snapshot that is replaced as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use bailiwick_policy::{AgentStatus, Approver};
use serde_json::Value;

use super::agent::AgentDocument;
use super::approvers::People;
use super::compile::CompiledWorkflow;
use super::error::{DocumentKind, RegistryError};
use super::fields::Faults;
use super::owner::{OwnerDocument, OwnerStatus};
use super::validate::{Entry, RegistryView, ValidatedChanges};
use super::workflow::WorkflowDocument;

/// A registered owner.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnerEntry {
    /// What was registered.
    pub document: OwnerDocument,
    /// How often it has changed, from 1.
    pub version: u32,
}

/// A registered agent.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentEntry {
    /// What was registered, with the status as it is now.
    pub document: AgentDocument,
    /// How often it has changed, from 1.
    pub version: u32,
}

/// A registered workflow.
pub type WorkflowEntry = Arc<CompiledWorkflow>;

/// Everything registered. Cheap to share; a change makes a new one.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    owners: HashMap<String, Arc<OwnerEntry>>,
    agents: HashMap<String, Arc<AgentEntry>>,
    by_workload: HashMap<String, String>,
    workflows: HashMap<String, WorkflowEntry>,
}

impl Registry {
    /// An owner.
    pub fn owner(&self, id: &str) -> Option<&Arc<OwnerEntry>> {
        self.owners.get(id)
    }

    /// Whether an owner exists and answers for things.
    pub fn is_live_owner(&self, id: &str) -> bool {
        self.owner(id).is_some_and(|entry| entry.document.status == OwnerStatus::Active)
    }

    /// The people that `approver` names for tasks of `workflow`.
    pub fn people(&self, approver: &Approver, workflow: &WorkflowDocument) -> People {
        People::of(approver, workflow, |id| self.owner(id).map(|entry| entry.document.clone()))
    }

    /// An agent, by its registered id.
    pub fn agent(&self, id: &str) -> Option<&Arc<AgentEntry>> {
        self.agents.get(id)
    }

    /// The agent that a verified workload is, by the id under which the identity crate reports it.
    pub fn agent_by_workload(&self, workload_id: &str) -> Option<&Arc<AgentEntry>> {
        self.agents.get(self.by_workload.get(workload_id)?)
    }

    /// A workflow, compiled.
    pub fn workflow(&self, id: &str) -> Option<&WorkflowEntry> {
        self.workflows.get(id)
    }

    /// Every owner, in order of id.
    pub fn owners(&self) -> Vec<Arc<OwnerEntry>> {
        sorted(&self.owners)
    }

    /// Every agent, in order of id.
    pub fn agents(&self) -> Vec<Arc<AgentEntry>> {
        sorted(&self.agents)
    }

    /// Every workflow, in order of id.
    pub fn workflows(&self) -> Vec<WorkflowEntry> {
        sorted(&self.workflows)
    }

    /// The registry after a change that was validated against this one.
    #[must_use]
    pub fn apply(&self, changes: &ValidatedChanges) -> Self {
        let mut next = self.clone();
        for change in changes.iter() {
            match change.entry() {
                Entry::Owner(entry) => {
                    next.owners.insert(change.id.clone(), Arc::clone(entry));
                }
                Entry::Agent(entry) => next.put_agent(Arc::clone(entry)),
                Entry::Workflow(entry) => {
                    next.workflows.insert(change.id.clone(), Arc::clone(entry));
                }
            }
        }
        next
    }

    /// The registry with an agent's status set by an operator (quarantine, reinstate).
    #[must_use]
    pub fn with_agent_status(&self, id: &str, status: AgentStatus) -> Self {
        let mut next = self.clone();
        if let Some(entry) = self.agent(id) {
            let mut changed = AgentEntry::clone(entry);
            changed.document.status = status;
            next.put_agent(Arc::new(changed));
        }
        next
    }

    /// Puts an owner read back from the store.
    ///
    /// # Errors
    /// When the stored document is not one that this version reads.
    pub fn restore_owner(
        &mut self,
        stored: &Value,
        version: u32,
    ) -> Result<(), Vec<RegistryError>> {
        let document = read(DocumentKind::Owner, stored, OwnerDocument::read)?;
        self.owners.insert(document.id.clone(), Arc::new(OwnerEntry { document, version }));
        Ok(())
    }

    /// Puts an agent read back from the store, with the status it has now.
    ///
    /// # Errors
    /// When the stored document is not one that this version reads.
    pub fn restore_agent(
        &mut self,
        stored: &Value,
        version: u32,
        status: AgentStatus,
    ) -> Result<(), Vec<RegistryError>> {
        let mut document = read(DocumentKind::Agent, stored, AgentDocument::read)?;
        document.status = status;
        self.put_agent(Arc::new(AgentEntry { document, version }));
        Ok(())
    }

    /// Puts a workflow read back from the store.
    ///
    /// # Errors
    /// When the stored document is not one that this version reads and compiles.
    pub fn restore_workflow(
        &mut self,
        stored: &Value,
        version: u32,
    ) -> Result<(), Vec<RegistryError>> {
        let document = read(DocumentKind::Workflow, stored, WorkflowDocument::read)?;
        let id = document.id.as_ref().to_owned();
        let compiled = CompiledWorkflow::compile(Arc::new(document), version)?;
        self.workflows.insert(id, Arc::new(compiled));
        Ok(())
    }

    fn put_agent(&mut self, entry: Arc<AgentEntry>) {
        let id = entry.document.id.as_ref().to_owned();
        if let Some(before) = self.agents.get(&id) {
            self.by_workload.remove(&before.document.identity.workload_id());
        }
        self.by_workload.insert(entry.document.identity.workload_id(), id.clone());
        self.agents.insert(id, entry);
    }
}

fn read<T>(
    kind: DocumentKind,
    stored: &Value,
    read: fn(&Value, &mut Faults) -> Option<T>,
) -> Result<T, Vec<RegistryError>> {
    let id = stored.get("id").and_then(Value::as_str).unwrap_or("");
    let mut faults = Faults::new(kind, id);
    let document = read(stored, &mut faults);
    match document {
        Some(document) => faults.finish(document),
        None => Err(faults.into_found()),
    }
}

fn sorted<T>(map: &HashMap<String, Arc<T>>) -> Vec<Arc<T>> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by(|left, right| left.0.cmp(right.0));
    entries.into_iter().map(|(_, entry)| Arc::clone(entry)).collect()
}

impl RegistryView for Registry {
    fn owner(&self, id: &str) -> Option<Arc<OwnerEntry>> {
        self.owners.get(id).cloned()
    }

    fn agent(&self, id: &str) -> Option<Arc<AgentEntry>> {
        self.agents.get(id).cloned()
    }

    fn workflow(&self, id: &str) -> Option<WorkflowEntry> {
        self.workflows.get(id).cloned()
    }

    fn agents(&self) -> Vec<Arc<AgentEntry>> {
        Self::agents(self)
    }

    fn workflows(&self) -> Vec<WorkflowEntry> {
        Self::workflows(self)
    }
}
