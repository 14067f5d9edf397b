//! What enforced calls are made under: agents, a workflow, policies, hop tokens of a given depth.

use super::grant::of_all;
use super::server::Target;
use super::world::bench_policies;
use crate::clock;
use crate::commands::token::issuer_keys;
use crate::context::Server;
use crate::credentials::dev_subject;
use crate::fault::Fault;
use crate::holder::HolderKey;
use bailiwick_api::client::{ProofRequest, ProofSigner as _};
use bailiwick_api::dev::DevSvidRequest;
use bailiwick_api::oauth::{
    DETAIL_TYPE_TASK, GRANT_TYPE_TOKEN_EXCHANGE, TOKEN_TYPE_GRANT, TOKEN_TYPE_ID_TOKEN,
    TOKEN_TYPE_JWT, TokenRequest,
};
use bailiwick_api::policies::{PolicySourceText, PutPoliciesRequest};
use bailiwick_api::registry::ApplyRequest;
use bailiwick_core::crypto::Algorithm;
use bailiwick_core::ids::{TaskId, TokenId};
use bailiwick_core::{
    HolderBinding, IssuerKeys, Sha256Hash, SigningKey, UnsignedToken, UnverifiedToken,
    VerifiedChain, VerifyOptions, verify_leaf,
};
use bailiwick_identity::private_files;
use bailiwick_policy::default_sources;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Agents of the longest chain.
const AGENTS: u8 = 10;
const WORKFLOW: &str = "bench.call";
/// The identity of every gateway.
pub(super) const GATEWAY: &str = "spiffe://dev.bailiwick.example/gateway/bench";
/// What is called.
pub(super) const PATH: &str = "/bench/item";

/// The agent at a depth.
pub(super) fn agent(depth: u8) -> String {
    format!("spiffe://dev.bailiwick.example/agent/bench-{depth}")
}

/// Registers agents, the gateway and the workflow, and loads policies beside the default pack.
pub(super) async fn set_up(target: &Target, audience: &str, policies: u32) -> Result<(), Fault> {
    let operator = target.context.operator().await?;
    operator.apply(&registry(audience), false).await?;
    let sources = default_sources().into_iter().chain(bench_policies(policies));
    let sources = sources.map(|one| PolicySourceText { name: one.name, text: one.text }).collect();
    operator.put_policies(&PutPoliciesRequest { sources }, false).await?;
    Ok(())
}

/// A gateway with one route.
pub(super) struct GatewayConfig<'a> {
    pub(super) issuer: &'a str,
    pub(super) listen: SocketAddr,
    pub(super) upstream: SocketAddr,
    /// Whom the tokens are for, if not for the gateway's own URL.
    pub(super) audience: Option<&'a str>,
    /// More of the file.
    pub(super) more: &'a str,
}

impl GatewayConfig<'_> {
    pub(super) fn to_toml(&self) -> String {
        let Self { issuer, listen, upstream, audience, more } = self;
        let management = SocketAddr::new(listen.ip(), listen.port().saturating_add(1));
        let audience = audience.map_or(String::new(), |name| format!("audience = \"{name}\"\n"));
        format!(
            "listen = \"{listen}\"\nmanagement_listen = \"{management}\"\nstate_dir = \"state\"\n\
             [log]\nlevel = \"warn\"\n\
             [authority]\nissuer = \"{issuer}\"\n\
             [identity]\ndev_agent = \"{GATEWAY}\"\n{more}\
             [[route]]\nname = \"bench\"\npath = \"/bench\"\nupstream = \"http://{upstream}\"\n\
             owner = \"team:bench\"\nbinding = \"carries\"\nsensitivity = \"internal\"\n{audience}\
             [route.http]\n[[route.http.operation]]\nmethod = \"GET\"\npath = \"/item\"\n\
             scope = \"bench.read\"\neffect = \"read\"\n"
        )
    }
}

