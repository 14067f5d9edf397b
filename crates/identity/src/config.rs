//! Which issuers are pinned, and what they may say.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::limits::SKEW_SECONDS;
use crate::spiffe::TrustDomain;

/// Whether an issuer vouches for subjects or for workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuerKind {
    /// Its tokens start tasks: they name a [`Subject`](crate::Subject).
    Subjects,
    /// Its tokens name a [`Workload`](crate::Workload).
    Workloads,
}

/// Where an issuer's keys come from. Never a place that a token names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JwksSource {
    /// A JWK Set or SPIFFE bundle at an `https` URL, or at a loopback `http` URL. Fetched and kept fresh.
    Url(String),
    /// The same in a file, read again at each refresh.
    File(PathBuf),
    /// The same, written in the configuration.
    Inline(serde_json::Value),
}

/// A signature algorithm that a foreign JWT may use. There is no name here for `none` or an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ForeignAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519. RFC 9864 calls it so; issuers of before say `EdDSA`.
    #[serde(rename = "EdDSA", alias = "Ed25519")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PSS with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSASSA-PSS with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
}

impl ForeignAlgorithm {
    /// Every algorithm, in the order of the reference page.
    pub const ALL: [Self; 9] = [
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
    ];

    /// The JOSE name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let name = if name == "Ed25519" { Self::EdDsa.name() } else { name };
        Self::ALL.into_iter().find(|a| a.name() == name)
    }

    pub(crate) fn library(self) -> jsonwebtoken::Algorithm {
        use jsonwebtoken::Algorithm as L;
        match self {
            Self::Es256 => L::ES256,
            Self::Es384 => L::ES384,
            Self::EdDsa => L::EdDSA,
            Self::Rs256 => L::RS256,
            Self::Rs384 => L::RS384,
            Self::Rs512 => L::RS512,
            Self::Ps256 => L::PS256,
            Self::Ps384 => L::PS384,
            Self::Ps512 => L::PS512,
        }
    }
}

/// One pinned issuer. [`IssuerConfig::subjects`] and [`IssuerConfig::workloads`] give the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The exact `iss`. For a trust domain whose SVIDs carry no `iss`, `spiffe://<trust domain>` by custom.
    pub issuer: String,
    /// What its tokens are good for.
    pub kind: IssuerKind,
    /// Where its keys come from.
    pub jwks: JwksSource,
    /// Names under which this issuer knows us, besides the audience that the caller asks for
    /// (a client id, for example).
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Acceptable `azp` values of a subject token; empty: not looked at.
    #[serde(default)]
    pub authorized_parties: Vec<String>,
    /// Acceptable algorithms. What the token's header says is only ever compared with this list.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<ForeignAlgorithm>,
    /// Put before the claim to make the subject id, for example `user:`. No two issuers of subjects may
    /// have prefixes of which one begins with the other: an id must tell which issuer vouched for it.
    #[serde(default)]
    pub subject_prefix: String,
    /// The claim that names the subject: `sub`, or `email` (then `email_verified` must be true).
    #[serde(default = "default_subject_claim")]
    pub subject_claim: String,
    /// The claim that lists groups.
    #[serde(default = "default_groups_claim")]
    pub groups_claim: String,
    /// Text claims that become attributes of the subject.
    #[serde(default)]
    pub attribute_claims: Vec<String>,
    /// The trust domain, for an issuer of JWT-SVIDs. Without it a workload token is OpenID Connect.
    #[serde(default)]
    pub trust_domain: Option<String>,
    /// Accept `typ` `at+jwt` (RFC 9068 access tokens) besides `JWT` and none. Not for JWT-SVIDs.
    #[serde(default)]
    pub access_tokens: bool,
    /// Largest `exp - iat` of a token, in seconds.
    #[serde(default = "default_lifetime")]
    pub lifetime_seconds_max: u64,
    /// Keys are fetched again when older than this, in seconds.
    #[serde(default = "default_refresh")]
    pub refresh_seconds: u64,
    /// When the issuer is away, the last good keys serve until this old, in seconds; then nothing does.
    #[serde(default = "default_keep")]
    pub keep_seconds_max: u64,
    /// Least time between two fetches, in seconds, whatever tokens come in.
    #[serde(default = "default_cooldown")]
    pub cooldown_seconds: u64,
}

fn default_algorithms() -> Vec<ForeignAlgorithm> {
    vec![ForeignAlgorithm::Es256, ForeignAlgorithm::Es384, ForeignAlgorithm::Rs256]
}

fn default_subject_claim() -> String {
    "sub".to_owned()
}

fn default_groups_claim() -> String {
    "groups".to_owned()
}

const fn default_lifetime() -> u64 {
    24 * 3600
}

const fn default_refresh() -> u64 {
    300
}

const fn default_keep() -> u64 {
    3600
}

const fn default_cooldown() -> u64 {
    10
}

impl IssuerConfig {
    /// An OpenID Connect issuer of subjects, with the defaults and the prefix `user:`.
    #[must_use]
    pub fn subjects(issuer: impl Into<String>, jwks: JwksSource) -> Self {
        Self {
            subject_prefix: "user:".to_owned(),
            ..Self::with_defaults(issuer.into(), IssuerKind::Subjects, jwks)
        }
    }

    /// An issuer of JWT-SVIDs for one trust domain, with the defaults.
    #[must_use]
    pub fn workloads(
        issuer: impl Into<String>,
        trust_domain: impl Into<String>,
        jwks: JwksSource,
    ) -> Self {
        Self {
            trust_domain: Some(trust_domain.into()),
            ..Self::with_defaults(issuer.into(), IssuerKind::Workloads, jwks)
        }
    }

