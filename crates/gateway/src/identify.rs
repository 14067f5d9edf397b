//! Who is calling: a verified chain whose holder has just proven its key.

use std::sync::Arc;

use bailiwick_core::outcome::Outcome;
use bailiwick_core::{
    UnverifiedChain, UnverifiedToken, VerifiedChain, VerifyOptions, verify_chain, verify_leaf,
};
use bailiwick_identity::{HolderProof, NonceRule, PeerCredentials, PresentedToken, X509Peer};
use http::HeaderMap;

use crate::attempt::Attempt;
use crate::config::DpopNonce;
use crate::gateway::Gateway;
use crate::route::Route;
use crate::stop::Stop;

/// What a caller presents, and for which request.
#[derive(Clone, Copy)]
pub(crate) struct Presented<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The verified certificate of the connection.
    pub(crate) peer: Option<&'a X509Peer>,
    pub(crate) method: &'a str,
    /// The URL that the proof must be for, without query.
    pub(crate) url: &'a str,
}

/// Verifies token, chain and possession. The proof is burnt for this process here, and for good
/// with the record of the decision.
///
/// # Errors
/// The first rule that is broken.
pub(crate) fn identify(
    gateway: &Gateway,
    route: &Route,
    presented: Presented<'_>,
    attempt: &mut Attempt,
) -> Result<Arc<VerifiedChain>, Stop> {
    let now = attempt.now;
    let mut credentials = PeerCredentials::from_headers(presented.headers)?;
    if let Some(peer) = presented.peer {
        credentials = credentials.with_certificate(peer.clone());
    }
    let Some(authorization) = credentials.authorization() else {
        let detail = "no Authorization header: present the hop token that was settled for you";
        return Err(Stop::new(Outcome::ProvenanceMissing, detail));
    };
    let ancestors = credentials.delegation_chain().map(|chain| chain.expose());
    let chain = verify(gateway, route, authorization.token(), ancestors, attempt)?;

    let rule = match gateway.config.dpop.nonce {
        DpopNonce::Required => NonceRule::Required(&gateway.nonces),
        DpopNonce::Off => NonceRule::NotRequired,
    };
    let proof = credentials.prove_holder(presented.method, presented.url, rule, now)?;
    proof.check(&chain.claims().cnf)?;
    if let HolderProof::Dpop(proof) = &proof {
        let (jti_hash, expires) = (proof.jti_hash(), proof.expires());
        gateway.replay.check_and_insert(jti_hash, expires, now).map_err(|_| {
            Stop::new(Outcome::ProofReplayed, "the proof was used before; make a new one")
        })?;
        attempt.proof = Some((jti_hash, expires));
    }
    attempt.identified(&chain);
    Ok(chain)
}

fn verify(
    gateway: &Gateway,
    route: &Route,
    presented: &PresentedToken,
    ancestors: Option<&str>,
    attempt: &Attempt,
) -> Result<Arc<VerifiedChain>, Stop> {
    let now = attempt.now;
    let keys = gateway.standing.issuer_keys();
    let options = VerifyOptions { audience: Some(&route.audience), full_chain: false };
    let Some(ancestors) = ancestors else {
        // One cache serves every route: the audience is compared on every use.
        if let Some(chain) = gateway.verified.get(&presented.hash(), now) {
            return right_audience(chain, &route.audience);
        }
        let token = UnverifiedToken::parse(presented.expose())?;
        let chain = verify_leaf(&token, &keys, &options, now)?;
        return Ok(gateway.verified.insert(chain));
    };
    // What travels with its ancestors is verified each time: the cache knows leaves only.
    let token = UnverifiedToken::parse(presented.expose())?;
    let presented = UnverifiedChain::parse(ancestors, &token)?;
    let chain = verify_chain(&presented, &keys, &options, now)?;
    if chain.unsettled() > 0 && !route.offline_hops {
        let detail = format!(
            "the chain ends in {} hop(s) that nobody settled, and this route does not settle them; \
             settle the grant at the Authority",
            chain.unsettled()
        );
        return Err(Stop::new(Outcome::OfflineHopForbidden, detail));
    }
    Ok(Arc::new(chain))
}

fn right_audience(chain: Arc<VerifiedChain>, audience: &str) -> Result<Arc<VerifiedChain>, Stop> {
    if chain.claims().aud == audience {
        return Ok(chain);
    }
    let detail = format!("the token is for another audience than {audience}");
    Err(Stop::new(Outcome::AudienceMismatch, detail))
}
