//! The verified identity of a workload.

use std::sync::Arc;

use crate::spiffe::SpiffeId;

/// How a workload showed who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkloadMethod {
    /// A JWT-SVID of a pinned trust domain.
    JwtSvid,
    /// An X.509-SVID over mutual TLS, validated to a root of a pinned trust domain.
    X509Svid,
    /// A JWT of a pinned OpenID Connect issuer.
    Oidc,
}

impl WorkloadMethod {
    /// The stable name, for receipts: `jwt-svid`, `x509-svid` or `oidc`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JwtSvid => "jwt-svid",
            Self::X509Svid => "x509-svid",
            Self::Oidc => "oidc",
        }
    }
}

/// A workload that a pinned issuer or trust domain vouched for. Made only by verification; cheap to
/// clone. Whether it is a *registered agent* is the registry's question.
#[derive(Debug, Clone)]
pub struct Workload(Arc<WorkloadFacts>);

#[derive(Debug)]
struct WorkloadFacts {
    id: String,
    trust_domain: Option<String>,
    issuer: String,
    subject: String,
    method: WorkloadMethod,
    expires: i64,
}

impl Workload {
    pub(crate) fn from_svid(
        id: &SpiffeId,
        issuer: &str,
        method: WorkloadMethod,
        expires: i64,
    ) -> Self {
        Self(Arc::new(WorkloadFacts {
            id: id.as_str().to_owned(),
            trust_domain: Some(id.trust_domain().as_str().to_owned()),
            issuer: issuer.to_owned(),
            subject: id.as_str().to_owned(),
            method,
            expires,
        }))
    }

    pub(crate) fn from_oidc(issuer: &str, subject: &str, expires: i64) -> Self {
        Self(Arc::new(WorkloadFacts {
            id: format!("{issuer}#{subject}"),
            trust_domain: None,
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            method: WorkloadMethod::Oidc,
            expires,
        }))
    }

    /// The SPIFFE ID, or the issuer, `#` and the `sub` for an OpenID Connect workload.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The trust domain of a SPIFFE workload.
    #[must_use]
    pub fn trust_domain(&self) -> Option<&str> {
        self.0.trust_domain.as_deref()
    }

    /// The issuer that vouched, as configured; for an X.509-SVID `spiffe://<trust domain>`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The `sub` as the issuer wrote it.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// How it was shown.
    #[must_use]
    pub fn method(&self) -> WorkloadMethod {
        self.0.method
    }

    /// When the SVID or token that showed it ends, in seconds since the epoch.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.0.expires
    }
}
