//! A reply as hooks get to see it: a JSON body at once, an event stream as it comes.
//!
//! A hook that must see everything is not passed by under another name: where one is, only what is
//! clearly JSON or clearly an event stream reaches the agent.

use std::time::Duration;

use bailiwick_api::ProblemCode;
use bailiwick_core::jcs;
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::response::Parts;
use http_body::Body as HttpBody;
use http_body_util::BodyExt as _;

use crate::reply::{ReplyHook, Touched};
use crate::sse::{EventFilter, through};
use crate::stop::Stop;
use crate::stream::{Body, BoxError, full};

const EVENTS: &str = "text/event-stream";

/// Shows the reply to the hooks; gives what goes on, and what an event stream goes on through.
///
/// # Errors
/// `bad_gateway`: it cannot be looked at, or may not reach the agent.
pub(crate) async fn show<B>(
    parts: &mut Parts,
    body: B,
    mut hooks: Vec<Box<dyn ReplyHook>>,
    bytes_max: usize,
    idle: Duration,
) -> Result<(Body, Option<EventFilter>), Stop>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let bad = |detail: &str| Stop::new(ProblemCode::BadGateway, detail);
    if parts.headers.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
        return Err(bad("the upstream's reply is encoded, so that it cannot be looked at"));
    }
    let strict = hooks.iter().any(|hook| hook.must_see());
    let media = media(&parts.headers);
    let json = media == "application/json" || media.ends_with("+json");
    if strict && (json || media == EVENTS) {
        // Without a charset or a second header, by which some clients would read another text.
        let plain = HeaderValue::from_str(&media);
        parts
            .headers
            .insert(header::CONTENT_TYPE, plain.map_err(|_| bad("the reply has no media type"))?);
    }
    if media == EVENTS {
        parts.headers.remove(header::CONTENT_LENGTH);
        let filter = EventFilter::new(hooks, parts.status, bytes_max);
        return Ok((body.map_err(Into::into).boxed_unsync(), Some(filter)));
    }
    if !json && !strict {
        return Ok((body.map_err(Into::into).boxed_unsync(), None));
    }
    if !json && !parts.status.is_success() {
        // What went wrong is told by the status; the page about it is not looked at.
        return Ok((nothing(&mut parts.headers), None));
    }
    let bytes = whole(body, bytes_max, idle).await;
    let bytes = bytes.ok_or_else(|| {
        bad("the upstream's reply is longer than the gateway looks at, or broke off")
    })?;
    if bytes.is_empty() {
        return Ok((full(bytes), None));
    }
    if !json {
        return Err(bad("the upstream's reply is neither JSON nor an event stream"));
    }
    let Ok(mut message) = serde_json::from_slice(&bytes) else {
        return Err(bad("the upstream says that its reply is JSON, and it is not"));
    };
    let touched = through(&mut hooks, parts.status, &mut message);
    // A text with two readings (a member that comes twice) goes on as it was read.
    let single = || std::str::from_utf8(&bytes).is_ok_and(|text| jcs::scan_text(text).is_ok());
    let bytes = match touched {
        Touched::No if !strict || single() => bytes,
        Touched::No | Touched::Yes => Bytes::from(message.to_string()),
        Touched::Withhold => return Err(bad("the upstream's reply may not reach the agent")),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::ETAG);
    Ok((full(bytes), None))
}

/// The media type in lower case; empty when there is none, or more than one.
fn media(headers: &HeaderMap) -> String {
    let mut said = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(media), None) = (said.next(), said.next()) else { return String::new() };
    let media = media.to_str().ok().and_then(|media| media.split(';').next());
    media.unwrap_or_default().trim().to_ascii_lowercase()
}

fn nothing(headers: &mut HeaderMap) -> Body {
    headers.remove(header::CONTENT_TYPE);
    headers.remove(header::CONTENT_LENGTH);
    full(Bytes::new())
}

/// The whole body; none when it is too long, breaks off, or falls silent.
async fn whole<B>(mut body: B, bytes_max: usize, idle: Duration) -> Option<Bytes>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut whole = BytesMut::new();
    loop {
        let Some(frame) = tokio::time::timeout(idle, body.frame()).await.ok()? else {
            return Some(whole.freeze());
        };
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if whole.len().saturating_add(data.len()) > bytes_max {
            return None;
        }
        whole.extend_from_slice(&data);
    }
}

#[cfg(test)]
mod tests {
    use http::{Response, StatusCode};
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    /// Withholds whatever is a secret.
    struct Strict;

