//! Pinned issuers, and the verification of what they sign.

mod identity;

use std::collections::HashMap;
use std::sync::Arc;

use bailiwick_core::{Sha256Hash, UnixMillis, sha256};
use moka::sync::Cache;

use self::identity::Identity;
use crate::claims::Times;
use crate::config::{ConfigError, IssuerConfig, IssuerKind, check_together};
use crate::error::IdentityError;
use crate::fetch::KeyClient;
use crate::jwks::cache::{GoodKeys, KeyCache};
use crate::jwt::UnverifiedJwt;
use crate::limits::{FOREIGN_JWT_BYTES_MAX, VERIFIED_BYTES_MAX};
use crate::spiffe::{SpiffeId, TrustDomain};
use crate::subject::Subject;
use crate::workload::Workload;
use crate::x509::bundle::TrustBundles;

/// Every pinned issuer, its current keys, and a bounded memory of JWTs that were verified.
pub struct Issuers {
    by_issuer: HashMap<(IssuerKind, String), Arc<PinnedIssuer>>,
    by_trust_domain: HashMap<TrustDomain, Arc<PinnedIssuer>>,
    verified: Cache<Sha256Hash, Arc<VerifiedJwt>>,
}

struct PinnedIssuer {
    config: IssuerConfig,
    trust_domain: Option<TrustDomain>,
    keys: Arc<KeyCache>,
}

/// A JWT whose signature was checked. What depends on the time, on the audience and on the issuer's
/// current keys is checked at every use.
struct VerifiedJwt {
    identity: Identity,
    audiences: Vec<String>,
    times: Times,
    issuer: Arc<PinnedIssuer>,
    generation: u64,
    weight: u32,
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.by_issuer.keys().map(|(_, issuer)| issuer).collect();
        let domains: Vec<_> = self.by_trust_domain.keys().collect();
        f.debug_struct("Issuers").field("issuers", &names).field("trust_domains", &domains).finish()
    }
}

impl Issuers {
    /// Pin these issuers. Nothing is fetched yet.
    ///
    /// # Errors
    /// A [`ConfigError`] when one cannot be used, or two could be taken for one another.
    pub fn new(configs: Vec<IssuerConfig>, client: KeyClient) -> Result<Self, ConfigError> {
        check_together(&configs)?;
        let (mut by_issuer, mut by_trust_domain) = (HashMap::new(), HashMap::new());
        for config in configs {
            let keys = Arc::new(KeyCache::new(&config, client.clone())?);
            let trust_domain = config.trust_domain.as_deref().and_then(|name| name.parse().ok());
            let name = (config.kind, config.issuer.clone());
            let pinned =
                Arc::new(PinnedIssuer { config, trust_domain: trust_domain.clone(), keys });
            match trust_domain {
                Some(domain) => by_trust_domain.insert(domain, pinned),
                None => by_issuer.insert(name, pinned),
            };
        }
        let verified = Cache::builder()
            .max_capacity(VERIFIED_BYTES_MAX)
            .weigher(|_, jwt: &Arc<VerifiedJwt>| jwt.weight)
            .build();
        Ok(Self { by_issuer, by_trust_domain, verified })
    }

    /// Verify a subject's token: of a pinned issuer of subjects, for `audience` (or a name under which
    /// the issuer knows us), good at `now`.
    ///
    /// # Errors
    /// [`IdentityError`] with the stable reason.
    pub async fn verify_subject(
        &self,
        jwt: impl AsRef<str>,
        audience: &str,
        now: UnixMillis,
    ) -> Result<Subject, IdentityError> {
        match &self.verify(IssuerKind::Subjects, jwt.as_ref(), audience, now).await?.identity {
            Identity::Subject(subject) => Ok(subject.clone()),
            Identity::Workload(_) => Err(IdentityError::IssuerUntrusted("not a subject's token")),
        }
    }

    /// Verify a workload's token: a JWT-SVID of a pinned trust domain, or a JWT of a pinned OpenID
    /// Connect issuer of workloads.
    ///
    /// # Errors
    /// [`IdentityError`] with the stable reason.
    pub async fn verify_workload(
        &self,
        jwt: impl AsRef<str>,
        audience: &str,
        now: UnixMillis,
    ) -> Result<Workload, IdentityError> {
        match &self.verify(IssuerKind::Workloads, jwt.as_ref(), audience, now).await?.identity {
            Identity::Workload(workload) => Ok(workload.clone()),
            Identity::Subject(_) => Err(IdentityError::IssuerUntrusted("not a workload's token")),
        }
    }

    /// The X.509 roots that the pinned trust domains publish in their bundles at `now`. A domain whose
    /// bundle cannot be had is left out, so nothing validates against it.
    pub async fn trust_bundles(&self, now: UnixMillis) -> TrustBundles {
        let mut bundles = TrustBundles::default();
        for (domain, issuer) in &self.by_trust_domain {
            let Ok(keys) = issuer.keys.current(now).await else { continue };
            if let Err(error) = bundles.insert(domain, keys.set.roots()) {
                tracing::warn!(%domain, %error, "a bundle's roots cannot be used");
            }
        }
        bundles
    }

