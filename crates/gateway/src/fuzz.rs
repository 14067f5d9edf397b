//! Fuzz targets over what only the gateway reads. A target is a function of bytes that panics when a
//! property does not hold. Not part of any build but tests and fuzzing.
#![allow(clippy::panic, reason = "a property that does not hold has to be seen")]

use bailiwick_core::{Algorithm, IssuerKeys, SigningKey, jcs};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use serde_json::Value;

use crate::a2a::operation;
use crate::call::{Asked, Inbound, Mapped, OutgoingBody};
use crate::feed::verify_event;
use crate::http_api::{HttpAdapter, canonical};
use crate::json;
use crate::mcp::message::Message;
use crate::reply::{ReplyHook, Touched};
use crate::spool::{frame, record};
use crate::sse::EventFilter;
use crate::stop::Stop;

/// A target's name and function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of the gateway.
pub const TARGETS: [Target; 9] = [
    ("body", body),
    ("url", url),
    ("http_call", http_call),
    ("mcp_message", mcp_message),
    ("a2a_request", a2a_request),
    ("event_stream", event_stream),
    ("feed_event", feed_event),
    ("spool_record", spool_record),
    ("spool_frames", spool_frames),
];

/// What is read of a body is all that is in it, in one reading.
fn body(data: &[u8]) {
    let Ok(value) = json::read(data) else { return };
    let written = value.to_string();
    assert_eq!(json::read(written.as_bytes()).ok().as_ref(), Some(&value));
    assert!(jcs::canonicalize_value(&value).is_ok(), "whatever is read can be recorded");
}

/// A path and a query have one form, which is its own form.
fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(segments) = canonical::segments(text) {
        let form = canonical::path(segments.iter().map(String::as_str));
        assert_eq!(canonical::segments(&form).ok(), Some(segments), "{form}");
        assert!(form.is_ascii() && !form.contains("//") && !form.contains("/../"));
    }
    for breaks in [canonical::Breaks::Refused, canonical::Breaks::Allowed] {
        let Ok(pairs) = canonical::pairs(text, breaks) else { continue };
        let form =
            canonical::query(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        assert_eq!(canonical::pairs(&form, breaks).ok(), Some(pairs), "{form}");
    }
}

const OPERATIONS: &str = r#"
    [[operation]]
    method = "GET"
    path = "/contacts/{id}"
    scope = "crm.read"
    sensitivity = "internal"
    resource = "contact/{id}"
    argument = [{ name = "fields", in = "query", list = true }, { name = "limit", in = "query", type = "integer" }]

    [[operation]]
    method = "POST"
    path = "/payments"
    scope = "bank.pay"
    argument = [
      { name = "amount", in = "body" },
      { name = "payee", in = "body", lower = true },
      { name = "iban", in = "body", pointer = "/to/iban" },
      { name = "X-Tenant", in = "header", as = "tenant" },
    ]

    [[operation]]
    method = "POST"
    path = "/forms"
    scope = "forms.send"
    body = "form"
    argument = [{ name = "to", in = "body" }, { name = "urgent", in = "body", type = "boolean" }]
"#;

const ROUTE: &str = r#"
    name = "crm"
    path = "/crm"
    upstream = "http://127.0.0.1:9"
    owner = "team"
    binding = "carries"
    sensitivity = "confidential"
"#;

