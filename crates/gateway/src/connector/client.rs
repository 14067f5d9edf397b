//! The connector's own requests: to token endpoints and to STS.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use serde::Deserialize;

use super::secret::ConnectorFault;

const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// An answer, read whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// A client that follows no redirect: a credential goes where it was configured to go.
pub(super) fn outbound() -> Result<reqwest::Client, String> {
    // A provider that was installed before stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("connector: no HTTP client: {error}"))
}

/// Sends a request and reads its answer. What goes wrong is told without the URL or any body.
pub(super) async fn send(request: reqwest::RequestBuilder) -> Result<Answer, ConnectorFault> {
    let failed = |error: reqwest::Error| {
        let error = error.without_url();
        ConnectorFault(format!("the request for a credential failed: {error}"))
    };
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(ConnectorFault("the answer is too long for a credential".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body: body.freeze() })
}

/// The `error` code of an OAuth answer (RFC 6749 §5.2), if it has the form of one.
pub(super) fn oauth_error(body: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Refused {
        error: String,
    }
    const CODES: [&str; 8] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "temporarily_unavailable",
    ];
    let refused: Refused = serde_json::from_slice(body).ok()?;
    // One of the codes that are written down: a server's own text may hold what it was sent.
    CODES.into_iter().find(|code| *code == refused.error)
}
