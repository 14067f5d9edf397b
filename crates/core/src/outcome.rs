//! Outcome names: stable, never renamed; what each means and what to do about it.

use std::fmt;
use std::str::FromStr;

macro_rules! outcomes {
    ($($name:ident $code:literal $title:literal $remedy:literal;)+) => {
        /// Why something was refused. The code is stable and appears in problems, receipts and logs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Outcome {
            $(#[doc = $title] $name,)+
        }

        impl Outcome {
            /// Every outcome, in the order of the token profile.
            pub const ALL: &'static [Outcome] = &[$(Outcome::$name,)+];

            /// The stable name.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Outcome::$name => $code,)+ }
            }

            /// One sentence: what it means.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Outcome::$name => $title,)+ }
            }

            /// One sentence: what to do about it.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Outcome::$name => $remedy,)+ }
            }
        }
    };
}

outcomes! {
    Malformed "malformed" "The input does not have the form the token profile requires."
        "Compare it with the token profile; the detail names the member that is wrong.";
    NonCanonical "non_canonical" "The decoded bytes are not exactly their RFC 8785 form."
        "Serialize header and payload with a JCS library and sign those bytes.";
    DuplicateMember "duplicate_member" "A JSON object names the same member twice."
        "Send each member once; no reader may have to choose between two values.";
    NonFinite "non_finite" "A number is not a finite IEEE 754 double."
        "Replace NaN, infinities and overflowing numbers by a finite value.";
    SignatureInvalid "signature_invalid" "A signature does not verify under the key and algorithm configured for it."
        "Sign with the key that the parent token or the issuer's key set names; refresh the key set after a rotation.";
    ParHashMismatch "par_hash_mismatch" "A token does not commit to the parent it was presented with."
        "Present the exact parent bytes the child was narrowed from, or ask for a new grant.";
    DepthInvalid "depth_invalid" "The chain is deeper than allowed, or its depths do not count up from the root."
        "Delegate from a token nearer the root, or raise the workflow's max_depth.";
    PrincipalAltered "principal_altered" "The subject changes along the chain."
        "Keep `sub` exactly as in the parent; a different subject needs its own task.";
    NotNarrower "not_narrower" "A child's authority is not a subset of its parent's."
        "Ask for no more than the parent holds; keep every constraint of the parent, equal or tighter.";
    Expired "expired" "A token or proof is past its end, or outlives its parent."
        "Renew the token before it ends; a child never lives longer than its parent or the task's deadline.";
    HolderBindingFailed "holder_binding_failed" "The caller did not prove possession of the key the token is bound to."
        "Send a proof made with the key whose thumbprint is in the token's `cnf`.";
    Revoked "revoked" "The token, one of its ancestors or its agent was revoked."
        "Do not retry; the trace shows who revoked it and why.";
    StatusUnknown "status_unknown" "The token's revocation status could not be determined."
        "Retry when the status list or revocation feed is reachable again.";
    AudienceMismatch "audience_mismatch" "The token was issued for another audience."
        "Ask for a token whose single audience is this resource.";
    ScopeNotGranted "scope_not_granted" "The action is not among the token's scopes."
        "Ask the delegator for a grant that includes this scope, if the task allows it.";
    CeilingExceeded "ceiling_exceeded" "An argument of the action is outside a constraint of the token."
        "Stay inside the constraint that the detail names, or ask for a task that allows more.";
    UnknownConstraint "unknown_constraint" "The token carries a constraint type this verifier does not know."
        "Upgrade this verifier, or issue the token without that constraint type.";
    TaskClosed "task_closed" "The task is completed, cancelled, expired or revoked."
        "Start a new task; nothing revives a closed one.";
    TaskMismatch "task_mismatch" "Tokens of different tasks were combined."
        "Present a chain whose tokens all carry the same `txn`.";
    TenantMismatch "tenant_mismatch" "The tenant differs from the chain's tenant."
        "Use an agent and a resource of the task's tenant.";
    AgentUnregistered "agent_unregistered" "The agent is not registered, or its owner is not live."
        "Register the agent with a live owner: `bailiwick apply -f`.";
    AgentQuarantined "agent_quarantined" "The agent is quarantined."
        "Ask the agent's owner; `bailiwick agent show` says since when and why.";
    EdgeForbidden "edge_forbidden" "The workflow does not allow this agent to delegate to that one, or this scope along that edge."
        "Add the edge to the workflow, or delegate to an agent it names.";
    ChainCycle "chain_cycle" "The delegatee already acts in this chain."
        "Return the result to that agent instead of delegating back to it.";
    FanoutExceeded "fanout_exceeded" "The task has as many children or as high a rate of hops as it may."
        "Wait, reuse an existing child, or raise the workflow's fan-out or rate.";
    BudgetExhausted "budget_exhausted" "A cumulative budget of the token or of an ancestor is used up."
        "Finish the task, or start one with a larger budget.";
    ProofReplayed "proof_replayed" "A one-time proof was used before."
        "Make a fresh proof with a new `jti` for every request.";
    OfflineHopForbidden "offline_hop_forbidden" "An unsettled grant was presented where only settled tokens are accepted."
        "Settle the grant at the Authority and present the hop token it returns.";
    ProvenanceMissing "provenance_missing" "The chain's provenance is incomplete or does not agree with itself."
        "Present the whole chain, root first, exactly as issued.";
    PolicyDenied "policy_denied" "Policy does not permit this."
        "`bailiwick policy explain` shows which policies decided and which conditions failed.";
    ApprovalRequired "approval_required" "Policy permits this only with an approval that is not present."
        "Ask the named approver to approve this exact action.";
    ApprovalInvalid "approval_invalid" "The approval does not fit: other action, other approver, used or expired."
        "Ask for an approval of exactly this action.";
    IssuerUntrusted "issuer_untrusted" "The issuer is not one this verifier pins."
        "Add the issuer and its keys to the configuration if it should be trusted.";
    PolicyUnavailable "policy_unavailable" "No valid policy set is loaded."
        "Load one: `bailiwick policy check` shows what is wrong; until then everything is refused.";
    LedgerUnavailable "ledger_unavailable" "The decision could not be recorded durably, so nothing was released."
        "Free space or restore the store; nothing was issued and nothing was lost.";
    ToolUnapproved "tool_unapproved" "The tool's descriptor is new, changed, or looks like another tool's, and nobody approved it."
        "Have an operator compare it and approve it at the gateway.";
    RevocationStale "revocation_stale" "The revocation feed is older than its staleness bound."
        "Restore the connection to the Authority; until then everything is refused.";
    ClockSkew "clock_skew" "A time lies further in the future than clocks may differ."
        "Synchronize the clock of the machine that made the token or proof.";
    WorkflowUnregistered "workflow_unregistered" "The workflow is not registered, or its owner is not live."
        "Register the workflow with a live owner: `bailiwick apply -f`.";
    ApprovalRefused "approval_refused" "An approver has refused exactly this action."
        "Do not ask for it again; do something else, or ask the approver why.";
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A text that is no outcome's code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no outcome has this code")]
pub struct UnknownOutcome;

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(code: &str) -> Result<Self, UnknownOutcome> {
        Self::ALL.iter().copied().find(|o| o.code() == code).ok_or(UnknownOutcome)
    }
}

impl serde::Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> serde::Deserialize<'de> for Outcome {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::text::from_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_round_trip() {
        let mut seen = std::collections::BTreeSet::new();
        for outcome in Outcome::ALL {
            assert!(seen.insert(outcome.code()), "{}", outcome.code());
            assert_eq!(outcome.code().parse::<Outcome>(), Ok(*outcome));
            assert!(outcome.title().ends_with('.') && outcome.remedy().ends_with('.'));
        }
        assert_eq!(Outcome::ALL.len(), 40);
        assert!("no_such".parse::<Outcome>().is_err());
    }
}
