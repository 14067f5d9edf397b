//! Provenance carried on to the upstream, and judged when it comes back in.
//!
//! What goes out says who started the task, through whom it came and by which decision: as a
//! *statement* signed with this gateway's own key, and as opaque ids where a carrier is read by
//! strangers. What comes in beside a verified chain is compared with it: it can only take trust away.

mod aws;
mod baggage;
mod judge;
mod sql;
mod statement;
mod tag;
mod trace;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use bailiwick_core::VerifiedChain;
use bailiwick_policy::Provenance;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value, json};

pub(crate) use self::aws::{session_tags, source_identity};
pub(crate) use self::sql::sql_comment;
pub(crate) use self::statement::CarryError;
pub(crate) use self::tag::ProvenanceTag;

use self::judge::Found;
use self::statement::{Keys, Signer};
use crate::clock::Clock;
use crate::config::{Config, RouteConfig};
use crate::http_api::usable_header;
use crate::route::Route;

/// The signed statement.
pub(crate) const STATEMENT_HEADER: HeaderName = HeaderName::from_static("bailiwick-provenance");
/// The decision that allowed the call: an opaque id.
pub(crate) const DECISION_HEADER: HeaderName = HeaderName::from_static("bailiwick-decision");
/// Where messages carry it: MCP `params._meta`, A2A `message.metadata`.
pub(crate) const MESSAGE_KEY: &str = "urn:bailiwick:provenance";
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// What provenance goes along with a route's requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CarryConfig {
    /// The signed statement, in `Bailiwick-Provenance` and in the metadata of messages. It names the
    /// subject and the agents: turn it off for an upstream that may not know them.
    pub statement: bool,
    /// Task and decision in W3C `baggage`: opaque ids only.
    pub baggage: bool,
    /// Task and decision in W3C `tracestate`, and the decision as the parent of what follows; only
    /// where a trace came in.
    pub trace_state: bool,
    /// A header with an SQL comment of opaque ids, for a tool in front of a database that appends it
    /// to its statements.
    pub sql_comment_header: Option<String>,
    /// Whether a request has to bring a statement: what comes here went through something that was
    /// given one and passes it on. Without it the provenance is `dropped`, or `unsigned` when only ids
    /// are there.
    pub expect_statement: bool,
    /// JWK files of other gateways whose statements are believed on this route, besides this
    /// gateway's own.
    pub trusted_keys: Vec<PathBuf>,
}

impl Default for CarryConfig {
    fn default() -> Self {
        Self {
            statement: true,
            baggage: true,
            trace_state: false,
            sql_comment_header: None,
            expect_statement: false,
            trusted_keys: Vec::new(),
        }
    }
}

impl CarryConfig {
    /// What cannot work about it.
    pub(crate) fn fault(&self) -> Option<String> {
        usable_header(self.sql_comment_header.as_ref()?).err()
    }

    fn sql_header(&self) -> Option<HeaderName> {
        usable_header(self.sql_comment_header.as_ref()?).ok()
    }
}

/// Carries provenance, for every route.
pub(crate) struct Carrier {
    signer: Signer,
    /// The keys that each route trusts, by its name.
    trusted: HashMap<String, Keys>,
}

impl Carrier {
    /// Opens this gateway's key and those that routes trust.
    pub(crate) fn open(config: &Config, clock: Clock) -> Result<Self, CarryError> {
        let signer = Signer::open(&config.state_dir, &config.public_url, clock)?;
        let of = |route: &RouteConfig| {
            Ok((route.name.clone(), statement::read_keys(&route.carry.trusted_keys)?))
        };
        let trusted = config.routes.iter().map(of).collect::<Result<_, CarryError>>()?;
        Ok(Self { signer, trusted })
    }

    /// Keys that the configuration names and nobody can use.
    pub(crate) fn faults(config: &Config) -> Vec<String> {
        let of = |route: &RouteConfig| {
            let error = statement::read_keys(&route.carry.trusted_keys).err()?;
            Some(format!("route `{}`: `carry.trusted_keys`: {error}", route.name))
        };
        config.routes.iter().filter_map(of).collect()
    }

    /// This gateway's public provenance key, as a JWK.
    pub(crate) fn public_key(&self) -> Value {
        self.signer.public_key()
    }

    /// Puts provenance into the headers of a request on its way out. What came in under the same
    /// names is taken away first, whoever said it.
    pub(crate) fn out(&self, route: &Route, headers: &mut HeaderMap, tag: Option<&ProvenanceTag>) {
        headers.remove(STATEMENT_HEADER);
        headers.remove(DECISION_HEADER);
        trace::strip(headers);
        let sql_header = route.carry.sql_header();
        if let Some(name) = &sql_header {
            headers.remove(name);
        }
        let carried = baggage::without_ours(headers);
        headers.remove(BAGGAGE);
        let config = &route.carry;
        let ours = tag.filter(|_| config.baggage).map(baggage::ours);
        let members: Vec<String> = carried.into_iter().chain(ours).collect();
        let mut put = |name: HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        if !members.is_empty() {
            put(BAGGAGE, &members.join(","));
        }
        let Some(tag) = tag else { return };
        put(DECISION_HEADER, &tag.decision.to_string());
        if config.statement
            && let Some(statement) = self.signer.statement(tag)
        {
            put(STATEMENT_HEADER, &statement);
        }
        if let Some(name) = sql_header {
            put(name, &sql_comment(tag));
        }
        if config.trace_state {
            trace::out(headers, tag);
        }
    }

    /// Puts provenance into a message: the object that the JSON pointer `at` names, made if it is
    /// not there.
    pub(crate) fn out_in_message(
        &self,
        route: &Route,
        message: &mut Value,
        at: &str,
        tag: &ProvenanceTag,
    ) {
        let mut holder = message;
        for name in at.split('/').skip(1) {
            let Some(members) = holder.as_object_mut() else { return };
            holder = members.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new()));
        }
        let Some(members) = holder.as_object_mut() else { return };
        let mut carried = json!({ "task": tag.task, "decision": tag.decision });
        if route.carry.statement
            && let (Some(carried), Some(statement)) =
                (carried.as_object_mut(), self.signer.statement(tag))
        {
            carried.insert("statement".to_owned(), Value::from(&*statement));
        }
        members.insert(MESSAGE_KEY.to_owned(), carried);
    }

    /// How what a request carries fits the chain that was verified for it.
    pub(crate) fn classify(
        &self,
        route: &Route,
        headers: &HeaderMap,
        body: Option<&Bytes>,
        chain: Option<&Arc<VerifiedChain>>,
    ) -> Provenance {
        let none = Keys::new();
        let trusted = self.trusted.get(&*route.name).unwrap_or(&none);
        let expected = route.carry.expect_statement;
        let found = Found::of(headers, body);
        judge::judge(&self.signer, trusted, expected, &found, chain.map(AsRef::as_ref))
    }
}

#[cfg(test)]
mod tests;
