//! The end of the spine: a `Permit` becomes a recorded one, and only that releases its effect.
//!
//! ```text
//! VerifiedChain --decide--> Permit --(Issuance | Allowed)--> record --> Recorded --> sign | answer
//! ```

use bailiwick_core::crypto::KeyError;
use bailiwick_core::hash::Sha256Hash;
use bailiwick_core::VerifyError;
use bailiwick_core::ids::{AgentId, DecisionId, TaskId, TokenId};
use bailiwick_core::jcs;
use bailiwick_core::token::{HopClaims, SignedToken, UnsignedToken};
use bailiwick_ledger::{LeafIndex, Receipt, ReceiptKind, Record, Recorded};
use bailiwick_policy::{Decision, Permit};
use serde::Serialize;
use serde_json::Value;

use crate::keys::TokenSigner;
use crate::model::NodeDebit;

/// The payload of a decision's receipt.
#[derive(Serialize)]
pub(crate) struct DecisionReceipt<'a> {
    pub(crate) v: u8,
    pub(crate) act: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jti: Option<TokenId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<&'a AgentId>,
    #[serde(serialize_with = "decision_json")]
    pub(crate) decision: &'a Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issued: Option<IssuedReceipt<'a>>,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    pub(crate) debits: &'a [Value],
}

/// The token that a decision released: enough to recognise it and to check a child's `par_hash`.
#[derive(Serialize)]
pub(crate) struct IssuedReceipt<'a> {
    jti: TokenId,
    agent: &'a AgentId,
    subject: &'a str,
    audience: &'a str,
    depth: u8,
    iat: i64,
    exp: i64,
    signing_hash: String,
    lineage: &'a [TokenId],
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
}

fn decision_json<S: serde::Serializer>(decision: &Decision, to: S) -> Result<S::Ok, S::Error> {
    decision.to_json().serialize(to)
}

/// Builds the receipt of a decision. It can be looked up by task, decision and issued token.
pub(crate) fn decision_receipt(kind: ReceiptKind, payload: &DecisionReceipt<'_>) -> Receipt {
    let mut subject_ids = vec![payload.decision.id.to_string()];
    subject_ids.extend(payload.task.map(|task| task.to_string()));
    Receipt {
        kind,
        time_ms: payload.decision.time.0,
        subject_ids,
        payload: canonical(payload),
    }
}

/// The payload's bytes. Whatever comes from outside was checked for canonical numbers when it came
/// in; should anything else fail to serialise, the receipt says so rather than being empty.
fn canonical(payload: &impl Serialize) -> Vec<u8> {
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
        let mut receipt = decision_receipt(ReceiptKind::Issue, &DecisionReceipt {
            v: 1,
            act: self.act,
            task: Some(claims.txn),
            jti: self.parent,
            agent: Some(&claims.client_id),
            decision: &self.decision,
            issued: Some(IssuedReceipt {
                jti: claims.jti,
                agent: &claims.client_id,
                subject: claims.sub.as_ref(),
                audience: &claims.aud,
                depth: claims.del_depth,
                iat: claims.iat,
                exp: claims.exp,
                signing_hash: self.signing_hash().b64(),
                lineage: &claims.hop.lineage,
                grant: claims.hop.grant.map(|hash| hash.b64()),
            }),
            debits: &[],
        });
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
    recorded: Recorded<Issuance>,
    signer: &TokenSigner,
) -> Result<Issued, KeyError> {
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
}

impl Record for Allowed {
    fn receipt(&self) -> Receipt {
        let debits: Vec<Value> = self
            .debits
            .iter()
            .map(|draw| {
                serde_json::json!({
                    "node": draw.node, "key": draw.debit.key, "kind": draw.debit.kind.as_str(),
                    "amount_micros": draw.debit.amount.0,
                })
            })
            .collect();
        decision_receipt(ReceiptKind::Decision, &DecisionReceipt {
            v: 1,
            act: "invoke",
            task: Some(self.task),
            jti: Some(self.jti),
            agent: Some(&self.agent),
            decision: self.permit.decision(),
            issued: None,
            debits: &debits,
        })
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
