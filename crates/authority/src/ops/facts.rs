//! What policy is told, gathered from verified sources only.

use std::sync::Arc;

use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::constraint::Rule;
use bailiwick_core::time::UnixMillis;
use bailiwick_identity::Subject;
use bailiwick_policy::{AgentFacts, Sensitivity, SubjectFacts, TaskFacts};

use crate::model::TaskRecord;
use crate::registry::AgentEntry;

/// An agent, as the registry knows it.
pub(crate) fn agent(entry: &AgentEntry) -> Arc<AgentFacts> {
    let document = &entry.document;
    Arc::new(AgentFacts {
        id: document.id.clone(),
        owner: document.owner.clone(),
        environment: document.env.clone(),
        tenant: document.tenant.clone(),
        trust_domain: document.identity.trust_domain().to_owned(),
        clearance: document.clearance,
        status: document.status,
    })
}

/// A subject that has just been verified.
pub(crate) fn subject(subject: &Subject) -> Arc<SubjectFacts> {
    Arc::new(SubjectFacts {
        id: subject.id().clone(),
        issuer: subject.issuer().to_owned(),
        groups: subject.groups().to_vec(),
        attributes: subject.attributes().clone(),
    })
}

/// The subject of a task, as it was verified when the task was opened.
pub(crate) fn subject_of(task: &TaskRecord) -> Arc<SubjectFacts> {
    let attributes = task.subject_attributes.as_object().map(|members| {
        members
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    });
    Arc::new(SubjectFacts {
        id: task.subject.clone(),
        issuer: task.subject_issuer.clone(),
        groups: task.subject_groups.clone(),
        attributes: attributes.unwrap_or_default(),
    })
}

/// A task at an instant.
pub(crate) fn task(task: &TaskRecord, now: UnixMillis) -> TaskFacts {
    let left = i64::try_from(task.deadline_ms.0.saturating_sub(now.0) / 1000).unwrap_or(i64::MAX);
    TaskFacts {
        id: task.id,
        purpose: task.purpose.clone(),
        workflow: task.workflow.clone(),
        age_seconds: now.0.saturating_sub(task.opened_ms.0) / 1000,
        deadline_seconds_left: left,
        environment: task.env.clone(),
        exposure: task.exposure,
        tenant: task.tenant.clone(),
        sensitivity_ceiling: task.sensitivity,
    }
}

/// The most sensitive data an authority reaches: its `sensitivity` constraint, else the task's
/// ceiling.
pub(crate) fn sensitivity(authority: &HeldAuthority, ceiling: Sensitivity) -> Sensitivity {
    let own =
        authority.constraints.get("sensitivity", "rank").and_then(|bound| match bound.rule() {
            Rule::Rank { rank, .. } => rank.parse::<Sensitivity>().ok(),
            _ => None,
        });
    own.map_or(ceiling, |own| own.min(ceiling))
}
