//! A typed client of the Authority.
//!
//! A client never logs a token or puts one into an error. Replies are bounded in size and time.

mod approvals;
mod endpoints;
mod enforcement;
mod reads;
mod send;
mod settling;

pub use endpoints::Closing;
pub use enforcement::{FeedFrame, FeedFrames, FeedStream};

use crate::oauth::OAuthError;
use crate::problem::Problem;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::Url;

/// The largest reply read: 16 MiB.
pub const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long one exchange may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Gives the bearer token for a request; called each time, so that it may renew it.
pub type BearerSource = Arc<dyn Fn() -> Result<String, CredentialError> + Send + Sync>;

/// What a proof of possession must say (RFC 9449 §4.2).
#[derive(Debug, Clone, Copy)]
pub struct ProofRequest<'a> {
    /// `htm`.
    pub method: &'a str,
    /// `htu`: the public URL, without query and fragment.
    pub url: &'a str,
    /// The token to commit to in `ath`, if the request carries one.
    pub access_token: Option<&'a str>,
    /// The server's nonce, if it gave one.
    pub nonce: Option<&'a str>,
}

/// Holds a key and signs proofs with it.
pub trait ProofSigner: Send + Sync {
    /// A DPoP proof (compact JWS).
    ///
    /// # Errors
    ///
    /// The key could not be used.
    fn sign_proof(&self, request: &ProofRequest<'_>) -> Result<String, CredentialError>;
}

/// A credential could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CredentialError(pub String);

/// Why an exchange with the server did not give what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A local credential could not be had; nothing was sent.
    #[error("credential: {0}")]
    Credential(#[from] CredentialError),
    /// The base URL cannot be extended with a path.
    #[error("{0} is not a base URL")]
    BadBase(String),
    /// The server could not be reached, or the connection broke.
    #[error("{url}: {source}")]
    Transport {
        /// Where.
        url: String,
        /// What.
        source: reqwest::Error,
    },
    /// The server refused, with a problem.
    #[error("{} ({}): {}", .0.code, .0.status, if .0.detail.is_empty() { &.0.title } else { &.0.detail })]
    Problem(Box<Problem>),
    /// The server refused, in OAuth form.
    #[error("{}: {}", .error.code.as_deref().unwrap_or(&.error.error), .error.error_description.as_deref().unwrap_or(&.error.error))]
    OAuth {
        /// The HTTP status.
        status: u16,
        /// The error.
        error: Box<OAuthError>,
    },
    /// The reply is not what the contract says.
    #[error("{url}: unexpected reply ({status}): {what}")]
    Unexpected {
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        what: String,
    },
}

impl ClientError {
    /// The stable code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            Self::OAuth { error, .. } => Some(error.code.as_deref().unwrap_or(&error.error)),
            _ => None,
        }
    }

    /// The HTTP status, if there was a reply.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            Self::OAuth { status, .. } | Self::Unexpected { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The logged decision behind a refusal.
    #[must_use]
    pub fn decision_id(&self) -> Option<bailiwick_core::ids::DecisionId> {
        match self {
            Self::Problem(problem) => problem.decision_id,
            Self::OAuth { error, .. } => error.decision_id,
            _ => None,
        }
    }
}

/// A client of one Authority. Cheap to clone; clones share connections and the DPoP nonce.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    issuer: Option<Url>,
    bearer: Option<BearerSource>,
    nonce: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at `base`. The process must have a default rustls provider.
    ///
    /// # Errors
    ///
    /// The HTTP client could not be set up, or `base` cannot have a path.
    pub fn new(base: Url) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|source| ClientError::Transport { url: base.to_string(), source })?;
        Self::with_http(base, http)
    }

    /// A client that sends through this HTTP client.
    ///
    /// # Errors
    ///
    /// `base` cannot have a path.
    pub fn with_http(base: Url, http: reqwest::Client) -> Result<Self, ClientError> {
        if base.cannot_be_a_base() || base.host_str().is_none() {
            return Err(ClientError::BadBase(base.to_string()));
        }
        Ok(Self { http, base, issuer: None, bearer: None, nonce: Arc::default() })
    }

    /// The same client, sending a bearer token with the requests that take one.
    #[must_use]
    pub fn with_bearer(mut self, bearer: BearerSource) -> Self {
        self.bearer = Some(bearer);
        self
    }

    /// The same client with this bearer token.
    #[must_use]
    pub fn with_bearer_token(self, token: String) -> Self {
        self.with_bearer(Arc::new(move || Ok(token.clone())))
    }

    /// The same client, making proofs for the public URL `issuer` instead of the base URL.
    #[must_use]
    pub fn with_issuer(mut self, issuer: Url) -> Self {
        self.issuer = Some(issuer);
        self
    }

    /// The DPoP nonce that the server gave last, if it gave one.
    #[must_use]
    pub fn dpop_nonce(&self) -> Option<String> {
        self.nonce.lock().ok().and_then(|held| held.clone())
    }

    /// Where requests go.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }
}
