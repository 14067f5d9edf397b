//! What is set up before anything is measured: agents, a workflow, policies, live tasks.

use super::BenchArgs;
use super::grant;
use super::load;
use super::server::Target;
use crate::clock;
use crate::commands::token::issuer_keys;
use crate::context::Server;
use crate::credentials::{dev_subject, dev_svid};
use crate::fault::Fault;
use crate::holder::HolderKey;
use bailiwick_api::client::{ProofRequest, ProofSigner as _};
use bailiwick_api::oauth::{
    DETAIL_TYPE_TASK, GRANT_TYPE_TOKEN_EXCHANGE, TOKEN_TYPE_GRANT, TOKEN_TYPE_ID_TOKEN,
    TOKEN_TYPE_JWT, TokenRequest, TokenResponse,
};
use bailiwick_api::policies::{PolicySourceText, PutPoliciesRequest};
use bailiwick_api::registry::ApplyRequest;
use bailiwick_core::crypto::Algorithm;
use bailiwick_core::{IssuerKeys, UnverifiedToken, VerifiedChain, VerifyOptions, verify_leaf};
use bailiwick_policy::{Inputs, PolicySource, default_sources};
use serde_json::{Value, json};

const DELEGATOR: &str = "spiffe://dev.bailiwick.example/agent/bench-delegator";
const DELEGATEE: &str = "spiffe://dev.bailiwick.example/agent/bench-delegatee";
const SUBJECT: &str = "bench@dev.example";
const WORKFLOW: &str = "bench.settle";
const AUDIENCE: &str = "https://tools.dev.example";
const GRANT_SECONDS: i64 = 300;
/// How many root tokens grants are made from.
const PARENTS_MAX: usize = 20_000;
/// How many tasks are opened at once before their replies are read.
const OPENED_AT_ONCE: u32 = 5_000;
const OPENERS: u32 = 64;

/// Everything that settles need.
pub(super) struct World {
    pub(super) address: String,
    pub(super) parents: Vec<VerifiedChain>,
    pub(super) policies: Vec<PolicySource>,
    /// The inputs of a settle's decision, as the server recorded them.
    pub(super) inputs: Inputs,
    pub(super) endpoint: String,
    delegator: HolderKey,
    delegatee: HolderKey,
    actor: String,
    nonce: Option<String>,
}

impl World {
    pub(super) async fn set_up(
        server: &Server,
        args: &BenchArgs,
        target: &Target,
    ) -> Result<Self, Fault> {
        let operator = target.context.operator().await?;
        operator.apply(&registry(), false).await?;
        let policies = policies(args.policies);
        let sources = policies
            .iter()
            .map(|one| PolicySourceText { name: one.name.clone(), text: one.text.clone() })
            .collect();
        operator.put_policies(&PutPoliciesRequest { sources }, false).await?;
        let base = server.client.base();
        let host = base.host_str().unwrap_or_default();
        let port = base.port_or_known_default().unwrap_or_default();
        let mut world = Self {
            address: format!("{host}:{port}"),
            parents: Vec::new(),
            policies,
            inputs: Inputs::Refused(Value::Null),
            endpoint: format!("{}/oauth/token", server.metadata.issuer.trim_end_matches('/')),
            delegator: HolderKey::ephemeral(Algorithm::EdDsa)?,
            delegatee: HolderKey::ephemeral(Algorithm::EdDsa)?,
            actor: dev_svid(server, DELEGATEE).await?,
            nonce: None,
        };
        // Binding the key is not needed; it gives the server's nonce.
        server.client.register_key(&world.actor, &world.delegatee).await?;
        world.nonce = server.client.dpop_nonce();
        world.open(server, args.tasks).await?;
        let first = world.settle_one(server).await?;
        let receipt = operator.receipt(first.ledger_index).await?;
        let payload = receipt.payload.unwrap_or_default();
        world.inputs =
            Inputs::from_json(payload.pointer("/decision/inputs").unwrap_or(&Value::Null));
        Ok(world)
    }

    /// Opens the tasks and keeps their root tokens, verified.
    async fn open(&mut self, server: &Server, tasks: u32) -> Result<(), Fault> {
        let keys = issuer_keys(&server.metadata.issuer, &server.client.jwks().await?)?;
        let subject = dev_subject(server, SUBJECT, Vec::new()).await?;
        let actor = dev_svid(server, DELEGATOR).await?;
        let detail = json!([{ "type": DETAIL_TYPE_TASK, "workflow": WORKFLOW, "parameters": {} }]);
        let request = TokenRequest {
            grant_type: GRANT_TYPE_TOKEN_EXCHANGE.to_owned(),
            subject_token: Some(subject),
            subject_token_type: Some(TOKEN_TYPE_ID_TOKEN.to_owned()),
            actor_token: Some(actor),
            actor_token_type: Some(TOKEN_TYPE_JWT.to_owned()),
            audience: Some(AUDIENCE.to_owned()),
            authorization_details: Some(detail.to_string()),
            ..TokenRequest::default()
        };
        let mut left = tasks;
        while left > 0 {
            let now = left.min(OPENED_AT_ONCE);
            let requests = (0..now)
                .map(|_| self.request(&request, &self.delegator))
                .collect::<Result<Vec<_>, _>>()?;
            for body in load::run_keeping(&self.address, requests, OPENERS.min(now)).await? {
                if self.parents.len() < PARENTS_MAX {
                    self.parents.push(root(&body, &keys)?);
                }
            }
            left = left.saturating_sub(now);
        }
        Ok(())
    }

    async fn settle_one(&self, server: &Server) -> Result<TokenResponse, Fault> {
        let parent = self.parents.first().ok_or_else(|| Fault::remote("no task was opened"))?;
        let request = self.settle(self.grant(parent)?);
        Ok(server.client.exchange_token(&request, &self.delegatee, None).await?)
    }

