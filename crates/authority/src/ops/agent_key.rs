//! An agent binds a holder key to its attested identity for a while, so that delegators can find it.

use bailiwick_api::RegisterKeyResponse;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::token::HolderBinding;
use bailiwick_ledger::{ReceiptKind, record};
use serde_json::json;

use crate::authority::{Authority, Presented};
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::model::{Effect, HolderKeyRecord};
use crate::spine::Event;

/// How long a binding holds before the agent has to attest again, in seconds.
const BINDING_SECONDS: u64 = 3600;

/// Binds the key of the proof to the calling agent.
pub(crate) async fn register_key(
    authority: &Authority,
    caller: &Caller,
    presented: &Presented<'_>,
) -> Result<RegisterKeyResponse, Fault> {
    try_register(authority, caller, presented).await.map_err(Stop::into_fault)
}

async fn try_register(
    authority: &Authority,
    caller: &Caller,
    presented: &Presented<'_>,
) -> Result<RegisterKeyResponse, Stop> {
    let now = authority.clock.now();
    let Caller::Agent(agent) = caller else {
        let detail = "only a registered agent binds a key, with its own SVID as the bearer";
        return Err(Stop::new(Outcome::AgentUnregistered, detail));
    };
    let key = authority.prove_key(presented, None, now)?;
    let HolderBinding::Jkt(jkt) = key.binding else {
        let detail = "send a DPoP proof made by the key that is to be bound";
        return Err(Stop::new(Outcome::HolderBindingFailed, detail));
    };
    let bound = HolderKeyRecord {
        agent: agent.document.id.clone(),
        jkt,
        expires_ms: now.saturating_add_seconds(BINDING_SECONDS),
    };
    let event = Event {
        kind: ReceiptKind::Registry,
        time_ms: now.0,
        subject_ids: vec![agent.document.id.to_string()],
        payload: json!({
            "v": 1, "type": "holder_key", "agent": agent.document.id, "jkt": jkt.to_string(),
            "expires": bound.expires_ms.0, "time": now.0,
        }),
    };
    let effect = Effect::PutHolderKey { record: bound.clone(), proof: key.row };
    record(&authority.store, event, effect).await.map_err(|error| error.error)?;
    Ok(RegisterKeyResponse {
        jkt: jkt.to_string(),
        agent: bound.agent,
        expires_at: bound.expires_ms.into(),
    })
}
