//! Claims as they are on the wire: typed, closed, read without a JSON tree.

use std::sync::Arc;

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{ActChain, Actor, HolderBinding, HopClaims, HopFacts, StatusRef};
use crate::authority::{ConstraintSet, HeldAuthority};
use crate::claims;
use crate::constraint::Constraint;
use crate::crypto::Thumbprint;
use crate::error::VerifyError;
use crate::hash::Sha256Hash;
use crate::ids::{AgentId, DecisionId, SubjectId, TaskId, TenantId, TokenId, WorkflowId};
use crate::limits::{
    DEL_MAX_DEPTH_MAX, DEPTH_MAX, LINEAGE_MAX, PURPOSE_BYTES_MAX, TTL_SECONDS_MAX, URI_BYTES_MAX,
};
use crate::scope::{Scope, ScopeSet};

/// The JOSE header: every member it may have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header<'a> {
    #[serde(borrow)]
    pub(crate) alg: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) c14n: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) typ: Cow<'a, str>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) kid: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "present", borrow)]
    pub(crate) jwk: Option<RawJwk<'a>>,
    /// Exactly one certificate, standard base64 of its DER (RFC 7515 §4.1.6).
    #[serde(default, deserialize_with = "present")]
    pub(crate) x5c: Option<(String,)>,
}

/// A grant's embedded key: exactly the members its thumbprint covers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawJwk<'a> {
    #[serde(borrow)]
    pub(crate) crv: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) kty: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) x: Cow<'a, str>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) y: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDetail<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    scopes: Vec<Scope>,
    #[serde(default)]
    constraints: Vec<Constraint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBinding {
    #[serde(default, deserialize_with = "present")]
    jkt: Option<Thumbprint>,
    #[serde(default, deserialize_with = "present", rename = "x5t#S256")]
    x5t_s256: Option<Sha256Hash>,
}

/// The actors of nested `act` objects, outermost first, read into one list.
struct RawActors(Vec<Actor>);

impl<'de> Deserialize<'de> for RawActors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut actors = Vec::with_capacity(usize::from(DEPTH_MAX) + 1);
        ActorSeed(&mut actors).deserialize(deserializer)?;
        actors.reverse();
        Ok(Self(actors))
    }
}

/// Reads one `act` object after those inside it, so the list begins with the innermost.
struct ActorSeed<'a>(&'a mut Vec<Actor>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum ActorMember {
    Act,
    Iss,
    Sub,
}

impl<'de> DeserializeSeed<'de> for ActorSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ActorSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an act object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut iss, mut sub): (Option<String>, Option<AgentId>) = (None, None);
        while let Some(member) = map.next_key()? {
            match member {
                ActorMember::Iss => iss = Some(map.next_value()?),
                ActorMember::Sub => sub = Some(map.next_value()?),
                ActorMember::Act => map.next_value_seed(ActorSeed(self.0))?,
            }
        }
        let (Some(iss), Some(sub)) = (iss, sub) else {
            return Err(A::Error::custom("act must have iss and sub"));
        };
        self.0.push(Actor { iss, sub });
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStatus {
    status_list: RawStatusList,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStatusList {
    idx: u64,
    uri: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFacts<'a> {
    v: u64,
    purpose: String,
    workflow: WorkflowId,
    tenant: TenantId,
    env: String,
    #[serde(default, deserialize_with = "present")]
    decision: Option<DecisionId>,
    #[serde(default, deserialize_with = "present")]
    policy: Option<String>,
    #[serde(default, deserialize_with = "present")]
    grant: Option<Cow<'a, str>>,
    lineage: Vec<TokenId>,
    #[serde(default, deserialize_with = "present")]
    ask: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHop<'a> {
    iss: String,
    sub: SubjectId,
    aud: String,
    client_id: AgentId,
    iat: i64,
    exp: i64,
    jti: TokenId,
    cnf: RawBinding,
    #[serde(borrow)]
    scope: Cow<'a, str>,
    #[serde(borrow)]
    authorization_details: (RawDetail<'a>,),
    del_depth: u64,
    del_max_depth: u64,
    #[serde(default, deserialize_with = "present")]
    par_hash: Option<Sha256Hash>,
    act: RawActors,
    txn: TaskId,
    #[serde(default, deserialize_with = "present")]
    status: Option<RawStatus>,
    #[serde(rename = "urn:bailiwick:hop", borrow)]
    hop: RawFacts<'a>,
}

/// An optional member that, when present, is not null.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl RawBinding {
    pub(crate) fn binding(self) -> Result<HolderBinding, &'static str> {
        match (self.jkt, self.x5t_s256) {
            (Some(jkt), None) => Ok(HolderBinding::Jkt(jkt)),
            (None, Some(hash)) => Ok(HolderBinding::X5tS256(hash)),
            _ => Err("cnf must bind exactly one key"),
        }
    }
}

impl RawDetail<'_> {
    pub(crate) fn authority(self, scope: &str, hop: usize) -> Result<HeldAuthority, VerifyError> {
        if self.kind != claims::DETAIL_TYPE {
            return Err(VerifyError::malformed(hop, "authorization detail of another type"));
        }
        let fault = |e: &dyn std::fmt::Display| VerifyError::malformed(hop, e.to_string());
        let scopes = ScopeSet::new(self.scopes).map_err(|e| fault(&e))?;
        let constraints = ConstraintSet::new(self.constraints).map_err(|e| fault(&e))?;
        let mirrored = match scope {
            "" => scopes.is_empty(),
            text => text.split(' ').eq(scopes.iter().map(Scope::as_str)),
        };
        if !mirrored {
            return Err(VerifyError::malformed(hop, "scope does not mirror the detail's scopes"));
        }
        Ok(HeldAuthority { scopes, constraints })
    }
}

