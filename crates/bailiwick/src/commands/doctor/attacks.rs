//! Attacks on one's own deployment. Each has the codes that refuse it; any other answer is a finding.

use super::{DoctorArgs, Finding};
use crate::clock;
use crate::commands::task::parameters;
use crate::commands::token::issuer_keys;
use crate::context::{Context, Server};
use crate::credentials::dev_svid;
use crate::fault::Fault;
use crate::holder::{HolderKey, random};
use bailiwick_api::ClientError;
use bailiwick_api::client::{ProofRequest, ProofSigner as _};
use bailiwick_api::enforcement::closure::ClosureQuery;
use bailiwick_api::oauth::{
    DETAIL_TYPE_TASK, GRANT_TYPE_TOKEN_EXCHANGE, TOKEN_TYPE_GRANT, TOKEN_TYPE_ID_TOKEN,
    TOKEN_TYPE_JWT, TokenRequest,
};
use bailiwick_api::revocations::{RevocationRequest, RevocationTarget};
use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::crypto::Algorithm;
use bailiwick_core::ids::TokenId;
use bailiwick_core::{
    GrantClaims, GrantFacts, UnsignedToken, UnverifiedToken, VerifiedChain, VerifyOptions,
    verify_leaf,
};
use serde_json::{Value, json};

/// What a good token gets at a path that its task never allows: it is recognised, and refused for
/// what it asks.
const RECOGNISED: [&str; 4] =
    ["scope_not_granted", "ceiling_exceeded", "policy_denied", "approval_required"];
/// What it gets where the gateway has no operation: nothing else is looked at there, so that no attack
/// could be told from it.
const NOWHERE: [&str; 2] = ["not_found", "method_not_allowed"];

struct Attacker<'a> {
    args: &'a DoctorArgs,
    server: &'a Server,
    key: HolderKey,
    token: String,
    chain: VerifiedChain,
    nonce: Option<String>,
}

pub(super) async fn attack(
    args: &DoctorArgs,
    context: &Context,
    server: &Server,
) -> Result<Vec<Finding>, Fault> {
    let mut attacker = Attacker::begin(args, server).await?;
    let tried = attacker.everything().await;
    // Whatever happened: the task that was made for this does not live on.
    let revoke = RevocationRequest {
        target: RevocationTarget::Task(attacker.chain.claims().txn),
        reason: "bailiwick doctor is done".to_owned(),
        dry_run: false,
    };
    let revoked = context.operator().await?.revoke(&revoke, &ClosureQuery::default()).await;
    let mut findings = tried?;
    revoked?;
    let (token, proof) = (attacker.token.clone(), attacker.proof(&attacker.key, None)?);
    let answer = attacker.call(Some(&token), Some(&proof), &[]).await?;
    findings.push(finding("a token of a revoked task", &["revoked", "task_closed"], answer));
    Ok(findings)
}

fn finding(what: &'static str, codes: &[&str], answer: String) -> Finding {
    Finding { kind: "attack", what, ok: codes.contains(&answer.as_str()), answer }
}

impl<'a> Attacker<'a> {
    async fn begin(args: &'a DoctorArgs, server: &'a Server) -> Result<Self, Fault> {
        let key = HolderKey::ephemeral(Algorithm::EdDsa)?;
        let parameters = parameters(None, &args.params, &args.json_params)?;
        let detail = json!([{
            "type": DETAIL_TYPE_TASK, "workflow": args.workflow, "parameters": parameters,
        }]);
        let request = TokenRequest {
            grant_type: GRANT_TYPE_TOKEN_EXCHANGE.to_owned(),
            subject_token: Some(args.subject.token(server).await?),
            subject_token_type: Some(TOKEN_TYPE_ID_TOKEN.to_owned()),
            actor_token: Some(args.actor.token(server).await?),
            actor_token_type: Some(TOKEN_TYPE_JWT.to_owned()),
            audience: Some(args.audience.clone()),
            authorization_details: Some(detail.to_string()),
            ..TokenRequest::default()
        };
        let token = server.client.exchange_token(&request, &key, None).await?.access_token;
        let keys = issuer_keys(&server.metadata.issuer, &server.client.jwks().await?)?;
        let chain = UnverifiedToken::parse(&token)
            .and_then(|token| verify_leaf(&token, &keys, &VerifyOptions::default(), clock::now()))
            .map_err(|error| Fault::remote(format!("the Authority's own token: {error}")))?;
        Ok(Self { args, server, key, token, chain, nonce: None })
    }

    fn url(&self) -> Result<String, Fault> {
        let url = self.args.gateway.join(&self.args.path);
        Ok(url.map_err(|error| Fault::local(format!("--path: {error}")))?.to_string())
    }

