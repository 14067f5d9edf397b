//! Checking a change against what is registered: nothing without a live owner, nothing that names
//! what does not exist, nothing taken away that is in use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bailiwick_core::ids::AgentId;
use bailiwick_policy::AgentStatus;
use serde_json::Value;

use super::RegistryDocuments;
use super::agent::AgentDocument;
use super::approvers::People;
use super::compile::CompiledWorkflow;
use super::error::{DocumentKind, RegistryError, RegistryErrorCode as Code};
use super::fields::Faults;
use super::owner::{OwnerDocument, OwnerStatus};
use super::snapshot::{AgentEntry, OwnerEntry, WorkflowEntry};
use super::workflow::{WorkflowDocument, WorkflowStatus};
use crate::suggest;

/// What is registered, as [`validate`] needs to see it. [`super::Registry`] is one.
pub trait RegistryView {
    /// An owner.
    fn owner(&self, id: &str) -> Option<Arc<OwnerEntry>>;
    /// An agent.
    fn agent(&self, id: &str) -> Option<Arc<AgentEntry>>;
    /// A workflow.
    fn workflow(&self, id: &str) -> Option<WorkflowEntry>;
    /// Every agent.
    fn agents(&self) -> Vec<Arc<AgentEntry>>;
    /// Every workflow.
    fn workflows(&self) -> Vec<WorkflowEntry>;
}

/// What a document does to what is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// It differs from what is registered.
    Updated,
    /// It is what is registered.
    Unchanged,
}

impl ChangeKind {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// The parsed form of a changed document.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Owner(Arc<OwnerEntry>),
    Agent(Arc<AgentEntry>),
    Workflow(WorkflowEntry),
}

/// One document of a validated change.
#[derive(Debug, Clone)]
pub struct Change {
    /// Kind of document.
    pub kind: DocumentKind,
    /// Its id.
    pub id: String,
    /// The version it has after the change.
    pub version: u32,
    /// What the change does.
    pub change: ChangeKind,
    /// The canonical document, which is what is stored.
    pub document: Value,
    /// Its status after the change.
    pub status: &'static str,
    entry: Entry,
}

impl Change {
    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }
}

/// A change that may be applied to the registry it was validated against. Made by [`validate`] only.
#[derive(Debug, Clone)]
pub struct ValidatedChanges(Vec<Change>);

impl ValidatedChanges {
    /// Every document, owners first, workflows last.
    pub fn iter(&self) -> std::slice::Iter<'_, Change> {
        self.0.iter()
    }

    /// The documents that change something.
    pub fn effective(&self) -> impl Iterator<Item = &Change> {
        self.0.iter().filter(|change| change.change != ChangeKind::Unchanged)
    }
}

/// Checks `documents` against `existing`.
///
/// # Errors
/// Every fault found; nothing of the change may be applied then.
pub fn validate(
    documents: &RegistryDocuments,
    existing: &dyn RegistryView,
) -> Result<ValidatedChanges, Vec<RegistryError>> {
    let mut faults = Faults::new(DocumentKind::File, "");
    let merged = Merged::new(documents, existing, &mut faults);
    merged.check_owners(&mut faults);
    merged.check_agents(&mut faults);
    let compiled = merged.check_workflows(&mut faults);
    if faults.count() > 0 {
        return Err(faults.into_found());
    }
    let mut changes = Vec::new();
    changes.extend(documents.owners.iter().map(|document| owner_change(document, existing)));
    changes.extend(documents.agents.iter().map(|document| agent_change(document, existing)));
    changes.extend(compiled.into_iter().map(|(entry, change)| workflow_change(entry, change)));
    Ok(ValidatedChanges(changes))
}

/// What would be registered after the change.
struct Merged<'a> {
    existing: &'a dyn RegistryView,
    owners: BTreeMap<&'a str, &'a OwnerDocument>,
    agents: BTreeMap<&'a str, &'a AgentDocument>,
    workflows: BTreeMap<&'a str, &'a WorkflowDocument>,
}

