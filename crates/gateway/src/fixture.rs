//! Verified chains for unit tests, without an Authority.

use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::crypto::Algorithm;
use bailiwick_core::token::{ActChain, Actor, HolderBinding, HopClaims, HopFacts, UnsignedToken};
use bailiwick_core::{TaskId, Thumbprint, TokenId, UnixMillis, VerifiedChain, sha256};
use serde_json::{Value, json};

/// The instant of fixtures.
pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
/// The agent of [`chain`].
pub(crate) const AGENT: &str = "spiffe://dev.bailiwick.example/agent/helper";

/// Claims of a root token over `scopes` with `constraints`; the id of its task ends in `task`.
pub(crate) fn claims(task: u8, scopes: &[&str], constraints: Value) -> HopClaims {
    let detail = json!({
        "type": bailiwick_api::DETAIL_TYPE_DELEGATION, "scopes": scopes, "constraints": constraints,
    });
    let iss = "https://authority.example".to_owned();
    HopClaims {
        iss: iss.clone(),
        sub: "user:alice@a.example".parse().unwrap(),
        aud: "https://gateway.example".to_owned(),
        client_id: AGENT.parse().unwrap(),
        iat: NOW.seconds(),
        exp: NOW.seconds() + 300,
        jti: TokenId::new(NOW, [task; 10]),
        cnf: HolderBinding::Jkt(Thumbprint(sha256(b"key"))),
        authority: HeldAuthority::from_detail(&detail).unwrap().into(),
        del_depth: 0,
        del_max_depth: 4,
        par_hash: None,
        act: ActChain(vec![Actor { iss, sub: AGENT.parse().unwrap() }]),
        txn: TaskId::new(NOW, [task; 10]),
        status: None,
        hop: HopFacts {
            purpose: "a test".to_owned(),
            workflow: "test".parse().unwrap(),
            tenant: "acme".parse().unwrap(),
            env: "dev".to_owned(),
            decision: None,
            policy: None,
            grant: None,
            lineage: Vec::new(),
            ask: None,
        },
    }
}

/// A verified chain of those claims.
pub(crate) fn chain_of(claims: &HopClaims) -> VerifiedChain {
    let unsigned = UnsignedToken::settled(claims, "k", Algorithm::Es256).unwrap();
    VerifiedChain::from_issuer_record(unsigned.signing_input()).unwrap()
}

/// A verified root chain of task number `task`.
pub(crate) fn chain(task: u8, scopes: &[&str]) -> VerifiedChain {
    chain_of(&claims(task, scopes, json!([])))
}
