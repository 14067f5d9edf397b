//! What the replies of an MCP server go through before the agent sees them.

use std::sync::Arc;

use bailiwick_core::VerifiedChain;
use http::StatusCode;
use serde_json::Value;

use super::Tools;
use crate::reply::{ReplyHook, Touched};

/// Leaves in lists what the chain may use.
pub(super) struct ListFilter {
    pub(super) tools: Arc<Tools>,
    pub(super) chain: Arc<VerifiedChain>,
}

impl ReplyHook for ListFilter {
    fn message(&mut self, _: StatusCode, message: &mut Value) -> Touched {
        let Some(result) = message.get_mut("result").and_then(Value::as_object_mut) else {
            return Touched::No;
        };
        let mut touched = Touched::No;
        if let Some(tools) = result.get_mut("tools").and_then(Value::as_array_mut) {
            let before = tools.len();
            tools.retain(|tool| self.tools.shows(tool, &self.chain));
            if tools.len() != before {
                touched = Touched::Yes;
            }
        }
        let lists = [
            ("resources", self.tools.resources.as_ref()),
            ("resourceTemplates", self.tools.resources.as_ref()),
            ("prompts", self.tools.prompts.as_ref()),
        ];
        for (name, scope) in lists {
            let Some(items) = result.get_mut(name).and_then(Value::as_array_mut) else { continue };
            let held = &self.chain.claims().authority.scopes;
            if !items.is_empty() && !scope.is_some_and(|scope| held.covers(scope)) {
                items.clear();
                touched = Touched::Yes;
            }
        }
        touched
    }
}

/// Keeps back what a server asks of an agent, unless the route lets it: a server that can make the
/// agent's model speak, or its user answer, acts with more than was delegated to it.
pub(super) struct ServerRequests(pub(super) Arc<[String]>);

impl ServerRequests {
    fn lets(&self, method: &str) -> bool {
        method == "ping" || self.0.iter().any(|allowed| allowed == method)
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
        if refused { Touched::Withhold } else { Touched::No }
    }
}