pub(super) fn read_hop(payload: &str, hop: usize) -> Result<HopClaims, VerifyError> {
    let raw: RawHop<'_> = serde_json::from_str(payload).map_err(|e| claims_fault(hop, &e))?;
    if raw.hop.v != claims::VERSION {
        return Err(VerifyError::malformed(hop, "hop claim of another version"));
    }
    let (detail,) = raw.authorization_details;
    let (del_depth, del_max_depth) = depths(raw.del_depth, raw.del_max_depth, hop)?;
    let grant = raw.hop.grant.map(|text| named_hash(&text, "grant", hop)).transpose()?;
    let claims = HopClaims {
        iss: raw.iss,
        sub: raw.sub,
        aud: raw.aud,
        client_id: raw.client_id,
        iat: raw.iat,
        exp: raw.exp,
        jti: raw.jti,
        cnf: raw.cnf.binding().map_err(|what| VerifyError::malformed(hop, what))?,
        authority: Arc::new(detail.authority(&raw.scope, hop)?),
        del_depth,
        del_max_depth,
        par_hash: raw.par_hash,
        act: ActChain(raw.act.0),
        txn: raw.txn,
        status: raw.status.map(|s| StatusRef { idx: s.status_list.idx, uri: s.status_list.uri }),
        hop: HopFacts {
            purpose: raw.hop.purpose,
            workflow: raw.hop.workflow,
            tenant: raw.hop.tenant,
            env: raw.hop.env,
            decision: raw.hop.decision,
            policy: raw.hop.policy,
            grant,
            lineage: raw.hop.lineage,
            ask: raw.hop.ask,
        },
    };
    check_hop(&claims, hop)?;
    Ok(claims)
}

/// Depth bounds that hold before any signature work.
pub(crate) fn depths(depth: u64, max: u64, hop: usize) -> Result<(u8, u8), VerifyError> {
    let bounded = |value: u64, limit: u8| u8::try_from(value).ok().filter(|v| *v <= limit);
    match (bounded(depth, DEPTH_MAX), bounded(max, DEL_MAX_DEPTH_MAX)) {
        (Some(depth), Some(max)) if max > 0 => Ok((depth, max)),
        _ => Err(VerifyError::DepthInvalid { hop, what: "depth is beyond what is accepted" }),
    }
}

pub(crate) fn claims_fault(hop: usize, error: &serde_json::Error) -> VerifyError {
    // serde names the member; it may quote a value, so keep it short and printable.
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let shown: String = text.chars().filter(|c| !c.is_control()).take(160).collect();
    VerifyError::malformed(hop, shown)
}

pub(crate) fn named_hash(text: &str, name: &str, hop: usize) -> Result<Sha256Hash, VerifyError> {
    Sha256Hash::from_named(text)
        .map_err(|_| VerifyError::malformed(hop, format!("{name} is not a sha-256: hash")))
}

pub(crate) fn check_text(
    text: &str,
    bytes_max: usize,
    name: &str,
    hop: usize,
) -> Result<(), VerifyError> {
    if text.is_empty() || text.len() > bytes_max || !crate::text::is_printable_word(text) {
        return Err(VerifyError::malformed(
            hop,
            format!("{name} is empty, too long or not printable"),
        ));
    }
    Ok(())
}

pub(crate) fn check_purpose(text: &str, hop: usize) -> Result<(), VerifyError> {
    if text.len() > PURPOSE_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(VerifyError::malformed(hop, "purpose is too long or not printable"));
    }
    Ok(())
}

/// A positive life of at most [`TTL_SECONDS_MAX`].
pub(crate) fn check_life(iat: i64, exp: i64, hop: usize) -> Result<(), VerifyError> {
    let life = exp.checked_sub(iat).and_then(|life| u64::try_from(life).ok());
    if iat < 0 || !life.is_some_and(|life| (1..=TTL_SECONDS_MAX).contains(&life)) {
        return Err(VerifyError::malformed(hop, "life is not positive or longer than allowed"));
    }
    Ok(())
}

pub(super) fn check_hop(claims: &HopClaims, hop: usize) -> Result<(), VerifyError> {
    check_text(&claims.iss, URI_BYTES_MAX, "iss", hop)?;
    check_text(&claims.aud, URI_BYTES_MAX, "aud", hop)?;
    check_text(&claims.hop.env, 64, "env", hop)?;
    check_purpose(&claims.hop.purpose, hop)?;
    check_life(claims.iat, claims.exp, hop)?;
    depths(claims.del_depth.into(), claims.del_max_depth.into(), hop)?;
    if let Some(policy) = &claims.hop.policy {
        named_hash(policy, "policy", hop)?;
    }
    if let Some(status) = &claims.status {
        check_text(&status.uri, URI_BYTES_MAX, "status", hop)?;
    }
    for actor in &claims.act.0 {
        check_text(&actor.iss, URI_BYTES_MAX, "act", hop)?;
    }
    let depth = usize::from(claims.del_depth);
    let missing = |what| Err(VerifyError::ProvenanceMissing { hop, what });
    if claims.act.0.len() != depth + 1 {
        return missing("act does not name one agent for every hop");
    }
    if claims.act.0.first().is_none_or(|actor| actor.sub != claims.client_id) {
        return missing("act does not begin with client_id");
    }
    let lineage = &claims.hop.lineage;
    if lineage.len() < depth || lineage.len() > LINEAGE_MAX || lineage.contains(&claims.jti) {
        return missing("lineage does not name every ancestor");
    }
    if depth == 0 && claims.par_hash.is_some() {
        return Err(VerifyError::malformed(hop, "the root must not carry par_hash"));
    }
    Ok(())
}