    fn with_defaults(issuer: String, kind: IssuerKind, jwks: JwksSource) -> Self {
        Self {
            issuer,
            kind,
            jwks,
            audiences: Vec::new(),
            authorized_parties: Vec::new(),
            algorithms: default_algorithms(),
            subject_prefix: String::new(),
            subject_claim: default_subject_claim(),
            groups_claim: default_groups_claim(),
            attribute_claims: Vec::new(),
            trust_domain: None,
            access_tokens: false,
            lifetime_seconds_max: default_lifetime(),
            refresh_seconds: default_refresh(),
            keep_seconds_max: default_keep(),
            cooldown_seconds: default_cooldown(),
        }
    }

    /// Check one issuer by itself.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the issuer and what is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |what| Err(ConfigError::Issuer { issuer: self.issuer.clone(), what });
        if self.issuer.is_empty() || self.issuer.len() > 1024 {
            return fail("`issuer` must be the exact `iss` of its tokens");
        }
        if self.algorithms.is_empty() {
            return fail("`algorithms` is empty: no token could be accepted");
        }
        if self.cooldown_seconds == 0 || self.refresh_seconds < self.cooldown_seconds {
            return fail("need 0 < `cooldown_seconds` <= `refresh_seconds`");
        }
        if self.keep_seconds_max < self.refresh_seconds {
            return fail("`keep_seconds_max` is less than `refresh_seconds`");
        }
        if self.lifetime_seconds_max == 0 || self.lifetime_seconds_max > 7 * 24 * 3600 {
            return fail("`lifetime_seconds_max` must be from 1 second to 7 days");
        }
        if self.audiences.iter().any(String::is_empty) {
            return fail("`audiences` holds an empty name");
        }
        match self.kind {
            IssuerKind::Subjects => self.check_subjects(),
            IssuerKind::Workloads => self.check_workloads(),
        }
    }

    fn check_subjects(&self) -> Result<(), ConfigError> {
        let fail = |what| Err(ConfigError::Issuer { issuer: self.issuer.clone(), what });
        if self.trust_domain.is_some() {
            return fail("`trust_domain` is for issuers of workloads");
        }
        if self.subject_claim.is_empty() || self.groups_claim.is_empty() {
            return fail("`subject_claim` and `groups_claim` must name a claim");
        }
        Ok(())
    }

    fn check_workloads(&self) -> Result<(), ConfigError> {
        let fail = |what| Err(ConfigError::Issuer { issuer: self.issuer.clone(), what });
        let Some(name) = &self.trust_domain else {
            return if self.issuer.contains('#') { fail("`issuer` contains `#`") } else { Ok(()) };
        };
        if self.access_tokens {
            return fail("`access_tokens` is not for issuers of JWT-SVIDs");
        }
        if name.parse::<TrustDomain>().is_err() {
            return fail("`trust_domain` is not a trust domain name");
        }
        if self.algorithms.contains(&ForeignAlgorithm::EdDsa) {
            return fail("the JWT-SVID standard does not allow EdDSA");
        }
        Ok(())
    }

    pub(crate) fn lifetime(&self) -> i64 {
        i64::try_from(self.lifetime_seconds_max).unwrap_or(i64::MAX - SKEW_SECONDS)
    }
}

/// Why the issuers' configuration was refused. The process must not start with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// One issuer's settings.
    #[error("issuer `{issuer}`: {what}")]
    Issuer {
        /// The issuer as configured.
        issuer: String,
        /// What is wrong, in words.
        what: &'static str,
    },
    /// Two issuers that could be taken for one another.
    #[error("issuers `{first}` and `{second}`: {what}")]
    Conflict {
        /// The earlier one.
        first: String,
        /// The later one.
        second: String,
        /// What they share.
        what: &'static str,
    },
    /// Inline keys or an inline bundle cannot be used.
    #[error("`{issuer}`: the keys cannot be used: {what}")]
    Keys {
        /// The issuer or trust domain as configured.
        issuer: String,
        /// What is wrong, in words.
        what: &'static str,
    },
    /// The HTTP client for keys could not be built.
    #[error("cannot build the client that fetches keys: {0}")]
    Client(String),
}

pub(crate) fn check_together(configs: &[IssuerConfig]) -> Result<(), ConfigError> {
    for (i, second) in configs.iter().enumerate() {
        second.check()?;
        for first in configs.iter().take(i) {
            if let Some(what) = conflict(first, second) {
                let (first, second) = (first.issuer.clone(), second.issuer.clone());
                return Err(ConfigError::Conflict { first, second, what });
            }
        }
    }
    Ok(())
}

fn conflict(a: &IssuerConfig, b: &IssuerConfig) -> Option<&'static str> {
    if a.kind != b.kind {
        return None;
    }
    if a.kind == IssuerKind::Subjects {
        let (p, q) = (&a.subject_prefix, &b.subject_prefix);
        if p.starts_with(q.as_str()) || q.starts_with(p.as_str()) {
            return Some("one `subject_prefix` begins with the other: subjects could be mistaken");
        }
    }
    if a.trust_domain.is_some() && a.trust_domain == b.trust_domain {
        return Some("both vouch for the same `trust_domain`");
    }
    (a.issuer == b.issuer && a.trust_domain.is_some() == b.trust_domain.is_some())
        .then_some("the same `issuer` twice for one kind")
}

#[cfg(test)]
mod tests;
