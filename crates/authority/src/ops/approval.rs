//! A question to people: who may answer it, whether it stands, putting it.

use bailiwick_api::{
    ApprovalStanding, ApprovalState as WireState, NEED_ASK, NEEDS_MAX, ProblemCode,
};
use bailiwick_core::ids::{AgentId, ApprovalId};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use bailiwick_core::{CanonicalAction, SubjectId, VerifiedChain};
use bailiwick_identity::Subject;
use bailiwick_ledger::{ReceiptKind, record};
use bailiwick_policy::Obligation;
use serde_json::json;

use crate::authority::Authority;
use crate::fault::Stop;
use crate::model::{
    ApprovalRecord, ApprovalState, ApprovalUse, ApprovalUsed, Effect, Refused, TaskRecord,
};
use crate::registry::People;
use crate::spine::Event;

/// Characters of one reason that is shown to an approver.
const WHY_CHARS_MAX: usize = 512;
/// Reasons of one question.
const WHY_MAX: usize = 16;

/// A question before it is put.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) chain: &'a VerifiedChain,
    pub(crate) task: &'a TaskRecord,
    pub(crate) action: &'a CanonicalAction,
    /// Sorted.
    pub(crate) needs: &'a [String],
    pub(crate) why: &'a [String],
    pub(crate) asked_by: &'a AgentId,
}

/// How an action stands with the people who were asked about it.
pub(crate) enum Found {
    /// Approved, not used.
    Stands(ApprovalRecord),
    /// Somebody has to decide.
    Waits(ApprovalRecord),
    /// Refused a while ago.
    Refused(ApprovalRecord),
    /// Not asked, or that is over.
    Nothing,
}

