//! Introspection (RFC 7662): whether a token may be used now, and its claims with the whole chain.

use bailiwick_api::IntrospectionResponse;
use bailiwick_core::time::UnixMillis;
use serde_json::{Map, Value};

use crate::authority::Authority;
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::store::StoreError;

/// Answers for any authenticated caller that may see the token: operators, enforcement points, and
/// the token's own holder. To everybody else a token is simply not active.
pub(crate) async fn introspect(
    authority: &Authority,
    caller: &Caller,
    token: &str,
) -> Result<IntrospectionResponse, Fault> {
    let now = authority.clock.now();
    match try_introspect(authority, caller, token, now).await {
        Ok(claims) => Ok(IntrospectionResponse { active: true, claims }),
        Err(Inactive::Because(stop)) => {
            tracing::debug!(?stop, "introspected an inactive token");
            Ok(IntrospectionResponse { active: false, claims: Map::new() })
        }
        Err(Inactive::Unknown(error)) => Err(error.into()),
    }
}

enum Inactive {
    Because(Stop),
    Unknown(StoreError),
}

impl From<Stop> for Inactive {
    fn from(stop: Stop) -> Self {
        Self::Because(stop)
    }
}

async fn try_introspect(
    authority: &Authority,
    caller: &Caller,
    token: &str,
    now: UnixMillis,
) -> Result<Map<String, Value>, Inactive> {
    let chain = authority.verify_own(token, now)?;
    let claims = chain.claims();
    let may_see = caller.is_auditor()
        || caller.require_enforcement_point().is_ok()
        || matches!(caller, Caller::Holder { chain: own, .. } if own.claims().jti == claims.jti);
    if !may_see {
        return Err(Inactive::Because(crate::caller::unauthenticated("not the caller's to see")));
    }
    authority.require_alive(&chain, now)?;
    // An outage must not read as "not active".
    let task = authority.store.task(claims.txn).await.map_err(Inactive::Unknown)?;
    if !task.is_some_and(|task| task.state_at(now) == crate::model::TaskState::Open) {
        return Err(Inactive::Because(Stop::new(bailiwick_core::Outcome::TaskClosed, "closed")));
    }
    let mut members = claims.to_json().as_object().cloned().unwrap_or_default();
    members.insert("token_type".to_owned(), "DPoP".into());
    Ok(members)
}