    /// A proof for the attacked path; `url` for another one.
    fn proof(&self, key: &HolderKey, url: Option<&str>) -> Result<String, Fault> {
        let own = self.url()?;
        let asked = ProofRequest {
            method: "GET",
            url: url.unwrap_or(&own),
            access_token: Some(&self.token),
            nonce: self.nonce.as_deref(),
        };
        key.sign_proof(&asked).map_err(|error| Fault::local(error.to_string()))
    }

    /// One request; the code of the answer.
    async fn call(
        &mut self,
        token: Option<&str>,
        proof: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<String, Fault> {
        let unreachable = |error: reqwest::Error| Fault::remote(error.to_string());
        let client = reqwest::Client::builder().no_proxy().build().map_err(unreachable)?;
        let mut request = client.get(self.url()?);
        if let Some(token) = token {
            request = request.header("Authorization", format!("DPoP {token}"));
        }
        if let Some(proof) = proof {
            request = request.header("DPoP", proof);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = request.send().await.map_err(unreachable)?;
        if let Some(nonce) = reply.headers().get("dpop-nonce").and_then(|it| it.to_str().ok()) {
            self.nonce = Some(nonce.to_owned());
        }
        let status = reply.status();
        let body: Value = reply.json().await.unwrap_or_default();
        let code = body.get("code").and_then(Value::as_str).map(str::to_owned);
        Ok(code.unwrap_or_else(|| format!("{status}, without a code")))
    }

    async fn everything(&mut self) -> Result<Vec<Finding>, Fault> {
        let mut findings = self.at_the_gateway().await?;
        findings.extend(self.at_the_authority().await?);
        Ok(findings)
    }

    async fn at_the_gateway(&mut self) -> Result<Vec<Finding>, Fault> {
        let mut findings = Vec::new();
        let answer = self.call(None, None, &[]).await?;
        findings.push(finding("no token at all", &["provenance_missing"], answer));

        let (token, stranger) = (self.token.clone(), HolderKey::ephemeral(Algorithm::EdDsa)?);
        let proof = self.proof(&self.key, None)?;
        let answer = self.call(Some(&token), Some(&proof), &[]).await?;
        let ok = RECOGNISED.contains(&answer.as_str());
        let what = "a good token is recognised, and its task does not allow the path";
        let answer = if NOWHERE.contains(&answer.as_str()) {
            format!(
                "{answer}: --path is no GET that the gateway serves; name one whose scope the task lacks"
            )
        } else {
            answer
        };
        findings.push(Finding { kind: "check", what, ok, answer });
        let answer = self.call(Some(&token), Some(&proof), &[]).await?;
        findings.push(finding("a proof that was used before", &["proof_replayed"], answer));

        let answer = self.call(Some(&token), None, &[]).await?;
        findings.push(finding(
            "a stolen token without its key",
            &["holder_binding_failed"],
            answer,
        ));
        let proof = self.proof(&stranger, None)?;
        let answer = self.call(Some(&token), Some(&proof), &[]).await?;
        findings.push(finding(
            "a stolen token with another key",
            &["holder_binding_failed"],
            answer,
        ));
        let elsewhere = self.args.gateway.join("/elsewhere").map(String::from);
        let elsewhere = elsewhere.map_err(|error| Fault::local(error.to_string()))?;
        let proof = self.proof(&self.key, Some(&elsewhere))?;
        let answer = self.call(Some(&token), Some(&proof), &[]).await?;
        findings.push(finding("a proof for another URL", &["holder_binding_failed"], answer));

        let flipped = flip(&token);
        let proof = self.proof(&self.key, None)?;
        let answer = self.call(Some(&flipped), Some(&proof), &[]).await?;
        let codes = ["signature_invalid", "malformed", "non_canonical", "holder_binding_failed"];
        findings.push(finding("a token with one letter changed", &codes, answer));

        let grant = self.grant(|_| {})?;
        let proof = self.proof(&self.key, None)?;
        let answer = self.call(Some(&grant), Some(&proof), &[]).await?;
        let codes = ["offline_hop_forbidden", "provenance_missing"];
        findings.push(finding("a grant that nobody settled, its chain stripped", &codes, answer));
        let proof = self.proof(&self.key, None)?;
        let foreign = [("baggage", "bailiwick.task=01890000-0000-7000-8000-000000000000")];
        let answer = self.call(Some(&token), Some(&proof), &foreign).await?;
        let codes = ["provenance_missing", "scope_not_granted", "ceiling_exceeded"];
        findings.push(finding("provenance of another task beside the chain", &codes, answer));
        Ok(findings)
    }

    async fn at_the_authority(&self) -> Result<Vec<Finding>, Fault> {
        let mut findings = Vec::new();
        let wider = self.grant(|claims| claims.authority = wider(&claims.authority).into())?;
        let answer = self.settle(&wider).await?;
        findings.push(finding("a grant wider than its parent", &["not_narrower"], answer));
        let longer = self.grant(|claims| claims.exp += 60)?;
        let answer = self.settle(&longer).await?;
        findings.push(finding("a grant that outlives its parent", &["expired"], answer));
        let other = self.grant(|claims| {
            if let Ok(sub) = "user:mallory@elsewhere.example".parse() {
                claims.sub = sub;
            }
        })?;
        let answer = self.settle(&other).await?;
        findings.push(finding("a grant in another subject's name", &["principal_altered"], answer));
        let elsewhere = self.grant(|claims| claims.aud = "https://elsewhere.example".to_owned())?;
        let answer = self.settle(&elsewhere).await?;
        findings.push(finding("a grant for another audience", &["audience_mismatch"], answer));
        let flipped = flip(&self.grant(|_| {})?);
        let answer = self.settle(&flipped).await?;
        let codes = ["signature_invalid", "malformed", "non_canonical"];
        findings.push(finding("a grant with one letter changed", &codes, answer));
        Ok(findings)
    }

    /// Settles a grant as the delegatee; the code of the refusal.
    async fn settle(&self, grant: &str) -> Result<String, Fault> {
        if !self.server.metadata.bailiwick_dev {
            return Ok("not tried: the delegatee's identity cannot be had here".to_owned());
        }
        let request = TokenRequest {
            grant_type: GRANT_TYPE_TOKEN_EXCHANGE.to_owned(),
            subject_token: Some(grant.to_owned()),
            subject_token_type: Some(TOKEN_TYPE_GRANT.to_owned()),
            actor_token: Some(dev_svid(self.server, &self.args.delegatee).await?),
            actor_token_type: Some(TOKEN_TYPE_JWT.to_owned()),
            ..TokenRequest::default()
        };
        let key = HolderKey::ephemeral(Algorithm::EdDsa)?;
        match self.server.client.exchange_token(&request, &key, None).await {
            Ok(_) => Ok("allowed".to_owned()),
            Err(error @ (ClientError::Problem(_) | ClientError::OAuth { .. })) => {
                Ok(error.code().unwrap_or("none").to_owned())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A grant of all that is held, spoiled by `change`.
    fn grant(&self, change: impl FnOnce(&mut GrantClaims)) -> Result<String, Fault> {
        let fault = |error: String| Fault::local(format!("a grant: {error}"));
        let above = self.chain.claims();
        let now = clock::now();
        let delegatee = self.args.delegatee.parse();
        let mut claims = GrantClaims {
            iss: above.client_id.clone(),
            sub: above.sub.clone(),
            aud: above.aud.clone(),
            client_id: delegatee.map_err(|_| Fault::local("--delegatee is no agent's id"))?,
            iat: now.seconds(),
            exp: above.exp,
            jti: TokenId::new(now, random()?),
            cnf: None,
            authority: above.authority.clone(),
            del_depth: above.del_depth.saturating_add(1),
            del_max_depth: above.del_max_depth,
            par_hash: self.chain.signing_hash(),
            txn: above.txn,
            hop: GrantFacts {
                purpose: above.hop.purpose.clone(),
                workflow: above.hop.workflow.clone(),
                tenant: above.hop.tenant.clone(),
                env: above.hop.env.clone(),
            },
        };
        change(&mut claims);
        let key = self.key.signing_key();
        let unsigned = UnsignedToken::grant(&claims, &key.verifying_key())
            .map_err(|error| fault(error.to_string()))?;
        let signature =
            key.sign(unsigned.signing_input()).map_err(|error| fault(error.to_string()))?;
        Ok(unsigned.attach(&signature).compact)
    }
}

/// The same authority and a scope that nobody gave.
fn wider(held: &HeldAuthority) -> HeldAuthority {
    let mut detail = held.to_detail();
    if let Some(scopes) = detail.get_mut("scopes").and_then(Value::as_array_mut) {
        scopes.push("doctor.everything".into());
    }
    HeldAuthority::from_detail(&detail).unwrap_or_else(|_| held.clone())
}

/// Changes one letter in the middle.
fn flip(token: &str) -> String {
    let at = token.len() / 2;
    let change = |(index, c): (usize, char)| match (index == at, c) {
        (true, 'A') => 'B',
        (true, _) => 'A',
        (false, c) => c,
    };
    token.chars().enumerate().map(change).collect()
}
