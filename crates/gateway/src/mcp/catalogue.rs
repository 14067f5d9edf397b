//! What the server says of its tools now: asked before a call relies on it, never older than the
//! route allows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::ProblemCode;
use bailiwick_core::crypto;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use moka::sync::Cache;
use serde_json::{Map, Value, json};

use super::message::{Message, is_stateless};
use super::parameters::Parameters;
use super::pins::{Pins, Told};
use crate::call::{Outgoing, OutgoingBody, RefusalForm};
use crate::errand::Errands;
use crate::stop::Stop;

/// Tools remembered, over the lists of all sessions.
const TOOLS_MAX: u64 = 200_000;
/// Sessions that may be asked about at once.
const ASKING_MAX: u64 = 10_000;
/// Pages of one list.
const PAGES_MAX: usize = 100;

/// Whose list it is: a server may list other tools in another session or revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    session: Vec<u8>,
    revision: Vec<u8>,
}

impl Place {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text =
            |name: &str| headers.get(name).map(|it| it.as_bytes().to_vec()).unwrap_or_default();
        Self { session: text("mcp-session-id"), revision: text("mcp-protocol-version") }
    }
}

/// The tools of a list: hash and arguments by name.
pub(super) type Listed = BTreeMap<String, (String, Parameters)>;

/// The lists.
pub(super) struct Catalogue {
    lists: Cache<Place, Arc<Listed>>,
    /// One errand at a time for each place.
    asking: Cache<Place, Arc<tokio::sync::Mutex<()>>>,
}

impl Catalogue {
    pub(super) fn new(age_max: Duration) -> Self {
        Self {
            lists: Cache::builder()
                .weigher(|_, listed: &Arc<Listed>| {
                    u32::try_from(listed.len()).unwrap_or(u32::MAX).saturating_add(1)
                })
                .max_capacity(TOOLS_MAX)
                .time_to_live(age_max)
                .build(),
            asking: Cache::builder().max_capacity(ASKING_MAX).time_to_idle(age_max).build(),
        }
    }

    /// What was listed may have changed.
    pub(super) fn forget(&self, place: &Place) {
        self.lists.invalidate(place);
    }

    /// The server's list, for a caller whose message is `message`.
    pub(super) async fn listed(
        &self,
        parts: &Parts,
        message: &Message,
        pins: &Pins,
        errands: &impl Errands,
    ) -> Result<Arc<Listed>, Stop> {
        let place = Place::of(&parts.headers);
        if let Some(listed) = self.lists.get(&place) {
            return Ok(listed);
        }
        let asking = self.asking.get_with(place.clone(), Arc::default);
        let _one = asking.lock().await;
        if let Some(listed) = self.lists.get(&place) {
            return Ok(listed);
        }
        let listed = Arc::new(ask(parts, message, pins, errands).await?);
        self.lists.insert(place, Arc::clone(&listed));
        Ok(listed)
    }
}

/// Asks for every page, in the session and revision of the caller, whose credential is not shown.
async fn ask(
    parts: &Parts,
    message: &Message,
    pins: &Pins,
    errands: &impl Errands,
) -> Result<Listed, Stop> {
    let bad = |detail: &str| Stop::new(ProblemCode::BadGateway, detail);
    let mut told = Vec::new();
    let mut parameters = BTreeMap::new();
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let id = fresh_id();
        let outgoing = question(parts, message, &id, cursor.as_ref());
        let (status, mut answer) = errands.ask(outgoing, &id).await?;
        if status == StatusCode::NOT_FOUND && parts.headers.contains_key("mcp-session-id") {
            let mut stop = Stop::new(ProblemCode::NotFound, "the session is over; open a new one");
            stop.form = Some(Box::new(RefusalForm::Problem));
            return Err(stop);
        }
        let result = answer.get_mut("result").map(Value::take).unwrap_or_default();
        let Some(tools) = result.get("tools").and_then(Value::as_array) else {
            return Err(bad("the server does not list its tools, so that none can be vouched for"));
        };
        for tool in tools {
            let read = Told::read(tool);
            if let Some(read) = &read {
                parameters.insert(read.name.clone(), (read.hash.clone(), Parameters::of(tool)));
            }
            told.push(read);
        }
        cursor = result.get("nextCursor").filter(|cursor| cursor.is_string()).cloned();
        if cursor.is_none() {
            pins.admit(&told);
            return Ok(parameters);
        }
    }
    Err(bad("the server's list of tools does not end"))
}

fn fresh_id() -> String {
    let mut random = [0; 12];
    // INVARIANT: without randomness the process could not have made its nonce key at start.
    let _ = crypto::fill_random(&mut random);
    format!("bailiwick-{}", URL_SAFE_NO_PAD.encode(random))
}

fn question(parts: &Parts, message: &Message, id: &str, cursor: Option<&Value>) -> Outgoing {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    let mut headers = parts.headers.clone();
    let dropped: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            name.starts_with("mcp-param-")
                || matches!(name, "mcp-name" | "mcp-method" | "last-event-id")
        })
        .cloned()
        .collect();
    for name in dropped {
        headers.remove(name);
    }
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    let mut params = Map::new();
    if is_stateless(&parts.headers, &message.value) {
        headers.insert("mcp-method", HeaderValue::from_static("tools/list"));
        // The revision without sessions says in each message who speaks which revision.
        let said = message.value.pointer("/params/_meta").and_then(Value::as_object);
        let said = said
            .into_iter()
            .flatten()
            .filter(|(name, _)| name.starts_with("io.modelcontextprotocol/"));
        let meta: Map<String, Value> =
            said.map(|(name, value)| (name.clone(), value.clone())).collect();
        params.insert("_meta".to_owned(), Value::Object(meta));
    }
    if let Some(cursor) = cursor {
        params.insert("cursor".to_owned(), cursor.clone());
    }
    let value = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list", "params": params });
    Outgoing {
        method: Method::POST,
        path_and_query: String::new(),
        headers,
        body: OutgoingBody::Json { value, carry_at: None },
    }
}
