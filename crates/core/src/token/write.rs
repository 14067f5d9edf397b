//! Claims as they are written: members in canonical order, so that they are written where they stand.

use serde::ser::{SerializeMap as _, SerializeStruct as _};
use serde::{Serialize, Serializer};

use super::{ActChain, Actor, HolderBinding, HopClaims, HopFacts, StatusRef};
use crate::authority::HeldAuthority;
use crate::claims;

impl Serialize for HopClaims {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let details: [&HeldAuthority; 1] = [&self.authority];
        let mut payload = to.serialize_struct("HopClaims", 17)?;
        payload.serialize_field(claims::ACT, &self.act)?;
        payload.serialize_field(claims::AUD, &self.aud)?;
        payload.serialize_field(claims::AUTHORIZATION_DETAILS, &details)?;
        payload.serialize_field(claims::CLIENT_ID, &self.client_id)?;
        payload.serialize_field(claims::CNF, &self.cnf)?;
        payload.serialize_field(claims::DEL_DEPTH, &self.del_depth)?;
        payload.serialize_field(claims::DEL_MAX_DEPTH, &self.del_max_depth)?;
        payload.serialize_field(claims::EXP, &self.exp)?;
        payload.serialize_field(claims::IAT, &self.iat)?;
        payload.serialize_field(claims::ISS, &self.iss)?;
        payload.serialize_field(claims::JTI, &self.jti)?;
        if let Some(par_hash) = &self.par_hash {
            payload.serialize_field(claims::PAR_HASH, par_hash)?;
        }
        payload.serialize_field(claims::SCOPE, &self.authority.scopes.to_string())?;
        if let Some(status) = &self.status {
            payload.serialize_field(claims::STATUS, status)?;
        }
        payload.serialize_field(claims::SUB, &self.sub)?;
        payload.serialize_field(claims::TXN, &self.txn)?;
        payload.serialize_field(claims::HOP, &self.hop)?;
        payload.end()
    }
}

impl Serialize for HopFacts {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut facts = to.serialize_struct("HopFacts", 10)?;
        if let Some(ask) = &self.ask {
            facts.serialize_field("ask", ask)?;
        }
        if let Some(decision) = &self.decision {
            facts.serialize_field("decision", decision)?;
        }
        facts.serialize_field("env", &self.env)?;
        if let Some(grant) = &self.grant {
            facts.serialize_field("grant", &grant.named())?;
        }
        facts.serialize_field("lineage", &self.lineage)?;
        if let Some(policy) = &self.policy {
            facts.serialize_field("policy", policy)?;
        }
        facts.serialize_field("purpose", &self.purpose)?;
        facts.serialize_field("tenant", &self.tenant)?;
        facts.serialize_field("v", &claims::VERSION)?;
        facts.serialize_field("workflow", &self.workflow)?;
        facts.end()
    }
}

impl Serialize for HolderBinding {
    /// The `cnf` object.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut cnf = to.serialize_map(Some(1))?;
        match self {
            Self::Jkt(thumbprint) => cnf.serialize_entry(claims::JKT, &thumbprint.to_string())?,
            Self::X5tS256(hash) => cnf.serialize_entry(claims::X5T_S256, hash)?,
        }
        cnf.end()
    }
}

impl Serialize for ActChain {
    /// The nested `act` object; null for no actors.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Actors(&self.0).serialize(to)
    }
}

/// The rest of a chain of actors.
struct Actors<'a>(&'a [Actor]);

impl Serialize for Actors<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Some((actor, inner)) = self.0.split_first() else {
            return to.serialize_unit();
        };
        let mut outer = to.serialize_struct("Actor", 3)?;
        if !inner.is_empty() {
            outer.serialize_field(claims::ACT, &Actors(inner))?;
        }
        outer.serialize_field(claims::ISS, &actor.iss)?;
        outer.serialize_field(claims::SUB, &actor.sub)?;
        outer.end()
    }
}

impl Serialize for StatusRef {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut status = to.serialize_map(Some(1))?;
        status.serialize_entry("status_list", &List(self))?;
        status.end()
    }
}

/// The entry of a status list.
struct List<'a>(&'a StatusRef);

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_struct("StatusList", 2)?;
        list.serialize_field("idx", &self.0.idx)?;
        list.serialize_field("uri", &self.0.uri)?;
        list.end()
    }
}
