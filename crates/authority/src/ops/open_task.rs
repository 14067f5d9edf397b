//! Open a task: the subject's token and the first agent's identity become DT_0.

use std::sync::Arc;

use bailiwick_api::ProblemCode;
use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::ids::{TaskId, TokenId};
use bailiwick_core::limits::DEPTH_MAX;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::{Scope, ScopeSet};
use bailiwick_core::time::UnixMillis;
use bailiwick_core::token::{ActChain, Actor, HolderBinding, HopClaims, HopFacts};
use bailiwick_core::{ReadsSalt, fill_random};
use bailiwick_identity::{Subject, Workload};
use bailiwick_policy::{
    Act, Binding, CallEffect, ChainFacts, Facts, Provenance, ResourceFacts, Sensitivity,
    SubjectFacts, decide,
};
use serde_json::{Map, Value};

use super::facts;
use super::issue::{Placement, denied, record_and_sign, status};
use crate::attempt::Attempt;
use crate::authority::{Authority, Presented};
use crate::caller::signed_part;
use crate::fault::{Fault, Stop};
use crate::model::{Effect, TaskRecord, TaskState, TokenKind};
use crate::registry::{AgentEntry, WorkflowEntry, WorkflowStatus};
use crate::spine::{Issued, is_recordable};

/// What is asked, as it came in.
pub(crate) struct OpenTask<'a> {
    pub(crate) subject_token: &'a str,
    pub(crate) presented: Presented<'a>,
    pub(crate) workflow: &'a str,
    pub(crate) parameters: Map<String, Value>,
    pub(crate) purpose: Option<&'a str>,
    pub(crate) audience: Option<&'a str>,
    /// Space-separated scopes, to start with less than the workflow allows.
    pub(crate) scope: Option<&'a str>,
}

/// Longest free text that goes into the record.
const PURPOSE_CHARS_MAX: usize = 1024;

/// Opens a task and issues its root token.
pub(crate) async fn open_task(authority: &Authority, ask: OpenTask<'_>) -> Result<Issued, Fault> {
    let mut attempt = Attempt::begin(authority, "start_task");
    match try_open(authority, ask, &mut attempt).await {
        Ok(issued) => Ok(issued),
        Err(stop) => Err(attempt.refuse(authority, stop).await),
    }
}

async fn try_open(
    authority: &Authority,
    ask: OpenTask<'_>,
    attempt: &mut Attempt,
) -> Result<Issued, Stop> {
    let now = attempt.now;
    authority.require_sound_clock()?;
    attempt.note("workflow", ask.workflow);
    let key = authority.prove_key(&ask.presented, None, now)?;
    let workload = authority.actor(&ask.presented, now).await?;
    let agent = authority.live_agent(&workload)?;
    attempt.agent = Some(agent.document.id.clone());
    attempt.proof = key.row;
    let subject = authority.verify_subject(ask.subject_token, now).await?;
    attempt.note("subject", subject.id().to_string());
    if ask.purpose.is_some_and(|text| text.chars().count() > PURPOSE_CHARS_MAX) {
        let detail = format!("the purpose is longer than {PURPOSE_CHARS_MAX} characters");
        return Err(Stop::new(Outcome::Malformed, detail));
    }

    let parameters = Value::Object(ask.parameters);
    if !is_recordable(&parameters) {
        let detail =
            "a parameter is a number beyond 2^53 - 1, or nested too deeply, to be recorded";
        return Err(Stop::new(Outcome::Malformed, detail));
    }

    let workflow = live_workflow(authority, ask.workflow)?;
    require_entry(&workflow, &agent)?;
    let audience = choose_audience(&workflow, ask.audience)?;
    let instance = workflow
        .instantiate(&parameters)
        .map_err(|error| Stop::new(Outcome::Malformed, error.to_string()))?;

    let held = narrow_to(instance.authority, ask.scope)?;
    let task = task_record(authority, now, &subject, &workflow, instance.parameters, &held)?;
    let task = TaskRecord { subject_token: Some(signed_part(ask.subject_token)), ..task };
    let (status_idx, status) = status(authority).await?;
    let mut claims =
        root_claims(authority, &task, &agent, &workload, key.binding, held, audience, now);
    claims.status = Some(status);
    claims.hop.ask = instance.ask;
    claims.exp = root_expiry(&workflow, &task, now);
    let set = authority.policy.current();
    claims.hop.decision = Some(attempt.id);
    claims.hop.policy = Some(set.hash().to_owned());

    let facts = start_facts(facts::subject(&subject), &agent, &task, &claims, now);
    let permit =
        decide(&set, None, Act::StartTask, facts, attempt.id, now, claims).map_err(denied)?;
    let placement =
        Placement { kind: TokenKind::Root, hop: None, parent: None, status_idx, grant_hash: None };
    record_and_sign(authority, "start_task", permit, placement, |token| Effect::OpenTask {
        task: Box::new(TaskRecord { root_jti: token.jti, ..task }),
        token,
        proof: attempt.proof,
    })
    .await
}

