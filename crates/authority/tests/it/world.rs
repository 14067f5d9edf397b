//! A running Authority with a small registry, and the agents that talk to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bailiwick_authority::config::{Config, DpopNonce};
use bailiwick_authority::serve::Server;
use bailiwick_core::crypto::{Algorithm, SigningKey, fill_random, sha256};
use bailiwick_core::grant::{GrantClaims, GrantFacts};
use bailiwick_core::token::HolderBinding;
use bailiwick_core::{HeldAuthority, TokenId, UnixMillis, UnsignedToken, VerifiedChain};
use bailiwick_identity::testing::sign;
use reqwest::{Client, Response};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

pub const QUICKSTART: &str = include_str!("../../../../examples/registry/quickstart.toml");
pub const AUDIENCE: &str = "https://tools.dev.example";
pub const TOOL: &str = "https://tools.dev.example/call";
pub const IBAN: &str = "GB29NWBK60161331926819";
pub const BILL: &str = "/bills/december.txt";

static SERIAL: AtomicU64 = AtomicU64::new(0);

pub fn now() -> UnixMillis {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis(u64::try_from(elapsed.as_millis()).unwrap())
}

/// A running Authority; stops when dropped or told to.
pub struct World {
    pub url: String,
    pub management: String,
    pub http: Client,
    pub data: Option<TempDir>,
    pub vkey: String,
    stop: Option<oneshot::Sender<()>>,
    done: Option<tokio::task::JoinHandle<()>>,
}

impl World {
    /// An Authority with the quickstart registry, in a fresh directory.
    pub async fn start() -> Self {
        let world = Self::start_in(tempfile::tempdir().unwrap(), |_| {}).await;
        world.apply(QUICKSTART).await;
        world
    }

