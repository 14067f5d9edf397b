//! What a reply goes through on its way back to the agent.

use serde_json::Value;

/// What a hook did with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    /// It is as it was: the bytes that came are sent on.
    No,
    /// It was changed: it is serialised again.
    Yes,
    /// It must not reach the agent: an SSE event is left out, a whole body is refused.
    Withhold,
}

/// Looks at the JSON of a reply before the agent gets it: the whole body of an
/// `application/json` reply, or the data of each event of a `text/event-stream`. A reply of
/// another media type is shown to no hook, and reaches the agent only past those who need not see it.
pub(crate) trait ReplyHook: Send + 'static {
    /// Whether nothing may reach the agent that this hook could not look at.
    fn must_see(&self) -> bool {
        true
    }

    /// Called once with status and headers, whatever the media type.
    fn head(&mut self, _parts: &http::response::Parts) {}

    /// Called for each message, in order, before it is released.
    fn message(&mut self, status: http::StatusCode, message: &mut Value) -> Touched;
}