/// A call as text: a line with method and target, lines of headers, an empty line, a body. What is
/// decided on is what goes on: read again, what is forwarded is the same call.
fn http_call(data: &[u8]) {
    let Some((line, headers, body)) = message(data) else { return };
    let Some((method, target)) = line.split_once(' ') else { return };
    let (Ok(config), Ok(route)) = (toml::from_str(OPERATIONS), toml::from_str(ROUTE)) else {
        panic!("the configuration of the target");
    };
    let Ok(adapter) = HttpAdapter::compile(&config, &route) else { panic!("the operations") };
    let Ok(Some(first)) = mapped(&adapter, method, target, &headers, body.clone()) else { return };
    let out = &first.outgoing;
    let body = sent(&out.body);
    let again =
        mapped(&adapter, out.method.as_str(), &out.path_and_query, &out.headers, body.clone());
    let Ok(Some(second)) = again else {
        panic!("what is forwarded is another request: {}", out.path_and_query);
    };
    let (Asked::Call(a), Asked::Call(b)) = (&first.asked, &second.asked) else { panic!("no call") };
    assert_eq!((&a.scope, &a.resource, &a.arguments), (&b.scope, &b.resource, &b.arguments));
    assert_eq!(out.path_and_query, second.outgoing.path_and_query);
    assert_eq!(body, sent(&second.outgoing.body));
}

fn sent(body: &OutgoingBody) -> Bytes {
    match body {
        OutgoingBody::Untouched => Bytes::new(),
        OutgoingBody::Bytes(bytes) => bytes.clone(),
        OutgoingBody::Json { value, .. } => Bytes::from(value.to_string()),
    }
}

fn mapped(
    adapter: &HttpAdapter,
    method: &str,
    target: &str,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Option<Mapped>, Stop> {
    let request = Request::builder().method(method).uri(target).body(());
    let Ok((mut parts, ())) = request.map(Request::into_parts) else { return Ok(None) };
    if !parts.uri.path().starts_with('/') {
        return Ok(None);
    }
    parts.headers = headers.clone();
    let path = parts.uri.path().to_owned();
    let body = adapter.reads_body(&parts, &path).then_some(body);
    adapter.map(Inbound { parts: &parts, path: &path, body }).map(Some)
}

/// Headers and a message of MCP: read again as it is written, it is the same message.
fn mcp_message(data: &[u8]) {
    let Some((_, headers, body)) = message(data) else { return };
    let Ok(read) = Message::read(&body, &headers) else { return };
    let written = Bytes::from(read.value.to_string());
    let Ok(again) = Message::read(&written, &headers) else { panic!("{written:?}") };
    assert_eq!((&again.kind, &again.method, &again.value), (&read.kind, &read.method, &read.value));
    let _ = (read.text("name").is_ok(), read.refusal(), read.unknown(&headers));
}

/// A request of A2A in both bindings: what goes on is the operation that was read.
fn a2a_request(data: &[u8]) {
    let Some((line, _, body)) = message(data) else { return };
    let value = json::read(&body).ok();
    if let Ok((first, wire)) = operation::json_rpc("/a2a", value.clone()) {
        let Some(again) = wire.body.as_ref().and_then(|body| json::read(body).ok()) else {
            panic!("what goes on cannot be read");
        };
        let Ok((second, _)) = operation::json_rpc("/a2a", Some(again)) else {
            panic!("refused again")
        };
        assert_eq!(format!("{first:?}"), format!("{second:?}"));
    }
    let Some((method, target)) = line.split_once(' ') else { return };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else { return };
    // As it comes from the HTTP library.
    let Ok(target) = target.parse::<http::Uri>() else { return };
    if let Ok((_, wire)) = operation::rest(&method, "/a2a", target.path(), target.query(), value) {
        let Ok(uri) = wire.path_and_query.parse::<http::Uri>() else { panic!("{wire:?}") };
        assert!(uri.path().starts_with("/a2a") && !uri.path().contains("/../"), "{uri}");
    }
}

/// Takes `secret` away.
struct Filter;

impl ReplyHook for Filter {
    fn message(&mut self, _: StatusCode, message: &mut Value) -> Touched {
        if message.get("secret").is_some() { Touched::Withhold } else { Touched::No }
    }
}

/// A stream is the same however it is cut, and what passed once passes unchanged.
fn event_stream(data: &[u8]) {
    let passed = |data: &[u8], size: usize| {
        let mut filter = EventFilter::new(vec![Box::new(Filter)], StatusCode::OK, 1 << 20);
        let mut out = Vec::new();
        for chunk in data.chunks(size.max(1)) {
            match filter.push(chunk) {
                Ok(more) => out.extend(more),
                Err(_) => return None,
            }
        }
        Some(out)
    };
    let Some(whole) = passed(data, data.len()) else { return };
    for size in [1, 2, 7] {
        assert_eq!(passed(data, size).as_ref(), Some(&whole), "chunks of {size}");
    }
    // Whoever reads it finds nothing that was not seen. A comment tells a CR at the end from a CRLF.
    let again = [&whole, b":\n\n".as_slice()].concat();
    assert_eq!(passed(&again, again.len()), Some(again));
}

/// Claims that the Authority signed as an event: no text of them breaks the reader.
fn feed_event(data: &[u8]) {
    const ISSUER: &str = "https://authority.a.example";
    static KEY: std::sync::OnceLock<Option<SigningKey>> = std::sync::OnceLock::new();
    let Some(key) = KEY.get_or_init(|| SigningKey::generate(Algorithm::EdDsa).ok()) else {
        panic!("no key");
    };
    let mut keys = IssuerKeys::new();
    keys.insert(ISSUER, "k1", key.verifying_key());
    let header = br#"{"alg":"EdDSA","kid":"k1","typ":"bailiwick-feed+jwt"}"#;
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(data));
    let Ok(signature) = key.sign(input.as_bytes()) else { panic!("no signature") };
    let compact = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
    if let Ok(event) = verify_event(&compact, ISSUER, &keys) {
        assert_eq!(event.iss, ISSUER);
        let Ok(written) = jcs::canonicalize(&event) else { panic!("{event:?}") };
        let Ok(again) = serde_json::from_slice(&written) else { panic!("{event:?}") };
        assert_eq!(event, again);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(verify_event(text, ISSUER, &keys).is_err(), "nobody signed it");
    }
}