/// What has to be approved: what the workflow asks about, and every `@approval` that applies.
pub(crate) fn needs(asked: bool, obligations: &[Obligation]) -> Vec<String> {
    let named = obligations.iter().filter_map(|obligation| match obligation {
        Obligation::Approval { by } => Some(by.clone()),
        _ => None,
    });
    let mut needs: Vec<String> = asked.then(|| NEED_ASK.to_owned()).into_iter().collect();
    needs.extend(named);
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// How `question`'s action stands now.
pub(crate) async fn find(
    authority: &Authority,
    question: Question<'_>,
    now: UnixMillis,
) -> Result<Found, Stop> {
    let digest = question.action.digest();
    let Some(known) = authority.store.approval_of(question.task.id, digest).await? else {
        return Ok(Found::Nothing);
    };
    Ok(match known.state {
        _ if now >= known.expires_ms => Found::Nothing,
        ApprovalState::Pending => Found::Waits(known),
        ApprovalState::Refused => Found::Refused(known),
        ApprovalState::Approved if known.meets(question.needs, now) => Found::Stands(known),
        // Policy asks for more by now than was approved.
        ApprovalState::Approved | ApprovalState::Used | ApprovalState::Ended => Found::Nothing,
    })
}

/// Puts the question, or finds it put: there is one for an action at a time.
///
/// # Errors
/// It was refused a while ago, nobody could answer it, or the task asks too much.
pub(crate) async fn ask(
    authority: &Authority,
    question: Question<'_>,
    now: UnixMillis,
) -> Result<ApprovalRecord, Stop> {
    match find(authority, question, now).await? {
        Found::Waits(known) | Found::Stands(known) => return Ok(known),
        Found::Refused(known) => return Err(refused(&known)),
        Found::Nothing => {}
    }
    require_somebody(authority, question)?;
    let asked = new_record(authority, question, now);
    let event = asked_event(&asked);
    let pending_max = authority.config.approvals.pending_per_task_max;
    let effect = Effect::AskApproval { asked: Box::new(asked.clone()), pending_max };
    match record(&authority.store, event, effect).await {
        Ok(_) => {
            authority.metrics.decided("approval", "asked");
            tracing::info!(approval = %asked.id, task = %asked.task, agent = %asked.agent, "asked");
            Ok(asked)
        }
        // The same was asked at this very moment: that question is the one.
        Err(error) if error.error.refused() == Some(&Refused::VersionConflict) => {
            match find(authority, question, now).await? {
                Found::Waits(known) | Found::Stands(known) => Ok(known),
                Found::Refused(known) => Err(refused(&known)),
                Found::Nothing => Err(error.error.into()),
            }
        }
        Err(error) => Err(error.error.into()),
    }
}

fn new_record(authority: &Authority, question: Question<'_>, now: UnixMillis) -> ApprovalRecord {
    let claims = question.chain.claims();
    let life = authority.config.approvals.life_seconds;
    let short = |text: &String| text.chars().take(WHY_CHARS_MAX).collect();
    ApprovalRecord {
        id: ApprovalId::new(now, authority.fresh()),
        task: question.task.id,
        digest: question.action.digest(),
        action: question.action.as_str().to_owned(),
        jti: claims.jti,
        agent: claims.client_id.clone(),
        asked_by: question.asked_by.clone(),
        needs: question.needs.to_vec(),
        why: question.why.iter().take(WHY_MAX).map(short).collect(),
        asked_ms: now,
        expires_ms: now.saturating_add_seconds(life).min(question.task.deadline_ms),
        state: ApprovalState::Pending,
        votes: Vec::new(),
        used: None,
    }
}

fn asked_event(asked: &ApprovalRecord) -> Event {
    Event {
        kind: ReceiptKind::Approval,
        time_ms: asked.asked_ms.0,
        subject_ids: vec![asked.id.to_string(), asked.task.to_string(), asked.jti.to_string()],
        payload: json!({
            "v": 1, "type": "approval_asked", "approval": asked.id, "task": asked.task,
            "jti": asked.jti, "agent": asked.agent, "asked_by": asked.asked_by,
            "needs": asked.needs, "why": asked.why, "digest": asked.digest,
            "action": asked.action, "expires": asked.expires_ms.0, "time": asked.asked_ms.0,
        }),
    }
}

/// A question that nobody may answer is not put: the refusal says why.
fn require_somebody(authority: &Authority, question: Question<'_>) -> Result<(), Stop> {
    if question.needs.is_empty() || question.needs.len() > NEEDS_MAX {
        let detail = format!("an approval is for 1 to {NEEDS_MAX} needs");
        return Err(Stop::new(Outcome::Malformed, detail));
    }
    for need in question.needs {
        if people(authority, question.task, need)?.is_empty() {
            let detail = format!(
                "nobody could approve: `{need}` names no people for tasks of {}",
                question.task.workflow
            );
            return Err(Stop::new(Outcome::ApprovalRequired, detail));
        }
    }
    Ok(())
}

/// Who may approve `need` in a task. A workflow that is gone has nobody.
///
/// # Errors
/// `malformed`: such a need cannot be.
pub(crate) fn people(authority: &Authority, task: &TaskRecord, need: &str) -> Result<People, Stop> {
    let registry = authority.registry.load();
    let Some(workflow) = registry.workflow(task.workflow.as_ref()) else {
        return Ok(People::default());
    };
    let document = workflow.document();
    if need == NEED_ASK {
        let mut all = People::default();
        for approver in document.who_approves() {
            all.add(registry.people(&approver, document));
        }
        return Ok(all);
    }
    let approver = need.parse().map_err(|error| {
        Stop::new(Outcome::Malformed, format!("`{need}` is no need of an approval: {error}"))
    })?;
    Ok(registry.people(&approver, document))
}

/// Whether `person` is one of `people` for this task. The subject of the task is so by the word
/// `subject` alone: being in the owner's team does not let anybody approve for themselves.
pub(crate) fn is_one_of(people: &People, person: &Subject, task: &TaskRecord) -> bool {
    if person.id() == &task.subject {
        return people.subject;
    }
    let by_id = people.ids.iter().any(|id| id == person.id().as_ref());
    let of_issuer = person.issuer() == task.subject_issuer;
    by_id || (of_issuer && people.groups.iter().any(|group| person.groups().contains(group)))
}

/// The needs of a question that `person` may approve.
pub(crate) fn needs_of(
    authority: &Authority,
    known: &ApprovalRecord,
    task: &TaskRecord,
    person: &Subject,
) -> Vec<String> {
    let may = |need: &&String| {
        people(authority, task, need).is_ok_and(|people| is_one_of(&people, person, task))
    };
    known.needs.iter().filter(may).cloned().collect()
}

/// The refusal of an action that an approver has refused.
pub(crate) fn refused(known: &ApprovalRecord) -> Stop {
    let who = known.votes.iter().find(|vote| !vote.approve).map(|vote| vote.approver.as_str());
    let detail = format!(
        "{} has refused exactly this action (approval {})",
        who.unwrap_or("an approver"),
        known.id
    );
    Stop::new(Outcome::ApprovalRefused, detail)
}

/// The use of an approval that stands, by one decision.
pub(crate) fn usage(known: &ApprovalRecord, needs: &[String], used: ApprovalUsed) -> ApprovalUse {
    ApprovalUse { id: known.id, digest: known.digest, needs: needs.to_vec(), used }
}

/// Where a question stands, for whoever asked it.
pub(crate) fn standing(known: &ApprovalRecord, now: UnixMillis) -> ApprovalStanding {
    ApprovalStanding {
        approval_id: known.id,
        state: wire_state(known, now),
        digest: known.digest,
        expires_at: known.expires_ms.into(),
    }
}

/// An approval that a decision has just used up.
pub(crate) fn used_up(known: &ApprovalRecord) -> ApprovalStanding {
    ApprovalStanding {
        approval_id: known.id,
        state: WireState::Used,
        digest: known.digest,
        expires_at: known.expires_ms.into(),
    }
}

/// The state as the API spells it.
pub(crate) fn wire_state(known: &ApprovalRecord, now: UnixMillis) -> WireState {
    match known.state {
        _ if known.has_expired(now) => WireState::Expired,
        ApprovalState::Pending => WireState::Pending,
        ApprovalState::Approved => WireState::Approved,
        ApprovalState::Refused => WireState::Refused,
        ApprovalState::Used => WireState::Used,
        ApprovalState::Ended => WireState::Ended,
    }
}

/// Who has approved, each once.
pub(crate) fn approvers(known: &ApprovalRecord) -> Vec<SubjectId> {
    let mut all: Vec<SubjectId> = known.met().map(|(_, approver)| approver.clone()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The refusal of whoever may not learn that there is such a question.
pub(crate) fn missing() -> Stop {
    Stop::new(ProblemCode::NotFound, "there is no such approval")
}