/// Waits until a gateway has heard the Authority and holds the policies in force.
pub(super) async fn wait_until_ready(gateway: SocketAddr, log: &Path) -> Result<(), Fault> {
    let ready = format!("http://{}:{}/ready", gateway.ip(), gateway.port().saturating_add(1));
    for _ in 0..600 {
        if reqwest::get(&ready).await.is_ok_and(|reply| reply.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let log = std::fs::read_to_string(log).unwrap_or_default();
    Err(Fault::local(format!("the gateway did not become ready:\n{log}")))
}

/// A gateway's nonce, from its challenge.
pub(super) async fn nonce(gateway: &str) -> Result<String, Fault> {
    let url = format!("http://{gateway}{PATH}");
    let reply = reqwest::get(&url).await.map_err(|error| Fault::remote(error.to_string()))?;
    let nonce = reply.headers().get("dpop-nonce").and_then(|nonce| nonce.to_str().ok());
    nonce.map(str::to_owned).ok_or_else(|| Fault::remote("the gateway gave no nonce"))
}

/// A holder with its token.
pub(super) struct Holder {
    possession: Possession,
    token: String,
}

/// How a holder shows that the token is its own.
enum Possession {
    /// By a proof of this key with every call.
    Key(HolderKey),
    /// By the certificate of the connection.
    Certificate,
}

impl Holder {
    /// One call, ready to be written; `more` is header lines.
    pub(super) fn request(&self, address: &str, nonce: &str, more: &str) -> Result<Vec<u8>, Fault> {
        let token = &self.token;
        let shown = match &self.possession {
            Possession::Certificate => format!("Authorization: Bearer {token}\r\n"),
            Possession::Key(key) => {
                let asked = ProofRequest {
                    method: "GET",
                    url: &format!("http://{address}{PATH}"),
                    access_token: Some(token),
                    nonce: Some(nonce),
                };
                let proof =
                    key.sign_proof(&asked).map_err(|error| Fault::local(error.to_string()))?;
                format!("Authorization: DPoP {token}\r\nDPoP: {proof}\r\n")
            }
        };
        Ok(format!("GET {PATH} HTTP/1.1\r\nHost: {address}\r\n{shown}{more}\r\n").into_bytes())
    }

    pub(super) fn needs_nonce(&self) -> bool {
        matches!(self.possession, Possession::Key(_))
    }
}

/// A chain: its task, and its tokens from the root to the leaf.
pub(super) struct Line {
    pub(super) task: TaskId,
    /// The id of each token, from the root on.
    pub(super) tokens: Vec<TokenId>,
    /// Who holds the leaf.
    pub(super) leaf: Holder,
}

/// How long identities of the development server are used before new ones are asked for.
const IDENTITIES_LAST: Duration = Duration::from_secs(120);

/// Opens tasks and hands them on. Every agent uses the same key.
pub(super) struct Opener<'a> {
    server: &'a Server,
    audience: &'a str,
    keys: IssuerKeys,
    /// The subject's token, the identities of the agents, and since when they are held.
    held: Option<(String, Vec<String>, Instant)>,
}

impl<'a> Opener<'a> {
    pub(super) async fn new(server: &'a Server, audience: &'a str) -> Result<Self, Fault> {
        let keys = issuer_keys(&server.metadata.issuer, &server.client.jwks().await?)?;
        Ok(Self { server, audience, keys, held: None })
    }

    /// A new task, handed on until a token has `depth` hops.
    pub(super) async fn open(&mut self, algorithm: Algorithm, depth: u8) -> Result<Line, Fault> {
        let key = HolderKey::ephemeral(algorithm)?;
        let (subject, actors) = self.identities().await?;
        let detail = json!([{ "type": DETAIL_TYPE_TASK, "workflow": WORKFLOW, "parameters": {} }]);
        let request = TokenRequest {
            grant_type: GRANT_TYPE_TOKEN_EXCHANGE.to_owned(),
            subject_token: Some(subject),
            subject_token_type: Some(TOKEN_TYPE_ID_TOKEN.to_owned()),
            actor_token: actors.first().cloned(),
            actor_token_type: Some(TOKEN_TYPE_JWT.to_owned()),
            audience: Some(self.audience.to_owned()),
            authorization_details: Some(detail.to_string()),
            ..TokenRequest::default()
        };
        let client = &self.server.client;
        let mut token = client.exchange_token(&request, &key, None).await?.access_token;
        let mut parent = self.verified(&token)?;
        let mut tokens = vec![parent.claims().jti];
        for (hop, actor) in (1..=depth).zip(actors.into_iter().skip(1)) {
            let request = TokenRequest {
                grant_type: GRANT_TYPE_TOKEN_EXCHANGE.to_owned(),
                subject_token: Some(of_all(&parent, &key, &agent(hop), parent.claims().exp)?),
                subject_token_type: Some(TOKEN_TYPE_GRANT.to_owned()),
                actor_token: Some(actor),
                actor_token_type: Some(TOKEN_TYPE_JWT.to_owned()),
                ..TokenRequest::default()
            };
            token = client.exchange_token(&request, &key, None).await?.access_token;
            parent = self.verified(&token)?;
            tokens.push(parent.claims().jti);
        }
        Ok(Line {
            task: parent.claims().txn,
            tokens,
            leaf: Holder { possession: Possession::Key(key), token },
        })
    }

    /// The same leaf, bound to a certificate. The Authority of a bench has no TLS, so that nobody can
    /// show it one: its own key, from its data directory, signs the same claims with another `cnf`.
    pub(super) fn bound_to(
        &self,
        leaf: &Holder,
        certificate: Sha256Hash,
        authority: &Path,
    ) -> Result<Holder, Fault> {
        let fault =
            |error: String| Fault::local(format!("a token bound to a certificate: {error}"));
        let signed = self.verified(&leaf.token)?;
        let mut claims = signed.claims().clone();
        claims.cnf = HolderBinding::X5tS256(certificate);
        let kid = key_id(&leaf.token).ok_or_else(|| fault("the leaf names no key".to_owned()))?;
        let path = authority.join("keys").join(format!("token-{kid}.pk8"));
        let key = private_files::read(&path)
            .map_err(|error| fault(error.to_string()))?
            .ok_or_else(|| fault(format!("there is no {}", path.display())))?;
        let key = SigningKey::from_pkcs8(&key).map_err(|error| fault(error.to_string()))?;
        let unsigned = UnsignedToken::settled(&claims, &kid, key.algorithm())
            .map_err(|error| fault(error.to_string()))?;
        let signature =
            key.sign(unsigned.signing_input()).map_err(|error| fault(error.to_string()))?;
        let token = unsigned.attach(&signature).compact;
        self.verified(&token)?;
        Ok(Holder { possession: Possession::Certificate, token })
    }

    async fn identities(&mut self) -> Result<(String, Vec<String>), Fault> {
        if let Some((subject, actors, since)) = &self.held
            && since.elapsed() < IDENTITIES_LAST
        {
            return Ok((subject.clone(), actors.clone()));
        }
        let since = clock::stopwatch();
        let subject = dev_subject(self.server, "bench@dev.example", Vec::new()).await?;
        let mut actors = Vec::new();
        for depth in 0..AGENTS {
            let ask = DevSvidRequest { spiffe_id: agent(depth), audience: None };
            actors.push(self.server.client.dev_svid(&ask).await?.token);
        }
        self.held = Some((subject.clone(), actors.clone(), since));
        Ok((subject, actors))
    }

    fn verified(&self, token: &str) -> Result<VerifiedChain, Fault> {
        UnverifiedToken::parse(token)
            .and_then(|token| {
                verify_leaf(&token, &self.keys, &VerifyOptions::default(), clock::now())
            })
            .map_err(|error| Fault::remote(format!("the server's own token: {error}")))
    }
}

/// The id of the key that signed a token.
fn key_id(token: &str) -> Option<String> {
    let (header, _) = token.split_once('.')?;
    let header: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    header.get("kid")?.as_str().map(str::to_owned)
}

fn registry(audience: &str) -> ApplyRequest {
    let owner = |id: &str| json!({ "id": id, "name": "Bench", "contact": "bench@dev.example", "status": "active" });
    let row = |id: &str, role: &str| {
        json!({
            "id": id, "name": "Bench", "owner": "team:bench", "env": "dev", "tenant": "bench",
            "status": "active", "clearance": "internal", "roles": [role],
        })
    };
    let edges: Vec<_> =
        (1..AGENTS).map(|depth| json!({ "from": agent(depth - 1), "to": agent(depth) })).collect();
    let workflow = json!({
        "id": WORKFLOW, "title": "Bench", "purpose": "measure calls", "owner": "team:bench",
        "reviewer": "user:bench-reviewer@dev.example", "reviewed": "2026-11-01",
        "entry": [agent(0)], "edges": edges, "audiences": [audience], "tenant": "bench",
        "env": "dev", "sensitivity": "internal", "max_depth": AGENTS - 1, "max_fanout": 100,
        "hops_per_minute_max": 1000, "deadline_seconds": 3600, "ttl_seconds_max": 900,
        "parameters": { "type": "object", "properties": {}, "additionalProperties": false },
        "authority": { "scopes": ["bench.read"], "constraints": [{ "key": "rows", "max": 100 }] },
    });
    let mut agents: Vec<_> = (0..AGENTS).map(|depth| row(&agent(depth), "agent")).collect();
    agents.push(row(GATEWAY, "enforcement-point"));
    ApplyRequest {
        owner: vec![owner("team:bench"), owner("user:bench-reviewer@dev.example")],
        agent: agents,
        workflow: vec![workflow],
    }
}