/// The workflow, if it and its owner are live.
pub(crate) fn live_workflow(authority: &Authority, id: &str) -> Result<WorkflowEntry, Stop> {
    let registry = authority.registry.load();
    let Some(workflow) = registry.workflow(id) else {
        return Err(Stop::new(
            Outcome::WorkflowUnregistered,
            "no workflow of that name is registered; apply a [[workflow]] document",
        ));
    };
    if workflow.document().status != WorkflowStatus::Active {
        return Err(Stop::new(Outcome::WorkflowUnregistered, "the workflow is retired"));
    }
    if !registry.is_live_owner(&workflow.document().owner) {
        let detail = "the owner of the workflow is no longer live; give it one";
        return Err(Stop::new(Outcome::WorkflowUnregistered, detail));
    }
    Ok(Arc::clone(workflow))
}

fn require_entry(workflow: &WorkflowEntry, agent: &AgentEntry) -> Result<(), Stop> {
    let document = workflow.document();
    if !document.entry.contains(&agent.document.id) {
        let detail =
            format!("{} may not start {}; it is not in `entry`", agent.document.id, document.id);
        return Err(Stop::new(Outcome::EdgeForbidden, detail));
    }
    if agent.document.tenant != document.tenant || agent.document.env != document.env {
        let detail = "the agent and the workflow are not of the same tenant and environment";
        return Err(Stop::new(Outcome::TenantMismatch, detail));
    }
    Ok(())
}

fn choose_audience(workflow: &WorkflowEntry, asked: Option<&str>) -> Result<String, Stop> {
    let allowed = &workflow.document().audiences;
    match (asked, allowed.as_slice()) {
        (Some(asked), _) if allowed.iter().any(|audience| audience == asked) => {
            Ok(asked.to_owned())
        }
        (None, [only]) => Ok(only.clone()),
        (Some(_), _) => {
            let detail = "the audience is not one that the workflow allows; see its `audiences`";
            Err(Stop::new(Outcome::AudienceMismatch, detail))
        }
        (None, _) => {
            let detail = "name one audience; the workflow allows several";
            Err(Stop::new(Outcome::AudienceMismatch, detail))
        }
    }
}

/// The scopes asked for, each within what the workflow allows; all of it when nothing is asked.
fn narrow_to(allowed: HeldAuthority, scope: Option<&str>) -> Result<HeldAuthority, Stop> {
    let Some(text) = scope else { return Ok(allowed) };
    let malformed = |what: String| Stop::new(Outcome::Malformed, what);
    let asked: Vec<Scope> = text
        .split(' ')
        .map(|word| word.parse().map_err(|_| malformed(format!("{word:?} is not a scope"))))
        .collect::<Result<_, _>>()?;
    if let Some(wider) = asked.iter().find(|scope| !allowed.scopes.covers(scope)) {
        let detail = format!("the workflow does not allow {wider} to this task");
        return Err(Stop::new(Outcome::ScopeNotGranted, detail));
    }
    let scopes = ScopeSet::new(asked).map_err(|error| malformed(error.to_string()))?;
    Ok(HeldAuthority { scopes, ..allowed })
}

