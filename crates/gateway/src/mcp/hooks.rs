//! What the replies of an MCP server go through before the agent sees them.

use std::sync::Arc;

use bailiwick_api::{Problem, ProblemCode};
use bailiwick_core::VerifiedChain;
use http::StatusCode;
use serde_json::{Value, json};

use super::catalogue::Place;
use super::pins::Told;
use super::tools::Tools;
use crate::refusal::JSON_RPC_REFUSED;
use crate::reply::{ReplyHook, Touched};

/// What a server may ask of an agent when a route lets it, and the capability by which a client
/// says that it can be asked.
const ASKABLE: [(&str, &str); 3] = [
    ("sampling/createMessage", "sampling"),
    ("elicitation/create", "elicitation"),
    ("roots/list", "roots"),
];

/// Leaves in lists what the chain may use.
pub(super) struct ListFilter {
    pub(super) tools: Arc<Tools>,
    pub(super) chain: Arc<VerifiedChain>,
    pub(super) place: Place,
}

impl ReplyHook for ListFilter {
    fn message(&mut self, _: StatusCode, message: &mut Value) -> Touched {
        // Requests are no batches, so replies are none; in one, a list would go by unseen.
        if !message.is_object() {
            return Touched::Withhold;
        }
        if message.get("method").is_some_and(|it| it == "notifications/tools/list_changed") {
            self.tools.catalogue.forget(&self.place);
        }
        let Some(result) = message.get_mut("result").and_then(Value::as_object_mut) else {
            return Touched::No;
        };
        let held = &self.chain.claims().authority.scopes;
        let mut touched = Touched::No;
        if let Some(tools) = result.get_mut("tools").and_then(Value::as_array_mut) {
            // Pinned whoever asks, so that the first agent does not decide what the next one sees.
            let told: Vec<Option<Told>> = tools.iter().map(Told::read).collect();
            let admitted = self.tools.pins.admit(&told);
            let mut shown = told.iter().zip(admitted).map(|(told, admitted)| {
                let scope = told.as_ref().and_then(|told| self.tools.scope(&told.name));
                admitted && scope.is_some_and(|scope| held.covers(&scope))
            });
            tools.retain(|_| shown.next().unwrap_or(false));
            touched = Touched::Yes;
        }
        let lists = [
            ("resources", self.tools.resources.as_ref()),
            ("resourceTemplates", self.tools.resources.as_ref()),
            ("prompts", self.tools.prompts.as_ref()),
        ];
        for (name, scope) in lists {
            let Some(items) = result.get_mut(name).and_then(Value::as_array_mut) else { continue };
            if !scope.is_some_and(|scope| held.covers(scope)) {
                items.clear();
            }
            touched = Touched::Yes;
        }
        touched
    }
}

/// Keeps back what a server asks of an agent, unless the route lets it: a server that can make the
/// agent's model speak, or its user answer, acts with more than was delegated to it.
pub(super) struct ServerRequests(pub(super) Arc<[String]>);

impl ServerRequests {
    /// What of a configuration can never be asked.
    pub(super) fn unknown(asked: &[String]) -> Option<&String> {
        asked.iter().find(|asked| !ASKABLE.iter().any(|(method, _)| method == asked))
    }

    fn lets(&self, method: &str) -> bool {
        method == "ping" || self.0.iter().any(|allowed| allowed == method)
    }

    /// Takes from a client's message the capabilities that the route does not let a server use, so
    /// that a server does not ask and then wait.
    pub(super) fn limit(&self, message: &mut Value) {
        const PLACES: [&str; 2] =
            ["/params/capabilities", "/params/_meta/io.modelcontextprotocol~1clientCapabilities"];
        for place in PLACES {
            let Some(said) = message.pointer_mut(place).and_then(Value::as_object_mut) else {
                continue;
            };
            for (method, capability) in ASKABLE {
                if !self.lets(method) {
                    said.remove(capability);
                }
            }
            // A server's own tasks at a client would be followed by requests that none may make.
            said.remove("tasks");
        }
    }
}

impl ReplyHook for ServerRequests {
    fn message(&mut self, _: StatusCode, message: &mut Value) -> Touched {
        let asked = message.get("id").and(message.get("method")).and_then(Value::as_str);
        if asked.is_some_and(|method| !self.lets(method)) {
            tracing::warn!(method = asked, "a request of the server was kept back");
            return Touched::Withhold;
        }
        // The stateless revision asks inside a result.
        let inside = message.pointer("/result/inputRequests").and_then(Value::as_object);
        let mut inside = inside.into_iter().flat_map(|requests| requests.values());
        let refused = inside.any(|request| {
            let method = request.get("method").and_then(Value::as_str);
            !method.is_some_and(|method| self.lets(method))
        });
        if !refused {
            return Touched::No;
        }
        let detail = "the server asked what this route does not let servers ask of agents";
        let problem = Problem::new(ProblemCode::BadGateway, detail);
        let error = json!({ "code": JSON_RPC_REFUSED, "message": detail, "data": problem });
        *message = json!({ "jsonrpc": "2.0", "id": message.get("id"), "error": error });
        Touched::Yes
    }
}
