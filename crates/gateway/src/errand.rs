//! A question of the gateway's own to an upstream, such as which tools it has.

use std::sync::Arc;
use std::time::Duration;

use bailiwick_api::ProblemCode;
use bailiwick_core::VerifiedChain;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::Value;

use crate::call::Outgoing;
use crate::forward::{Manner, prepare, send};
use crate::gateway::Gateway;
use crate::reply::{ReplyHook, Touched};
use crate::route::Route;
use crate::sse::EventFilter;
use crate::stop::Stop;

/// Asks what stands behind a route.
pub(crate) trait Errands: Sync {
    /// Sends a JSON-RPC request of this id, and gives status and answer; `Value::Null` when there is
    /// no answer of that id.
    fn ask(
        &self,
        outgoing: Outgoing,
        id: &str,
    ) -> impl Future<Output = Result<(StatusCode, Value), Stop>> + Send;
}

/// An errand for a caller who has shown a chain: nobody's dead chain makes the gateway ask.
pub(crate) struct Errand<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) route: &'a Route,
    pub(crate) chain: &'a VerifiedChain,
}

impl Errands for Errand<'_> {
    async fn ask(&self, outgoing: Outgoing, id: &str) -> Result<(StatusCode, Value), Stop> {
        let Self { gateway, route, chain } = *self;
        let now = gateway.clock.now();
        gateway.standing.require_alive(chain, route.sensitivity, now)?;
        let manner = Manner { hooked: true, strict: false, open: false };
        let (request, _) = prepare(gateway, route, outgoing, None, None, manner).await?;
        let response = send(gateway, route, request).await?;
        let status = response.status();
        if let Some(connector) = &route.connector {
            connector.answered(status, None, now);
        }
        let limits = &gateway.config.limits;
        let limit = Duration::from_millis(limits.upstream_timeout_ms);
        let answer = read(response, id, limits.reply_bytes_max);
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => Ok((status, answer.unwrap_or_default())),
            Err(_) => {
                let detail = "the upstream did not come to the end of its answer in time";
                Err(Stop::new(ProblemCode::GatewayTimeout, detail))
            }
        }
    }
}

/// The message with this id, in a JSON body or in an event stream.
async fn read(response: Response<Incoming>, id: &str, bytes_max: usize) -> Option<Value> {
    let (parts, body) = response.into_parts();
    let mut body = Limited::new(body, bytes_max);
    let media = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let streams = media.is_some_and(|media| media.starts_with("text/event-stream"));
    if !streams {
        let bytes = body.collect().await.ok()?.to_bytes();
        let message: Value = serde_json::from_slice(&bytes).ok()?;
        return (message.get("id")? == id).then_some(message);
    }
    let found = Arc::new(Mutex::new(None));
    let awaited = Awaited { id: id.to_owned(), found: Arc::clone(&found) };
    let mut events = EventFilter::new(vec![Box::new(awaited)], parts.status, bytes_max);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            events.push(&data).ok()?;
        }
        if let Some(message) = found.lock().take() {
            return Some(message);
        }
    }
    None
}

struct Awaited {
    id: String,
    found: Arc<Mutex<Option<Value>>>,
}

impl ReplyHook for Awaited {
    fn message(&mut self, _: StatusCode, message: &mut Value) -> Touched {
        let answers = message.get("method").is_none();
        if answers && message.get("id").and_then(Value::as_str) == Some(&self.id) {
            *self.found.lock() = Some(message.take());
        }
        Touched::No
    }
}
