//! Calls that need a person's yes. The Authority puts the question and keeps the answer; here a call
//! is told apart from every other, an answer is used up before the call is made, and without an
//! answer nothing is made.
//!
//! An approval is used at the Authority, so that two gateways never use the same one. While the
//! Authority cannot be asked, a call that needs an approval is refused.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::{
    ApprovalCall, ApprovalStanding, ApprovalState, ApprovalTool, AskApprovalRequest, ClientError,
    NEED_ASK, UseApprovalReply, UseApprovalRequest,
};
use bailiwick_core::ids::{ApprovalId, DecisionId};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::{ActionCall, CanonicalAction, VerifiedChain};
use bailiwick_policy::Obligation;

use crate::call::Call;
use crate::link::Link;
use crate::stop::Stop;
use crate::uplink::Answer;

/// How long the Authority may take to say whether an approval stands.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A call that needs an approval, and why.
pub(crate) struct ActionFacts<'a> {
    /// Whose call.
    pub(crate) chain: &'a VerifiedChain,
    /// What is called, with the arguments that will be forwarded.
    pub(crate) call: &'a Call,
    /// What the policies that permit it ask in return.
    pub(crate) obligations: Vec<Obligation>,
    /// Why the workflow's self-service part does not cover it, if it does not.
    pub(crate) why: Option<String>,
}

/// An approval that one decision has used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Approved {
    /// The approval.
    pub(crate) id: ApprovalId,
    /// The needs that it meets, as policy sees them.
    pub(crate) by: Vec<String>,
}

/// What is asked of the Authority; a seam for tests.
pub(crate) trait Desk: Send + Sync + 'static {
    /// Puts a question.
    fn ask<'a>(&'a self, ask: &'a AskApprovalRequest) -> Answer<'a, ApprovalStanding>;
    /// Uses an approval up.
    fn use_up<'a>(&'a self, ask: &'a UseApprovalRequest) -> Answer<'a, UseApprovalReply>;
}

impl Desk for Link {
    fn ask<'a>(&'a self, ask: &'a AskApprovalRequest) -> Answer<'a, ApprovalStanding> {
        Box::pin(self.client().ask_approval(ask))
    }

    fn use_up<'a>(&'a self, ask: &'a UseApprovalRequest) -> Answer<'a, UseApprovalReply> {
        Box::pin(self.client().use_approval(ask))
    }
}

/// Asks for approvals and uses them.
pub(crate) struct Approvals(Arc<dyn Desk>);

impl fmt::Debug for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Approvals")
    }
}

impl Approvals {
    pub(crate) fn new(desk: Arc<impl Desk>) -> Self {
        Self(desk)
    }

    /// Uses up the approval that stands for exactly this call, for this decision. None: nobody has
    /// approved it yet.
    ///
    /// The approval is gone from then on, whatever becomes of the call; the same decision may ask
    /// again and gets the same answer.
    ///
    /// # Errors
    /// `approval_refused`, `offline_hop_forbidden`, `ledger_unavailable`, or whatever the Authority
    /// refuses for.
    pub(crate) async fn take(
        &self,
        action: &ActionFacts<'_>,
        decision: DecisionId,
    ) -> Result<Option<Approved>, Stop> {
        let call = action.described()?;
        let needs = call.needs.clone();
        let ask = UseApprovalRequest { call, decision_id: decision };
        let Some(used) = in_time(self.0.use_up(&ask)).await?.used else { return Ok(None) };
        // What the Authority asked about may be less than what policy asks here.
        if needs.iter().any(|need| !used.needs.contains(need)) {
            let detail = "the approval that was given does not cover all that policy asks for";
            return Err(Stop::new(Outcome::ApprovalInvalid, detail));
        }
        Ok(Some(Approved { id: used.approval_id, by: needs }))
    }

    /// Puts the question, or finds it put, and says so to the agent: `approval_required` with the
    /// request's id.
    pub(crate) async fn ask(&self, action: &ActionFacts<'_>) -> Stop {
        match self.try_ask(action).await {
            Ok(standing) => waits(action, &standing),
            Err(stop) => stop,
        }
    }