impl<'a> Merged<'a> {
    fn new(
        documents: &'a RegistryDocuments,
        existing: &'a dyn RegistryView,
        faults: &mut Faults,
    ) -> Self {
        let owners = documents.owners.iter().map(|document| (document.id.as_str(), document));
        let agents = documents.agents.iter().map(|document| (document.id.as_ref(), document));
        let flows = documents.workflows.iter().map(|document| (document.id.as_ref(), document));
        Self {
            existing,
            owners: unique(DocumentKind::Owner, owners, faults),
            agents: unique(DocumentKind::Agent, agents, faults),
            workflows: unique(DocumentKind::Workflow, flows, faults),
        }
    }

    fn owner_status(&self, id: &str) -> Option<OwnerStatus> {
        match self.owners.get(id) {
            Some(document) => Some(document.status),
            None => self.existing.owner(id).map(|entry| entry.document.status),
        }
    }

    fn owner(&self, id: &str) -> Option<OwnerDocument> {
        match self.owners.get(id) {
            Some(document) => Some((*document).clone()),
            None => self.existing.owner(id).map(|entry| entry.document.clone()),
        }
    }

    fn agent(&self, id: &AgentId) -> Option<AgentDocument> {
        match self.agents.get(id.as_ref()) {
            Some(document) => Some((*document).clone()),
            None => self.existing.agent(id.as_ref()).map(|entry| entry.document.clone()),
        }
    }

    fn check_live(&self, owner: &str, field: &str, code: Code, faults: &mut Faults) {
        let message = match self.owner_status(owner) {
            Some(OwnerStatus::Active) => return,
            Some(OwnerStatus::Inactive) => {
                format!("{owner:?} is inactive; name an active [[owner]]")
            }
            None => {
                let known: Vec<&str> = self.owners.keys().copied().collect();
                match suggest::nearest(owner, known) {
                    Some(meant) => {
                        format!("{owner:?} is not an [[owner]]; did you mean `{meant}`?")
                    }
                    None => format!(
                        "{owner:?} is not an [[owner]]; add one with this id, or correct it"
                    ),
                }
            }
        };
        faults.add(code, field, message);
    }

    /// An owner that goes must not leave anything without one.
    fn check_owners(&self, faults: &mut Faults) {
        let leaving: BTreeSet<&str> = self
            .owners
            .iter()
            .filter(|(_, document)| document.status == OwnerStatus::Inactive)
            .map(|(id, _)| *id)
            .collect();
        if leaving.is_empty() {
            return;
        }
        let mut left: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in self.existing.agents() {
            let document = &entry.document;
            let changed = self.agents.contains_key(document.id.as_ref());
            let gone = document.status == AgentStatus::Retired;
            if !changed && !gone && leaving.contains(document.owner.as_str()) {
                left.entry(document.owner.clone())
                    .or_default()
                    .push(format!("agent {}", document.id));
            }
        }
        for entry in self.existing.workflows() {
            let document = entry.document();
            let changed = self.workflows.contains_key(document.id.as_ref());
            let gone = document.status == WorkflowStatus::Retired;
            for name in [&document.owner, &document.reviewer] {
                if !changed && !gone && leaving.contains(name.as_str()) {
                    left.entry(name.clone()).or_default().push(format!("workflow {}", document.id));
                }
            }
        }
        for (owner, things) in left {
            faults.about(DocumentKind::Owner, &owner);
            let message = format!(
                "cannot become inactive while it is named by {}: give them another owner or \
                 reviewer, or retire them, in the same change",
                some_of(&things)
            );
            faults.add(Code::InUse, "status", message);
        }
    }

