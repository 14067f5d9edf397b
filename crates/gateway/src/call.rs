//! One call as an adapter read it off the wire: what is asked, of what, with which arguments.
//!
//! An adapter (HTTP, MCP, A2A, Envoy) makes a [`Mapped`] of a request; everything after that is the
//! same for every protocol.

use bailiwick_core::scope::Scope;
/// Whether a call only looks. What a read returns may become admissible (`from_read`) and raises the
/// task's exposure. What nobody declared (`Unknown`, the default) counts as both for policy and
/// exposure, and makes nothing admissible.
pub(crate) use bailiwick_policy::CallEffect;
use bailiwick_policy::{Binding, ResourceFacts};
use bytes::Bytes;
use http::request::Parts;
use serde_json::{Map, Value};

use crate::a2a::A2aError;
use crate::reads::Trusted;
use crate::reply::ReplyHook;

/// A tool as its server described it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct ToolFacts {
    /// Its name, unique within the route.
    pub(crate) name: String,
    /// SHA-256 of its canonical descriptor, `sha-256:…`; none where the protocol has no descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) descriptor: Option<String>,
}

/// What an agent wants to do, in the one form that is decided on.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The scope that the action needs.
    pub(crate) scope: Scope,
    /// What it touches, with the labels and sensitivity that the route's owner gave it.
    pub(crate) resource: ResourceFacts,
    /// How far the upstream can honour the chain.
    pub(crate) binding: Binding,
    /// Canonical arguments: exactly what will be forwarded.
    pub(crate) arguments: Map<String, Value>,
    /// Whether it only looks.
    pub(crate) effect: CallEffect,
    /// What of its result may become a later argument; nothing by default.
    pub(crate) trust: Option<Trusted>,
    /// The tool, where the protocol has tools.
    pub(crate) tool: Option<ToolFacts>,
    /// What it takes of the vendor's credential; nothing where nobody declared it.
    pub(crate) needs: Needs,
}

/// What a call takes of a vendor's credential.
pub(crate) type Needs = std::sync::Arc<[bailiwick_core::permission::Need]>;

/// What a request is.
pub(crate) enum Asked {
    /// A use of authority: decided, debited, recorded.
    Call(Box<Call>),
    /// The protocol's own housekeeping (MCP `initialize`, `tools/list`, a ping): needs a live chain
    /// and proof, uses no scope. The name goes into metrics and logs.
    Plumbing(&'static str),
    /// Public by its protocol (RFC 9728 metadata, an agent card): no credential is asked for.
    Open(&'static str),
}

/// The request's body on its way out.
pub(crate) enum OutgoingBody {
    /// The adapter did not look at it: it streams through as it came.
    Untouched,
    /// The adapter read it: exactly these bytes are sent.
    Bytes(Bytes),
    /// The adapter read it as JSON: this is serialised and sent, with the provenance of the decision
    /// in the object that the JSON pointer `carry_at` (RFC 6901) names, if it names one.
    Json {
        /// The message.
        value: Value,
        /// Where provenance may be put.
        carry_at: Option<String>,
    },
}

/// The request as it will be sent: the adapter's canonical form of it. Credentials are not in it.
pub(crate) struct Outgoing {
    /// Method.
    pub(crate) method: http::Method,
    /// Canonical path and query below the upstream's base URL; begins with `/`.
    pub(crate) path_and_query: String,
    /// Headers of the request, before stripping.
    pub(crate) headers: http::HeaderMap,
    /// Body.
    pub(crate) body: OutgoingBody,
}

/// How a refusal is told, beyond the HTTP status.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RefusalForm {
    /// RFC 9457 problem details.
    Problem,
    /// A JSON-RPC 2.0 error that answers this request id; the problem is its `data`.
    JsonRpc(Value),
    /// An error of A2A, in its JSON-RPC or its HTTP+JSON binding.
    A2a {
        /// The JSON-RPC request's id; none in HTTP+JSON.
        id: Option<Value>,
        /// Which; by default that of the refusal's code.
        error: Option<A2aError>,
    },
    /// A fault of the protocol itself: a JSON-RPC error with its own code and HTTP status.
    JsonRpcFault {
        /// The request's id.
        id: Value,
        /// The error's code.
        code: i64,
        /// The HTTP status.
        status: u16,
    },
}

/// A request, mapped.
pub(crate) struct Mapped {
    /// What it is.
    pub(crate) asked: Asked,
    /// What will be sent upstream if it is allowed.
    pub(crate) outgoing: Outgoing,
    /// What the reply goes through on its way back, in order.
    pub(crate) hooks: Vec<Box<dyn ReplyHook>>,
    /// How a refusal is told.
    pub(crate) refusal: RefusalForm,
}

/// A request as it reaches an adapter.
pub(crate) struct Inbound<'a> {
    /// Method, URI, headers, as they came. Credentials are still in the headers.
    pub(crate) parts: &'a Parts,
    /// The path below the route's prefix, raw; begins with `/`.
    pub(crate) path: &'a str,
    /// The body, if the adapter said that it reads it.
    pub(crate) body: Option<Bytes>,
}
