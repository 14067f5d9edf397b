//! The verified subject of a task.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick_core::SubjectId;

/// The human or workload that a pinned issuer vouched for. Made only by
/// [`Issuers::verify_subject`](crate::Issuers::verify_subject); cheap to clone.
#[derive(Debug, Clone)]
pub struct Subject(Arc<SubjectFacts>);

#[derive(Debug)]
pub(crate) struct SubjectFacts {
    pub(crate) id: SubjectId,
    pub(crate) issuer: String,
    pub(crate) groups: Vec<String>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) party: Option<String>,
    pub(crate) issued: i64,
    pub(crate) authenticated_at: Option<i64>,
    pub(crate) expires: i64,
}

impl Subject {
    pub(crate) fn new(facts: SubjectFacts) -> Self {
        Self(Arc::new(facts))
    }

    /// The id that goes into every token of the chain, for example `user:alice@a.example`.
    #[must_use]
    pub fn id(&self) -> &SubjectId {
        &self.0.id
    }

    /// The pinned issuer that vouched, as configured.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// The groups the issuer names, in the issuer's order.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.0.groups
    }

    /// The claims that the configuration says to carry over, by claim name.
    #[must_use]
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.0.attributes
    }

    /// The client that the token was issued to (`azp`), where stated.
    #[must_use]
    pub fn authorized_party(&self) -> Option<&str> {
        self.0.party.as_deref()
    }

    /// The `iat` of the token that showed it, in seconds since the epoch.
    #[must_use]
    pub fn issued(&self) -> i64 {
        self.0.issued
    }

    /// When the subject authenticated (`auth_time`), in seconds since the epoch, where stated.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<i64> {
        self.0.authenticated_at
    }

    /// The `exp` of the token that showed it, in seconds since the epoch.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.0.expires
    }
}