    impl ReplyHook for Strict {
        fn message(&mut self, _: StatusCode, message: &mut Value) -> Touched {
            if message["secret"] == true { Touched::Withhold } else { Touched::No }
        }
    }

    struct Onlooker;

    impl ReplyHook for Onlooker {
        fn must_see(&self) -> bool {
            false
        }

        fn message(&mut self, _: StatusCode, _: &mut Value) -> Touched {
            Touched::No
        }
    }

    const SECRET: &str = "{\"secret\":true}";

    /// Media type and text as they reach the agent.
    async fn shown(
        hook: impl ReplyHook,
        status: u16,
        headers: &[(&str, &str)],
        text: &'static str,
    ) -> Result<(String, String), Stop> {
        let mut reply = Response::builder().status(status);
        for (name, value) in headers {
            reply = reply.header(*name, *value);
        }
        let (mut parts, ()) = reply.body(()).unwrap().into_parts();
        let idle = Duration::from_secs(5);
        let (body, filter) = show(&mut parts, full(text), vec![Box::new(hook)], 1024, idle).await?;
        let bytes = body.collect().await.unwrap().to_bytes();
        let bytes = filter.map_or(Ok(bytes.to_vec()), |mut filter| filter.push(&bytes)).unwrap();
        let media = parts.headers.get(header::CONTENT_TYPE);
        let media = media.map_or("", |media| media.to_str().unwrap()).to_owned();
        Ok((media, String::from_utf8(bytes).unwrap()))
    }

    #[rstest]
    #[case(&[])]
    #[case(&[("content-type", "text/plain")])]
    #[case(&[("content-type", "application/json-seq")])]
    #[case(&[("content-type", "text/x; a=application/json")])]
    #[case(&[("content-type", "text/plain"), ("content-type", "application/json")])]
    #[case(&[("content-type", "text/event-stream"), ("content-type", "application/json")])]
    #[case(&[("content-type", "application/json"), ("content-encoding", "identity"), ("content-encoding", "gzip")])]
    #[case(&[("content-type", "Application/JSON; charset=utf-16")])]
    #[tokio::test]
    async fn no_media_type_leads_past_a_hook(#[case] headers: &[(&str, &str)]) {
        assert!(shown(Strict, 200, headers, SECRET).await.is_err(), "{headers:?}");
    }

    #[tokio::test]
    async fn what_is_looked_at_or_empty_passes() {
        let json = [("content-type", "application/json; charset=utf-16")];
        let fine = shown(Strict, 200, &json, "{\"a\":1}").await.unwrap();
        assert_eq!(fine, ("application/json".to_owned(), "{\"a\":1}".to_owned()));
        assert_eq!(shown(Strict, 202, &[], "").await.unwrap().1, "");
        let events = [("content-type", "text/event-stream; charset=utf-16le")];
        let told = shown(Strict, 200, &events, "data: {\"a\":1}\n\n").await.unwrap();
        assert_eq!(told, ("text/event-stream".to_owned(), "data: {\"a\":1}\n\n".to_owned()));
        let wide = "d\0a\0t\0a\0:\0{\0}\0\n\0\n\0\n\n";
        assert!(!shown(Strict, 200, &events, wide).await.unwrap().0.contains("utf-16"));
    }

    #[tokio::test]
    async fn the_page_of_an_error_is_not_shown_and_its_json_is() {
        let page = [("content-type", "text/html")];
        assert_eq!(
            shown(Strict, 500, &page, SECRET).await.unwrap(),
            (String::new(), String::new())
        );
        let json = [("content-type", "application/problem+json")];
        assert_eq!(shown(Strict, 500, &json, "{\"e\":1}").await.unwrap().1, "{\"e\":1}");
    }

    #[tokio::test]
    async fn a_member_that_comes_twice_goes_on_as_it_was_read() {
        let json = [("content-type", "application/json")];
        let twice = "{\"secret\":true, \"secret\":false}";
        assert_eq!(shown(Strict, 200, &json, twice).await.unwrap().1, "{\"secret\":false}");
        assert_eq!(shown(Onlooker, 200, &json, twice).await.unwrap().1, twice);
    }

    #[tokio::test]
    async fn an_onlooker_lets_everything_pass() {
        let page = [("content-type", "text/html; charset=utf-8")];
        let passed = shown(Onlooker, 200, &page, SECRET).await.unwrap();
        assert_eq!(passed, ("text/html; charset=utf-8".to_owned(), SECRET.to_owned()));
    }
}
