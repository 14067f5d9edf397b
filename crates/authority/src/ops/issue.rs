//! The last steps of every road to a token: record, then sign.

use bailiwick_api::ProblemCode;
use bailiwick_core::hash::Sha256Hash;
use bailiwick_core::ids::TokenId;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::token::{HopClaims, StatusRef};
use bailiwick_ledger::record;
use bailiwick_policy::{Denial, Permit};

use crate::authority::Authority;
use crate::fault::Stop;
use crate::keys::TokenSigner;
use crate::model::{Effect, STATUS_LIST_ENTRIES, TokenKind, TokenRecord};
use crate::spine::{Issuance, Issued, sign};

/// What the record of a token needs beyond its claims.
pub(crate) struct Placement {
    /// How it came to be.
    pub(crate) kind: TokenKind,
    /// The first token of its hop; its own id for a new hop.
    pub(crate) hop: Option<TokenId>,
    /// The token it was narrowed from.
    pub(crate) parent: Option<TokenId>,
    /// Its index in the status lists.
    pub(crate) status_idx: u64,
    /// SHA-256 of the grant that was settled.
    pub(crate) grant_hash: Option<Sha256Hash>,
}

/// A permitted token with its effect, ready to be recorded.
struct Prepared {
    signer: TokenSigner,
    /// Boxed: it is handed on through several futures, each of which would have room for it.
    issuance: Box<Issuance>,
    effect: Effect,
}

/// Records a permitted token together with its effect and, once that is durable, signs it.
pub(crate) fn record_and_sign<'a>(
    authority: &'a Authority,
    act: &'static str,
    permit: Permit<HopClaims>,
    placement: Placement,
    effect: impl FnOnce(TokenRecord) -> Effect,
) -> impl Future<Output = Result<Issued, Stop>> + 'a {
    let prepared = prepare(authority, act, permit, placement, effect);
    async move {
        let Prepared { signer, issuance, effect } = prepared?;
        let recorded = record(&authority.store, issuance, effect).await;
        let issued = sign(recorded.map_err(|error| error.error)?, &signer).map_err(|error| {
            tracing::error!(%error, "signing failed after the record: the token is not released");
            let detail = "the token could not be signed; nothing was released";
            Stop::new(Outcome::LedgerUnavailable, detail)
        })?;
        authority.metrics.decided(act, "allow");
        Ok(issued)
    }
}

fn prepare(
    authority: &Authority,
    act: &'static str,
    permit: Permit<HopClaims>,
    placement: Placement,
    effect: impl FnOnce(TokenRecord) -> Effect,
) -> Result<Prepared, Stop> {
    let signer = authority.keys.active_token_signer().map_err(|error| {
        tracing::error!(%error, "there is no key to sign with");
        Stop::new(ProblemCode::Internal, "there is no key to sign with; nothing was released")
    })?;
    let issuance = Box::new(Issuance::new(act, placement.parent, permit, &signer)?);
    let effect = effect(token_record(&issuance, &placement));
    Ok(Prepared { signer, issuance, effect })
}

fn token_record(issuance: &Issuance, placement: &Placement) -> TokenRecord {
    let claims = issuance.claims();
    TokenRecord {
        jti: claims.jti,
        hop: placement.hop.unwrap_or(claims.jti),
        task: claims.txn,
        parent: placement.parent,
        lineage: claims.hop.lineage.clone(),
        depth: claims.del_depth,
        agent: claims.client_id.clone(),
        audience: claims.aud.clone(),
        holder: claims.cnf,
        iat: claims.iat,
        exp: claims.exp,
        signing_hash: issuance.signing_hash(),
        signing_input: issuance.signing_input().to_vec(),
        grant_hash: placement.grant_hash,
        decision: issuance.decision().id,
        status_idx: placement.status_idx,
        revoked_ms: None,
        kind: placement.kind,
    }
}

/// Reserves a place in the status lists.
pub(crate) async fn status(authority: &Authority) -> Result<(u64, StatusRef), Stop> {
    let index = authority.store.allocate_status_idx().await?;
    let list = index / STATUS_LIST_ENTRIES;
    let uri = authority.url(&format!("/status-lists/{list}"));
    Ok((index, StatusRef { idx: index % STATUS_LIST_ENTRIES, uri }))
}

/// A policy denial, on its way to the one place where it is recorded.
pub(crate) fn denied<R>(denial: Denial<R>) -> Stop {
    Stop::Policy(Box::new(denial.map(|_| ())))
}