    async fn try_ask(&self, action: &ActionFacts<'_>) -> Result<ApprovalStanding, Stop> {
        let ask = AskApprovalRequest { call: action.described()?, why: action.reasons() };
        in_time(self.0.ask(&ask)).await
    }
}

/// The refusal of a call that waits for somebody.
fn waits(action: &ActionFacts<'_>, standing: &ApprovalStanding) -> Stop {
    let id = standing.approval_id.to_string();
    let why = action.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
    let detail = match standing.state {
        ApprovalState::Approved => format!("it was approved just now{why}: make the call again"),
        _ => format!("somebody has to approve exactly this{why}: approval {id}"),
    };
    Stop::new(Outcome::ApprovalRequired, detail)
        .with("approval_id", id)
        .with("approval_state", standing.state.as_str())
        .with("approval_expires_at", standing.expires_at.to_string())
}

impl ActionFacts<'_> {
    /// The call as the Authority is told it, with the digest that it has to come to as well.
    fn described(&self) -> Result<ApprovalCall, Stop> {
        let call = self.call;
        let tool = call.tool.as_ref();
        let action = ActionCall {
            system: &call.resource.system,
            resource: &call.resource.id,
            scope: &call.scope,
            tool: tool.map(|tool| (tool.name.as_str(), tool.descriptor.as_deref())),
            arguments: &call.arguments,
        };
        let canonical = CanonicalAction::new(self.chain, &action)
            .map_err(|error| Stop::new(error.code(), error.to_string()))?;
        Ok(ApprovalCall {
            jti: self.chain.claims().jti,
            system: call.resource.system.clone(),
            resource: call.resource.id.clone(),
            scope: call.scope.to_string(),
            tool: tool.map(|tool| ApprovalTool {
                name: tool.name.clone(),
                descriptor: tool.descriptor.clone(),
            }),
            arguments: call.arguments.clone(),
            digest: canonical.digest(),
            needs: self.needs(),
        })
    }

    /// What has to be approved; sorted, each once.
    fn needs(&self) -> Vec<String> {
        let named = self.obligations.iter().filter_map(|obligation| match obligation {
            Obligation::Approval { by } => Some(by.clone()),
            _ => None,
        });
        let asked = self.why.as_ref().map(|_| NEED_ASK.to_owned());
        let mut needs: Vec<String> = asked.into_iter().chain(named).collect();
        needs.sort_unstable();
        needs.dedup();
        needs
    }

    /// Why, for whoever is asked. Nothing in it is the agent's own words.
    fn reasons(&self) -> Vec<String> {
        let asked = self.why.iter().map(|why| format!("outside what needs no approval: {why}"));
        let policy = self.needs().into_iter().filter(|need| need != NEED_ASK);
        asked.chain(policy.map(|by| format!("policy asks for the approval of `{by}`"))).collect()
    }
}

/// The Authority's answer. That it does not come is a refusal.
async fn in_time<T>(asked: impl Future<Output = Result<T, ClientError>>) -> Result<T, Stop> {
    match tokio::time::timeout(ANSWER_WITHIN, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(refusal(&error)),
        Err(_) => Err(away("no answer in time")),
    }
}

fn refusal(error: &ClientError) -> Stop {
    let outcome = error.code().and_then(|code| code.parse::<Outcome>().ok());
    match (outcome, error.status(), error) {
        (Some(outcome), Some(400..=499), ClientError::Problem(problem)) => {
            Stop::new(outcome, problem.detail.clone())
        }
        _ => away(&error.to_string()),
    }
}

fn away(why: &str) -> Stop {
    tracing::warn!(why, "no approval could be asked for");
    let detail = "this needs an approval, and the Authority cannot be asked for one now";
    Stop::new(Outcome::LedgerUnavailable, detail)
}

#[cfg(test)]
mod tests;
