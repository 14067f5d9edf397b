//! The signatures were made by botocore for the same requests, instant and (published example) keys.

use http::Request;
use rstest::rstest;

use super::*;

/// 2015-08-30T12:36:00Z.
const THEN: UnixMillis = UnixMillis(1_440_938_160_500);

fn identity(token: Option<&str>) -> Identity {
    Identity {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: super::super::Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: token.map(super::super::Secret::new),
        until: None,
    }
}

fn signed(
    (method, uri, host): (&str, &str, &str),
    service: &str,
    (media, body): (Option<&str>, &'static str),
    token: Option<&str>,
) -> Parts {
    let mut request = Request::builder().method(method).uri(uri).header("host", host);
    if let Some(media) = media {
        request = request.header("content-type", media);
    }
    // Never signed: proxies change it.
    let request = request.header("user-agent", "x").body(()).unwrap();
    let (mut parts, ()) = request.into_parts();
    let identity = identity(token);
    let signing = Signing { identity: &identity, region: "us-east-1", service, now: THEN };
    sign(&mut parts, &Payload::Known(&Bytes::from_static(body.as_bytes())), &signing).unwrap();
    parts
}

fn signature(parts: &Parts) -> String {
    let said = parts.headers["authorization"].to_str().unwrap();
    said.rsplit_once("Signature=").unwrap().1.to_owned()
}

#[rstest]
#[case(("GET", "https://example.amazonaws.com/", "example.amazonaws.com"), "service", (None, ""), None,
    "726c5c4879a6b4ccbbd3b24edbd6b8826d34f87450fbbf4e85546fc7ba9c1642")]
#[case(("GET", "https://example.amazonaws.com/?Param2=value2&Param1=value1", "example.amazonaws.com"), "service", (None, ""), None,
    "311c7f58b10b06de8540bb5a27f441ee0609f1d5ad7b191e68d7ea87d90e3d6b")]
#[case(("POST", "https://sts.us-east-1.amazonaws.com/", "sts.us-east-1.amazonaws.com"), "sts",
    (Some("application/x-www-form-urlencoded; charset=utf-8"), "Action=AssumeRole&Version=2011-06-15"), Some("TOKEN/abc+def=="),
    "fc3ad80716b7ffd6984fbc83849508d5b6845a310aeaa7ca7f2bc4a091e13099")]
#[case(("PUT", "https://reports.s3.us-east-1.amazonaws.com/2026/q%C3%A9%20%2B1.csv?x-id=PutObject&empty=", "reports.s3.us-east-1.amazonaws.com"),
    "s3", (Some("text/csv"), "a,b\n1,2\n"), None,
    "e945ebd5cd5d512d74269e989627df6e6d76a5819ace462656cdfc31c48bcd15")]
#[case(("GET", "https://service.us-east-1.amazonaws.com:8443/a%20b/%C3%A9?q=a%2Fb%20c&q=a", "service.us-east-1.amazonaws.com:8443"),
    "service", (None, ""), None,
    "d8ce01eeab50e4e126d4d062ca53e4dc645b51a8606dbb15cd25bcfceea5a407")]
fn a_signature_is_the_one_that_botocore_makes(
    #[case] request: (&str, &str, &str),
    #[case] service: &str,
    #[case] body: (Option<&str>, &'static str),
    #[case] token: Option<&str>,
    #[case] expected: &str,
) {
    let parts = signed(request, service, body, token);
    assert_eq!(parts.headers["x-amz-date"], "20150830T123600Z");
    assert_eq!(signature(&parts), expected);
}

#[test]
fn what_is_signed_is_what_is_sent() {
    let at = ("GET", "https://h.example/a?q=1", "h.example");
    let plain = signature(&signed(at, "service", (None, ""), None));
    for (other, body) in [
        (("POST", at.1, at.2), ""),
        (("GET", "https://h.example/a?q=2", at.2), ""),
        (("GET", "https://h.example/b?q=1", at.2), ""),
        (("GET", at.1, "other.example"), ""),
        (at, "x"),
    ] {
        assert_ne!(signature(&signed(other, "service", (None, body), None)), plain, "{other:?}");
    }
}

#[test]
fn nothing_of_the_secret_is_sent_or_shown() {
    let parts =
        signed(("GET", "https://h.example/", "h.example"), "s3", (None, ""), Some("TOKEN12345"));
    let shown = format!("{parts:?}");
    assert!(!shown.contains("TOKEN12345") && !shown.contains("Signature="), "{shown}");
    for (name, value) in &parts.headers {
        assert!(!value.as_bytes().windows(8).any(|part| part == b"wJalrXUt"), "{name}");
    }
}

#[test]
fn a_body_that_streams_is_not_signed() {
    let (mut parts, ()) = Request::put("https://b.example/k")
        .header("host", "b.example")
        .body(())
        .unwrap()
        .into_parts();
    let identity = identity(None);
    let signing = Signing { identity: &identity, region: "us-east-1", service: "s3", now: THEN };
    sign(&mut parts, &Payload::Streams, &signing).unwrap();
    assert_eq!(parts.headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
}
