//! The end of the spine: a `Permit` becomes a recorded one, and only that releases its effect.
//!
//! ```text
//! VerifiedChain --decide--> Permit --(Issuance | Allowed)--> record --> Recorded --> sign | answer
//! ```

use bailiwick_core::VerifyError;
use bailiwick_core::crypto::KeyError;
use bailiwick_core::hash::Sha256Hash;
use bailiwick_core::ids::{AgentId, ApprovalId, DecisionId, SubjectId, TaskId, TokenId};
use bailiwick_core::jcs;
use bailiwick_core::token::{HopClaims, SignedToken, UnsignedToken};
use bailiwick_ledger::{LeafIndex, Receipt, ReceiptKind, Record, Recorded};
use bailiwick_policy::{Decision, Permit};
use serde::Serialize;
use serde_json::Value;

use crate::keys::TokenSigner;
use crate::model::NodeDebit;

/// What the receipt of a decision says: its members in canonical order.
#[derive(Serialize)]
pub(crate) struct DecisionReceipt<'a> {
    act: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a AgentId>,
    /// The approval that it used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalId>,
    /// What it drew on budgets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    debits: Vec<DebitFacts<'a>>,
    decision: &'a Decision,
    /// The token that the decision released.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<IssuedFacts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskId>,
    v: u8,
}

/// Enough to recognise an issued token and to check a child's `par_hash`.
#[derive(Serialize)]
struct IssuedFacts<'a> {
    agent: &'a AgentId,
    audience: &'a str,
    depth: u8,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<Sha256Hash>,
    iat: i64,
    jti: TokenId,
    lineage: &'a [TokenId],
    signing_hash: Sha256Hash,
    subject: &'a SubjectId,
}

/// One draw on one budget.
#[derive(Serialize)]
struct DebitFacts<'a> {
    amount_micros: i64,
    key: &'a str,
    kind: &'a str,
    node: TokenId,
}

impl<'a> DecisionReceipt<'a> {
    /// A decision alone.
    pub(crate) fn new(act: &'a str, decision: &'a Decision) -> Self {
        Self {
            act,
            agent: None,
            approval: None,
            debits: Vec::new(),
            decision,
            issued: None,
            jti: None,
            task: None,
            v: 1,
        }
    }

    /// What it was about, as far as that is known: task, the token that was used, agent.
    pub(crate) fn about(
        self,
        task: Option<TaskId>,
        jti: Option<TokenId>,
        agent: Option<&'a AgentId>,
    ) -> Self {
        Self { task, jti, agent, ..self }
    }

    /// Builds the receipt. It can be looked up by decision and task.
    pub(crate) fn receipt(&self, kind: ReceiptKind) -> Receipt {
        let mut subject_ids = vec![self.decision.id.to_string()];
        subject_ids.extend(self.task.map(|task| task.to_string()));
        subject_ids.extend(self.approval.map(|approval| approval.to_string()));
        Receipt { kind, time_ms: self.decision.time.0, subject_ids, payload: canonical(self) }
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
fn canonical<T: Serialize>(payload: &T) -> Vec<u8> {
    jcs::canonicalize(payload).unwrap_or_else(|error| {
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
        let issued = IssuedFacts {
            agent: &claims.client_id,
            audience: &claims.aud,
            depth: claims.del_depth,
            exp: claims.exp,
            grant: claims.hop.grant,
            iat: claims.iat,
            jti: claims.jti,
            lineage: &claims.hop.lineage,
            signing_hash: self.signing_hash(),
            subject: &claims.sub,
        };
        let receipt = DecisionReceipt {
            issued: Some(issued),
            ..DecisionReceipt::new(self.act, &self.decision)
        };
        let receipt = receipt.about(Some(claims.txn), self.parent, Some(&claims.client_id));
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
pub(crate) fn sign(
    recorded: Recorded<Box<Issuance>>,
    signer: &TokenSigner,
) -> Result<Issued, KeyError> {
    let index = recorded.index();
    let Issuance { decision, claims, unsigned, .. } = *recorded.into_inner();
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
        let debits = self.debits.iter().map(|draw| DebitFacts {
            amount_micros: draw.debit.amount.0,
            key: &draw.debit.key,
            kind: draw.debit.kind.as_str(),
            node: draw.node,
        });
        let receipt = DecisionReceipt {
            debits: debits.collect(),
            approval: self.approval,
            ..DecisionReceipt::new("invoke", self.permit.decision())
        };
        let receipt = receipt.about(Some(self.task), Some(self.jti), Some(&self.agent));
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
