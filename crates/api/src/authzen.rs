//! "May this token do this action with these arguments now?": AuthZEN Authorization API 1.0.

use crate::approvals::ApprovalStanding;
use bailiwick_core::ids::DecisionId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The body of `POST /access/v1/evaluation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluationRequest {
    /// The agent that acts, with its hop token and proof.
    pub subject: EvaluationSubject,
    /// What it wants to do.
    pub action: EvaluationAction,
    /// On what.
    pub resource: EvaluationResource,
    /// With which arguments.
    #[serde(default)]
    pub context: EvaluationContext,
}

/// The body of `POST /access/v1/evaluations`: members given at the top are defaults of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluationsRequest {
    /// Default subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<EvaluationSubject>,
    /// Default action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<EvaluationAction>,
    /// Default resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<EvaluationResource>,
    /// Default context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<EvaluationContext>,
    /// The evaluations; each may override the defaults. At most 64.
    #[serde(default)]
    pub evaluations: Vec<PartialEvaluation>,
    /// How to go through them.
    #[serde(default)]
    pub options: EvaluationsOptions,
}

/// One of several evaluations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartialEvaluation {
    /// The subject, if not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<EvaluationSubject>,
    /// The action, if not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<EvaluationAction>,
    /// The resource, if not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<EvaluationResource>,
    /// The context, if not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<EvaluationContext>,
}

impl EvaluationsRequest {
    /// The evaluations with the defaults filled in; `Err` names the first that lacks a member.
    ///
    /// # Errors
    ///
    /// The index of the evaluation and the name of the member that neither it nor the defaults
    /// give.
    pub fn resolve(self) -> Result<Vec<EvaluationRequest>, MissingMember> {
        let Self { subject, action, resource, context, evaluations, options: _ } = self;
        let parts =
            if evaluations.is_empty() { vec![PartialEvaluation::default()] } else { evaluations };
        parts
            .into_iter()
            .enumerate()
            .map(|(index, part)| {
                let missing = |member| MissingMember { index, member };
                Ok(EvaluationRequest {
                    subject: part
                        .subject
                        .or_else(|| subject.clone())
                        .ok_or_else(|| missing("subject"))?,
                    action: part
                        .action
                        .or_else(|| action.clone())
                        .ok_or_else(|| missing("action"))?,
                    resource: part
                        .resource
                        .or_else(|| resource.clone())
                        .ok_or_else(|| missing("resource"))?,
                    context: part.context.or_else(|| context.clone()).unwrap_or_default(),
                })
            })
            .collect()
    }
}

/// An evaluation without one of its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("evaluation {index} has no {member}, and there is no default")]
pub struct MissingMember {
    /// Which evaluation, from zero.
    pub index: usize,
    /// Which member.
    pub member: &'static str,
}

/// How to go through several evaluations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluationsOptions {
    /// When to stop.
    #[serde(default)]
    pub evaluations_semantic: EvaluationsSemantic,
}

/// When to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvaluationsSemantic {
    /// Never: answer all.
    #[default]
    ExecuteAll,
    /// At the first denial.
    DenyOnFirstDeny,
    /// At the first permit.
    PermitOnFirstPermit,
}

/// The agent that acts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluationSubject {
    /// Always `agent`.
    #[serde(rename = "type")]
    pub subject_type: String,
    /// The agent's id; must be the token's `client_id`.
    pub id: String,
    /// The token and the proof of its key.
    #[serde(default)]
    pub properties: SubjectProperties,
}

/// The hop token and the proof that its holder is asking.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubjectProperties {
    /// The hop token (compact JWS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// An offline suffix or the full chain, `DT_0~DT_1~…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// The holder's proof, made for the tool's URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<HolderProof>,
}

impl std::fmt::Debug for SubjectProperties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubjectProperties")
            .field("token", &self.token.as_ref().map(|_| "redacted"))
            .field("proof", &self.proof.is_some())
            .finish_non_exhaustive()
    }
}

/// A DPoP proof as the enforcement point received it, with what it must be for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HolderProof {
    /// The proof (compact JWS).
    pub dpop: String,
    /// The HTTP method of the call at the tool.
    pub htm: String,
    /// The URL of the call at the tool.
    pub htu: String,
}

impl std::fmt::Debug for HolderProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HolderProof({} {})", self.htm, self.htu)
    }
}

/// What the agent wants to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluationAction {
    /// The scope.
    pub name: String,
    /// Kept in the record, otherwise unused.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub properties: Map<String, Value>,
}

/// On what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluationResource {
    /// The kind of resource, such as `system`.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// Its id.
    pub id: String,
    /// Facts about it that the enforcement point vouches for.
    #[serde(default)]
    pub properties: ResourceProperties,
}

/// Facts about a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceProperties {
    /// How sensitive its data is: `public`, `internal`, `confidential` or `restricted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<String>,
    /// Labels that policies can ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The system that it belongs to; its own id when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// How far the downstream honours the chain: `verifies`, `carries`, `wrapped` or `opaque`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<String>,
}

/// The call's arguments, and the audience that the enforcement point speaks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluationContext {
    /// The arguments by name.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub arguments: Map<String, Value>,
    /// Whether the call only looks: `read` or `write`. What is not declared counts as both: what it
    /// returns as read, what it does as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// The audience that the token must be for; the origin of the proof's URL when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// The answer to one evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationResponse {
    /// Whether the action may go ahead.
    pub decision: bool,
    /// Why, and where that is logged.
    pub context: EvaluationOutcome,
}

/// The answer to several evaluations, in their order; shorter than asked if it stopped early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationsResponse {
    /// One answer each.
    pub evaluations: Vec<EvaluationResponse>,
}

/// Why an evaluation went as it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationOutcome {
    /// The decision's id.
    #[schema(value_type = String)]
    pub decision_id: DecisionId,
    /// The stable reason of a denial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The policies that determined it.
    #[serde(default)]
    pub determining: Vec<String>,
    /// What the enforcement point must still do.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub obligations: Vec<Value>,
    /// The approval that the action waits for, with `approval_required` and `approval_refused`; or
    /// the one that this decision used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalStanding>,
    /// The decision's leaf; durable before this reply was sent.
    pub ledger_index: u64,
}