    pub async fn start_in(data: TempDir, adjust: impl FnOnce(&mut Config)) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut config =
            Config::dev(&data.path().join("authority"), "127.0.0.1:0".parse().unwrap());
        config.dpop.nonce = DpopNonce::Off;
        adjust(&mut config);
        let server = Server::start(config).await.unwrap();
        let url = format!("http://{}", server.address().unwrap());
        let management = format!("http://{}", server.management_address().unwrap());
        let vkey = server.ledger_key();
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(async move {
            server
                .run(async {
                    let _ = stopped.await;
                })
                .await
                .unwrap();
        });
        Self {
            url,
            management,
            http: Client::builder().no_proxy().build().unwrap(),
            data: Some(data),
            vkey,
            stop: Some(stop),
            done: Some(done),
        }
    }

    /// Stops the server and gives back its directory.
    pub async fn stop(mut self) -> TempDir {
        let _ = self.stop.take().unwrap().send(());
        self.done.take().unwrap().await.unwrap();
        self.data.take().unwrap()
    }

    pub async fn apply(&self, toml: &str) -> Value {
        let table: toml::Table = toml.parse().unwrap();
        let body = serde_json::to_value(table).unwrap();
        let response = self.post_as_operator("/v1/registry/apply", &body).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert!(status.is_success(), "apply: {answer}");
        answer
    }

    pub async fn subject(&self, name: &str, groups: &[&str]) -> String {
        let body = json!({"subject": name, "groups": groups});
        let answer: Value = self
            .http
            .post(format!("{}/dev/subject-token", self.url))
            .json(&body)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    pub async fn svid(&self, id: &str) -> String {
        let answer: Value = self
            .http
            .post(format!("{}/dev/svid", self.url))
            .json(&json!({"spiffe_id": id}))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    pub async fn operator(&self) -> String {
        self.subject("operator@dev.example", &["operators"]).await
    }

    pub async fn post_as_operator(&self, path: &str, body: &Value) -> Response {
        let token = self.operator().await;
        self.http
            .post(format!("{}{path}", self.url))
            .bearer_auth(token)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    pub async fn get_as_operator(&self, path: &str) -> Response {
        let token = self.operator().await;
        self.http.get(format!("{}{path}", self.url)).bearer_auth(token).send().await.unwrap()
    }

    pub async fn exchange(&self, proof: Option<&str>, form: &[(&str, &str)]) -> (u16, Value) {
        let mut request = self.http.post(format!("{}/oauth/token", self.url)).form(form);
        if let Some(proof) = proof {
            request = request.header("DPoP", proof);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// A task of Alice's for the orchestrator.
    pub async fn open(&self, agent: &Agent) -> Held {
        let (status, answer) = self.try_open(agent, &default_task()).await;
        assert_eq!(status, 200, "{answer}");
        Held::from(answer)
    }

    pub async fn try_open(&self, agent: &Agent, detail: &Value) -> (u16, Value) {
        self.open_form(agent, detail, None).await
    }

    pub async fn try_open_with(&self, agent: &Agent, detail: &Value, scope: &str) -> (u16, Value) {
        self.open_form(agent, detail, Some(scope)).await
    }

    async fn open_form(&self, agent: &Agent, detail: &Value, scope: Option<&str>) -> (u16, Value) {
        let subject = self.subject("alice@dev.example", &["finance"]).await;
        let details = json!([detail]).to_string();
        let svid = self.svid(agent.id).await;
        let url = format!("{}/oauth/token", self.url);
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", subject.as_str()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ("actor_token", svid.as_str()),
            ("actor_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("audience", AUDIENCE),
            ("authorization_details", details.as_str()),
        ];
        form.extend(scope.map(|scope| ("scope", scope)));
        self.exchange(Some(&agent.proof("POST", &url, None)), &form).await
    }

    pub async fn settle(&self, delegatee: &Agent, grant: &str) -> (u16, Value) {
        let svid = self.svid(delegatee.id).await;
        let url = format!("{}/oauth/token", self.url);
        self.settle_with(grant, &svid, Some(&delegatee.proof("POST", &url, None))).await
    }

    pub async fn settle_with(&self, grant: &str, svid: &str, proof: Option<&str>) -> (u16, Value) {
        self.exchange(
            proof,
            &[
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", grant),
                ("subject_token_type", "urn:bailiwick:token-type:grant"),
                ("actor_token", svid),
            ],
        )
        .await
    }

    /// A hop that settles.
    pub async fn hop(&self, from: &Agent, held: &Held, to: &Agent, detail: &Value) -> Held {
        let grant = from.grant(held, to, detail, |_| {});
        let (status, answer) = self.settle(to, &grant).await;
        assert_eq!(status, 200, "{answer}");
        Held::from(answer)
    }

    pub async fn renew(&self, agent: &Agent, held: &Held) -> (u16, Value) {
        let url = format!("{}/oauth/token", self.url);
        self.exchange(
            Some(&agent.proof("POST", &url, Some(&held.token))),
            &[
                ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                ("subject_token", &held.token),
                ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ],
        )
        .await
    }

    /// What the tool gateway is told about a call.
    pub async fn evaluate(&self, agent: &Agent, held: &Held, scope: &str, args: Value) -> Value {
        let body = evaluation(agent, held, scope, args);
        let response = self.evaluate_body(&body).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{answer}");
        answer
    }

    pub async fn evaluate_body(&self, body: &Value) -> Response {
        let svid = self.svid("spiffe://dev.bailiwick.example/gateway/tools").await;
        self.http
            .post(format!("{}/access/v1/evaluation", self.url))
            .bearer_auth(svid)
            .json(body)
            .send()
            .await
            .unwrap()
    }
}

pub fn default_task() -> Value {
    json!({
        "type": "bailiwick_task", "workflow": "banking.pay-bill",
        "parameters": {"file": BILL, "payee": IBAN, "limit": 100},
    })
}

pub fn evaluation(agent: &Agent, held: &Held, scope: &str, args: Value) -> Value {
    json!({
        "subject": {"type": "agent", "id": agent.id, "properties": {
            "token": held.token,
            "proof": {
                "dpop": agent.proof("POST", TOOL, Some(&held.token)), "htm": "POST", "htu": TOOL,
            },
        }},
        "action": {"name": scope},
        "resource": {"type": "system", "id": "bank", "properties": {"sensitivity": "confidential"}},
        "context": {"arguments": args},
    })
}

/// A token that was issued.
#[derive(Clone, Debug)]
pub struct Held {
    pub token: String,
    pub answer: Value,
}

impl From<Value> for Held {
    fn from(answer: Value) -> Self {
        Self { token: answer["access_token"].as_str().unwrap().to_owned(), answer }
    }
}

impl Held {
    /// Its claims, as its holder reads them. Test code may skip the signature: the server made it.
    pub fn chain(&self) -> VerifiedChain {
        let (input, _) = self.token.rsplit_once('.').unwrap();
        VerifiedChain::from_issuer_record(input.as_bytes()).unwrap()
    }

    pub fn jti(&self) -> String {
        self.answer["jti"].as_str().unwrap().to_owned()
    }

    pub fn task(&self) -> String {
        self.answer["task_id"].as_str().unwrap().to_owned()
    }
}

/// An agent with its own key.
pub struct Agent {
    pub id: &'static str,
    pub key: SigningKey,
}

impl Agent {
    pub fn new(id: &'static str) -> Self {
        Self { id, key: SigningKey::generate(Algorithm::EdDsa).unwrap() }
    }

    pub fn orchestrator() -> Self {
        Self::new("spiffe://dev.bailiwick.example/agent/orchestrator")
    }

    pub fn payer() -> Self {
        Self::new("spiffe://dev.bailiwick.example/agent/payer")
    }

    pub fn reader() -> Self {
        Self::new("spiffe://dev.bailiwick.example/agent/reader")
    }

    pub fn proof(&self, method: &str, url: &str, token: Option<&str>) -> String {
        self.proof_at(method, url, token, now(), &[])
    }

    pub fn proof_at(
        &self,
        method: &str,
        url: &str,
        token: Option<&str>,
        at: UnixMillis,
        extra: &[(&str, Value)],
    ) -> String {
        let header = json!({"typ": "dpop+jwt", "jwk": self.key.verifying_key().to_jwk()});
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let mut claims = Map::new();
        claims.insert("jti".into(), format!("proof-{}-{serial}", std::process::id()).into());
        claims.insert("htm".into(), method.into());
        claims.insert("htu".into(), url.into());
        claims.insert("iat".into(), at.seconds().into());
        if let Some(token) = token {
            claims.insert("ath".into(), sha256(token.as_bytes()).b64().into());
        }
        for (name, value) in extra {
            claims.insert((*name).into(), value.clone());
        }
        sign(&self.key, &header, &Value::Object(claims))
    }

    /// A grant for `to`, key-bound, of `detail`; `change` spoils it.
    pub fn grant(
        &self,
        held: &Held,
        to: &Agent,
        detail: &Value,
        change: impl FnOnce(&mut GrantClaims),
    ) -> String {
        let chain = held.chain();
        let parent = chain.claims();
        let mut random = [0; 10];
        fill_random(&mut random).unwrap();
        let mut claims = GrantClaims {
            iss: self.id.parse().unwrap(),
            sub: parent.sub.clone(),
            aud: parent.aud.clone(),
            client_id: to.id.parse().unwrap(),
            iat: now().seconds(),
            exp: parent.exp,
            jti: TokenId::new(now(), random),
            cnf: Some(HolderBinding::Jkt(to.key.verifying_key().thumbprint())),
            authority: Arc::new(HeldAuthority::from_detail(detail).unwrap()),
            del_depth: parent.del_depth + 1,
            del_max_depth: parent.del_max_depth,
            par_hash: chain.signing_hash(),
            txn: parent.txn,
            hop: GrantFacts {
                purpose: parent.hop.purpose.clone(),
                workflow: parent.hop.workflow.clone(),
                tenant: parent.hop.tenant.clone(),
                env: parent.hop.env.clone(),
            },
        };
        change(&mut claims);
        self.sign_grant(&claims)
    }

    pub fn sign_grant(&self, claims: &GrantClaims) -> String {
        let unsigned = UnsignedToken::grant(claims, &self.key.verifying_key()).unwrap();
        let signature = self.key.sign(unsigned.signing_input()).unwrap();
        unsigned.attach(&signature).compact
    }
}

/// What the task allows, all of it.
pub fn whole(held: &Held) -> Value {
    held.answer["authorization_details"][0].clone()
}

/// Only paying, with every bound of the task.
pub fn paying(held: &Held) -> Value {
    let mut detail = whole(held);
    detail["scopes"] = json!(["banking.send_money"]);
    detail
}

/// Only reading, with every bound of the task.
pub fn reading(held: &Held) -> Value {
    let mut detail = whole(held);
    detail["scopes"] = json!(["files.read"]);
    detail
}