/// A record of the spool has one spelling.
fn spool_record(data: &[u8]) {
    let Ok((receipt, effect)) = record::decode(data) else { return };
    if let Ok(written) = record::encode(&receipt, &effect) {
        assert_eq!(written, data);
    }
}

/// Frames: what is read is within the bytes, and reading goes on.
fn spool_frames(data: &[u8]) {
    let mut rest = data;
    loop {
        let taken = match frame::front(rest) {
            frame::Front::Record(body, taken) => {
                assert_eq!(frame::record(body), rest.get(..taken).unwrap_or_default());
                taken
            }
            frame::Front::Mark(epoch, offset) => {
                assert!(frame::has_mark(rest, epoch, offset));
                frame::MARK_BYTES
            }
            frame::Front::Nothing => break,
        };
        let Some(more) = rest.get(taken..) else { panic!("read beyond the end") };
        rest = more;
    }
}

/// A first line, headers up to an empty line, and the rest as body.
fn message(data: &[u8]) -> Option<(&str, HeaderMap, Bytes)> {
    let at = data.windows(2).position(|two| two == b"\n\n")?;
    let (head, body) = data.split_at_checked(at)?;
    let mut lines = std::str::from_utf8(head).ok()?.split('\n');
    let first = lines.next()?;
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some((first, headers, Bytes::copy_from_slice(body.get(2..)?)))
}

#[cfg(test)]
#[path = "../../../fuzz/public.rs"]
mod public;
#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{TARGETS, public, replay};

    #[test]
    fn targets_hold_on_the_corpus_and_on_mutations_of_it() {
        for (name, target) in public::TARGETS.into_iter().chain(TARGETS) {
            replay::run(name, target);
        }
    }

    #[test]
    fn every_target_can_be_fuzzed() {
        let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        for (name, _) in public::TARGETS.into_iter().chain(TARGETS) {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
            let source = std::fs::read_to_string(fuzz.join("targets").join(format!("{name}.rs")));
            assert!(source.unwrap().contains(&format!("\"{name}\"")), "{name}");
        }
    }
}
