//! Connections that become tunnels (RFC 9110 §7.8): which requests may ask for it, and how the
//! handshake goes on.
//!
//! The handshake is a call like any other. What goes through the tunnel afterwards is not looked at,
//! so only an operation that says so lets a connection become one.

use bailiwick_core::outcome::Outcome;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Version};
use hyper::upgrade::OnUpgrade;
use serde::Deserialize;

use crate::http_api::BodyUse;
use crate::route::{Adapter, Route};
use crate::stop::Stop;

/// What the WebSocket handshake says besides (RFC 6455 §4.1).
const WEBSOCKET: [HeaderName; 4] = [
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_PROTOCOL,
    header::SEC_WEBSOCKET_EXTENSIONS,
];

/// Protocols that carry requests of their own, or that nobody could cut in order: never allowed.
const NEVER: [&str; 5] = ["h2c", "http", "tls", "connect-udp", "connect-ip"];

/// What connections of an operation may become: one protocol or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrMore")]
pub struct UpgradeConfig(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl From<OneOrMore> for UpgradeConfig {
    fn from(said: OneOrMore) -> Self {
        let said = match said {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(more) => more,
        };
        Self(said.into_iter().map(|name| name.to_ascii_lowercase()).collect())
    }
}

impl UpgradeConfig {
    /// Whether nothing may be asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What cannot work about it.
    pub(crate) fn fault(
        &self,
        method: Option<&Method>,
        body: BodyUse,
        looks: bool,
        wrapped: bool,
    ) -> Option<String> {
        let first = self.0.first()?;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let plain = |name: &&String| !name.is_empty() && name.bytes().all(token);
        if self.0.iter().any(|name| !plain(&name) || NEVER.contains(&name.as_str())) {
            let fault = "`upgrade` names protocols such as `websocket`; one that carries HTTP requests \
                         or TLS, such as `h2c`, is never let through";
            return Some(fault.to_owned());
        }
        if *first == "websocket" && method.is_some_and(|it| *it != Method::GET) {
            return Some("a WebSocket begins with GET: `method = \"GET\"`".to_owned());
        }
        if body != BodyUse::None {
            return Some("an operation with `upgrade` takes no body".to_owned());
        }
        if looks {
            let fault = "`upgrade` and `trust` do not go together: nobody looks into a tunnel";
            return Some(fault.to_owned());
        }
        let fault = "`upgrade` does not go with [route.connector]: nobody would see the vendor's \
                     credential come back through the tunnel";
        wrapped.then(|| fault.to_owned())
    }

    fn takes(&self, protocol: &str) -> bool {
        self.0.iter().any(|name| name.eq_ignore_ascii_case(protocol))
    }
}

/// A connection that becomes a tunnel when both sides agree.
pub(crate) struct Upgrade {
    /// The protocol, as the caller named it.
    pub(crate) protocol: HeaderValue,
    /// What the caller says in the handshake.
    said: HeaderMap,
    /// The caller's side, once it has been told.
    pub(crate) caller: OnUpgrade,
}

/// What the connection is asked to become; none when it stays as it is.
///
/// # Errors
/// `malformed`: this operation allows no such thing, or not asked in this way.
pub(crate) fn asked(parts: &Parts, route: &Route, path: &str) -> Result<Option<Upgrade>, Stop> {
    let mut named = parts.headers.get_all(header::UPGRADE).iter();
    let Some(protocol) = named.next() else { return Ok(None) };
    let refused = |detail: &str| Err(Stop::new(Outcome::Malformed, detail));
    let plain = protocol.to_str().ok().filter(|_| named.next().is_none());
    let allowed = match &route.adapter {
        Adapter::Http(http) => {
            plain.is_some_and(|it| http.upgrade(parts, path).is_some_and(|may| may.takes(it)))
        }
        Adapter::Mcp(_) | Adapter::A2a(_) => false,
    };
    if !allowed {
        return refused(
            "connections are not upgraded here: what goes through a tunnel cannot be decided",
        );
    }
    if parts.version != Version::HTTP_11 || !names_upgrade(&parts.headers) {
        return refused("an upgrade is asked for over HTTP/1.1, with `Connection: upgrade`");
    }
    let length = parts.headers.get(header::CONTENT_LENGTH);
    if parts.headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|it| it != "0") {
        return refused("a request that asks for an upgrade has no body");
    }
    let Some(caller) = parts.extensions.get::<OnUpgrade>().cloned() else {
        return refused("this connection cannot be upgraded");
    };
    let mut said = HeaderMap::new();
    if plain.is_some_and(|it| it.eq_ignore_ascii_case("websocket")) {
        for name in &WEBSOCKET {
            parts.headers.get_all(name).iter().for_each(|value| {
                said.append(name, value.clone());
            });
        }
    }
    Ok(Some(Upgrade { protocol: protocol.clone(), said, caller }))
}

