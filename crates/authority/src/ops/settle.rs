//! Settle a grant: the delegator's signed hop becomes a hop token for the delegatee.
//!
//! The order is the product's: authenticate the delegatee → find the parent the grant names → check
//! status → verify the grant (which refuses any widening) → limits → policy → record → sign.

use std::sync::Arc;

use bailiwick_core::ids::TokenId;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use bailiwick_core::token::{Actor, HolderBinding, HopClaims, HopFacts};
use bailiwick_core::{UnverifiedToken, VerifiedGrant, VerifyError};
use bailiwick_identity::Workload;
use bailiwick_policy::{
    Act, Binding, CallEffect, ChainFacts, Facts, Provenance, ResourceFacts, decide,
};
use serde_json::Map;

use super::facts;
use super::issue::{Placement, denied, record_and_sign, status};
use super::open_task::live_workflow;
use crate::attempt::Attempt;
use crate::authority::{Authority, HeldToken, Presented, ProvenKey};
use crate::fault::{Fault, Stop};
use crate::model::{Effect, TaskRecord, TokenKind};
use crate::registry::{AgentEntry, WorkflowEntry};
use crate::spine::Issued;

/// What is asked, as it came in.
pub(crate) struct Settle<'a> {
    /// The delegator's grant, compact form.
    pub(crate) grant: &'a str,
    /// The audience the caller expects; must be the grant's.
    pub(crate) audience: Option<&'a str>,
    /// The delegatee's identity and proof of possession.
    pub(crate) presented: Presented<'a>,
}

/// Settles a grant.
pub(crate) async fn settle(authority: &Authority, ask: Settle<'_>) -> Result<Issued, Fault> {
    let mut attempt = Attempt::begin(authority, "delegate");
    match try_settle(authority, &ask, &mut attempt).await {
        Ok(issued) => Ok(issued),
        Err(stop) => Err(attempt.refuse(authority, stop).await),
    }
}

async fn try_settle(
    authority: &Authority,
    ask: &Settle<'_>,
    attempt: &mut Attempt,
) -> Result<Issued, Stop> {
    let now = attempt.now;
    authority.require_sound_clock()?;
    let key = authority.prove_key(&ask.presented, None, now)?;
    let workload = authority.actor(&ask.presented, now).await?;
    let delegatee = authority.live_agent(&workload)?;
    attempt.agent = Some(delegatee.document.id.clone());
    attempt.proof = key.row;

    let presented = UnverifiedToken::parse(ask.grant)?;
    let presented = presented.as_grant()?;
    let parent = authority.held_by_hash(presented.claimed_parent()).await?;
    let task = authority.open_task_of(&parent.chain, now).await?;
    let verified = presented.verify(&parent.chain, &task.audiences, now);
    // The record names task and delegator once it is certain that the delegator signed: a forged
    // grant must not write into another's trace, and a signed one that is wider must show there.
    if verified.as_ref().err().is_none_or(is_signed) {
        attempt.task = Some(task.id);
        attempt.jti = Some(parent.record.jti);
        attempt.note("delegator", parent.record.agent.clone());
    }
    let grant = verified?;
    attempt.note("grant", grant.grant_hash());
    attempt.note("requested", Arc::clone(&grant.claims().authority));
    authority.require_alive(&parent.chain, now)?;
    if ask.audience.is_some_and(|audience| audience != grant.claims().aud) {
        let detail = "the grant is for another audience than the one asked for";
        return Err(Stop::new(Outcome::AudienceMismatch, detail));
    }

    let workflow = live_workflow(authority, task.workflow.as_ref())?;
    let delegator = live_delegator(authority, &parent)?;
    let holder = bind(&grant, &delegatee, &key)?;
    require_edge(&workflow, &task, &parent, &delegatee, &grant)?;
    let fanout = authority.store.fanout(parent.record.jti).await?;

    let (status_idx, status) = status(authority).await?;
    let set = authority.policy.current();
    let mut claims = hop_claims(authority, &parent, &grant, &workload, holder, now);
    claims.jti = TokenId::new(now, authority.fresh());
    claims.status = Some(status);
    claims.exp = hop_expiry(&grant, &workflow, &task, now);
    claims.hop.decision = Some(attempt.id);
    claims.hop.policy = Some(set.hash().to_owned());

    let facts = delegate_facts(&parent, &delegator, &delegatee, &task, &claims, fanout, now);
    let permit = decide(&set, Some(&parent.chain), Act::Delegate, facts, attempt.id, now, claims)
        .map_err(denied)?;
    let placement = Placement {
        kind: TokenKind::Hop,
        hop: None,
        parent: Some(parent.record.jti),
        status_idx,
        grant_hash: Some(grant.grant_hash()),
    };
    record_and_sign(authority, "delegate", permit, placement, |token| Effect::Settle {
        token,
        grant: ask.grant.as_bytes().to_vec(),
        proof: attempt.proof,
        fanout_max: task.max_fanout,
        rate_per_minute_max: task.hop_rate_per_minute,
    })
    .await
}

/// Whether a refused grant was refused after its signature had been verified.
fn is_signed(error: &VerifyError) -> bool {
    !matches!(
        error.code(),
        Outcome::Malformed
            | Outcome::NonCanonical
            | Outcome::DuplicateMember
            | Outcome::NonFinite
            | Outcome::SignatureInvalid
            | Outcome::HolderBindingFailed
    )
}

