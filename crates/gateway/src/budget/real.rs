//! Two gateways and a real Authority over HTTP spend one budget, while the gateways crash.

use std::sync::atomic::{AtomicI64, Ordering};

use bailiwick_authority::config::{Config as AuthorityConfig, DpopNonce};
use bailiwick_authority::serve::Server;
use bailiwick_core::crypto::{Algorithm, SigningKey, sha256};
use bailiwick_core::{Scope, TokenId};
use bailiwick_identity::testing::sign;
use bailiwick_ledger::{Journal as _, Receipt, ReceiptKind};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::config::{Config, SpoolConfig};
use crate::ship;
use crate::spool::LocalEffect;

const QUICKSTART: &str = include_str!("../../../../examples/registry/quickstart.toml");
const ORCHESTRATOR: &str = "spiffe://dev.bailiwick.example/agent/orchestrator";
const TOOL: &str = "https://tools.dev.example/call";
const IBAN: &str = "GB29NWBK60161331926819";
/// What may be spent in all.
const LIMIT: i64 = 120;

struct World {
    url: String,
    http: reqwest::Client,
    key: SigningKey,
    _data: TempDir,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl World {
    async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let data = tempfile::tempdir().unwrap();
        let at = "127.0.0.1:0".parse().unwrap();
        let mut config = AuthorityConfig::dev(&data.path().join("authority"), at);
        config.dpop.nonce = DpopNonce::Off;
        let server = Server::start(config).await.unwrap();
        let url = format!("http://{}", server.address().unwrap());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let world = Self { url, http, key, _data: data, _stop: stop };
        let other = "\n[[agent]]\nid = \"spiffe://dev.bailiwick.example/gateway/other\"\n\
                     name = \"Other\"\nowner = \"team:payments\"\nenv = \"dev\"\n\
                     tenant = \"acme\"\nroles = [\"enforcement-point\"]\n";
        let registry = QUICKSTART.replace("max_lifetime = 20", "max_lifetime = 100000") + other;
        let table: toml::Table = registry.parse().unwrap();
        let operator = json!({"subject": "operator@dev.example", "groups": ["operators"]});
        let operator = world.dev("subject-token", &operator).await;
        let request = world.http.post(format!("{}/v1/registry/apply", world.url));
        let applied = request.bearer_auth(operator).json(&table).send().await.unwrap();
        assert!(applied.status().is_success(), "{}", applied.text().await.unwrap());
        world
    }

