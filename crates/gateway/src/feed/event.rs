//! One event, from text to claims: form, type, key, signature, issuer, in this order.

use bailiwick_api::enforcement::feed::{
    FEED_ENTRIES_MAX, FEED_EVENT_BYTES_MAX, FEED_TYPE, FeedEvent,
};
use bailiwick_core::IssuerKeys;
use bailiwick_core::jws::Jws;
use serde::Deserialize;

use crate::standing::FeedFault;

/// The header of an event; nothing else may be in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

/// Verifies a compact JWS of the feed.
///
/// # Errors
/// [`FeedFault`].
pub(crate) fn verify_event(
    compact: &str,
    issuer: &str,
    keys: &IssuerKeys,
) -> Result<FeedEvent, FeedFault> {
    let form = |what: &dyn std::fmt::Display| FeedFault::Form(what.to_string());
    if compact.len() > FEED_EVENT_BYTES_MAX {
        return Err(form(&"larger than an event may be"));
    }
    let jws = Jws::parse(compact).map_err(|error| form(&error))?;
    let header: Header = serde_json::from_str(&jws.header).map_err(|error| form(&error))?;
    if header.typ != FEED_TYPE {
        return Err(form(&"its type is another"));
    }
    let Some(key) = keys.get(issuer, &header.kid) else {
        return Err(FeedFault::UnknownKey(header.kid.chars().take(64).collect()));
    };
    if header.alg != key.algorithm().name() {
        return Err(form(&"its algorithm is not that of the key"));
    }
    key.verify(jws.signing_input.as_bytes(), &jws.signature).map_err(|_| FeedFault::Signature)?;
    let event: FeedEvent = serde_json::from_str(&jws.payload).map_err(|error| form(&error))?;
    if event.iss != issuer {
        return Err(FeedFault::Issuer);
    }
    if event.entries.len() > FEED_ENTRIES_MAX {
        return Err(form(&"more entries than an event may have"));
    }
    Ok(event)
}

#[cfg(test)]
mod tests;
