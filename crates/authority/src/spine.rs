//! The end of the spine: a `Permit` becomes a recorded one, and only that releases its effect.
//!
//! ```text
//! VerifiedChain --decide--> Permit --(Issuance | Allowed)--> record --> Recorded --> sign | answer
//! ```

use bailiwick_core::VerifyError;
use bailiwick_core::crypto::KeyError;
use bailiwick_core::hash::Sha256Hash;
use bailiwick_core::ids::{AgentId, ApprovalId, DecisionId, TaskId, TokenId};
use bailiwick_core::jcs;
use bailiwick_core::token::{HopClaims, SignedToken, UnsignedToken};
use bailiwick_ledger::{LeafIndex, Receipt, ReceiptKind, Record, Recorded};
use bailiwick_policy::{Decision, Permit};
use serde_json::{Map, Value, json};

use crate::keys::TokenSigner;
use crate::model::NodeDebit;

/// What the receipt of a decision says.
pub(crate) struct DecisionReceipt<'a> {
    pub(crate) act: &'a str,
    pub(crate) task: Option<TaskId>,
    pub(crate) jti: Option<TokenId>,
    pub(crate) agent: Option<&'a AgentId>,
    pub(crate) decision: &'a Decision,
    /// The token that the decision released.
    pub(crate) issued: Option<Value>,
    /// What it drew on budgets.
    pub(crate) debits: Vec<Value>,
    /// The approval that it used up.
    pub(crate) approval: Option<ApprovalId>,
}

impl DecisionReceipt<'_> {
    /// Builds the receipt. It can be looked up by decision and task.
    pub(crate) fn receipt(self, kind: ReceiptKind) -> Receipt {
        let mut subject_ids = vec![self.decision.id.to_string()];
        subject_ids.extend(self.task.map(|task| task.to_string()));
        subject_ids.extend(self.approval.map(|approval| approval.to_string()));
        let mut payload = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                payload.insert(key.to_owned(), value);
            }
        };
        put("v", Some(1.into()));
        put("act", Some(self.act.into()));
        put("task", self.task.map(|task| task.to_string().into()));
        put("jti", self.jti.map(|jti| jti.to_string().into()));
        put("agent", self.agent.map(|agent| agent.as_str().into()));
        put("decision", Some(self.decision.to_json()));
        put("approval", self.approval.map(|approval| approval.to_string().into()));
        put("issued", self.issued);
        put("debits", (!self.debits.is_empty()).then_some(Value::Array(self.debits)));
        let payload = canonical(&Value::Object(payload));
        Receipt { kind, time_ms: self.decision.time.0, subject_ids, payload }
    }
}

/// Whether something that came from outside can stand in a receipt: numbers that every reader reads
/// alike, and nesting that leaves room for what a receipt puts around it.
pub(crate) fn is_recordable(value: &Value) -> bool {
    const LEVELS_AROUND: usize = 8;
    let wrapped = (0..LEVELS_AROUND).fold(value.clone(), |inner, _| Value::Array(vec![inner]));
    jcs::canonicalize_value(&wrapped).is_ok()
}

/// The payload's bytes. Whatever comes from outside was checked when it came in
/// ([`is_recordable`]); should anything else have no canonical form, the receipt says so rather than being empty.
fn canonical(payload: &Value) -> Vec<u8> {
    jcs::canonicalize_value(payload).unwrap_or_else(|error| {
        tracing::error!(%error, "a receipt's payload has no canonical form");
        br#"{"type":"unrecordable","v":1}"#.to_vec()
    })
}

/// A permitted token: what will be signed, and the decision that allows it.
pub(crate) struct Issuance {
    act: &'static str,
    parent: Option<TokenId>,
    decision: Decision,
    claims: HopClaims,
    unsigned: UnsignedToken,
}

impl Issuance {
    /// Prepares the token that `permit` allows: the permit's own claims, with the lifetime capped
    /// by its obligations. INVARIANT: there is no other way to make one.
    pub(crate) fn new(
        act: &'static str,
        parent: Option<TokenId>,
        permit: Permit<HopClaims>,
        signer: &TokenSigner,
    ) -> Result<Self, VerifyError> {
        let ttl = i64::try_from(permit.ttl_seconds()).unwrap_or(i64::MAX);
        let (decision, mut claims) = permit.into_parts();
        claims.exp = claims.exp.min(claims.iat.saturating_add(ttl));
        let unsigned = UnsignedToken::settled(&claims, signer.kid(), signer.algorithm())?;
        Ok(Self { act, parent, decision, claims, unsigned })
    }

