//! From verified claims to the identity that the configuration says they mean.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::claims::UnverifiedClaims;
use crate::config::{IssuerConfig, IssuerKind};
use crate::error::IdentityError;
use crate::limits::{CLAIM_TEXT_BYTES_MAX, GROUPS_MAX};
use crate::spiffe::SpiffeId;
use crate::subject::{Subject, SubjectFacts};
use crate::workload::{Workload, WorkloadMethod};

pub(super) enum Identity {
    Subject(Subject),
    Workload(Workload),
}

impl Identity {
    /// Map claims whose signature was checked.
    pub(super) fn read(
        config: &IssuerConfig,
        claims: &UnverifiedClaims,
        expires: i64,
    ) -> Result<Self, IdentityError> {
        match config.kind {
            IssuerKind::Subjects => subject(config, claims, expires).map(Self::Subject),
            IssuerKind::Workloads => workload(config, claims, expires).map(Self::Workload),
        }
    }
}

fn subject(
    config: &IssuerConfig,
    claims: &UnverifiedClaims,
    expires: i64,
) -> Result<Subject, IdentityError> {
    let issued = claims.date("iat")?.ok_or(IdentityError::Malformed("no `iat`"))?;
    let name = claims
        .required_text(&config.subject_claim, "the claim that names the subject is missing")?;
    if config.subject_claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(IdentityError::IssuerUntrusted("the issuer has not verified the address"));
    }
    let id = format!("{}{name}", config.subject_prefix)
        .parse()
        .map_err(|_| IdentityError::Malformed("the subject's name cannot be an identifier"))?;
    Ok(Subject::new(SubjectFacts {
        id,
        issuer: config.issuer.clone(),
        groups: groups(claims.get(&config.groups_claim))?,
        attributes: attributes(config, claims)?,
        party: claims.text("azp")?.map(str::to_owned),
        issued,
        authenticated_at: claims.date("auth_time")?,
        expires,
    }))
}

fn groups(claim: Option<&Value>) -> Result<Vec<String>, IdentityError> {
    const FORM: IdentityError =
        IdentityError::Malformed("the groups are not a list of short texts");
    match claim {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(groups)) if groups.len() <= GROUPS_MAX => {
            groups.iter().map(|group| group.as_str().and_then(short).ok_or(FORM)).collect()
        }
        Some(_) => Err(FORM),
    }
}

fn attributes(
    config: &IssuerConfig,
    claims: &UnverifiedClaims,
) -> Result<BTreeMap<String, String>, IdentityError> {
    const FORM: IdentityError = IdentityError::Malformed("an attribute is not a short text");
    let mut attributes = BTreeMap::new();
    for name in &config.attribute_claims {
        if let Some(text) = claims.text(name)? {
            attributes.insert(name.clone(), short(text).ok_or(FORM)?);
        }
    }
    Ok(attributes)
}

fn short(text: &str) -> Option<String> {
    let fits = text.len() <= CLAIM_TEXT_BYTES_MAX && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

fn workload(
    config: &IssuerConfig,
    claims: &UnverifiedClaims,
    expires: i64,
) -> Result<Workload, IdentityError> {
    let sub = claims.required_text("sub", "no `sub`")?;
    let Some(domain) = &config.trust_domain else {
        let sub = short(sub).ok_or(IdentityError::Malformed("`sub` is too long"))?;
        return Ok(Workload::from_oidc(&config.issuer, &sub, expires));
    };
    let id: SpiffeId =
        sub.parse().map_err(|_| IdentityError::Malformed("`sub` is not a SPIFFE ID"))?;
    if id.trust_domain().as_str() != domain {
        return Err(IdentityError::IssuerUntrusted("not an identity of this trust domain"));
    }
    Ok(Workload::from_svid(&id, &config.issuer, WorkloadMethod::JwtSvid, expires))
}
