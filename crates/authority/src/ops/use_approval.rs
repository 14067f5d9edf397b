//! What enforcement points do with approvals: ask for one, use one up.

use std::sync::Arc;

use bailiwick_api::{
    ApprovalCall, ApprovalStanding, AskApprovalRequest, UseApprovalReply, UseApprovalRequest,
    UsedApproval,
};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::Scope;
use bailiwick_core::time::UnixMillis;
use bailiwick_core::{ActionCall, ActionError, CanonicalAction, VerifiedChain};
use bailiwick_ledger::{ReceiptKind, record};
use serde_json::json;

use super::approval::{self, Found, Question, standing};
use crate::authority::Authority;
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::model::{ApprovalRecord, ApprovalState, ApprovalUsed, Effect, TaskRecord};
use crate::registry::AgentEntry;
use crate::spine::{Event, is_recordable};

/// Puts a question for an enforcement point. The same action asked again is the same question.
pub(crate) async fn ask(
    authority: &Authority,
    caller: &Caller,
    body: AskApprovalRequest,
) -> Result<ApprovalStanding, Fault> {
    let now = authority.clock.now();
    let asked = async {
        let point = caller.require_enforcement_point()?;
        let seen = Seen::resolve(authority, point, &body.call, now).await?;
        approval::ask(authority, seen.question(point, &body.why), now).await
    };
    asked.await.map(|known| standing(&known, now)).map_err(Stop::into_fault)
}

/// Uses up the approval that stands for a call, if one does. The same decision may ask again.
pub(crate) async fn use_up(
    authority: &Authority,
    caller: &Caller,
    body: UseApprovalRequest,
) -> Result<UseApprovalReply, Fault> {
    try_use_up(authority, caller, &body).await.map_err(Stop::into_fault)
}

async fn try_use_up(
    authority: &Authority,
    caller: &Caller,
    body: &UseApprovalRequest,
) -> Result<UseApprovalReply, Stop> {
    let now = authority.clock.now();
    let point = caller.require_enforcement_point()?;
    let seen = Seen::resolve(authority, point, &body.call, now).await?;
    let used = ApprovalUsed { decision: body.decision_id, by: point.document.id.clone() };
    let question = seen.question(point, &[]);
    let known = match approval::find(authority, question, now).await? {
        Found::Stands(known) => known,
        Found::Refused(known) => return Err(approval::refused(&known)),
        Found::Waits(_) => return Ok(UseApprovalReply { used: None }),
        Found::Nothing => return used_before(authority, question, &used, now).await,
    };
    let event = Event {
        kind: ReceiptKind::Approval,
        time_ms: now.0,
        subject_ids: vec![
            known.id.to_string(),
            known.task.to_string(),
            used.decision.to_string(),
            used.by.to_string(),
        ],
        payload: json!({
            "v": 1, "type": "approval_used", "approval": known.id, "task": known.task,
            "jti": body.call.jti, "digest": known.digest, "used_by_decision": used.decision,
            "gateway": used.by, "time": now.0,
        }),
    };
    let effect = Effect::UseApproval {
        task: known.task,
        jti: body.call.jti,
        approval: approval::usage(&known, &seen.needs, used),
    };
    record(&authority.store, event, effect).await.map_err(|error| error.error)?;
    authority.metrics.decided("approval", "used");
    Ok(UseApprovalReply { used: Some(view(&known)) })
}

/// The answer to a decision that asks once more, because it never heard the first one.
async fn used_before(
    authority: &Authority,
    question: Question<'_>,
    used: &ApprovalUsed,
    now: UnixMillis,
) -> Result<UseApprovalReply, Stop> {
    let known = authority.store.approval_of(question.task.id, question.action.digest()).await?;
    let same = |known: &ApprovalRecord| {
        known.state == ApprovalState::Used
            && known.used.as_ref() == Some(used)
            && now < known.expires_ms
    };
    Ok(UseApprovalReply { used: known.filter(same).as_ref().map(view) })
}

fn view(known: &ApprovalRecord) -> UsedApproval {
    UsedApproval {
        approval_id: known.id,
        needs: known.needs.clone(),
        approvers: approval::approvers(known),
    }
}

/// A call that an enforcement point reports, with what the Authority itself knows of its chain.
struct Seen {
    chain: Arc<VerifiedChain>,
    task: Arc<TaskRecord>,
    action: CanonicalAction,
    needs: Vec<String>,
}

impl Seen {
    /// The chain is the one that was recorded for the token: what the enforcement point says of the
    /// call cannot make it another agent's, hop's or task's.
    async fn resolve(
        authority: &Authority,
        point: &AgentEntry,
        call: &ApprovalCall,
        now: UnixMillis,
    ) -> Result<Self, Stop> {
        let Some(record) = authority.store.token(call.jti).await? else {
            let detail = "the token is not one of this Authority; settle the hop first";
            return Err(Stop::new(Outcome::ProvenanceMissing, detail));
        };
        let chain = authority.held(record)?.chain;
        let task = authority.open_task_of(&chain, now).await?;
        authority.require_alive(&chain, now)?;
        if point.document.tenant != task.tenant || point.document.env != task.env {
            let detail = "the enforcement point is not of the task's tenant and environment";
            return Err(Stop::new(Outcome::TenantMismatch, detail));
        }
        if !is_recordable(&serde_json::Value::Object(call.arguments.clone())) {
            let detail = "an argument has no canonical form that could be recorded";
            return Err(Stop::new(Outcome::Malformed, detail));
        }
        let scope: Scope = call.scope.parse().map_err(|_| {
            Stop::new(Outcome::Malformed, "call.scope is not a scope, such as crm.read")
        })?;
        let tool = call.tool.as_ref().map(|tool| (tool.name.as_str(), tool.descriptor.as_deref()));
        let seen = ActionCall {
            system: &call.system,
            resource: &call.resource,
            scope: &scope,
            tool,
            arguments: &call.arguments,
        };
        let action = CanonicalAction::new(&chain, &seen).map_err(unfit)?;
        if !call.is_of(&action) {
            let detail = "call.digest is not that of the action: the enforcement point and this \
                          Authority do not mean the same call";
            return Err(Stop::new(Outcome::ApprovalInvalid, detail));
        }
        let mut needs = call.needs.clone();
        needs.sort_unstable();
        needs.dedup();
        Ok(Self { chain, task, action, needs })
    }

    fn question<'a>(&'a self, point: &'a AgentEntry, why: &'a [String]) -> Question<'a> {
        Question {
            chain: &self.chain,
            task: &self.task,
            action: &self.action,
            needs: &self.needs,
            why,
            asked_by: &point.document.id,
        }
    }
}

/// The refusal of a call that nobody can be asked about.
pub(crate) fn unfit(error: ActionError) -> Stop {
    Stop::new(error.code(), error.to_string())
}