    pub(crate) fn claims(&self) -> &HopClaims {
        &self.claims
    }

    pub(crate) fn decision(&self) -> &Decision {
        &self.decision
    }

    pub(crate) fn signing_hash(&self) -> Sha256Hash {
        self.unsigned.signing_hash()
    }

    pub(crate) fn signing_input(&self) -> &[u8] {
        self.unsigned.signing_input()
    }
}

impl Record for Issuance {
    fn receipt(&self) -> Receipt {
        let claims = self.claims();
        // Enough to recognise the token and to check a child's `par_hash`.
        let mut issued = json!({
            "jti": claims.jti,
            "agent": claims.client_id,
            "subject": claims.sub,
            "audience": claims.aud,
            "depth": claims.del_depth,
            "iat": claims.iat,
            "exp": claims.exp,
            "signing_hash": self.signing_hash().b64(),
            "lineage": claims.hop.lineage,
        });
        if let (Some(members), Some(grant)) = (issued.as_object_mut(), claims.hop.grant) {
            members.insert("grant".to_owned(), grant.b64().into());
        }
        let receipt = DecisionReceipt {
            act: self.act,
            task: Some(claims.txn),
            jti: self.parent,
            agent: Some(&claims.client_id),
            decision: &self.decision,
            issued: Some(issued),
            debits: Vec::new(),
            approval: None,
        };
        let mut receipt = receipt.receipt(ReceiptKind::Issue);
        receipt.subject_ids.push(claims.jti.to_string());
        receipt
    }
}

/// A token that was recorded and signed: the only form in which one leaves the Authority.
pub(crate) struct Issued {
    pub(crate) token: SignedToken,
    pub(crate) claims: HopClaims,
    pub(crate) decision: DecisionId,
    pub(crate) index: LeafIndex,
}

/// Signs a recorded issuance. INVARIANT: nothing else in this crate signs a delegation token.
pub(crate) fn sign(recorded: Recorded<Issuance>, signer: &TokenSigner) -> Result<Issued, KeyError> {
    let index = recorded.index();
    let Issuance { decision, claims, unsigned, .. } = recorded.into_inner();
    let signature = signer.sign(unsigned.signing_input())?;
    Ok(Issued { token: unsigned.attach(&signature), claims, decision: decision.id, index })
}

/// A permitted call: what the enforcement point is told once it is recorded.
pub(crate) struct Allowed {
    pub(crate) agent: AgentId,
    pub(crate) task: TaskId,
    pub(crate) jti: TokenId,
    pub(crate) permit: Permit<()>,
    pub(crate) debits: Vec<NodeDebit>,
    /// The approval that it uses up.
    pub(crate) approval: Option<ApprovalId>,
}

impl Record for Allowed {
    fn receipt(&self) -> Receipt {
        let debits = self
            .debits
            .iter()
            .map(|draw| {
                json!({
                    "node": draw.node, "key": draw.debit.key, "kind": draw.debit.kind.as_str(),
                    "amount_micros": draw.debit.amount.0,
                })
            })
            .collect();
        let receipt = DecisionReceipt {
            act: "invoke",
            task: Some(self.task),
            jti: Some(self.jti),
            agent: Some(&self.agent),
            decision: self.permit.decision(),
            issued: None,
            debits,
            approval: self.approval,
        };
        receipt.receipt(ReceiptKind::Decision)
    }
}

/// An act of an operator or of the Authority itself: its receipt and nothing else.
pub(crate) struct Event {
    pub(crate) kind: ReceiptKind,
    pub(crate) time_ms: u64,
    pub(crate) subject_ids: Vec<String>,
    pub(crate) payload: Value,
}

impl Record for Event {
    fn receipt(&self) -> Receipt {
        Receipt {
            kind: self.kind,
            time_ms: self.time_ms,
            subject_ids: self.subject_ids.clone(),
            payload: canonical(&self.payload),
        }
    }
}
