//! Hops that travel unsettled: the gateway takes the decision that the Authority would have taken.
//!
//! The same checks, the same policy, the same receipts; only the place differs. A grant settled here
//! is remembered until it ends, under the policy set that settled it.

use std::sync::Arc;

use bailiwick_core::outcome::Outcome;
use bailiwick_core::token::HopClaims;
use bailiwick_core::{DecisionId, Sha256Hash, UnixMillis, sha256};
use bailiwick_ledger::{Receipt, Record, record};
use bailiwick_policy::{
    Act, AgentFacts, Binding, CallEffect, ChainFacts, Facts, Permit, PolicySet, ResourceFacts,
    Sensitivity, decide,
};
use moka::sync::Cache;
use serde_json::{Map, json};

use crate::attempt::Attempt;
use crate::authorize::{Question, registered};
use crate::receipt::{DecisionReceipt, Enforced};
use crate::spool::LocalEffect;
use crate::standing::TaskContext;
use crate::stop::Stop;

/// Settled grants kept.
const SETTLED_MAX: u64 = 50_000;

/// Grants that this gateway has settled, until they end.
pub(crate) struct Settled(Cache<Sha256Hash, UnixMillis>);

impl Default for Settled {
    fn default() -> Self {
        Self(Cache::new(SETTLED_MAX))
    }
}

impl Settled {
    fn holds(&self, key: &Sha256Hash, now: UnixMillis) -> bool {
        self.0.get(key).is_some_and(|end| now < end)
    }
}

/// Settles every hop of the chain that nobody has settled, in order.
///
/// # Errors
/// The first hop that is refused refuses the call.
pub(crate) async fn settle(
    question: &Question<'_>,
    task: &Arc<TaskContext>,
    set: &PolicySet,
    attempt: &mut Attempt,
) -> Result<(), Stop> {
    let Question { gateway, chain, .. } = *question;
    if chain.unsettled() == 0 {
        return Ok(());
    }
    let leaf = chain.signing_hash();
    let key = sha256(&[leaf.0.as_slice(), set.hash().as_bytes()].concat());
    if gateway.settled.holds(&key, attempt.now) {
        return Ok(());
    }
    let hops: Vec<&HopClaims> = chain.hops().collect();
    let first = hops.len().saturating_sub(chain.unsettled());
    let mut end = chain.expires();
    for at in first..hops.len() {
        let (Some(parent), Some(child)) =
            (at.checked_sub(1).and_then(|p| hops.get(p)), hops.get(at))
        else {
            let detail = "an unsettled hop was presented without its parent";
            return Err(Stop::new(Outcome::ProvenanceMissing, detail));
        };
        end = end.min(settle_hop(question, task, set, parent, child, attempt).await?);
    }
    gateway.settled.0.insert(key, end);
    Ok(())
}

/// Settles one hop; gives the moment from which it would have to be settled again.
async fn settle_hop(
    question: &Question<'_>,
    task: &Arc<TaskContext>,
    set: &PolicySet,
    parent: &HopClaims,
    child: &HopClaims,
    attempt: &mut Attempt,
) -> Result<UnixMillis, Stop> {
    let Question { gateway, chain, .. } = *question;
    let now = attempt.now;
    attempt.note("delegator", parent.client_id.to_string());
    attempt.note("delegatee", child.client_id.to_string());
    let delegatee = registered(gateway, &child.client_id)?;
    if delegatee.tenant != task.tenant || delegatee.environment != task.environment {
        let detail = "the delegatee is not of the task's tenant and environment";
        return Err(Stop::new(Outcome::TenantMismatch, detail));
    }
    let line = chain.agents();
    let before = line.get(..usize::from(child.del_depth)).unwrap_or(&line);
    if before.contains(&child.client_id.as_ref()) {
        let detail = format!("{} is already in the chain", child.client_id);
        return Err(Stop::new(Outcome::ChainCycle, detail));
    }
    task.require_edge(&parent.client_id, &child.client_id, &child.authority.scopes)?;
    let fanout = task.require_room(parent.jti, child.jti)?;
    let facts = hop_facts(question, task, (parent, child), delegatee, fanout, now)?;
    let id = DecisionId::new(now, gateway.fresh());
    let permit = decide(set, Some(chain), Act::Delegate, facts, id, now, ()).map_err(Stop::from)?;
    // A lifetime that policy caps cannot be cut short in a grant that is already signed.
    let end = child.iat.saturating_add(i64::try_from(permit.ttl_seconds()).unwrap_or(i64::MAX));
    let end = task.hop_end(child.iat, end);
    if now.seconds() >= end {
        let detail = "policy or the workflow gives this hop a shorter life than its grant says, \
                      and that is over";
        return Err(Stop::new(Outcome::Expired, detail));
    }
    let settled = SettledHop { child: child.clone(), permit };
    record(&gateway.spool, settled, LocalEffect::default()).await.map_err(|error| error.error)?;
    task.hopped(parent.jti, child.jti);
    Ok(UnixMillis::from_seconds(end))
}