    fn check_agents(&self, faults: &mut Faults) {
        let mut workloads: BTreeMap<String, String> = BTreeMap::new();
        for entry in self.existing.agents() {
            if !self.agents.contains_key(entry.document.id.as_ref()) {
                let id = entry.document.id.as_ref().to_owned();
                workloads.insert(entry.document.identity.workload_id(), id);
            }
        }
        for (id, document) in &self.agents {
            faults.about(DocumentKind::Agent, id);
            if document.status != AgentStatus::Retired {
                self.check_live(&document.owner, "owner", Code::OwnerNotLive, faults);
            }
            if let Some(other) = workloads.insert(document.identity.workload_id(), (*id).to_owned())
            {
                let message =
                    format!("is that of agent {other:?} already; one identity is one agent");
                faults.add(Code::Duplicate, "identity", message);
            }
            let before = self.existing.agent(id);
            let quarantined = before
                .as_ref()
                .is_some_and(|entry| entry.document.status == AgentStatus::Quarantined);
            if quarantined && document.status == AgentStatus::Active {
                let message = "the agent is quarantined; a file does not lift that: reinstate it \
                               with `bailiwick agent reinstate`, or keep \"quarantined\" here";
                faults.add(Code::Quarantined, "status", message);
            }
            self.check_agent_in_use(document, faults);
        }
    }

    /// Workflows outside the change must keep the agents they name.
    fn check_agent_in_use(&self, document: &AgentDocument, faults: &mut Faults) {
        let mut broken = Vec::new();
        for entry in self.existing.workflows() {
            let workflow = entry.document();
            let changed = self.workflows.contains_key(workflow.id.as_ref());
            let active = workflow.status == WorkflowStatus::Active;
            let names = members(workflow).contains(&document.id);
            if !changed && active && names && unfit(document, workflow).is_some() {
                broken.push(format!("workflow {}", workflow.id));
            }
        }
        if !broken.is_empty() {
            let message = format!(
                "would break {}: change or retire them in the same change",
                some_of(&broken)
            );
            faults.add(Code::InUse, "", message);
        }
    }

    fn check_workflows(&self, faults: &mut Faults) -> Vec<(WorkflowEntry, ChangeKind)> {
        let mut compiled = Vec::new();
        for (id, document) in &self.workflows {
            faults.about(DocumentKind::Workflow, id);
            if document.status == WorkflowStatus::Active {
                self.check_live(&document.owner, "owner", Code::OwnerNotLive, faults);
                self.check_live(&document.reviewer, "reviewer", Code::ReviewerNotLive, faults);
                self.check_members(document, faults);
                self.check_approvers(document, faults);
            }
            if document.owner == document.reviewer {
                let message = "is the owner; a workflow is reviewed by someone else";
                faults.add(Code::ReviewerNotLive, "reviewer", message);
            }
            let before = self.existing.workflow(id);
            let same = before.as_ref().filter(|entry| entry.document().as_ref() == *document);
            if let Some(same) = same {
                compiled.push((Arc::clone(same), ChangeKind::Unchanged));
                continue;
            }
            let version = before.as_ref().map_or(1, |entry| entry.version().saturating_add(1));
            let change = if before.is_some() { ChangeKind::Updated } else { ChangeKind::Created };
            match CompiledWorkflow::compile(Arc::new((*document).clone()), version) {
                Ok(workflow) => compiled.push((Arc::new(workflow), change)),
                Err(errors) => errors
                    .into_iter()
                    .for_each(|error| faults.add(error.code, error.field, error.message)),
            }
        }
        compiled
    }

    /// Whoever is named as approver has to be somebody: a question that nobody may answer is a
    /// refusal that does not say so.
    fn check_approvers(&self, document: &WorkflowDocument, faults: &mut Faults) {
        if !document.asks() && document.approvers.is_empty() {
            return;
        }
        for approver in document.who_approves() {
            if People::of(&approver, document, |id| self.owner(id)).is_empty() {
                let message = format!(
                    "`{approver}` is nobody who could approve: give that [[owner]] `members`, or \
                     name others here, such as \"subject\" or \"group:…\""
                );
                faults.add(Code::NeverMatches, "approvers", message);
            }
        }
    }

    fn check_members(&self, document: &WorkflowDocument, faults: &mut Faults) {
        let entries = document.entry.iter().enumerate();
        let mut named: Vec<(String, &AgentId)> =
            entries.map(|(index, agent)| (format!("entry[{index}]"), agent)).collect();
        for (index, edge) in document.edges.iter().enumerate() {
            named.push((format!("edges[{index}].from"), &edge.from));
            named.push((format!("edges[{index}].to"), &edge.to));
        }
        for (field, id) in named {
            match self.agent(id) {
                None => {
                    let message = format!(
                        "agent {:?} is not registered; add an [[agent]] with this id",
                        id.as_ref()
                    );
                    faults.add(Code::AgentUnregistered, field, message);
                }
                Some(agent) => {
                    if let Some(why) = unfit(&agent, document) {
                        let message = format!("agent {:?} {why}", id.as_ref());
                        faults.add(Code::AgentUnregistered, field, message);
                    }
                }
            }
        }
    }
}