    async fn verify(
        &self,
        kind: IssuerKind,
        jwt: &str,
        audience: &str,
        now: UnixMillis,
    ) -> Result<Arc<VerifiedJwt>, IdentityError> {
        if jwt.len() > FOREIGN_JWT_BYTES_MAX {
            return Err(IdentityError::Malformed("the token is too long"));
        }
        let digest = sha256(jwt.as_bytes());
        if let Some(known) = self.verified.get(&digest).filter(|v| v.issuer.config.kind == kind) {
            let keys = known.issuer.keys.current(now).await?;
            if keys.generation == known.generation {
                known.check(audience, now)?;
                return Ok(known);
            }
            self.verified.invalidate(&digest);
        }
        let verified = Arc::new(self.verify_afresh(kind, jwt, now).await?);
        verified.check(audience, now)?;
        self.verified.insert(digest, Arc::clone(&verified));
        Ok(verified)
    }

    async fn verify_afresh(
        &self,
        kind: IssuerKind,
        jwt: &str,
        now: UnixMillis,
    ) -> Result<VerifiedJwt, IdentityError> {
        const OVERHEAD: usize = 512;
        let weight = u32::try_from(jwt.len() + OVERHEAD).unwrap_or(u32::MAX);
        let jwt = UnverifiedJwt::parse(jwt)?;
        let issuer = self.issuer_of(kind, &jwt)?;
        issuer.check_header(&jwt)?;
        let generation = issuer.check_signature(&jwt, now).await?.generation;
        let times = jwt.claims.times()?;
        times.check(now.seconds())?;
        times.check_lifetime(issuer.config.lifetime(), now.seconds())?;
        issuer.check_authorized_party(&jwt)?;
        let audiences = jwt.claims.audiences()?;
        let identity = Identity::read(&issuer.config, &jwt.claims, times.expires)?;
        let issuer = Arc::clone(issuer);
        Ok(VerifiedJwt { identity, audiences, times, issuer, generation, weight })
    }

    /// Which pinned issuer would have to have signed this. Reads unverified claims, only to look up what
    /// the configuration pins; the signature then has to bear it out.
    fn issuer_of(
        &self,
        kind: IssuerKind,
        jwt: &UnverifiedJwt<'_>,
    ) -> Result<&Arc<PinnedIssuer>, IdentityError> {
        let sub = jwt.claims.required_text("sub", "no `sub`")?;
        let iss = jwt.claims.text("iss")?;
        if sub.starts_with("spiffe:") {
            if kind == IssuerKind::Subjects {
                return Err(IdentityError::IssuerUntrusted("a workload's token names no subject"));
            }
            let id: SpiffeId =
                sub.parse().map_err(|_| IdentityError::Malformed("`sub` is not a SPIFFE ID"))?;
            let issuer = self
                .by_trust_domain
                .get(id.trust_domain())
                .ok_or(IdentityError::IssuerUntrusted("the trust domain is not pinned"))?;
            if iss.is_some_and(|iss| iss != issuer.config.issuer) {
                return Err(IdentityError::IssuerUntrusted(
                    "`iss` is not the trust domain's issuer",
                ));
            }
            return Ok(issuer);
        }
        let iss = iss.ok_or(IdentityError::IssuerUntrusted("no `iss`"))?;
        self.by_issuer
            .get(&(kind, iss.to_owned()))
            .ok_or(IdentityError::IssuerUntrusted("the issuer is not pinned for this use"))
    }
}

impl PinnedIssuer {
    fn check_header(&self, jwt: &UnverifiedJwt<'_>) -> Result<(), IdentityError> {
        let typ = jwt.typ.as_deref().map(|typ| {
            let lower = typ.to_ascii_lowercase();
            lower.strip_prefix("application/").map_or(lower.clone(), str::to_owned)
        });
        let accepted = match typ.as_deref() {
            None | Some("jwt") => true,
            Some("jose") => self.trust_domain.is_some(),
            Some("at+jwt") => self.config.access_tokens,
            Some(_) => false,
        };
        if !accepted {
            return Err(IdentityError::Malformed("`typ` is not that of such a token"));
        }
        if !self.config.algorithms.contains(&jwt.algorithm) {
            return Err(IdentityError::SignatureInvalid("not an algorithm of this issuer"));
        }
        Ok(())
    }

    async fn check_signature(
        &self,
        jwt: &UnverifiedJwt<'_>,
        now: UnixMillis,
    ) -> Result<Arc<GoodKeys>, IdentityError> {
        let kid = jwt.kid.as_deref();
        let mut keys = self.keys.current(now).await?;
        if !keys.set.knows(kid) {
            keys = self.keys.after_unknown_key(now).await?;
        }
        keys.set.verify(kid, jwt.algorithm, jwt.signing_input, jwt.signature)?;
        Ok(keys)
    }

    fn check_authorized_party(&self, jwt: &UnverifiedJwt<'_>) -> Result<(), IdentityError> {
        let allowed = &self.config.authorized_parties;
        if self.config.kind == IssuerKind::Workloads || allowed.is_empty() {
            return Ok(());
        }
        let azp = jwt.claims.required_text("azp", "no `azp`")?;
        if allowed.iter().any(|party| party == azp) {
            Ok(())
        } else {
            Err(IdentityError::IssuerUntrusted("issued to a client that is not configured"))
        }
    }
}

impl VerifiedJwt {
    fn check(&self, audience: &str, now: UnixMillis) -> Result<(), IdentityError> {
        self.times.check(now.seconds())?;
        let ours = &self.issuer.config.audiences;
        let for_us = |aud: &String| aud == audience || ours.contains(aud);
        if self.audiences.iter().any(for_us) {
            Ok(())
        } else {
            Err(IdentityError::AudienceMismatch)
        }
    }
}