/// The agent that signed the grant, if it may still act.
pub(crate) fn live_delegator(
    authority: &Authority,
    parent: &HeldToken,
) -> Result<Arc<AgentEntry>, Stop> {
    let registry = authority.registry.load();
    let Some(entry) = registry.agent(parent.record.agent.as_ref()) else {
        let detail = "the delegator is no longer registered";
        return Err(Stop::new(Outcome::AgentUnregistered, detail));
    };
    crate::authority::require_live(&registry, entry)?;
    Ok(Arc::clone(entry))
}

/// Binds the hop to the key that the delegatee has proven, which a key-bound grant must name.
fn bind(
    grant: &VerifiedGrant,
    delegatee: &AgentEntry,
    key: &ProvenKey,
) -> Result<HolderBinding, Stop> {
    let claims = grant.claims();
    if claims.client_id != delegatee.document.id {
        let detail =
            format!("the grant is for {}, not for {}", claims.client_id, delegatee.document.id);
        return Err(Stop::new(Outcome::HolderBindingFailed, detail));
    }
    let proven = key.binding;
    match claims.cnf {
        None => Ok(proven),
        Some(named) if named == proven => Ok(proven),
        Some(_) => {
            let detail = "the grant is bound to another key than the one that was proven";
            Err(Stop::new(Outcome::HolderBindingFailed, detail))
        }
    }
}

/// Tenant, edge and cycle: what the registry allows whatever the policy says.
fn require_edge(
    workflow: &WorkflowEntry,
    task: &TaskRecord,
    parent: &HeldToken,
    delegatee: &AgentEntry,
    grant: &VerifiedGrant,
) -> Result<(), Stop> {
    let document = &delegatee.document;
    if document.tenant != task.tenant || document.env != task.env {
        let detail = "the delegatee is not of the task's tenant and environment";
        return Err(Stop::new(Outcome::TenantMismatch, detail));
    }
    if parent.chain.agents().contains(&delegatee.document.id.as_ref()) {
        let detail = format!("{} is already in the chain", delegatee.document.id);
        return Err(Stop::new(Outcome::ChainCycle, detail));
    }
    let scopes = &grant.claims().authority.scopes;
    if !workflow.edge_allows(&parent.record.agent, &delegatee.document.id, scopes) {
        let detail = format!(
            "{} has no edge from {} to {} for these scopes",
            task.workflow, parent.record.agent, delegatee.document.id
        );
        return Err(Stop::new(Outcome::EdgeForbidden, detail));
    }
    Ok(())
}

fn hop_expiry(
    grant: &VerifiedGrant,
    workflow: &WorkflowEntry,
    task: &TaskRecord,
    now: UnixMillis,
) -> i64 {
    let longest = now.saturating_add_seconds(workflow.document().ttl_seconds_max).seconds();
    grant.claims().exp.min(longest).min(task.deadline_ms.seconds())
}

fn hop_claims(
    authority: &Authority,
    parent: &HeldToken,
    grant: &VerifiedGrant,
    workload: &Workload,
    holder: HolderBinding,
    now: UnixMillis,
) -> HopClaims {
    let (held, asked) = (parent.chain.claims(), grant.claims());
    let actor = Actor { iss: workload.issuer().to_owned(), sub: asked.client_id.clone() };
    let mut lineage = held.hop.lineage.clone();
    lineage.push(held.jti);
    HopClaims {
        iss: authority.config.issuer.clone(),
        sub: held.sub.clone(),
        aud: asked.aud.clone(),
        client_id: asked.client_id.clone(),
        iat: now.seconds(),
        exp: asked.exp,
        jti: held.jti,
        cnf: holder,
        authority: Arc::clone(&asked.authority),
        del_depth: asked.del_depth,
        del_max_depth: asked.del_max_depth,
        par_hash: Some(parent.record.signing_hash),
        act: held.act.extended(actor),
        txn: held.txn,
        status: None,
        hop: HopFacts {
            decision: None,
            policy: None,
            grant: Some(grant.grant_hash()),
            lineage,
            // What the task may do without asking does not grow by being handed on.
            ask: held.hop.ask.clone(),
            ..held.hop.clone()
        },
    }
}

/// What policy is told of a hop; the same for its renewal.
pub(crate) fn delegate_facts(
    parent: &HeldToken,
    delegator: &AgentEntry,
    delegatee: &AgentEntry,
    task: &TaskRecord,
    claims: &HopClaims,
    fanout: u32,
    now: UnixMillis,
) -> Facts {
    let sensitivity = facts::sensitivity(&claims.authority, task.sensitivity);
    Facts {
        actor: facts::agent(delegator),
        approvals: Vec::new(),
        arguments: Map::new(),
        binding: Binding::Verifies,
        chain: ChainFacts::of(&parent.chain, fanout),
        delegatee: Some(facts::agent(delegatee)),
        effect: CallEffect::Unknown,
        held: Arc::clone(&parent.chain.claims().authority),
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
        subject: facts::subject_of(task),
        task: facts::task(task, now),
        ttl_seconds: u64::try_from(claims.exp.saturating_sub(claims.iat)).unwrap_or(0),
    }
}
