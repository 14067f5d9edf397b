//! `/v1/tasks`: open, list, look at, close.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use bailiwick_api::enforcement::closure::{ClosureQuery, ClosureReport};
use bailiwick_api::{
    BudgetView, CloseTaskResponse, OpenTaskRequest, Problem, Reason, TaskList, TaskQuery, TaskView,
    TokenResponse,
};
use bailiwick_core::ids::TaskId;
use bailiwick_core::outcome::Outcome;
use bailiwick_identity::PresentedToken;

use super::oauth::issued_response;
use super::reply::ProblemReply;
use super::request::{Body, Credentials, OptionalBody, page};
use crate::authority::Authority;
use crate::caller::{Caller, unauthenticated};
use crate::clock::Stopwatch;
use crate::fault::{Fault, Stop};
use crate::feed::closure;
use crate::metrics::Operation;
use crate::model::{TaskFilter, TaskRecord, TaskState};
use crate::ops::close_task::{close_task, may_see, wire_state};
use crate::ops::open_task::{OpenTask, open_task};

/// Open a task. The subject's token is the bearer, the agent's identity the `Actor-Token` header.
#[utoipa::path(
    post, path = "/v1/tasks", tag = "tasks",
    request_body = OpenTaskRequest,
    params(
        ("DPoP" = String, Header, description = "Proof of the first agent's key"),
        ("Actor-Token" = String, Header, description = "The first agent's JWT-SVID"),
    ),
    responses(
        (status = 200, body = TokenResponse),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 503, body = Problem),
    )
)]
pub(super) async fn open(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Body(ask): Body<OpenTaskRequest>,
) -> Result<Response, ProblemReply> {
    let Some(subject_token) = credentials.peer.bearer().map(PresentedToken::expose) else {
        return Err(unauthenticated("send the subject's token as the bearer").into());
    };
    let watch = Stopwatch::start();
    let actor_token = credentials.peer.actor_token().map(PresentedToken::expose);
    let ask = OpenTask {
        subject_token,
        presented: credentials.presented(actor_token),
        workflow: &ask.workflow,
        parameters: ask.parameters,
        purpose: ask.purpose.as_deref(),
        audience: Some(&ask.audience),
        scope: None,
    };
    let issued = open_task(&authority, ask).await?;
    authority.metrics.took(Operation::OpenTask, watch.elapsed());
    Ok(issued_response(issued))
}

/// List tasks, newest first: all for operators, their own for subjects.
#[utoipa::path(
    get, path = "/v1/tasks", tag = "tasks", params(TaskQuery),
    responses((status = 200, body = TaskList), (status = 401, body = Problem), (status = 403, body = Problem))
)]
pub(super) async fn list(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Query(query): Query<TaskQuery>,
) -> Result<Json<TaskList>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let malformed = |what| Stop::new(Outcome::Malformed, what);
    let mut filter = TaskFilter {
        state: query.state.map(|state| match state {
            bailiwick_api::TaskState::Open => TaskState::Open,
            bailiwick_api::TaskState::Completed => TaskState::Completed,
            bailiwick_api::TaskState::Cancelled => TaskState::Cancelled,
            bailiwick_api::TaskState::Expired => TaskState::Expired,
            bailiwick_api::TaskState::Revoked => TaskState::Revoked,
        }),
        workflow: match query.workflow {
            Some(text) => Some(text.parse().map_err(|_| malformed("workflow is not an id"))?),
            None => None,
        },
        subject: match query.subject {
            Some(text) => Some(text.parse().map_err(|_| malformed("subject is not an id"))?),
            None => None,
        },
        tenant: None,
    };
    match &caller {
        _ if caller.is_auditor() => {}
        Caller::Person { subject, .. } => filter.subject = Some(subject.id().clone()),
        Caller::Agent(_) | Caller::Holder { .. } => caller.require_auditor()?,
    }
    let found = authority.store.tasks(filter, page(&authority, query.limit, query.cursor)).await?;
    let mut tasks = Vec::with_capacity(found.items.len());
    for task in &found.items {
        tasks.push(view(&authority, task, false).await?);
    }
    Ok(Json(TaskList { tasks, next_cursor: found.next }))
}

