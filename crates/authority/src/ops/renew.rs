//! Renew and re-audience: the same hop and holder, a later expiry or another audience, decided afresh.

use bailiwick_core::ids::TokenId;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use bailiwick_core::token::HopClaims;
use bailiwick_policy::{Act, Permit, decide};

use super::facts;
use super::issue::{Placement, denied, record_and_sign, status};
use super::open_task::{live_workflow, start_facts};
use super::settle::{delegate_facts, live_delegator};
use crate::attempt::Attempt;
use crate::authority::{Authority, HeldToken, Presented};
use crate::caller::require_holder;
use crate::fault::{Fault, Stop};
use crate::model::{Effect, TaskRecord, TokenKind};
use crate::registry::AgentEntry;
use crate::spine::Issued;

/// What is asked, as it came in.
pub(crate) struct Renew<'a> {
    /// The caller's own hop token.
    pub(crate) token: &'a str,
    /// A proof of its key.
    pub(crate) presented: Presented<'a>,
    /// Another audience, to re-audience.
    pub(crate) audience: Option<&'a str>,
}

/// Renews a token or gives it another audience.
pub(crate) async fn renew(authority: &Authority, ask: Renew<'_>) -> Result<Issued, Fault> {
    let act = if ask.audience.is_some() { "reaudience" } else { "renew" };
    let mut attempt = Attempt::begin(authority, act);
    match try_renew(authority, &ask, &mut attempt).await {
        Ok(issued) => Ok(issued),
        Err(stop) => Err(attempt.refuse(authority, stop).await),
    }
}

async fn try_renew(
    authority: &Authority,
    ask: &Renew<'_>,
    attempt: &mut Attempt,
) -> Result<Issued, Stop> {
    let now = attempt.now;
    authority.require_sound_clock()?;
    let chain = authority.verify_own(ask.token, now)?;
    // A token endpoint's proof has no `ath` (RFC 9449 §5): the key says whose token it may be.
    let key = authority.prove_key(&ask.presented, None, now)?;
    require_holder(&chain, &key)?;
    attempt.proof = key.row;
    attempt.agent = Some(chain.claims().client_id.clone());
    attempt.task = Some(chain.claims().txn);
    attempt.jti = Some(chain.claims().jti);
    let task = authority.open_task_of(&chain, now).await?;
    authority.require_alive(&chain, now)?;
    let Some(record) = authority.store.token(chain.claims().jti).await? else {
        return Err(Stop::new(Outcome::ProvenanceMissing, "the token has no record here"));
    };
    let own = authority.held(record)?;
    let agent = live_delegator(authority, &own)?;

    let (status_idx, status) = status(authority).await?;
    let mut claims = chain.claims().clone();
    claims.jti = TokenId::new(now, authority.fresh());
    claims.iat = now.seconds();
    claims.exp = expiry(authority, &task, &own, now).await?;
    claims.status = Some(status);
    if own.record.hop == own.record.jti {
        // The lineage of a renewed token names the hop it renews: revoking either kills it.
        claims.hop.lineage.push(own.record.hop);
    }
    if let Some(audience) = ask.audience {
        if !task.audiences.iter().any(|allowed| allowed == audience) {
            let detail = "the workflow of the task does not allow this audience";
            return Err(Stop::new(Outcome::AudienceMismatch, detail));
        }
        claims.aud = audience.to_owned();
    }
    let permit = decide_again(authority, attempt, &task, &own, &agent, claims, now).await?;
    let placement = Placement {
        kind: if ask.audience.is_some() { TokenKind::Reaudience } else { TokenKind::Renewal },
        hop: Some(own.record.hop),
        parent: own.record.parent,
        status_idx,
        grant_hash: own.record.grant_hash,
    };
    record_and_sign(authority, attempt.act, permit, placement, |token| Effect::Renew {
        token,
        proof: attempt.proof,
    })
    .await
}

/// The later expiry: within the workflow's token life, the task's deadline, and the life of the
/// hop it was narrowed from (as renewed).
async fn expiry(
    authority: &Authority,
    task: &TaskRecord,
    own: &HeldToken,
    now: UnixMillis,
) -> Result<i64, Stop> {
    let workflow = live_workflow(authority, task.workflow.as_ref())?;
    let longest = now
        .saturating_add_seconds(workflow.document().ttl_seconds_max)
        .seconds()
        .min(task.deadline_ms.seconds());
    let Some(parent) = own.record.parent else { return Ok(longest) };
    let tokens = authority.store.tokens_of_task(task.id).await?;
    let hop = tokens.iter().find(|token| token.jti == parent).map(|token| token.hop);
    let parent_life = tokens
        .iter()
        .filter(|token| Some(token.hop) == hop && token.revoked_ms.is_none())
        .map(|token| token.exp)
        .max()
        .unwrap_or(0);
    let exp = longest.min(parent_life);
    if exp <= now.seconds() {
        let detail = "the delegator's own token has expired; it has to be renewed first";
        return Err(Stop::new(Outcome::Expired, detail));
    }
    Ok(exp)
}

/// The question that was answered when the hop was made, asked again now.
async fn decide_again(
    authority: &Authority,
    attempt: &Attempt,
    task: &TaskRecord,
    own: &HeldToken,
    agent: &AgentEntry,
    mut claims: HopClaims,
    now: UnixMillis,
) -> Result<Permit<HopClaims>, Stop> {
    let set = authority.policy.current();
    claims.hop.decision = Some(attempt.id);
    claims.hop.policy = Some(set.hash().to_owned());
    let Some(parent) = own.record.parent else {
        let facts = start_facts(facts::subject_of(task), agent, task, &claims, now);
        return decide(&set, None, Act::StartTask, facts, attempt.id, now, claims).map_err(denied);
    };
    let Some(record) = authority.store.token(parent).await? else {
        return Err(Stop::new(
            Outcome::ProvenanceMissing,
            "the delegator's token has no record here",
        ));
    };
    let parent = authority.held(record)?;
    let delegator = live_delegator(authority, &parent)?;
    // The hop that is renewed is among those settled: it does not count against itself.
    let fanout = authority.store.fanout(parent.record.jti).await?.saturating_sub(1);
    let facts = delegate_facts(&parent, &delegator, agent, task, &claims, fanout, now);
    decide(&set, Some(&parent.chain), Act::Delegate, facts, attempt.id, now, claims).map_err(denied)
}
