//! Records for tests and benchmarks; from a seed, so that a failure can be repeated.
//!
//! Included by path where it is needed, beside a name `model`.

use bailiwick_core::{
    AgentId, Debit, DebitKind, DecisionId, HolderBinding, Micros, ReadsSalt, RevocationId,
    Sha256Hash, TaskId, Thumbprint, TokenId, UnixMillis,
};
use bailiwick_ledger::{Receipt, ReceiptKind};

use super::model::{
    AgentRecord, NodeDebit, ProofRow, RecordStatus, TaskRecord, TaskState, TokenKind, TokenRecord,
};

/// When the tests take place.
pub(crate) const START: UnixMillis = UnixMillis(1_790_000_000_000);
/// How long a task of [`Maker::task`] lasts.
pub(crate) const TASK_SECONDS: u64 = 3_600;
/// How long a token of [`Maker`] lasts.
pub(crate) const TOKEN_SECONDS: u64 = 300;

/// Makes records.
pub(crate) struct Maker {
    state: u64,
    /// The time that everything is made at.
    pub(crate) now: UnixMillis,
    status_idx: u64,
    /// Bytes of a signing input and of a grant.
    pub(crate) token_bytes: usize,
}

impl Maker {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, now: START, status_idx: 0, token_bytes: 64 }
    }

    /// The next random number (splitmix64).
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            chunk.iter_mut().zip(self.next().to_le_bytes()).for_each(|(to, from)| *to = from);
        }
        bytes
    }

    pub(crate) fn hash(&mut self) -> Sha256Hash {
        Sha256Hash(self.bytes())
    }

    pub(crate) fn token_id(&mut self) -> TokenId {
        TokenId::new(self.now, self.bytes())
    }

    pub(crate) fn task_id(&mut self) -> TaskId {
        TaskId::new(self.now, self.bytes())
    }

    pub(crate) fn revocation_id(&mut self) -> RevocationId {
        RevocationId::new(self.now, self.bytes())
    }

    pub(crate) fn proof(&mut self) -> ProofRow {
        ProofRow { jti_hash: self.hash(), expires_ms: self.now.saturating_add_seconds(90) }
    }

    /// An open task and its root token.
    pub(crate) fn task(&mut self) -> (Box<TaskRecord>, TokenRecord) {
        let id = self.task_id();
        let token = self.token(id, agent("orchestrator"));
        let task = TaskRecord {
            id,
            subject: "user:alice@a.example".parse().unwrap(),
            subject_issuer: "https://id.a.example".to_owned(),
            subject_groups: vec!["staff".to_owned()],
            subject_attributes: serde_json::json!({"department": "billing"}),
            purpose: "pay the bill".to_owned(),
            workflow: "banking.pay-bill".parse().unwrap(),
            workflow_version: 1,
            parameters: serde_json::json!({"payee": "CH93"}),
            tenant: "acme".parse().unwrap(),
            env: "dev".to_owned(),
            ceiling: serde_json::json!({"type": "agent_delegation", "scopes": ["banking.*"]}),
            sensitivity: "internal".parse().unwrap(),
            exposure: "public".parse().unwrap(),
            reads_salt: Some(ReadsSalt::new([5; 32])),
            subject_token: Some(self.hash()),
            opened_ms: self.now,
            deadline_ms: self.now.saturating_add_seconds(TASK_SECONDS),
            state: TaskState::Open,
            closed_ms: None,
            root_jti: token.jti,
            max_depth: 4,
            max_fanout: 16,
            hop_rate_per_minute: 600,
            audiences: vec!["https://tools.a.example".to_owned()],
        };
        (Box::new(task), token)
    }

    fn token(&mut self, task: TaskId, agent: AgentId) -> TokenRecord {
        let jti = self.token_id();
        self.status_idx += 1;
        TokenRecord {
            jti,
            hop: jti,
            task,
            parent: None,
            lineage: Vec::new(),
            depth: 0,
            agent,
            audience: "https://tools.a.example".to_owned(),
            holder: HolderBinding::Jkt(Thumbprint(self.hash())),
            iat: self.now.seconds(),
            exp: self.now.saturating_add_seconds(TOKEN_SECONDS).seconds(),
            signing_hash: self.hash(),
            signing_input: vec![b'x'; self.token_bytes],
            grant_hash: None,
            decision: DecisionId::new(self.now, self.bytes()),
            status_idx: self.status_idx - 1,
            revoked_ms: None,
            kind: TokenKind::Root,
        }
    }

    /// A hop below a token.
    pub(crate) fn child(&mut self, parent: &TokenRecord, name: &str) -> TokenRecord {
        let mut lineage = parent.lineage.clone();
        lineage.push(parent.jti);
        TokenRecord {
            parent: Some(parent.jti),
            lineage,
            depth: parent.depth + 1,
            grant_hash: Some(self.hash()),
            kind: TokenKind::Hop,
            ..self.token(parent.task, agent(name))
        }
    }

    /// The same hop, later.
    pub(crate) fn renewal(&mut self, token: &TokenRecord) -> TokenRecord {
        TokenRecord {
            hop: token.hop,
            parent: token.parent,
            lineage: token.lineage.clone(),
            depth: token.depth,
            kind: TokenKind::Renewal,
            ..self.token(token.task, token.agent.clone())
        }
    }

    /// A receipt found by these ids, at the maker's time.
    pub(crate) fn receipt(&mut self, kind: ReceiptKind, ids: &[String]) -> Receipt {
        let payload = format!(r#"{{"n":{}}}"#, self.next() >> 12);
        Receipt {
            kind,
            time_ms: self.now.0,
            subject_ids: ids.to_vec(),
            payload: payload.into_bytes(),
        }
    }
}

/// An agent's id.
pub(crate) fn agent(name: &str) -> AgentId {
    format!("spiffe://a.example/agent/{name}").parse().unwrap()
}

/// An agent's record.
pub(crate) fn agent_record(name: &str, version: u32, status: RecordStatus) -> AgentRecord {
    let document = serde_json::json!({"name": name, "owner": "team:payments"});
    AgentRecord { id: agent(name), version, document, status, updated_ms: START }
}

/// A draw on a budget of a node.
pub(crate) fn draw(node: TokenId, key: &str, amount: i64, limit: i64) -> NodeDebit {
    let (amount, limit) = (Micros(amount), Micros(limit));
    NodeDebit {
        node,
        debit: Debit { key: key.to_owned(), kind: DebitKind::Subtree, amount, limit },
    }
}
