//! Which of an agent's headers go on to an MCP server or an A2A agent: those that say how to answer, the
//! protocol's own, and what the route passes. Anything else could make the message another one.

use bailiwick_api::ProblemCode;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::http_api::usable_header;
use crate::stop::Stop;

/// What goes on without being named.
const PLAIN: [&str; 9] = [
    "accept",
    "accept-language",
    "baggage",
    "cache-control",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-correlation-id",
    "x-request-id",
];
/// What says how a body is to be read. The gateway has read it, and says so itself.
const OF_BODIES: [&str; 4] = ["content-encoding", "content-digest", "content-md5", "digest"];

/// The headers that go on.
#[derive(Clone, Debug)]
pub(crate) struct PassedHeaders {
    /// The protocol's own; one that ends in `*` is the beginning of several.
    own: &'static [&'static str],
    more: Vec<HeaderName>,
}

impl PassedHeaders {
    /// Compiles `pass_headers`; each fault says which is none.
    pub(crate) fn compile(
        own: &'static [&'static str],
        configured: &[String],
    ) -> Result<Self, Vec<String>> {
        let (mut more, mut faults) = (Vec::new(), Vec::new());
        for name in configured {
            match usable_header(name) {
                Ok(name) if OF_BODIES.contains(&name.as_str()) => {
                    faults
                        .push(format!("the header `{name}` is about a body that is written anew"));
                }
                Ok(name) => more.push(name),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(Self { own, more }) } else { Err(faults) }
    }

    /// What of these goes on.
    pub(crate) fn going_on(&self, headers: &HeaderMap) -> HeaderMap {
        let mut kept = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers {
            if self.passes(name) {
                kept.append(name, value.clone());
            }
        }
        kept
    }

    fn passes(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        let own = |own: &&str| match own.strip_suffix('*') {
            Some(stem) => text.starts_with(stem),
            None => text == *own,
        };
        PLAIN.contains(&text) || self.own.iter().any(own) || self.more.contains(name)
    }
}

/// Says of a body that is sent what it is: JSON, without a charset by which some read another text.
pub(crate) fn say_json(headers: &mut HeaderMap, media: &'static str) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
}

/// Which of these media types a body says that it is of.
///
/// # Errors
/// `unsupported_media_type`: of another, of none, or of two.
pub(crate) fn media_of(headers: &HeaderMap, known: &[&'static str]) -> Result<&'static str, Stop> {
    let mut said = headers.get_all(header::CONTENT_TYPE).iter();
    let media = match (said.next(), said.next()) {
        (Some(media), None) => media.to_str().unwrap_or_default(),
        _ => "",
    };
    let media = media.split(';').next().unwrap_or_default().trim();
    let found = known.iter().find(|known| known.eq_ignore_ascii_case(media));
    found.copied().ok_or_else(|| {
        let detail = format!("a message is {}, said once", known.join(" or "));
        Stop::new(ProblemCode::UnsupportedMediaType, detail)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        of.iter().map(pair).collect()
    }

    #[rstest]
    #[case("accept", true)]
    #[case("traceparent", true)]
    #[case("mcp-session-id", true)]
    #[case("mcp-param-region", true)]
    #[case("x-tenant", true)]
    #[case("x-user", false)]
    #[case("x-forwarded-user", false)]
    #[case("mcp-session", false)]
    #[case("authorization", false)]
    #[case("cookie", false)]
    #[case("content-encoding", false)]
    #[case("content-type", false)]
    #[case("bailiwick-provenance", false)]
    #[case("x-http-method-override", false)]
    fn what_is_not_named_does_not_go_on(#[case] name: &'static str, #[case] passes: bool) {
        const OWN: &[&str] = &["mcp-session-id", "mcp-param-*"];
        let passed = PassedHeaders::compile(OWN, &["X-Tenant".to_owned()]).unwrap();
        assert_eq!(passed.going_on(&headers(&[(name, "v")])).contains_key(name), passes);
    }

    #[rstest]
    #[case("Authorization")]
    #[case("Content-Encoding")]
    #[case("Content-Type")]
    #[case("X-Original-URL")]
    #[case("Bailiwick-Decision")]
    #[case("a b")]
    fn what_never_goes_on_cannot_be_named(#[case] name: &str) {
        assert!(PassedHeaders::compile(&[], &[name.to_owned()]).is_err());
    }

    #[rstest]
    #[case(&[("content-type", "Application/JSON; charset=utf-16")], true)]
    #[case(&[("content-type", "application/a2a+json")], true)]
    #[case(&[("content-type", "text/plain")], false)]
    #[case(&[("content-type", "application/x-www-form-urlencoded")], false)]
    #[case(&[("content-type", "application/json"), ("content-type", "text/plain")], false)]
    #[case(&[], false)]
    fn a_message_says_once_that_it_is_json(
        #[case] said: &[(&'static str, &'static str)],
        #[case] fine: bool,
    ) {
        let known = ["application/json", "application/a2a+json"];
        assert_eq!(media_of(&headers(said), &known).is_ok(), fine);
    }
}
