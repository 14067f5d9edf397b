//! One attempt at something that needs a decision, and the one place where its refusal is logged.
//!
//! An operation fills the attempt in as it learns who is asking and about what. When it stops, for
//! whatever reason, [`Attempt::refuse`] turns the reason into a `Denial`, records it, and only then
//! tells the caller.

use std::sync::Arc;

use bailiwick_api::ProblemCode;
use bailiwick_core::authority::HeldAuthority;
use bailiwick_core::hash::Sha256Hash;
use bailiwick_core::ids::{AgentId, DecisionId, TaskId, TokenId};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use bailiwick_ledger::{Receipt, ReceiptKind, Record, record};
use bailiwick_policy::{Denial, Inputs, Refusal};
use serde_json::{Map, Value};

use crate::authority::Authority;
use crate::fault::{Fault, Stop};
use crate::model::{Effect, ProofRow};
use crate::spine::DecisionReceipt;

/// Characters of one noted text.
const NOTE_CHARS_MAX: usize = 256;

/// What is known so far about a request that is being decided.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// `start_task`, `delegate`, `invoke`, `renew`, `reaudience`.
    pub(crate) act: &'static str,
    /// The decision it will have.
    pub(crate) id: DecisionId,
    /// When it began.
    pub(crate) now: UnixMillis,
    /// The task, once known and verified.
    pub(crate) task: Option<TaskId>,
    /// The token that is used, once verified.
    pub(crate) jti: Option<TokenId>,
    /// The authenticated agent.
    pub(crate) agent: Option<AgentId>,
    /// The proof of possession, once verified: burnt even when the request is refused.
    pub(crate) proof: Option<ProofRow>,
    /// What else is worth keeping with a refusal.
    known: Vec<(&'static str, Noted)>,
}

/// Something noted, as it was found: only a refusal has to write it out.
#[derive(Clone, Debug)]
pub(crate) enum Noted {
    Json(Value),
    Agent(AgentId),
    Authority(Arc<HeldAuthority>),
    Hash(Sha256Hash),
}

impl Attempt {
    pub(crate) fn begin(authority: &Authority, act: &'static str) -> Self {
        let now = authority.clock.now();
        Self {
            act,
            id: DecisionId::new(now, authority.fresh()),
            now,
            task: None,
            jti: None,
            agent: None,
            proof: None,
            known: Vec::new(),
        }
    }

    /// Keeps something with a refusal.
    pub(crate) fn note(&mut self, key: &'static str, noted: impl Into<Noted>) {
        self.known.push((key, noted.into()));
    }

    /// Records the refusal and says what the caller is told.
    ///
    /// A refusal of somebody who has not said who they are is recorded too, up to a rate: past it
    /// the answer is `rate_limited`, so that noise cannot fill the ledger.
    pub(crate) async fn refuse(self, authority: &Authority, stop: Stop) -> Fault {
        let of_proof = matches!(stop, Stop::Proof(..));
        let denial = match stop {
            Stop::Nonce => return Stop::Nonce.into_fault(),
            Stop::Policy(denial) => *denial,
            Stop::Code(ProblemCode::Outcome(outcome), detail) | Stop::Proof(outcome, detail) => {
                self.denial(authority, outcome, detail)
            }
            other @ Stop::Code(..) => return other.into_fault(),
        };
        let outcome = denial.outcome();
        let detail = denial.decision().reason.clone().unwrap_or_default();
        if self.agent.is_none() && !authority.noise.admits(self.now) {
            authority.metrics.decided(self.act, "unlogged");
            return Fault::new(
                ProblemCode::RateLimited,
                "too many refused requests; wait a second",
            );
        }
        let id = denial.decision().id;
        let determining = denial.decision().determining.clone();
        tracing::info!(
            act = self.act, code = outcome.code(), decision = %id, agent = ?self.agent,
            task = ?self.task, "refused"
        );
        authority.metrics.decided(self.act, outcome.code());
        let effect = self.proof.map_or(Effect::None, Effect::Proof);
        let refused = RefusedAttempt { attempt: self, denial };
        let recorded = match record(&authority.store, refused, effect).await {
            // The proof was burnt by a concurrent request: the refusal itself still counts.
            Err(error) if error.error.refused().is_some() => {
                record(&authority.store, error.item, Effect::None).await
            }
            other => other,
        };
        match recorded {
            Ok(recorded) => Fault {
                decision: Some(id),
                ledger_index: Some(recorded.index().0),
                determining,
                of_proof,
                ..Fault::new(outcome, detail)
            },
            Err(error) => Stop::from(error.error).into_fault(),
        }
    }

    fn denial(&self, authority: &Authority, outcome: Outcome, detail: String) -> Denial<()> {
        let known = self.known.iter().map(|(key, noted)| ((*key).to_owned(), noted.to_json()));
        let refusal = Refusal {
            outcome,
            detail,
            inputs: Inputs::Refused(Value::Object(known.collect())),
            policy_hash: authority.policy.current().hash().to_owned(),
        };
        Denial::refuse(refusal, self.id, self.now, ())
    }
}

impl Noted {
    /// Text is cut: a caller who has not said who they are must not choose how much the ledger grows.
    fn to_json(&self) -> Value {
        let mut value = match self {
            Self::Json(value) => value.clone(),
            Self::Agent(agent) => agent.as_str().into(),
            Self::Authority(authority) => authority.to_detail(),
            Self::Hash(hash) => hash.b64().into(),
        };
        if let Value::String(text) = &mut value
            && let Some((end, _)) = text.char_indices().nth(NOTE_CHARS_MAX)
        {
            text.truncate(end);
            text.push('…');
        }
        value
    }
}

macro_rules! noted {
    ($($variant:ident of $kind:ty,)+) => {$(
        impl From<$kind> for Noted {
            fn from(value: $kind) -> Self {
                Self::$variant(value.into())
            }
        }
    )+};
}

noted! {
    Json of String,
    Json of &str,
    Json of Map<String, Value>,
    Agent of AgentId,
    Authority of Arc<HeldAuthority>,
    Hash of Sha256Hash,
}

/// A denial with its context, on its way to be recorded.
struct RefusedAttempt {
    attempt: Attempt,
    denial: Denial<()>,
}

impl Record for RefusedAttempt {
    fn receipt(&self) -> Receipt {
        let attempt = &self.attempt;
        let receipt = DecisionReceipt::new(attempt.act, self.denial.decision());
        let receipt = receipt.about(attempt.task, attempt.jti, attempt.agent.as_ref());
        receipt.receipt(ReceiptKind::Decision)
    }
}
