//! `/v1/enforcement/feed` and what a reader of it needs: acknowledgements, policy sets, tasks.

use std::sync::Arc;

use axum::Json;
use axum::body::Body as ResponseBody;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bailiwick_api::Problem;
use bailiwick_api::enforcement::feed::{
    EnforcementPoints, EnforcementTask, FeedAck, FeedAckReply, FeedQuery, PolicySources,
    PolicySourcesQuery,
};
use bailiwick_core::outcome::Outcome;

use super::reply::ProblemReply;
use super::request::{Body, Credentials};
use crate::authority::Authority;
use crate::fault::{Fault, Stop};
use crate::feed::points::Arrival;
use crate::feed::stream;
use crate::ops::enforcement::{policy_sources, task_context};

/// What died and what changed, as it happens: server-sent events, each a signed JWS.
///
/// `Last-Event-ID` resumes after that event while the Authority still has what follows; otherwise,
/// and at first, a snapshot comes. A heartbeat comes every second.
#[utoipa::path(
    get, path = "/v1/enforcement/feed", tag = "enforcement", params(FeedQuery),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    )
)]
pub(super) async fn feed(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    headers: HeaderMap,
    query: Result<Query<FeedQuery>, QueryRejection>,
) -> Result<Response, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let point = &caller.require_enforcement_point()?.document;
    let Query(query) =
        query.map_err(|rejection| Stop::new(Outcome::Malformed, rejection.body_text()))?;
    let resume = match headers.get("last-event-id") {
        None => None,
        Some(value) => {
            let number = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
            let what = "Last-Event-ID is not the id of an event";
            Some(number.ok_or_else(|| Stop::new(Outcome::Malformed, what))?)
        }
    };
    let arrival = Arrival {
        agent: point.id.clone(),
        instance: query.instance,
        tenant: point.tenant.clone(),
        env: point.env.clone(),
        stale_after_ms: query.stale_after_ms,
    };
    let (points, clock) = (Arc::clone(&authority.feed.points), authority.clock.clone());
    // Remembering who is there writes and syncs a file.
    let connected = tokio::task::spawn_blocking(move || points.connect(arrival, &clock)).await;
    let connection = connected.map_err(|_| {
        Stop::new(bailiwick_api::ProblemCode::Internal, "the connection could not be remembered")
    })??;
    let body = stream::begin(authority, connection, resume);
    let mut response = Response::new(ResponseBody::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that collects events before it passes them on makes every gateway stale.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Say which event is in force at this enforcement point.
#[utoipa::path(
    post, path = "/v1/enforcement/acks", tag = "enforcement", request_body = FeedAck,
    responses(
        (status = 200, body = FeedAckReply), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn acknowledge(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Body(ack): Body<FeedAck>,
) -> Result<Json<FeedAckReply>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let point = &caller.require_enforcement_point()?.document;
    let seq = authority.feed.seq();
    if ack.seq > seq {
        let detail = "the feed has not come to that event yet";
        return Err(Stop::new(Outcome::Malformed, detail).into());
    }
    let now = authority.clock.now();
    let said = (ack.seq, ack.leaving);
    authority.feed.points.acknowledge(&point.id, &ack.instance, said, now)?;
    Ok(Json(FeedAckReply { seq }))
}

/// Who reads the feed, and how far each one is.
#[utoipa::path(
    get, path = "/v1/enforcement/points", tag = "enforcement",
    responses(
        (status = 200, body = EnforcementPoints),
        (status = 401, body = Problem), (status = 403, body = Problem),
    )
)]
pub(super) async fn points(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
) -> Result<Json<EnforcementPoints>, ProblemReply> {
    credentials.caller(&authority).await?.require_auditor()?;
    let points = authority.feed.points.list();
    Ok(Json(EnforcementPoints { seq: authority.feed.seq(), points }))
}

/// A policy set with its text: the one in force, or one by its hash.
#[utoipa::path(
    get, path = "/v1/enforcement/policies", tag = "enforcement", params(PolicySourcesQuery),
    responses(
        (status = 200, body = PolicySources), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn policies(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Query(query): Query<PolicySourcesQuery>,
) -> Result<Json<PolicySources>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    caller.require_enforcement_point()?;
    Ok(Json(policy_sources(&authority, query.hash).await?))
}

/// What policy has to be told of a task, for an enforcement point of its tenant and environment.
#[utoipa::path(
    get, path = "/v1/enforcement/tasks/{id}", tag = "enforcement", params(("id" = String, Path)),
    responses(
        (status = 200, body = EnforcementTask), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn task(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(id): Path<String>,
) -> Result<Json<EnforcementTask>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    let point = caller.require_enforcement_point()?;
    let id = id.parse().map_err(|_| Fault::not_found("task"))?;
    Ok(Json(task_context(&authority, point, id).await?))
}
