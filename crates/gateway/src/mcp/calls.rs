//! The requests that use authority: which scope, of what, with which arguments.

use std::collections::BTreeMap;

use bailiwick_core::VerifiedChain;
use bailiwick_core::outcome::Outcome;
use bailiwick_core::scope::Scope;
use bailiwick_policy::ResourceFacts;
use http::HeaderName;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::message::{Message, is_stateless};
use super::parameters::{ArgumentRules, Parameters};
use super::{Asking, McpAdapter};
use crate::call::{Call, CallEffect, Needs, ToolFacts};
use crate::errand::Errands;
use crate::stop::Stop;

/// The resources that a subscription of the revision without sessions names.
const SUBSCRIBED: &str = "/params/notifications/resourceSubscriptions";

/// Whether a `subscriptions/listen` names resources; otherwise it is about lists alone.
pub(super) fn names_resources(message: &Message) -> bool {
    let named = message.value.pointer(SUBSCRIBED);
    named.is_some_and(|named| named.as_array().is_none_or(|uris| !uris.is_empty()))
}

impl McpAdapter {
    /// What a request asks for, and which headers repeat arguments of it.
    pub(super) async fn call<E: Errands>(
        &self,
        asking: &Asking<'_, E>,
        message: &Message,
    ) -> Result<(Call, Vec<HeaderName>), Stop> {
        if message.method == "tools/call" {
            return self.tool_call(asking, message).await;
        }
        let headers = &asking.parts.headers;
        let call = match message.method.as_str() {
            // Gone from the revision without sessions: `subscriptions/listen` is in their place.
            "resources/subscribe" | "resources/unsubscribe"
                if is_stateless(headers, &message.value) =>
            {
                Err(message.unknown(headers))
            }
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
                self.resource(message)
            }
            "subscriptions/listen" => self.listen(message),
            "prompts/get" => self.prompt(message, asking.chain),
            "completion/complete" => self.completion(message),
            _ => Err(message.unknown(headers)),
        };
        Ok((call?, Vec::new()))
    }

    async fn tool_call<E: Errands>(
        &self,
        asking: &Asking<'_, E>,
        message: &Message,
    ) -> Result<(Call, Vec<HeaderName>), Stop> {
        let tools = &*self.tools;
        let name = message.text("name")?;
        let Some(scope) = tools.scope(name) else {
            let detail = "the tool is not one that this route serves";
            return Err(Stop::new(Outcome::ScopeNotGranted, detail));
        };
        let given = match message.value.pointer("/params/arguments") {
            None => Map::new(),
            Some(Value::Object(given)) => given.clone(),
            Some(_) => return Err(Stop::new(Outcome::Malformed, "`arguments` is no object")),
        };
        let plain = || ResourceFacts { id: name.to_owned(), ..tools.plain.clone() };
        let named = tools.named.get(name);
        let mut call = Call {
            scope,
            resource: named.map_or_else(plain, |tool| tool.resource.clone()),
            binding: self.binding,
            arguments: given,
            effect: named.map_or(CallEffect::Unknown, |tool| tool.effect),
            trust: named.and_then(|tool| tool.trust.clone()),
            tool: Some(ToolFacts { name: name.to_owned(), descriptor: None }),
            needs: named.map(|tool| tool.needs.clone()).unwrap_or_default(),
        };
        // The server is asked for nobody who may not call the tool anyway: that is refused later.
        if !asking.chain.claims().authority.scopes.covers(&call.scope) {
            return Ok((call, Vec::new()));
        }
        let listed = tools.catalogue.listed(asking.parts, message, &tools.pins, asking.errands);
        let listed = listed.await?;
        let refused = |why: &str| {
            Stop::new(Outcome::ToolUnapproved, format!("the tool is not served now: {why}"))
        };
        let none = BTreeMap::new();
        let rules = ArgumentRules {
            renamed: named.map_or(&none, |tool| &tool.arguments),
            required: named.map_or(&[], |tool| &tool.required),
            undeclared: tools.undeclared,
        };
        let claims = asking.chain.claims();
        let Some((hash, parameters)) = listed.get(name) else {
            tools.pins.require_unheard_of(name).map_err(|why| refused(&why))?;
            let unknown = Parameters::default();
            unknown.require_constrained(claims, &call.scope, &call.arguments, rules.renamed)?;
            return Ok((call, Vec::new()));
        };
        tools.pins.require(name, hash).map_err(|why| refused(&why))?;
        let body = message.value.pointer("/params/arguments").unwrap_or(&Value::Null);
        parameters.compare(&asking.parts.headers, body).map_err(|what| message.mismatch(&what))?;
        call.arguments = parameters.read(call.arguments, &rules)?;
        parameters.require_constrained(claims, &call.scope, &call.arguments, rules.renamed)?;
        call.tool = Some(ToolFacts { name: name.to_owned(), descriptor: Some(hash.clone()) });
        Ok((call, parameters.headers()))
    }

    /// A read of a resource.
    fn resource(&self, message: &Message) -> Result<Call, Stop> {
        let scope = served(self.tools.resources.as_ref(), message)?;
        let uri = message.text("uri")?;
        require_plain(uri)?;
        Ok(self.read(scope, uri, Map::from_iter([("uri".to_owned(), uri.into())])))
    }

    /// A prompt, filled in. Its own name is the argument `prompt`.
    fn prompt(&self, message: &Message, chain: &VerifiedChain) -> Result<Call, Stop> {
        let scope = served(self.tools.prompts.as_ref(), message)?;
        let name = message.text("name")?;
        let given = message.value.pointer("/params/arguments");
        let arguments = with("prompt", name, given)?;
        let unknown = Parameters::default();
        unknown.require_constrained(chain.claims(), &scope, &arguments, &BTreeMap::new())?;
        Ok(self.read(scope, name, arguments))
    }

    /// Changes of resources are told to whoever may read them.
    fn listen(&self, message: &Message) -> Result<Call, Stop> {
        let scope = served(self.tools.resources.as_ref(), message)?;
        let named = message.value.pointer(SUBSCRIBED).and_then(Value::as_array);
        let uris: Option<Vec<&str>> =
            named.and_then(|named| named.iter().map(Value::as_str).collect());
        let Some(uris) = uris else {
            return Err(Stop::new(
                Outcome::Malformed,
                "`resourceSubscriptions` is no list of URIs",
            ));
        };
        uris.iter().try_for_each(|uri| require_plain(uri))?;
        // One is decided like one that is read; several are a list, which a constraint on one refuses.
        let (target, uri) = match *uris {
            [one] => (one, one.into()),
            _ => ("resources", uris.into()),
        };
        let arguments = Map::from_iter([("uri".to_owned(), uri)]);
        Ok(self.read(scope, target, arguments))
    }

    /// Completion tells what there is: it takes what reading or getting it takes.
    fn completion(&self, message: &Message) -> Result<Call, Stop> {
        let malformed = || Stop::new(Outcome::Malformed, "`ref` is no prompt and no resource");
        let text =
            |at: &str| message.value.pointer(at).and_then(Value::as_str).ok_or_else(malformed);
        let (scope, key, target) = match text("/params/ref/type")? {
            "ref/prompt" => (self.tools.prompts.as_ref(), "prompt", text("/params/ref/name")),
            "ref/resource" => (self.tools.resources.as_ref(), "uri", text("/params/ref/uri")),
            _ => return Err(malformed()),
        };
        let (scope, target) = (served(scope, message)?, target?);
        let given = message.value.pointer("/params/context/arguments");
        Ok(self.read(scope, target, with(key, target, given)?))
    }

    fn read(&self, scope: Scope, target: &str, arguments: Map<String, Value>) -> Call {
        let resource = ResourceFacts { id: target.to_owned(), ..self.tools.plain.clone() };
        let (binding, effect, needs) = (self.binding, CallEffect::Read, Needs::default());
        Call { scope, resource, binding, arguments, effect, trust: None, tool: None, needs }
    }
}

