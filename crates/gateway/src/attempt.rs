//! One request on its way through the gateway, and the one place where its refusal is recorded.

use bailiwick_api::ProblemCode;
use bailiwick_core::ids::{AgentId, DecisionId, TaskId, TokenId};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use bailiwick_core::{Sha256Hash, VerifiedChain};
use bailiwick_ledger::{Receipt, Record, record};
use bailiwick_policy::{Denial, Inputs, Refusal};
use serde_json::{Map, Value};

use crate::gateway::Gateway;
use crate::receipt::{DecisionReceipt, Enforced};
use crate::spool::LocalEffect;
use crate::stop::Stop;

/// Characters of one noted text.
const NOTE_CHARS_MAX: usize = 256;

/// What is known so far about a request that is being decided.
pub(crate) struct Attempt {
    /// The decision it will have.
    pub(crate) id: DecisionId,
    /// When it began.
    pub(crate) now: UnixMillis,
    /// The task, once verified.
    pub(crate) task: Option<TaskId>,
    /// The token, once verified.
    pub(crate) jti: Option<TokenId>,
    /// The agent, once it has proven its key.
    pub(crate) agent: Option<AgentId>,
    /// The proof of possession, once verified: burnt even when the request is refused.
    pub(crate) proof: Option<(Sha256Hash, UnixMillis)>,
    /// The call is allowed and recorded: this decision is taken, and what fails after it is its
    /// outcome.
    pub(crate) allowed: bool,
    /// What else is worth keeping with a refusal.
    known: Map<String, Value>,
}

/// A refusal that is recorded, as the agent is told it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: ProblemCode,
    pub(crate) detail: String,
    pub(crate) decision: Option<DecisionId>,
    pub(crate) nonce_required: bool,
    pub(crate) extra: Box<Map<String, Value>>,
}

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Self {
        let Stop { code, detail, nonce_required, extra, .. } = stop;
        Self { code, detail, decision: None, nonce_required, extra }
    }
}

impl Attempt {
    pub(crate) fn begin(gateway: &Gateway) -> Self {
        let now = gateway.clock.now();
        Self {
            id: DecisionId::new(now, gateway.fresh()),
            now,
            task: None,
            jti: None,
            agent: None,
            proof: None,
            allowed: false,
            known: Map::new(),
        }
    }

    /// The chain is verified and its holder has proven the key.
    pub(crate) fn identified(&mut self, chain: &VerifiedChain) {
        let claims = chain.claims();
        self.task = Some(claims.txn);
        self.jti = Some(claims.jti);
        self.agent = Some(claims.client_id.clone());
    }

    /// Keeps something with a refusal. Text is cut: a caller who has not said who they are must
    /// not choose how much the spool grows.
    pub(crate) fn note(&mut self, key: &str, value: impl Into<Value>) {
        let mut value = value.into();
        if let Value::String(text) = &mut value
            && let Some((end, _)) = text.char_indices().nth(NOTE_CHARS_MAX)
        {
            text.truncate(end);
            text.push('…');
        }
        self.known.insert(key.to_owned(), value);
    }

    /// Records the refusal and says what the caller is told. Past a rate, an agent, and
    /// callers who have not said who they are, are answered `rate_limited`; those are counted.
    pub(crate) async fn refuse(self, gateway: &Gateway, stop: Stop) -> Refused {
        if stop.nonce_required {
            return stop.into();
        }
        if self.allowed {
            tracing::info!(code = stop.code.code(), decision = %self.id, detail = %stop.detail, "failed");
            return Refused { decision: Some(self.id), ..stop.into() };
        }
        let ProblemCode::Outcome(outcome) = stop.code else {
            gateway.metrics.decided(stop.code.code());
            tracing::info!(code = stop.code.code(), detail = %stop.detail, "request refused");
            return stop.into();
        };
        let (agent, task) = (self.agent.as_ref(), self.task);
        if !gateway.refusals.admits(agent, task, outcome, self.now) {
            gateway.metrics.decided("unlogged");
            let detail = "too many refused requests; wait a second";
            return Stop::new(ProblemCode::RateLimited, detail).into();
        }
        let Stop { detail, denial, extra, .. } = stop;
        let denial = match denial {
            Some(denial) => *denial,
            None => self.denial(gateway, outcome, detail),
        };
        let detail = denial.decision().reason.clone().unwrap_or_default();
        tracing::info!(
            code = outcome.code(), decision = %self.id, agent = ?self.agent, task = ?self.task,
            %detail, "refused"
        );
        gateway.metrics.decided(outcome.code());
        let id = self.id;
        let effect = LocalEffect { proof: self.proof, draws: Vec::new() };
        let refused = RefusedAttempt { attempt: self, denial };
        let recorded = match record(&gateway.spool, refused, effect).await {
            // The proof was burnt by a concurrent request: the refusal itself still counts.
            Err(error) if error.error.is_replay() => {
                record(&gateway.spool, error.item, LocalEffect::default()).await
            }
            other => other,
        };
        match recorded {
            Ok(_) => Refused {
                code: outcome.into(),
                detail,
                decision: Some(id),
                nonce_required: false,
                extra,
            },
            Err(error) => Stop::from(error.error).into(),
        }
    }

    fn denial(&self, gateway: &Gateway, outcome: Outcome, detail: String) -> Denial<()> {
        let policy_hash =
            gateway.standing.policy().map(|set| set.hash().to_owned()).unwrap_or_default();
        let refusal = Refusal {
            outcome,
            detail,
            inputs: Inputs::Refused(Value::Object(self.known.clone())),
            policy_hash,
        };
        Denial::refuse(refusal, self.id, self.now, ())
    }
}

/// A denial with its context, on its way to be recorded.
struct RefusedAttempt {
    attempt: Attempt,
    denial: Denial<()>,
}

impl Record for RefusedAttempt {
    fn receipt(&self) -> Receipt {
        let attempt = &self.attempt;
        DecisionReceipt {
            act: "invoke",
            task: attempt.task,
            jti: attempt.jti,
            agent: attempt.agent.as_ref(),
            decision: self.denial.decision(),
            enforced: &Enforced::default(),
        }
        .receipt()
    }
}
