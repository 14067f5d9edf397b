//! A small Authority and its agents, for tests, benches and the vector generator.
#![allow(dead_code, reason = "each user of the fixture needs another part of it")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use bailiwick_core::{
    ActChain, Actor, AgentId, Algorithm, DecisionId, GrantClaims, GrantFacts, HeldAuthority,
    HolderBinding, HopClaims, HopFacts, IssuerKeys, Sha256Hash, SignedToken, SigningKey, StatusRef,
    TaskId, TokenId, UnixMillis, UnsignedToken, UnverifiedChain, UnverifiedToken, VerifiedChain,
    VerifyError, VerifyOptions, jcs, verify_chain, verify_leaf,
};

pub const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
pub const ISSUER: &str = "https://authority.a.example";
pub const KID: &str = "k1";
pub const AUDIENCE: &str = "https://crm.a.example";
pub const SUBJECT: &str = "user:alice@a.example";
pub const AGENTS: usize = 12;

/// An Authority's key and one holder key for each of [`AGENTS`] agents.
pub struct World {
    pub issuer: SigningKey,
    pub holders: Vec<SigningKey>,
}

/// A settled token and its claims.
#[derive(Clone)]
pub struct Settled {
    pub claims: HopClaims,
    pub token: SignedToken,
}

pub fn agent(index: usize) -> AgentId {
    format!("spiffe://a.example/agent/a{index}").parse().unwrap()
}

pub fn jti(number: u8) -> TokenId {
    TokenId::new(NOW, [number; 10])
}

pub fn authority(scopes: &str, constraints: Value) -> HeldAuthority {
    let scopes: Vec<&str> = scopes.split(' ').filter(|s| !s.is_empty()).collect();
    HeldAuthority::from_detail(
        &json!({"type": "agent_delegation", "scopes": scopes, "constraints": constraints}),
    )
    .unwrap()
}

pub fn usual_authority() -> HeldAuthority {
    authority(
        "crm.* mail.send",
        json!([
            {"key": "rows", "max": 100},
            {"key": "calls", "max_lifetime": 20},
            {"key": "spend_usd", "max_subtree": 50},
            {"key": "recipient", "one_of": ["a@a.example", "b@a.example"]},
            {"key": "sensitivity", "rank": "internal",
             "order": ["public", "internal", "confidential", "restricted"]},
        ]),
    )
}

impl World {
    pub fn new(issuer: Algorithm, holder: Algorithm) -> Self {
        Self {
            issuer: SigningKey::generate(issuer).unwrap(),
            holders: (0..AGENTS).map(|_| SigningKey::generate(holder).unwrap()).collect(),
        }
    }

    /// Keys that anyone can derive from their names, for published vectors. Never use them.
    pub fn published(issuer: Algorithm, holder: Algorithm) -> Self {
        let key = |name: String, algorithm: Algorithm| {
            SigningKey::from_pkcs8(&published_pkcs8(&name, algorithm)).unwrap()
        };
        Self {
            issuer: key("issuer".into(), issuer),
            holders: (0..AGENTS).map(|i| key(format!("holder {i}"), holder)).collect(),
        }
    }

    pub fn keys(&self) -> IssuerKeys {
        let mut keys = IssuerKeys::new();
        keys.insert(ISSUER, KID, self.issuer.verifying_key());
        keys
    }

    pub fn binding(&self, agent: usize) -> HolderBinding {
        HolderBinding::Jkt(self.holders[agent].verifying_key().thumbprint())
    }

    pub fn root_claims(&self) -> HopClaims {
        HopClaims {
            iss: ISSUER.into(),
            sub: SUBJECT.parse().unwrap(),
            aud: AUDIENCE.into(),
            client_id: agent(0),
            iat: NOW.seconds(),
            exp: NOW.seconds() + 300,
            jti: jti(0),
            cnf: self.binding(0),
            authority: usual_authority().into(),
            del_depth: 0,
            del_max_depth: 11,
            par_hash: None,
            act: ActChain(vec![Actor { iss: ISSUER.into(), sub: agent(0) }]),
            txn: TaskId::new(NOW, [9; 10]),
            status: Some(StatusRef { idx: 412, uri: format!("{ISSUER}/status-lists/1") }),
            hop: HopFacts {
                purpose: "Summarize the accounts of the quarter".into(),
                workflow: "crm.summarize".parse().unwrap(),
                tenant: "acme".parse().unwrap(),
                env: "prod".into(),
                decision: Some(DecisionId::new(NOW, [1; 10])),
                policy: Some(Sha256Hash([5; 32]).named()),
                grant: None,
                lineage: Vec::new(),
                ask: None,
            },
        }
    }

    /// The settled hop after `parent`, held by the next agent.
    pub fn child_claims(&self, parent: &Settled) -> HopClaims {
        let depth = parent.claims.del_depth + 1;
        let holder = usize::from(depth);
        let mut claims = parent.claims.clone();
        claims.client_id = agent(holder);
        claims.jti = jti(depth);
        claims.cnf = self.binding(holder);
        claims.del_depth = depth;
        claims.par_hash = Some(parent.token.signing_hash);
        claims.act = parent.claims.act.extended(Actor { iss: ISSUER.into(), sub: agent(holder) });
        claims.hop.grant = Some(Sha256Hash([7; 32]));
        claims.hop.lineage.push(parent.claims.jti);
        claims
    }