/// Why an agent cannot be a member of a workflow. A quarantined one may be: it is refused when it acts.
fn unfit(agent: &AgentDocument, workflow: &WorkflowDocument) -> Option<String> {
    if agent.status == AgentStatus::Retired {
        return Some("is retired; name another".to_owned());
    }
    if agent.tenant != workflow.tenant {
        return Some("is of another tenant; a workflow stays in one".to_owned());
    }
    if agent.env != workflow.env {
        return Some(format!(
            "runs in environment {:?} and the workflow in {:?}; a workflow stays in one",
            agent.env, workflow.env
        ));
    }
    if !agent.is_agent() {
        return Some(
            "has not the role `agent`: an enforcement point holds no authority".to_owned(),
        );
    }
    None
}

fn members(workflow: &WorkflowDocument) -> BTreeSet<&AgentId> {
    let edges = workflow.edges.iter().flat_map(|edge| [&edge.from, &edge.to]);
    workflow.entry.iter().chain(edges).collect()
}

fn unique<'a, T>(
    kind: DocumentKind,
    documents: impl Iterator<Item = (&'a str, &'a T)>,
    faults: &mut Faults,
) -> BTreeMap<&'a str, &'a T> {
    let mut by_id = BTreeMap::new();
    for (id, document) in documents {
        if by_id.insert(id, document).is_some() {
            faults.about(kind, id);
            faults.add(Code::Duplicate, "id", "is used twice in this change; ids are unique");
        }
    }
    by_id
}

fn some_of(things: &[String]) -> String {
    let mut text = things.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if things.len() > 5 {
        text.push_str(&format!(" and {} more", things.len().saturating_sub(5)));
    }
    text
}

fn next(before: Option<u32>, same: bool) -> (u32, ChangeKind) {
    match before {
        None => (1, ChangeKind::Created),
        Some(version) if same => (version, ChangeKind::Unchanged),
        Some(version) => (version.saturating_add(1), ChangeKind::Updated),
    }
}

fn owner_change(document: &OwnerDocument, existing: &dyn RegistryView) -> Change {
    let before = existing.owner(&document.id);
    let same = before.as_ref().is_some_and(|entry| entry.document == *document);
    let (version, change) = next(before.map(|entry| entry.version), same);
    Change {
        kind: DocumentKind::Owner,
        id: document.id.clone(),
        version,
        change,
        document: document.to_json(),
        status: match document.status {
            OwnerStatus::Active => "active",
            OwnerStatus::Inactive => "inactive",
        },
        entry: Entry::Owner(Arc::new(OwnerEntry { document: document.clone(), version })),
    }
}

fn agent_change(document: &AgentDocument, existing: &dyn RegistryView) -> Change {
    let before = existing.agent(document.id.as_ref());
    let same = before.as_ref().is_some_and(|entry| entry.document == *document);
    let (version, change) = next(before.map(|entry| entry.version), same);
    Change {
        kind: DocumentKind::Agent,
        id: document.id.as_ref().to_owned(),
        version,
        change,
        document: document.to_json(),
        status: document.status.as_str(),
        entry: Entry::Agent(Arc::new(AgentEntry { document: document.clone(), version })),
    }
}

fn workflow_change(entry: WorkflowEntry, change: ChangeKind) -> Change {
    let document = entry.document();
    Change {
        kind: DocumentKind::Workflow,
        id: document.id.as_ref().to_owned(),
        version: entry.version(),
        change,
        document: document.to_json(),
        status: match document.status {
            WorkflowStatus::Active => "active",
            WorkflowStatus::Retired => "retired",
        },
        entry: Entry::Workflow(Arc::clone(&entry)),
    }
}