    /// Settle requests, ready to be written, spread over the tasks.
    pub(super) fn settles(&self, count: u32) -> Result<Vec<Vec<u8>>, Fault> {
        let wanted = usize::try_from(count).unwrap_or(usize::MAX);
        self.parents
            .iter()
            .cycle()
            .take(wanted)
            .map(|parent| self.request(&self.settle(self.grant(parent)?), &self.delegatee))
            .collect()
    }

    /// A grant for the delegatee, of all that the parent holds.
    pub(super) fn grant(&self, parent: &VerifiedChain) -> Result<String, Fault> {
        let soon = clock::now().seconds().saturating_add(GRANT_SECONDS);
        let end = soon.min(parent.claims().exp);
        grant::of_all(parent, &self.delegator, DELEGATEE, end)
    }

    fn settle(&self, grant: String) -> TokenRequest {
        TokenRequest {
            grant_type: GRANT_TYPE_TOKEN_EXCHANGE.to_owned(),
            subject_token: Some(grant),
            subject_token_type: Some(TOKEN_TYPE_GRANT.to_owned()),
            actor_token: Some(self.actor.clone()),
            actor_token_type: Some(TOKEN_TYPE_JWT.to_owned()),
            ..TokenRequest::default()
        }
    }

    /// A proof by the delegatee, as a settle carries it.
    pub(super) fn proof(&self) -> Result<String, Fault> {
        self.proof_by(&self.delegatee)
    }

    fn proof_by(&self, key: &HolderKey) -> Result<String, Fault> {
        let asked = ProofRequest {
            method: "POST",
            url: &self.endpoint,
            access_token: None,
            nonce: self.nonce.as_deref(),
        };
        key.sign_proof(&asked).map_err(|error| Fault::local(error.to_string()))
    }

    fn request(&self, request: &TokenRequest, key: &HolderKey) -> Result<Vec<u8>, Fault> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let fields = serde_json::to_value(request)
            .map_err(|error| Fault::local(format!("a request: {error}")))?;
        for (name, value) in fields.as_object().into_iter().flatten() {
            form.append_pair(name, value.as_str().unwrap_or_default());
        }
        let body = form.finish();
        let head = format!(
            "POST /oauth/token HTTP/1.1\r\nHost: {}\r\nDPoP: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.proof_by(key)?,
            body.len()
        );
        Ok(head.into_bytes())
    }
}

fn root(body: &[u8], keys: &IssuerKeys) -> Result<VerifiedChain, Fault> {
    let reply: TokenResponse = serde_json::from_slice(body)
        .map_err(|error| Fault::remote(format!("not a token response: {error}")))?;
    UnverifiedToken::parse(&reply.access_token)
        .and_then(|token| verify_leaf(&token, keys, &VerifyOptions::default(), clock::now()))
        .map_err(|error| Fault::remote(format!("the server's own token: {error}")))
}

fn registry() -> ApplyRequest {
    let owner = |id: &str| json!({ "id": id, "name": "Bench", "contact": "bench@dev.example", "status": "active" });
    let agent = |id: &str| {
        json!({
            "id": id, "name": "Bench", "owner": "team:bench", "env": "dev", "tenant": "bench",
            "status": "active", "clearance": "internal", "roles": ["agent"],
        })
    };
    let workflow = json!({
        "id": WORKFLOW, "title": "Bench", "purpose": "measure settling", "owner": "team:bench",
        "reviewer": "user:bench-reviewer@dev.example", "reviewed": "2026-11-01",
        "entry": [DELEGATOR], "edges": [{ "from": DELEGATOR, "to": DELEGATEE }],
        "audiences": [AUDIENCE], "tenant": "bench", "env": "dev", "sensitivity": "internal",
        "max_depth": 4, "max_fanout": 10_000, "hops_per_minute_max": 1_000_000,
        "deadline_seconds": 3600, "ttl_seconds_max": 900,
        "parameters": { "type": "object", "properties": {}, "additionalProperties": false },
        "authority": {
            "scopes": ["bench.read", "bench.write"],
            "constraints": [{ "key": "rows", "max": 100 }, { "key": "calls", "max_lifetime": 20 }],
        },
    });
    ApplyRequest {
        owner: vec![owner("team:bench"), owner("user:bench-reviewer@dev.example")],
        agent: vec![agent(DELEGATOR), agent(DELEGATEE)],
        workflow: vec![workflow],
    }
}

/// The default pack, and as many rules about other agents and scopes as are asked for.
fn policies(count: u32) -> Vec<PolicySource> {
    let mut sources = default_sources();
    sources.extend(bench_policies(count));
    sources
}

/// Rules about other agents and scopes than those that are used, in files of a bounded size.
pub(super) fn bench_policies(count: u32) -> Vec<PolicySource> {
    const IN_A_FILE: usize = 4_000;
    let rules: Vec<u32> = (0..count).collect();
    rules
        .chunks(IN_A_FILE)
        .enumerate()
        .map(|(at, rules)| {
            let text: String = rules.iter().map(|n| rule(*n)).collect();
            PolicySource::new(format!("bench-{at}.cedar"), text)
        })
        .collect()
}

fn rule(n: u32) -> String {
    match n % 2 {
        0 => format!(
            "@id(\"bench.{n}\") permit(principal is Agent, action == Action::\"Delegate\", \
             resource == Agent::\"spiffe://dev.bailiwick.example/agent/b{n}\");\n"
        ),
        _ => format!(
            "@id(\"bench.{n}\") permit(principal is Agent, \
             action == Action::\"area.verb{n}\", resource) \
             when {{ principal.tenant == context.task.tenant }};\n"
        ),
    }
}
