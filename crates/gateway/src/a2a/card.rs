//! Agent cards: checked, and rewritten so that whoever reads one comes to the gateway.

use std::collections::BTreeSet;
use std::sync::Arc;

use bailiwick_core::jcs;
use bailiwick_core::sha256;
use http::StatusCode;
use serde_json::{Value, json};

use super::CHAIN_EXTENSION;
use crate::reply::{ReplyHook, Touched};

/// How a card is rewritten.
#[derive(Debug)]
pub(crate) struct CardRewrite {
    pub(crate) rpc_url: String,
    pub(crate) rest_url: String,
    /// The skills that can be asked for here.
    pub(crate) skills: BTreeSet<String>,
    /// The hash that the agent's card must have.
    pub(crate) pinned: Option<String>,
}

impl CardRewrite {
    /// A hook that rewrites the card in a reply.
    pub(crate) fn hook(self: &Arc<Self>) -> CardHook {
        CardHook(Arc::clone(self))
    }

    /// The card as the gateway gives it out; none when it is not the agent's card that is pinned,
    /// or no card at all.
    pub(crate) fn rewrite(&self, card: &Value) -> Option<Value> {
        if let Some(pinned) = &self.pinned {
            let hash = sha256(&jcs::canonicalize_value(card).ok()?).named();
            if hash != *pinned {
                tracing::warn!(%hash, %pinned, "the agent's card is not the one that is pinned");
                return None;
            }
        }
        let mut card = card.clone();
        let members = card.as_object_mut()?;
        // The agent's signature is over another text.
        members.remove("signatures");
        let interfaces = members.get("supportedInterfaces")?.as_array()?.iter();
        let interfaces: Vec<Value> = interfaces.filter_map(|entry| self.interface(entry)).collect();
        members.insert("supportedInterfaces".to_owned(), Value::Array(interfaces));
        if let Some(skills) = members.get_mut("skills").and_then(Value::as_array_mut) {
            skills.retain(|skill| {
                skill.get("id").and_then(Value::as_str).is_some_and(|id| self.skills.contains(id))
            });
        }
        let capabilities = members.entry("capabilities").or_insert_with(|| json!({}));
        let capabilities = capabilities.as_object_mut()?;
        capabilities.insert("pushNotifications".to_owned(), false.into());
        let extensions = capabilities.entry("extensions").or_insert_with(|| json!([]));
        let extensions = extensions.as_array_mut()?;
        extensions.retain(|entry| entry.get("uri").is_none_or(|uri| uri != CHAIN_EXTENSION));
        extensions.push(json!({
            "uri": CHAIN_EXTENSION,
            "description": "Work is taken only with the chain of its delegation: a hop token in \
                            Authorization, a DPoP proof of its key, and for hops that nobody has \
                            settled the Delegation-Chain header.",
            "required": true,
        }));
        let scheme = json!({ "httpAuthSecurityScheme": {
            "scheme": "DPoP", "bearerFormat": "at+jwt",
            "description": "A Bailiwick hop token, bound to the caller's key (RFC 9449).",
        }});
        members.insert("securitySchemes".to_owned(), json!({ "bailiwick": scheme }));
        let needed = json!([{ "schemes": { "bailiwick": { "list": [] } } }]);
        members.insert("securityRequirements".to_owned(), needed);
        Some(card)
    }

    fn interface(&self, entry: &Value) -> Option<Value> {
        let url = match entry.get("protocolBinding")?.as_str()? {
            "JSONRPC" => &self.rpc_url,
            "HTTP+JSON" => &self.rest_url,
            _ => return None,
        };
        let version = entry.get("protocolVersion")?.as_str()?;
        if version.split('.').next() != Some("1") {
            return None;
        }
        Some(json!({
            "url": url, "protocolBinding": entry.get("protocolBinding")?,
            "protocolVersion": version,
        }))
    }
}

/// Rewrites the card in a reply: the card itself, or the result of a JSON-RPC reply.
pub(crate) struct CardHook(Arc<CardRewrite>);

impl ReplyHook for CardHook {
    fn message(&mut self, status: StatusCode, message: &mut Value) -> Touched {
        if !status.is_success() || message.get("error").is_some() {
            return Touched::No;
        }
        let card = match message.get_mut("result") {
            Some(result) => result,
            None => message,
        };
        match self.0.rewrite(card) {
            Some(rewritten) => {
                *card = rewritten;
                Touched::Yes
            }
            None => Touched::Withhold,
        }
    }
}
