//! Who is calling a management operation, and what that caller may do.

use std::sync::Arc;

use bailiwick_api::ProblemCode;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::time::UnixMillis;
use bailiwick_core::{
    Sha256Hash, UnverifiedToken, VerifiedChain, VerifyOptions, sha256, verify_leaf,
};
use bailiwick_identity::{Authorization, IdentityError, PeerCredentials, PresentedToken, Subject};

use crate::authority::{Authority, Presented, ProvenKey};
use crate::config::OperatorRole;
use crate::fault::Stop;
use crate::registry::AgentEntry;

/// An authenticated caller. Roles come from the configuration and the registry, never from what
/// the request says.
#[derive(Debug)]
pub(crate) enum Caller {
    /// A person, with the operator roles that the configuration gives them (often none).
    Person {
        subject: Subject,
        roles: Vec<OperatorRole>,
        /// What the token's issuer signed, hashed: the same token has the same, however its
        /// signature is spelt.
        token: Sha256Hash,
    },
    /// A registered, live workload.
    Agent(Arc<AgentEntry>),
    /// The holder of a hop token, which proved that it holds the token's key.
    Holder { chain: Arc<VerifiedChain>, key: ProvenKey },
}

impl Caller {
    /// The name that receipts give the caller.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Person { subject, .. } => subject.id().to_string(),
            Self::Agent(entry) => entry.document.id.to_string(),
            Self::Holder { chain, .. } => chain.claims().client_id.to_string(),
        }
    }

    /// Whether the caller may change everything.
    pub(crate) fn is_admin(&self) -> bool {
        matches!(self, Self::Person { roles, .. } if roles.contains(&OperatorRole::Admin))
    }

    /// Whether the caller may read everything.
    pub(crate) fn is_auditor(&self) -> bool {
        matches!(self, Self::Person { roles, .. } if !roles.is_empty())
    }

    pub(crate) fn require_admin(&self) -> Result<(), Stop> {
        if self.is_admin() { Ok(()) } else { Err(role("admin")) }
    }

    pub(crate) fn require_auditor(&self) -> Result<(), Stop> {
        if self.is_auditor() { Ok(()) } else { Err(role("admin or auditor")) }
    }

    /// The caller as an enforcement point.
    pub(crate) fn require_enforcement_point(&self) -> Result<&Arc<AgentEntry>, Stop> {
        match self {
            Self::Agent(entry) if entry.document.is_enforcement_point() => Ok(entry),
            _ => Err(role("enforcement-point")),
        }
    }
}

fn role(needed: &str) -> Stop {
    Stop::new(ProblemCode::RoleRequired, format!("this needs the role {needed}"))
}

impl Authority {
    /// Authenticates the caller of anything but the token endpoint.
    pub(crate) async fn caller(
        &self,
        credentials: &PeerCredentials,
        method: &str,
        url: &str,
        now: UnixMillis,
    ) -> Result<Caller, Stop> {
        match credentials.authorization() {
            Some(Authorization::Bearer(token)) => self.bearer(token.expose(), now).await,
            Some(Authorization::Dpop(token)) => {
                let presented = Presented {
                    actor_token: None,
                    proof: credentials.proof().map(PresentedToken::expose),
                    certificate: credentials.certificate(),
                    method,
                    url,
                };
                let (chain, key) = self.holder(token.expose(), &presented, now)?;
                Ok(Caller::Holder { chain, key })
            }
            None => Err(unauthenticated("send an Authorization header")),
        }
    }

    /// A person's OIDC token, or a registered agent's SVID.
    async fn bearer(&self, token: &str, now: UnixMillis) -> Result<Caller, Stop> {
        let presented = PresentedToken::new(token);
        match self.issuers.verify_subject(&presented, &self.config.issuer, now).await {
            Ok(subject) => {
                let roles = self.operator_roles(&subject);
                Ok(Caller::Person { subject, roles, token: signed_part(token) })
            }
            Err(IdentityError::IssuerUntrusted(_)) => {
                let workload = self.verify_workload(token, now).await?;
                Ok(Caller::Agent(self.live_agent(&workload)?))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The holder of one of our tokens, by token and proof.
    pub(crate) fn holder(
        &self,
        token: &str,
        presented: &Presented<'_>,
        now: UnixMillis,
    ) -> Result<(Arc<VerifiedChain>, ProvenKey), Stop> {
        let chain = self.verify_own(token, now)?;
        let key = self.prove_key(presented, Some(token), now)?;
        require_holder(&chain, &key)?;
        self.require_alive(&chain, now)?;
        Ok((chain, key))
    }

    /// Verifies a token of this Authority; the result is cached by the token's hash.
    pub(crate) fn verify_own(
        &self,
        token: &str,
        now: UnixMillis,
    ) -> Result<Arc<VerifiedChain>, Stop> {
        let unverified = UnverifiedToken::parse(token)?;
        if let Some(chain) = self.verified.get(&unverified.token_hash(), now) {
            return Ok(chain);
        }
        let options = VerifyOptions { audience: None, full_chain: false };
        let chain = verify_leaf(&unverified, &self.keys.issuer_keys(now), &options, now)?;
        Ok(self.verified.insert(chain))
    }

    fn operator_roles(&self, subject: &Subject) -> Vec<OperatorRole> {
        let mut roles = Vec::new();
        for entry in self.config.operators.iter().filter(|entry| entry.issuer == subject.issuer()) {
            let by_subject = entry.subject.as_deref().is_some_and(|named| {
                let id: &str = subject.id().as_ref();
                id == named
                    || id
                        .strip_suffix(named)
                        .is_some_and(|prefix| self.subject_prefix(subject.issuer()) == Some(prefix))
            });
            let by_group =
                entry.group.as_ref().is_some_and(|group| subject.groups().contains(group));
            if by_subject || by_group {
                roles.extend(entry.roles.iter().copied());
            }
        }
        roles
    }

    fn subject_prefix(&self, issuer: &str) -> Option<&str> {
        let entry = self.config.issuers.iter().find(|entry| entry.issuer == issuer)?;
        entry.subject_prefix.as_deref()
    }
}

/// SHA-256 of what was signed: a token without its signature.
pub(crate) fn signed_part(token: &str) -> Sha256Hash {
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    sha256(signed.as_bytes())
}

/// Refuses a proof by another key than the token is bound to.
pub(crate) fn require_holder(chain: &VerifiedChain, key: &ProvenKey) -> Result<(), Stop> {
    if chain.claims().cnf == key.binding {
        return Ok(());
    }
    let detail = "the proof was made by another key than the token is bound to";
    Err(Stop::new(Outcome::HolderBindingFailed, detail))
}

pub(crate) fn unauthenticated(detail: &str) -> Stop {
    Stop::new(ProblemCode::Unauthenticated, detail)
}