    async fn dev(&self, what: &str, body: &Value) -> String {
        let request = self.http.post(format!("{}/dev/{what}", self.url)).json(body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    async fn svid(&self, id: &str) -> String {
        self.dev("svid", &json!({"spiffe_id": id})).await
    }

    fn proof(&self, url: &str, token: Option<&str>) -> String {
        let mut random = [0; 10];
        bailiwick_core::fill_random(&mut random).unwrap();
        let now = Clock::system(UnixMillis(0)).now();
        let header = json!({"typ": "dpop+jwt", "jwk": self.key.verifying_key().to_jwk()});
        let mut claims = json!({
            "jti": TokenId::new(now, random), "htm": "POST", "htu": url, "iat": now.seconds(),
        });
        if let Some(token) = token {
            claims["ath"] = sha256(token.as_bytes()).b64().into();
        }
        sign(&self.key, &header, &claims)
    }

    /// The root token of a task that may spend [`LIMIT`].
    async fn open(&self) -> String {
        let alice = json!({"subject": "alice@dev.example", "groups": ["finance"]});
        let subject = self.dev("subject-token", &alice).await;
        let svid = self.svid(ORCHESTRATOR).await;
        let detail = json!([{
            "type": "bailiwick_task", "workflow": "banking.pay-bill",
            "parameters": {"file": "/bills/december.txt", "payee": IBAN, "limit": LIMIT},
        }]);
        let url = format!("{}/oauth/token", self.url);
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", subject.as_str()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ("actor_token", svid.as_str()),
            ("actor_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("audience", "https://tools.dev.example"),
            ("authorization_details", &detail.to_string()),
        ];
        let request = self.http.post(&url).header("DPoP", self.proof(&url, None)).form(&form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// A call that the Authority decides itself, on behalf of a gateway.
    async fn evaluate(&self, svid: &str, token: &str) -> bool {
        let body = json!({
            "subject": {"type": "agent", "id": ORCHESTRATOR, "properties": {
                "token": token,
                "proof": {"dpop": self.proof(TOOL, Some(token)), "htm": "POST", "htu": TOOL},
            }},
            "action": {"name": "banking.send_money"},
            "resource": {"type": "system", "id": "bank",
                         "properties": {"sensitivity": "confidential"}},
            "context": {"arguments": {"recipient": IBAN, "amount": 1}},
        });
        let request = self.http.post(format!("{}/access/v1/evaluation", self.url));
        let answer = request.bearer_auth(svid).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["decision"] == true
    }

    async fn link(&self, gateway: &str) -> Arc<Link> {
        let text = format!(
            "[authority]\nissuer = \"{}\"\n[identity]\n\
             dev_agent = \"spiffe://dev.bailiwick.example/gateway/{gateway}\"\n",
            self.url
        );
        let config: Config = toml::from_str(&text).unwrap();
        let link = Link::new(&config).unwrap();
        link.renew_identity().await.unwrap();
        Arc::new(link)
    }
}

/// One run of a gateway's process, as far as budgets go.
struct Gate {
    spool: Spool,
    budgets: Budgets,
    shipping: tokio::task::JoinHandle<()>,
}

impl Gate {
    async fn open(directory: &TempDir, link: &Arc<Link>) -> Self {
        let now = Clock::system(UnixMillis(0)).now();
        let (spool, recovered) = loop {
            // The handles of the run before are dropped by their tasks in a moment.
            match Spool::open(directory.path(), &SpoolConfig::default(), now) {
                Ok(opened) => break opened,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let budgets = Budgets::new(Arc::clone(link), &recovered);
        let shipping = tokio::spawn(ship::run(Arc::clone(link), spool.clone()));
        Self { spool, budgets, shipping }
    }

    async fn call(&self, chain: &VerifiedChain) -> Result<(), Stop> {
        let scope: Scope = "banking.send_money".parse().unwrap();
        let arguments = json!({"recipient": IBAN, "amount": 1});
        let call = CallArguments::new(scope, arguments.as_object().unwrap().clone());
        let now = Clock::system(UnixMillis(0)).now();
        let reserved = self.budgets.reserve(chain, &call, now).await?;
        let receipt = Receipt {
            kind: ReceiptKind::Decision,
            time_ms: now.0,
            subject_ids: vec![chain.claims().txn.to_string()],
            payload: json!({"task": chain.claims().txn, "v": 1}).to_string().into_bytes(),
        };
        let effect = LocalEffect { proof: None, draws: reserved.draws().to_vec() };
        self.spool.append(receipt, effect).await?;
        reserved.spent();
        Ok(())
    }

    async fn crash(self) {
        self.shipping.abort();
        let _ = self.shipping.await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_and_the_authority_never_overspend_one_budget() {
    let world = Arc::new(World::start().await);
    let token = world.open().await;
    let (input, _) = token.rsplit_once('.').unwrap();
    let chain = Arc::new(VerifiedChain::from_issuer_record(input.as_bytes()).unwrap());
    let done = Arc::new(AtomicI64::new(0));
    let mut running = Vec::new();
    let mut kept = Vec::new();
    for gateway in ["tools", "other"] {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let link = world.link(gateway).await;
        kept.push((Arc::clone(&directory), Arc::clone(&link)));
        let (chain, done) = (Arc::clone(&chain), Arc::clone(&done));
        running.push(tokio::spawn(async move {
            for _ in 0..4 {
                let gate = Gate::open(&directory, &link).await;
                for _ in 0..10 {
                    if gate.call(&chain).await.is_ok() {
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                }
                gate.crash().await;
            }
        }));
    }
    let svid = world.svid("spiffe://dev.bailiwick.example/gateway/tools").await;
    for _ in 0..20 {
        if world.evaluate(&svid, &token).await {
            done.fetch_add(1, Ordering::SeqCst);
        }
    }
    for one in running {
        one.await.unwrap();
    }
    let spent = done.load(Ordering::SeqCst);
    assert!(spent > 40 && spent <= LIMIT, "{spent} of {LIMIT}");
    // What the crashed ones had not drawn goes back when they are there again, and then all of the
    // budget can be spent, by whoever asks.
    for (directory, link) in &kept {
        let gate = Gate::open(directory, link).await;
        ship::drain(&gate.spool).await;
        gate.crash().await;
    }
    let (directory, link) = &kept[0];
    let gate = Gate::open(directory, link).await;
    let announced = async {
        while gate.spool.shipped().is_none_or(|(epoch, _)| Some(epoch) != gate.spool.epoch()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), announced).await.unwrap();
    while gate.call(&chain).await.is_ok() {
        done.fetch_add(1, Ordering::SeqCst);
    }
    let refused = gate.call(&chain).await.unwrap_err();
    assert_eq!(refused.code.code(), "budget_exhausted");
    assert!(!world.evaluate(&svid, &token).await);
    assert_eq!(done.load(Ordering::SeqCst), LIMIT);
    ship::drain(&gate.spool).await;
}
