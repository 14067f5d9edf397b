//! What an enforcement point has to know to decide by itself.

use std::sync::Arc;

use std::collections::BTreeMap;

use bailiwick_api::PolicySourceText as WireSource;
use bailiwick_api::enforcement::feed::{EnforcementEdge, EnforcementTask, PolicySources};
use bailiwick_api::{ProblemCode, TaskState as WireState};
use bailiwick_core::ReadsSalt;
use bailiwick_core::ids::TaskId;

use super::close_task::wire_state;
use super::facts;
use crate::authority::Authority;
use crate::fault::Stop;
use crate::registry::AgentEntry;

/// A policy set with its text.
pub(crate) async fn policy_sources(
    authority: &Authority,
    hash: Option<String>,
) -> Result<PolicySources, Stop> {
    let hash = hash.unwrap_or_else(|| authority.policy.current().hash().to_owned());
    let Some(record) = authority.store.policy_by_hash(&hash).await? else {
        return Err(Stop::new(ProblemCode::NotFound, "there is no such policy set"));
    };
    let sources = record
        .sources
        .into_iter()
        .map(|source| WireSource { name: source.name, text: source.text })
        .collect();
    Ok(PolicySources { hash, sources })
}

/// A task, for an enforcement point of its tenant and environment. Any other is told that there is
/// none.
pub(crate) async fn task_context(
    authority: &Authority,
    point: &AgentEntry,
    id: TaskId,
) -> Result<EnforcementTask, Stop> {
    let missing = || Stop::new(ProblemCode::NotFound, "there is no such task");
    let task = authority.store.task(id).await?.ok_or_else(missing)?;
    if point.document.tenant != task.tenant || point.document.env != task.env {
        return Err(missing());
    }
    let registry = authority.registry.load();
    // A workflow that is gone hands nothing on.
    let workflow = registry.workflow(task.workflow.as_ref()).map(|workflow| workflow.document());
    let edges = workflow.map(|workflow| {
        workflow
            .edges
            .iter()
            .map(|edge| EnforcementEdge {
                from: edge.from.clone(),
                to: edge.to.clone(),
                scopes: edge.scopes.clone(),
            })
            .collect()
    });
    let subject = Arc::unwrap_or_clone(facts::subject_of(&task));
    let state = wire_state(task.state_at(authority.clock.now()));
    let salt = task.reads_salt.as_ref().filter(|_| state == WireState::Open);
    Ok(EnforcementTask {
        task_id: task.id,
        state,
        subject: subject.id,
        subject_issuer: subject.issuer,
        subject_groups: subject.groups,
        subject_attributes: subject.attributes.into_iter().collect::<BTreeMap<_, _>>(),
        purpose: task.purpose.clone(),
        workflow: task.workflow.clone(),
        workflow_version: task.workflow_version,
        tenant: task.tenant.clone(),
        env: task.env.clone(),
        sensitivity: task.sensitivity.as_str().to_owned(),
        opened_at: task.opened_ms.into(),
        deadline: task.deadline_ms.into(),
        max_depth: task.max_depth,
        max_fanout: task.max_fanout,
        ttl_seconds_max: workflow.map_or(0, |workflow| workflow.ttl_seconds_max),
        offline: workflow.is_some_and(|workflow| workflow.offline),
        edges: edges.unwrap_or_default(),
        reads_salt: salt.map(ReadsSalt::b64).unwrap_or_default(),
        exposure: Some(task.exposure.as_str().to_owned()),
    })
}