fn task_record(
    authority: &Authority,
    now: UnixMillis,
    subject: &Subject,
    workflow: &WorkflowEntry,
    parameters: Value,
    ceiling: &HeldAuthority,
) -> Result<TaskRecord, Stop> {
    let mut salt = [0; 32];
    fill_random(&mut salt).map_err(|error| Stop::new(ProblemCode::Internal, error.to_string()))?;
    let document = workflow.document();
    let attributes = subject.attributes().iter().map(|(k, v)| (k.clone(), Value::from(v.clone())));
    Ok(TaskRecord {
        id: TaskId::new(now, authority.fresh()),
        subject: subject.id().clone(),
        subject_issuer: subject.issuer().to_owned(),
        subject_groups: subject.groups().to_vec(),
        subject_attributes: Value::Object(attributes.collect()),
        purpose: document.purpose.clone(),
        workflow: document.id.clone(),
        workflow_version: workflow.version(),
        parameters,
        tenant: document.tenant.clone(),
        env: document.env.clone(),
        ceiling: ceiling.to_detail(),
        sensitivity: document.sensitivity,
        opened_ms: now,
        deadline_ms: now.saturating_add_seconds(document.deadline_seconds),
        state: TaskState::Open,
        closed_ms: None,
        root_jti: TokenId::new(now, authority.fresh()),
        max_depth: document.max_depth,
        max_fanout: document.max_fanout,
        hop_rate_per_minute: document.hops_per_minute_max,
        audiences: document.audiences.clone(),
        exposure: Sensitivity::Public,
        reads_salt: Some(ReadsSalt::new(salt)),
        subject_token: None,
    })
}

fn root_expiry(workflow: &WorkflowEntry, task: &TaskRecord, now: UnixMillis) -> i64 {
    now.saturating_add_seconds(workflow.document().ttl_seconds_max)
        .seconds()
        .min(task.deadline_ms.seconds())
}

#[allow(clippy::too_many_arguments, reason = "each is one fact of the token")]
fn root_claims(
    authority: &Authority,
    task: &TaskRecord,
    agent: &AgentEntry,
    workload: &Workload,
    holder: HolderBinding,
    held: HeldAuthority,
    audience: String,
    now: UnixMillis,
) -> HopClaims {
    let actor = Actor { iss: workload.issuer().to_owned(), sub: agent.document.id.clone() };
    HopClaims {
        iss: authority.config.issuer.clone(),
        sub: task.subject.clone(),
        aud: audience,
        client_id: agent.document.id.clone(),
        iat: now.seconds(),
        exp: now.seconds(),
        jti: task.root_jti,
        cnf: holder,
        authority: Arc::new(held),
        del_depth: 0,
        // ADC counts tokens: a deepest hop of n makes a chain of n + 1.
        del_max_depth: task.max_depth.saturating_add(1).min(DEPTH_MAX),
        par_hash: None,
        act: ActChain(vec![actor]),
        txn: task.id,
        status: None,
        hop: HopFacts {
            purpose: task.purpose.clone(),
            workflow: task.workflow.clone(),
            tenant: task.tenant.clone(),
            env: task.env.clone(),
            decision: None,
            policy: None,
            grant: None,
            lineage: Vec::new(),
            ask: None,
        },
    }
}

/// What policy is told when a task is started, and when its first token is renewed.
pub(crate) fn start_facts(
    subject: Arc<SubjectFacts>,
    agent: &AgentEntry,
    task: &TaskRecord,
    claims: &HopClaims,
    now: UnixMillis,
) -> Facts {
    let sensitivity = facts::sensitivity(&claims.authority, task.sensitivity);
    Facts {
        actor: facts::agent(agent),
        approvals: Vec::new(),
        arguments: Map::new(),
        binding: Binding::Verifies,
        chain: ChainFacts { max_depth: claims.del_max_depth, ..ChainFacts::default() },
        delegatee: None,
        effect: CallEffect::Unknown,
        held: Arc::clone(&claims.authority),
        offline: false,
        provenance: Provenance::Intact,
        requested: Arc::clone(&claims.authority),
        resource: ResourceFacts {
            id: claims.aud.clone(),
            labels: Vec::new(),
            sensitivity,
            system: claims.aud.clone(),
        },
        sensitivity,
        subject,
        task: facts::task(task, now),
        ttl_seconds: u64::try_from(claims.exp.saturating_sub(claims.iat)).unwrap_or(0),
    }
}