/// Refuses every upgrade, where nobody could cut it.
///
/// # Errors
/// `malformed`.
pub(crate) fn require_none(headers: &HeaderMap) -> Result<(), Stop> {
    if headers.contains_key(header::UPGRADE) {
        let detail = "connections are not upgraded here: nobody could cut a tunnel";
        return Err(Stop::new(Outcome::Malformed, detail));
    }
    Ok(())
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|it| it.to_str().ok());
    values.flat_map(|it| it.split(',')).any(|it| it.trim().eq_ignore_ascii_case("upgrade"))
}

impl Upgrade {
    /// Asks the upstream for it. What an operation declares as an argument is there already.
    pub(crate) fn ask(&self, headers: &mut HeaderMap) {
        for name in self.said.keys().filter(|name| !headers.contains_key(*name)).collect::<Vec<_>>()
        {
            for value in self.said.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        self.agree(headers);
    }

    /// Says that the connection becomes this.
    pub(crate) fn agree(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, self.protocol.clone());
    }

    /// Whether the upstream agreed to this, and to nothing else.
    pub(crate) fn is(&self, headers: &HeaderMap) -> bool {
        let mut named = headers.get_all(header::UPGRADE).iter();
        let same = named
            .next()
            .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(self.protocol.as_bytes()));
        same && named.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[derive(Deserialize)]
    struct Said {
        #[serde(default)]
        upgrade: UpgradeConfig,
    }

    #[rstest]
    #[case("upgrade = \"WebSocket\"", None)]
    #[case("upgrade = [\"websocket\", \"spdy/3.1\"]", Some("names protocols"))]
    #[case("upgrade = [\"websocket\", \"foo.v1\"]", None)]
    #[case("", None)]
    #[case("upgrade = \"h2c\"", Some("never let through"))]
    #[case("upgrade = \"\"", Some("names protocols"))]
    fn protocols_are_plain_and_carry_no_requests(#[case] text: &str, #[case] fault: Option<&str>) {
        let Said { upgrade } = toml::from_str(text).unwrap();
        let found = upgrade.fault(Some(&Method::GET), BodyUse::None, false, false);
        match fault {
            None => assert_eq!(found, None),
            Some(part) => assert!(found.unwrap().contains(part)),
        }
    }

    #[rstest]
    #[case(Method::POST, BodyUse::None, false, false)]
    #[case(Method::GET, BodyUse::Json, false, false)]
    #[case(Method::GET, BodyUse::None, true, false)]
    #[case(Method::GET, BodyUse::None, false, true)]
    fn a_tunnel_goes_with_nothing_that_has_to_be_looked_at(
        #[case] method: Method,
        #[case] body: BodyUse,
        #[case] looks: bool,
        #[case] wrapped: bool,
    ) {
        let Said { upgrade } = toml::from_str("upgrade = \"websocket\"").unwrap();
        assert!(upgrade.fault(Some(&method), body, looks, wrapped).is_some());
        assert_eq!(upgrade.fault(Some(&Method::GET), BodyUse::None, false, false), None);
    }
}
