//! Hop tokens of a given depth, and requests made under them.

use super::stage::{AGENTS, Stage, WORKFLOW, agent};
use crate::clock;
use crate::commands::token::issuer_keys;
use crate::context::Server;
use crate::credentials::{dev_subject, dev_svid};
use crate::fault::Fault;
use crate::holder::{HolderKey, random};
use bailiwick_api::client::{ProofRequest, ProofSigner as _};
use bailiwick_api::oauth::{
    DETAIL_TYPE_TASK, GRANT_TYPE_TOKEN_EXCHANGE, TOKEN_TYPE_GRANT, TOKEN_TYPE_ID_TOKEN,
    TOKEN_TYPE_JWT, TokenRequest,
};
use bailiwick_core::crypto::Algorithm;
use bailiwick_core::ids::TokenId;
use bailiwick_core::{
    GrantClaims, GrantFacts, UnsignedToken, UnverifiedToken, VerifiedChain, VerifyOptions,
    verify_leaf,
};
use serde_json::json;

/// A holder with its token.
pub(super) struct Holder {
    key: HolderKey,
    token: String,
    url: String,
}

impl Holder {
    /// One call, ready to be written.
    pub(super) fn request(&self, address: &str, nonce: &str) -> Result<Vec<u8>, Fault> {
        let asked = ProofRequest {
            method: "GET",
            url: &self.url,
            access_token: Some(&self.token),
            nonce: Some(nonce),
        };
        let proof = self.key.sign_proof(&asked).map_err(|error| Fault::local(error.to_string()))?;
        let token = &self.token;
        Ok(format!(
            "GET /bench/item HTTP/1.1\r\nHost: {address}\r\nAuthorization: DPoP {token}\r\n\
             DPoP: {proof}\r\n\r\n"
        )
        .into_bytes())
    }
}

/// Opens a task and hands it on until a token has `depth` hops; every agent uses the same key.
pub(super) async fn holder(
    server: &Server,
    stage: &Stage,
    algorithm: Algorithm,
    depth: u8,
) -> Result<Holder, Fault> {
    let key = HolderKey::ephemeral(algorithm)?;
    let keys = issuer_keys(&server.metadata.issuer, &server.client.jwks().await?)?;
    let detail = json!([{ "type": DETAIL_TYPE_TASK, "workflow": WORKFLOW, "parameters": {} }]);
    let request = TokenRequest {
        grant_type: GRANT_TYPE_TOKEN_EXCHANGE.to_owned(),
        subject_token: Some(dev_subject(server, "bench@dev.example", Vec::new()).await?),
        subject_token_type: Some(TOKEN_TYPE_ID_TOKEN.to_owned()),
        actor_token: Some(dev_svid(server, &agent(0)).await?),
        actor_token_type: Some(TOKEN_TYPE_JWT.to_owned()),
        audience: Some(stage.audience()),
        authorization_details: Some(detail.to_string()),
        ..TokenRequest::default()
    };
    let mut token = server.client.exchange_token(&request, &key, None).await?.access_token;
    for hop in 1..=depth.min(AGENTS - 1) {
        let parent = UnverifiedToken::parse(&token)
            .and_then(|token| verify_leaf(&token, &keys, &VerifyOptions::default(), clock::now()))
            .map_err(|error| Fault::remote(format!("the server's own token: {error}")))?;
        let request = TokenRequest {
            grant_type: GRANT_TYPE_TOKEN_EXCHANGE.to_owned(),
            subject_token: Some(grant(&parent, &key, &agent(hop))?),
            subject_token_type: Some(TOKEN_TYPE_GRANT.to_owned()),
            actor_token: Some(dev_svid(server, &agent(hop)).await?),
            actor_token_type: Some(TOKEN_TYPE_JWT.to_owned()),
            ..TokenRequest::default()
        };
        token = server.client.exchange_token(&request, &key, None).await?.access_token;
    }
    Ok(Holder { key, token, url: format!("{}/bench/item", stage.audience()) })
}

/// A grant of all that the parent holds.
fn grant(parent: &VerifiedChain, key: &HolderKey, delegatee: &str) -> Result<String, Fault> {
    let above = parent.claims();
    let now = clock::now();
    let claims = GrantClaims {
        iss: above.client_id.clone(),
        sub: above.sub.clone(),
        aud: above.aud.clone(),
        client_id: delegatee.parse().map_err(|_| Fault::local("the delegatee has no id"))?,
        iat: now.seconds(),
        exp: above.exp,
        jti: TokenId::new(now, random()?),
        cnf: None,
        authority: (*above.authority).clone(),
        del_depth: above.del_depth.saturating_add(1),
        del_max_depth: above.del_max_depth,
        par_hash: parent.signing_hash(),
        txn: above.txn,
        hop: GrantFacts {
            purpose: above.hop.purpose.clone(),
            workflow: above.hop.workflow.clone(),
            tenant: above.hop.tenant.clone(),
            env: above.hop.env.clone(),
        },
    };
    let fault = |error: String| Fault::local(format!("a grant: {error}"));
    let signing = key.signing_key();
    let unsigned = UnsignedToken::grant(&claims, &signing.verifying_key())
        .map_err(|error| fault(error.to_string()))?;
    let signature =
        signing.sign(unsigned.signing_input()).map_err(|error| fault(error.to_string()))?;
    Ok(unsigned.attach(&signature).compact)
}
