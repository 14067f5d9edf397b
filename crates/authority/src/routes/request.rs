//! How bodies and credentials are read from a request.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, RawFormRejection};
use axum::extract::{FromRequest, FromRequestParts, RawForm, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bailiwick_api::ProblemCode;
use bailiwick_core::outcome::Outcome;
use bailiwick_identity::{PeerCredentials, PresentedToken};
use serde::de::DeserializeOwned;

use super::reply::{OAuthReply, ProblemReply};
use crate::authority::{Authority, Presented};
use crate::caller::Caller;
use crate::fault::{Fault, Stop};

/// The credentials of a request, and the URL and method a proof must be for.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) peer: PeerCredentials,
    pub(crate) method: String,
    pub(crate) url: String,
}

impl Credentials {
    /// What the request presents about the workload behind it.
    pub(crate) fn presented<'a>(&'a self, actor_token: Option<&'a str>) -> Presented<'a> {
        Presented {
            actor_token,
            proof: self.peer.proof().map(PresentedToken::expose),
            certificate: self.peer.certificate(),
            method: &self.method,
            url: &self.url,
        }
    }

    /// Authenticates the caller.
    pub(crate) async fn caller(&self, authority: &Authority) -> Result<Caller, Stop> {
        authority.caller(&self.peer, &self.method, &self.url, authority.clock.now()).await
    }
}

impl FromRequestParts<Arc<Authority>> for Credentials {
    type Rejection = ProblemReply;

    async fn from_request_parts(
        parts: &mut Parts,
        authority: &Arc<Authority>,
    ) -> Result<Self, ProblemReply> {
        let mut peer = PeerCredentials::from_headers(&parts.headers).map_err(Stop::from)?;
        if let Some(certificate) = crate::serve::peer_of(&parts.extensions) {
            // The session may outlive the SVID that it began with.
            certificate.check_time(authority.clock.now()).map_err(Stop::from)?;
            peer = peer.with_certificate(certificate);
        }
        Ok(Self {
            peer,
            method: parts.method.as_str().to_owned(),
            url: authority.url(parts.uri.path()),
        })
    }
}

/// A JSON body of a closed form; a fault in it is a problem that says where.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Authority>> for Body<T> {
    type Rejection = ProblemReply;

    async fn from_request(request: Request, state: &Arc<Authority>) -> Result<Self, ProblemReply> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(ProblemReply(body_fault(&rejection))),
        }
    }
}

/// A body that may be absent.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<Authority>> for OptionalBody<T> {
    type Rejection = ProblemReply;

    async fn from_request(request: Request, state: &Arc<Authority>) -> Result<Self, ProblemReply> {
        let empty = request
            .headers()
            .get(axum::http::header::CONTENT_LENGTH)
            .is_none_or(|length| length.as_bytes() == b"0");
        let chunked = request.headers().contains_key(axum::http::header::TRANSFER_ENCODING);
        if empty && !chunked && !request.headers().contains_key(axum::http::header::CONTENT_TYPE) {
            return Ok(Self(T::default()));
        }
        Body::<T>::from_request(request, state).await.map(|Body(body)| Self(body))
    }
}

fn body_fault(rejection: &JsonRejection) -> Fault {
    let code = match rejection {
        JsonRejection::MissingJsonContentType(_) => ProblemCode::UnsupportedMediaType,
        JsonRejection::BytesRejection(_) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            ProblemCode::TooLarge
        }
        _ => Outcome::Malformed.into(),
    };
    Fault::new(code, rejection.body_text())
}

/// A form body, as OAuth has it.
pub(crate) struct OAuthForm<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Authority>> for OAuthForm<T> {
    type Rejection = OAuthReply;

    async fn from_request(request: Request, state: &Arc<Authority>) -> Result<Self, OAuthReply> {
        let RawForm(form) = RawForm::from_request(request, state)
            .await
            .map_err(|rejection| OAuthReply(form_fault(&rejection)))?;
        serde_urlencoded::from_bytes(&form).map(Self).map_err(|error| {
            OAuthReply(Fault::new(Outcome::Malformed, format!("the form cannot be read: {error}")))
        })
    }
}

fn form_fault(rejection: &RawFormRejection) -> Fault {
    let code = match rejection {
        RawFormRejection::InvalidFormContentType(_) => ProblemCode::UnsupportedMediaType,
        _ if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::TooLarge,
        _ => Outcome::Malformed.into(),
    };
    Fault::new(code, rejection.body_text())
}

/// The page a list query asks for, within the configured bound.
pub(crate) fn page(
    authority: &Authority,
    limit: Option<u32>,
    cursor: Option<String>,
) -> crate::store::PageRequest {
    let most = authority.config.limits.page_rows_max;
    let limit = limit.unwrap_or(100).clamp(1, most);
    crate::store::PageRequest { cursor, limit: usize::try_from(limit).unwrap_or(100) }
}