/// What policy is told of a hop, as the Authority tells it of one that it settles.
fn hop_facts(
    question: &Question<'_>,
    task: &TaskContext,
    (parent, child): (&HopClaims, &HopClaims),
    delegatee: Arc<AgentFacts>,
    fanout: u32,
    now: UnixMillis,
) -> Result<Facts, Stop> {
    let line = question.chain.agents();
    let sensitivity = sensitivity(child, task.ceiling);
    Ok(Facts {
        actor: registered(question.gateway, &parent.client_id)?,
        delegatee: Some(delegatee),
        approvals: Vec::new(),
        arguments: Map::new(),
        binding: Binding::Verifies,
        chain: ChainFacts {
            agents: line
                .iter()
                .take(usize::from(child.del_depth))
                .map(|a| (*a).to_owned())
                .collect(),
            depth: parent.del_depth,
            fanout,
            max_depth: parent.del_max_depth,
        },
        effect: CallEffect::Unknown,
        held: Arc::clone(&parent.authority),
        offline: true,
        provenance: question.provenance,
        requested: Arc::clone(&child.authority),
        resource: ResourceFacts {
            id: child.aud.clone(),
            labels: Vec::new(),
            sensitivity,
            system: child.aud.clone(),
        },
        sensitivity,
        subject: Arc::clone(&task.subject),
        task: task.facts(now),
        ttl_seconds: u64::try_from(child.exp.saturating_sub(child.iat)).unwrap_or(0),
    })
}

/// A hop that was settled here, on its way to be recorded.
struct SettledHop {
    child: HopClaims,
    permit: Permit<()>,
}

impl Record for SettledHop {
    fn receipt(&self) -> Receipt {
        let child = &self.child;
        let issued = json!({
            "jti": child.jti, "agent": child.client_id, "subject": child.sub,
            "audience": child.aud, "depth": child.del_depth, "iat": child.iat, "exp": child.exp,
            "lineage": child.hop.lineage, "offline": true,
        });
        let enforced = Enforced { issued: Some(issued), ..Enforced::default() };
        let mut receipt = DecisionReceipt {
            act: "delegate",
            task: Some(child.txn),
            jti: child.hop.lineage.last().copied(),
            agent: Some(&child.client_id),
            decision: self.permit.decision(),
            enforced: &enforced,
        }
        .receipt();
        receipt.subject_ids.push(child.jti.to_string());
        receipt
    }
}

/// The most sensitive data a hop reaches: its `sensitivity` constraint, else the task's ceiling.
fn sensitivity(claims: &HopClaims, ceiling: Sensitivity) -> Sensitivity {
    use bailiwick_core::constraint::Rule;
    let own = claims.authority.constraints.get("sensitivity", "rank");
    let own = own.and_then(|bound| match bound.rule() {
        Rule::Rank { rank, .. } => rank.parse::<Sensitivity>().ok(),
        _ => None,
    });
    own.map_or(ceiling, |own: Sensitivity| own.min(ceiling))
}