fn served(scope: Option<&Scope>, message: &Message) -> Result<Scope, Stop> {
    scope.cloned().ok_or_else(|| {
        let detail = format!("{} is not served on this route", message.method);
        Stop::new(Outcome::ScopeNotGranted, detail)
    })
}

/// Arguments as they came, and what they are for.
fn with(key: &str, target: &str, given: Option<&Value>) -> Result<Map<String, Value>, Stop> {
    let mut arguments = match given {
        None => Map::new(),
        Some(Value::Object(given)) => given.clone(),
        Some(_) => return Err(Stop::new(Outcome::Malformed, "`arguments` is no object")),
    };
    if arguments.insert(key.to_owned(), target.into()).is_some() {
        let detail = format!("an argument is called `{key}`, which says what it is an argument of");
        return Err(Stop::new(Outcome::DuplicateMember, detail));
    }
    Ok(arguments)
}

/// A URI that says where it leads: what is decided on is what the server opens. Dot segments, in
/// whatever spelling, backslashes and characters that nobody sees would make it lead elsewhere.
fn require_plain(uri: &str) -> Result<(), Stop> {
    let decoded = percent_decode_str(uri).decode_utf8().ok();
    let decoded = decoded.filter(|decoded| {
        let again = percent_decode_str(decoded).decode_utf8();
        // One decoding is all: what changes in a second one was written to be read twice.
        again.is_ok_and(|again| again == *decoded)
            && !decoded.contains('\\')
            && !decoded.chars().any(char::is_control)
            && !decoded.split(['/', '?', '#']).any(|segment| segment == "." || segment == "..")
    });
    match decoded {
        Some(_) => Ok(()),
        None => Err(Stop::new(Outcome::Malformed, "the URI is not in its plain form")),
    }
}
