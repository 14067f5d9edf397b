//! Rotate the signing keys without downtime.

use bailiwick_api::{ProblemCode, RotateKeyResponse};
use bailiwick_ledger::{ReceiptKind, record};
use serde_json::json;

use crate::authority::Authority;
use crate::fault::{Fault, Stop};
use crate::keys::KeyPurpose;
use crate::model::{Effect, IssuerKeyRecord};
use crate::spine::Event;

/// Makes the announced keys active and records it. What the old ones signed stays verifiable for
/// as long as it can live.
pub(crate) async fn rotate(authority: &Authority, by: &str) -> Result<RotateKeyResponse, Fault> {
    try_rotate(authority, by).await.map_err(Stop::into_fault)
}

async fn try_rotate(authority: &Authority, by: &str) -> Result<RotateKeyResponse, Stop> {
    let _one_change = authority.changes.lock().await;
    let now = authority.clock.now();
    let internal = |detail: &str| Stop::new(ProblemCode::Internal, detail);
    let rotation = authority.keys.rotate(now).map_err(|error| {
        tracing::error!(%error, "the signing keys could not be rotated; the old ones stay in force");
        internal("the keys could not be rotated; the old ones stay in force")
    })?;
    let token = |keys: &[crate::keys::KeyFacts]| {
        keys.iter().find(|key| key.purpose == KeyPurpose::Token).cloned()
    };
    let active = token(&rotation.activated).ok_or_else(|| internal("no key became active"))?;
    let event = Event {
        kind: ReceiptKind::Key,
        time_ms: now.0,
        subject_ids: vec![active.kid.clone()],
        payload: json!({
            "v": 1, "type": "key_rotated", "by": by, "rotation": rotation.to_json(), "time": now.0,
        }),
    };
    let effect = Effect::RotateKey {
        record: IssuerKeyRecord {
            kid: active.kid.clone(),
            jwk: active.jwk.clone(),
            active_ms: now,
            retired_ms: None,
        },
    };
    let recorded = record(&authority.store, event, effect).await.map_err(|error| error.error)?;
    authority.feed.publish(vec![crate::feed::published_keys(authority, now)]);
    let retiring = token(&rotation.retiring);
    Ok(RotateKeyResponse {
        kid: active.kid,
        previous_kid: retiring.as_ref().map(|key| key.kid.clone()).unwrap_or_default(),
        previous_published_until: retiring.and_then(|key| key.retires).unwrap_or(now).into(),
        ledger_index: recorded.index().0,
    })
}

/// Records the keys in force when no record names them: the first start, or a rotation whose
/// record was lost with the process.
pub(crate) async fn record_current(authority: &Authority) -> Result<(), Fault> {
    let recorded = authority.store.issuer_keys().await?;
    let signer = authority
        .keys
        .active_token_signer()
        .map_err(|error| Fault::new(ProblemCode::Internal, error.to_string()))?;
    if recorded.iter().any(|key| key.kid == signer.kid()) {
        return Ok(());
    }
    let now = authority.clock.now();
    let jwk = signer.verifying_key().to_jwk();
    let event = Event {
        kind: ReceiptKind::Key,
        time_ms: now.0,
        subject_ids: vec![signer.kid().to_owned()],
        payload: json!({
            "v": 1, "type": "key_active", "kid": signer.kid(), "jwk": jwk, "time": now.0,
        }),
    };
    let effect = Effect::RotateKey {
        record: IssuerKeyRecord {
            kid: signer.kid().to_owned(),
            jwk,
            active_ms: now,
            retired_ms: None,
        },
    };
    record(&authority.store, event, effect).await.map_err(|error| Fault::from(error.error))?;
    Ok(())
}
