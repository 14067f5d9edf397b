//! The ledger: checkpoint, tiles and key in the open (they hold commitments only), receipts and
//! openings for auditors.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bailiwick_api::{LeafRange, Problem, ProblemCode, ReceiptLines, RotateKeyResponse};
use bailiwick_core::outcome::Outcome;
use bailiwick_ledger::{LeafIndex, Opening, ReceiptLine, ReceiptProof, TilePath};

use super::reply::ProblemReply;
use super::request::Credentials;
use crate::authority::Authority;
use crate::fault::{Fault, Stop};
use crate::ledger_view::LedgerError;
use crate::ops::rotate_keys::rotate;
use crate::store::PAGE_ROWS_MAX;

impl From<LedgerError> for ProblemReply {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Store(error) => Self(error.into()),
            other => {
                tracing::error!(error = %other, "the ledger cannot be published");
                Self(Fault::new(Outcome::LedgerUnavailable, "the ledger cannot be read now"))
            }
        }
    }
}

/// The latest signed checkpoint (C2SP tlog-checkpoint), covering everything durable.
#[utoipa::path(
    get, path = "/ledger/checkpoint", tag = "ledger",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn checkpoint(
    State(authority): State<Arc<Authority>>,
) -> Result<Response, ProblemReply> {
    let signed = authority.ledger.advance().await?;
    Ok(text(signed.text.clone()))
}

/// The ledger's verifier key (C2SP signed-note vkey). An auditor pins it out of band.
#[utoipa::path(
    get, path = "/ledger/vkey", tag = "ledger",
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn vkey(State(authority): State<Arc<Authority>>) -> Response {
    text(format!("{}\n", authority.ledger.verifier_key()))
}

/// A tile or entry bundle (C2SP tlog-tiles).
pub(super) async fn tile(
    State(authority): State<Arc<Authority>>,
    Path(path): Path<String>,
) -> Result<Response, ProblemReply> {
    let path: TilePath = path.parse().map_err(|_| Fault::not_found("tile"))?;
    let Some(bytes) = authority.ledger.tile(path).await? else {
        return Err(Fault::not_found("tile").into());
    };
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    Ok(response)
}

fn text(body: String) -> Response {
    let mut response = body.into_response();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// One receipt with its opening and its proof: enough to prove it to a third party offline.
#[utoipa::path(
    get, path = "/v1/receipts/{index}", tag = "ledger", params(("index" = u64, Path)),
    responses(
        (status = 200, body = bailiwick_api::ReceiptView),
        (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    )
)]
pub(super) async fn receipt(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Path(index): Path<u64>,
) -> Result<Json<ReceiptProof>, ProblemReply> {
    credentials.caller(&authority).await?.require_auditor()?;
    match authority.ledger.prove(LeafIndex(index)).await? {
        Some(proof) => Ok(Json(proof)),
        None => Err(Fault::not_found("receipt").into()),
    }
}

/// Openings of a range of leaves, for an export.
#[utoipa::path(
    get, path = "/v1/receipts", tag = "ledger", params(LeafRange),
    responses((status = 200, body = ReceiptLines), (status = 401, body = Problem), (status = 403, body = Problem))
)]
pub(super) async fn openings(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
    Query(range): Query<LeafRange>,
) -> Result<Json<ReceiptLines>, ProblemReply> {
    credentials.caller(&authority).await?.require_auditor()?;
    let most = u64::try_from(PAGE_ROWS_MAX).unwrap_or(u64::MAX);
    let end = range.start.saturating_add(range.count.min(most)).min(authority.store.ledger_size());
    let rows = authority.store.receipts(range.start.min(end)..end).await?;
    let mut lines = Vec::with_capacity(rows.len());
    for row in rows {
        let opening = match row.opening {
            Some((salt, payload)) => Opening::Open { salt, payload },
            None => Opening::Erased,
        };
        let line = ReceiptLine { index: row.index.0, opening }.to_line();
        lines.push(
            line.map_err(|_| Stop::new(ProblemCode::Internal, "a stored receipt is not JSON"))?,
        );
    }
    Ok(Json(ReceiptLines { lines }))
}

/// Rotate the signing keys. What the old ones signed stays verifiable.
#[utoipa::path(
    post, path = "/v1/keys/rotate", tag = "keys",
    responses((status = 200, body = RotateKeyResponse), (status = 401, body = Problem), (status = 403, body = Problem))
)]
pub(super) async fn rotate_keys(
    State(authority): State<Arc<Authority>>,
    credentials: Credentials,
) -> Result<Json<RotateKeyResponse>, ProblemReply> {
    let caller = credentials.caller(&authority).await?;
    caller.require_admin()?;
    Ok(Json(rotate(&authority, &caller.name()).await?))
}