    pub fn settle(&self, claims: HopClaims) -> Settled {
        let unsigned = UnsignedToken::settled(&claims, KID, self.issuer.algorithm()).unwrap();
        let signature = self.issuer.sign(unsigned.signing_input()).unwrap();
        Settled { claims, token: unsigned.attach(&signature) }
    }

    /// Signs a payload that the typed seam would refuse to make.
    pub fn forge(&self, payload: &Value) -> String {
        self.forge_with(&self.header(), payload)
    }

    pub fn header(&self) -> Value {
        json!({"alg": self.issuer.algorithm().name(), "c14n": "JCS", "kid": KID, "typ": "at+jwt"})
    }

    pub fn forge_with(&self, header: &Value, payload: &Value) -> String {
        let bytes = |value| jcs::canonicalize_value(value).unwrap();
        sign_bytes(&self.issuer, &bytes(header), &bytes(payload))
    }

    /// DT_0 to DT_`depth`, all settled.
    pub fn settled_chain(&self, depth: usize) -> Vec<Settled> {
        let mut chain = vec![self.settle(self.root_claims())];
        for _ in 0..depth {
            let claims = self.child_claims(chain.last().unwrap());
            chain.push(self.settle(claims));
        }
        chain
    }

    /// The grant by the holder of `parent` for the next agent.
    pub fn grant_claims(&self, parent: &HopClaims, signing_hash: Sha256Hash) -> GrantClaims {
        let depth = parent.del_depth + 1;
        GrantClaims {
            iss: parent.client_id.clone(),
            sub: parent.sub.clone(),
            aud: parent.aud.clone(),
            client_id: agent(usize::from(depth)),
            iat: parent.iat,
            exp: parent.exp,
            jti: jti(100 + depth),
            cnf: Some(self.binding(usize::from(depth))),
            authority: authority(
                "crm.read",
                json!([
                    {"key": "rows", "max": 10},
                    {"key": "calls", "max_lifetime": 5},
                    {"key": "spend_usd", "max_subtree": 5},
                    {"key": "recipient", "one_of": ["a@a.example"]},
                    {"key": "sensitivity", "rank": "public",
                     "order": ["public", "internal", "confidential", "restricted"]},
                ]),
            )
            .into(),
            del_depth: depth,
            del_max_depth: parent.del_max_depth,
            par_hash: signing_hash,
            txn: parent.txn,
            hop: GrantFacts {
                purpose: "Read one account".into(),
                workflow: parent.hop.workflow.clone(),
                tenant: parent.hop.tenant.clone(),
                env: parent.hop.env.clone(),
            },
        }
    }

    /// Signs a grant with the key of agent `delegator`.
    pub fn sign_grant(&self, claims: &GrantClaims, delegator: usize) -> SignedToken {
        let key = &self.holders[delegator];
        let unsigned = UnsignedToken::grant(claims, &key.verifying_key()).unwrap();
        let signature = key.sign(unsigned.signing_input()).unwrap();
        unsigned.attach(&signature)
    }

    /// `count` grants, each by the holder of the one before, after the settled `parent`.
    pub fn offline_suffix(&self, parent: &Settled, count: usize) -> Vec<SignedToken> {
        let mut above = parent.claims.clone();
        let mut hash = parent.token.signing_hash;
        let mut suffix = Vec::new();
        for _ in 0..count {
            let claims = self.grant_claims(&above, hash);
            let token = self.sign_grant(&claims, usize::from(above.del_depth));
            hash = token.signing_hash;
            above.del_depth = claims.del_depth;
            above.client_id = claims.client_id.clone();
            suffix.push(token);
        }
        suffix
    }

    pub fn verify(&self, token: &str) -> Result<VerifiedChain, VerifyError> {
        let options = VerifyOptions { audience: Some(AUDIENCE), full_chain: false };
        verify_leaf(&UnverifiedToken::parse(token)?, &self.keys(), &options, NOW)
    }

    pub fn verify_all(&self, tokens: &[&str]) -> Result<VerifiedChain, VerifyError> {
        let options = VerifyOptions { audience: Some(AUDIENCE), full_chain: true };
        verify_chain(&presented(tokens)?, &self.keys(), &options, NOW)
    }
}

pub fn presented(tokens: &[&str]) -> Result<UnverifiedChain, VerifyError> {
    let (leaf, ancestors) = tokens.split_last().unwrap();
    UnverifiedChain::parse(&ancestors.join("~"), &UnverifiedToken::parse(leaf)?)
}

pub fn sign_bytes(key: &SigningKey, header: &[u8], payload: &[u8]) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = key.sign(input.as_bytes()).unwrap();
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// PKCS#8 of the key whose secret is SHA-256 of `bailiwick vector key: <name>`.
pub fn published_pkcs8(name: &str, algorithm: Algorithm) -> Vec<u8> {
    const P256: &[u8] = &[
        0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
        0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25,
        0x02, 0x01, 0x01, 0x04, 0x20,
    ];
    const ED25519: &[u8] = &[
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    let secret = bailiwick_core::sha256(format!("bailiwick vector key: {name}").as_bytes());
    let prefix = match algorithm {
        Algorithm::Es256 => P256,
        Algorithm::EdDsa => ED25519,
    };
    [prefix, &secret.0].concat()
}