/// Show a task.
#[utoipa::path(
    get, path = "/v1/tasks/{id}", tag = "tasks", params(("id" = String, Path)),
    responses((status = 200, body = TaskView), (status = 401, body = Problem), (status = 404, body = Problem))
)]
pub(super) async fn show(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
) -> Result<Json<TaskView>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let task = authority.store.task(task_id(&id)?).await?;
    match task.filter(|task| may_see(&caller, task)) {
        Some(task) => Ok(Json(view(&authority, &task, true).await?)),
        None => Err(Fault::not_found("task").into()),
    }
}

/// Where the last thing in a task that ended is dead: the task itself, or some of its tokens.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/closure", tag = "tasks",
    params(("id" = String, Path), ClosureQuery),
    responses(
        (status = 200, body = ClosureReport), (status = 401, body = Problem),
        (status = 404, body = Problem, description = "No such task, or nothing of it has ended"),
    )
)]
pub(super) async fn closure(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
    Query(query): Query<ClosureQuery>,
) -> Result<Json<ClosureReport>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let task = authority.store.task(task_id(&id)?).await?;
    let Some(task) = task.filter(|task| may_see(&caller, task)) else {
        return Err(Fault::not_found("task").into());
    };
    let wait_ms = Some(query.wait_ms.unwrap_or(0));
    match closure::of_task(&authority, &task, wait_ms).await? {
        Some(report) => Ok(Json(report)),
        None => {
            let detail = "nothing of the task has ended";
            Err(Stop::new(bailiwick_api::ProblemCode::NotFound, detail).into())
        }
    }
}

fn task_id(text: &str) -> Result<TaskId, ProblemReply> {
    text.parse().map_err(|_| Fault::not_found("task").into())
}

async fn view(
    authority: &Authority,
    task: &TaskRecord,
    with_budgets: bool,
) -> Result<TaskView, ProblemReply> {
    let tokens = authority.store.tokens_of_task(task.id).await?;
    let budgets = if with_budgets { authority.store.budgets(task.id).await? } else { Vec::new() };
    let units = |micros: i64| micros as f64 / 1e6;
    Ok(TaskView {
        task_id: task.id,
        subject: task.subject.clone(),
        subject_issuer: task.subject_issuer.clone(),
        workflow: task.workflow.clone(),
        workflow_version: task.workflow_version,
        purpose: task.purpose.clone(),
        parameters: task.parameters.clone(),
        tenant: task.tenant.clone(),
        env: task.env.clone(),
        sensitivity: task.sensitivity.as_str().to_owned(),
        authority: task.ceiling.clone(),
        audiences: task.audiences.clone(),
        max_depth: task.max_depth,
        state: wire_state(task.state_at(authority.clock.now())),
        opened_at: task.opened_ms.into(),
        deadline: task.deadline_ms.into(),
        closed_at: task.closed_ms.map(Into::into),
        root_jti: task.root_jti,
        tokens: tokens.len() as u64,
        budgets: budgets
            .into_iter()
            .map(|row| BudgetView {
                jti: row.node,
                key: format!("{} ({})", row.key, row.kind.as_str()),
                used: units(row.used.0),
                limit: None,
            })
            .collect(),
    })
}

macro_rules! close {
    ($(#[$doc:meta])* $name:ident, $path:literal, $state:expr) => {
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = "tasks", params(("id" = String, Path), ClosureQuery),
            request_body = Reason,
            responses(
                (status = 200, body = CloseTaskResponse),
                (status = 401, body = Problem), (status = 403, body = Problem),
                (status = 404, body = Problem), (status = 409, body = Problem),
            )
        )]
        pub(super) async fn $name(
            State(authority): State<Arc<Authority>>,
            credentials: Credentials,
            Path(id): Path<String>,
            Query(query): Query<ClosureQuery>,
            OptionalBody(body): OptionalBody<Reason>,
        ) -> Result<Json<CloseTaskResponse>, ProblemReply> {
            let caller = credentials.caller(&authority).await?;
            let id = task_id(&id)?;
            let (reason, wait) = (&body.reason, query.wait_ms);
            Ok(Json(close_task(&authority, &caller, id, $state, reason, wait).await?))
        }
    };
}

close! {
    /// Complete a task: every token of it is dead from now on.
    complete, "/v1/tasks/{id}/complete", TaskState::Completed
}
close! {
    /// Cancel a task: every token of it is dead from now on.
    cancel, "/v1/tasks/{id}/cancel", TaskState::Cancelled
}
close! {
    /// Revoke a task: every token of it is dead from now on.
    revoke, "/v1/tasks/{id}/revoke", TaskState::Revoked
}
