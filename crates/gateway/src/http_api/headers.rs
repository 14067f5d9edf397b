//! Headers on their way to an HTTP API: what is known to change nothing, and what is declared.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers by which some servers and frameworks let a request be another one.
const OVERRIDES: [&str; 9] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-override-url",
    "x-forwarded-uri",
    "x-http-path-override",
];

/// What goes on without being declared: it says how to answer, not what to do.
const PLAIN: [&str; 23] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "baggage",
    "cache-control",
    "content-digest",
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-correlation-id",
    "x-request-id",
];

/// Whether a header makes a request another one.
pub(super) fn overriding(headers: &HeaderMap) -> Option<&'static str> {
    OVERRIDES.into_iter().find(|name| headers.contains_key(*name))
}

/// Whether an argument of this name, as some framework spells it, makes a request another one.
pub(super) fn overrides(name: &str) -> bool {
    let names = [
        "method",
        "httpmethod",
        "xhttpmethodoverride",
        "xhttpmethod",
        "methodoverride",
        "xmethodoverride",
    ];
    let shadow = super::argument::shadow(name);
    // `method` alone is an honest argument; with a sign before it, it is the framework's.
    names.contains(&shadow.as_str())
        && (shadow != "method" || !name.starts_with(char::is_alphanumeric))
}

/// A header that a route or an operation may name.
pub(crate) fn usable(name: &str) -> Result<HeaderName, String> {
    let parsed: HeaderName =
        name.parse().map_err(|_| format!("`{name}` is no name of a header"))?;
    let never = crate::forward::STRIPPED.contains(&parsed.as_str())
        || OVERRIDES.contains(&parsed.as_str())
        || parsed == header::CONTENT_TYPE
        || parsed.as_str().starts_with("bailiwick-");
    if never {
        Err(format!("the header `{name}` never goes on to an upstream"))
    } else {
        Ok(parsed)
    }
}

/// The headers that go on: the plain ones and those that the route passes.
pub(super) fn going_on(headers: &HeaderMap, passed: &[HeaderName]) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if PLAIN.contains(&name.as_str()) || passed.contains(name) {
            kept.append(name, value.clone());
        }
    }
    kept
}

/// Sets a header to the text that was decided on.
pub(super) fn set(headers: &mut HeaderMap, name: &HeaderName, text: &str) {
    match HeaderValue::from_str(text) {
        Ok(value) => headers.insert(name, value),
        Err(_) => headers.remove(name),
    };
}
