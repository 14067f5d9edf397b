//! AWS Signature Version 4 (AWS General Reference, "Signing AWS API requests"), in the header form.
//!
//! HMAC and SHA-256 are those of `bailiwick-core`. The published crate brings a second implementation
//! of both and a tree of runtime crates with it; what is here is checked against vectors that
//! botocore made, and against a server that verifies with botocore.

use std::fmt::Write as _;

use bailiwick_core::time::UnixMillis;
use bailiwick_core::{hmac_sha256, sha256};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, header};
use percent_encoding::{AsciiSet, percent_decode_str, utf8_percent_encode};
use zeroize::{Zeroize as _, Zeroizing};

use super::super::fixed::{ENCODED, sensitive};
use super::super::secret::ConnectorFault;
use super::Identity;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");

const ENCODED_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// The body, as far as it is signed.
pub(super) enum Payload<'a> {
    Known(&'a Bytes),
    /// S3 takes a body that is not signed; TLS protects it.
    Streams,
}

/// What a request is signed with, and for.
pub(super) struct Signing<'a> {
    pub(super) identity: &'a Identity,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) now: UnixMillis,
}

/// Signs a request whose host is in its headers.
pub(super) fn sign(
    parts: &mut Parts,
    payload: &Payload<'_>,
    signing: &Signing<'_>,
) -> Result<(), ConnectorFault> {
    let (day, time) = instant(signing.now);
    let hash = match payload {
        Payload::Known(bytes) => hex(sha256(bytes).as_bytes()),
        Payload::Streams => "UNSIGNED-PAYLOAD".to_owned(),
    };
    let put = |parts: &mut Parts, name: HeaderName, text: &str| {
        let value = HeaderValue::from_str(text)
            .map_err(|_| ConnectorFault("a signed header does not fit".to_owned()))?;
        parts.headers.insert(name, value);
        Ok::<_, ConnectorFault>(())
    };
    put(parts, DATE, &time)?;
    put(parts, CONTENT_SHA256, &hash)?;
    match &signing.identity.session_token {
        Some(token) => {
            parts.headers.insert(TOKEN, sensitive(token.expose())?);
        }
        None => {
            parts.headers.remove(TOKEN);
        }
    }
    let (names, request) = canonical_request(parts, &hash, signing.service)?;
    let scope = format!("{day}/{}/{}/aws4_request", signing.region, signing.service);
    let hashed = hex(sha256(request.as_bytes()).as_bytes());
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{hashed}");
    let signature = hex(&hmac_sha256(&*signing_key(signing, &day), to_sign.as_bytes()));
    let id = &signing.identity.access_key_id;
    let said = format!(
        "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    parts.headers.insert(header::AUTHORIZATION, sensitive(&said)?);
    Ok(())
}

fn signing_key(signing: &Signing<'_>, day: &str) -> Zeroizing<[u8; 32]> {
    let secret = signing.identity.secret_access_key.expose();
    let seed = Zeroizing::new(format!("AWS4{secret}"));
    let mut key = hmac_sha256(seed.as_bytes(), day.as_bytes());
    for part in [signing.region, signing.service, "aws4_request"] {
        let next = hmac_sha256(&key, part.as_bytes());
        key.zeroize();
        key = next;
    }
    Zeroizing::new(key)
}

/// The names that are signed, and the canonical request.
fn canonical_request(
    parts: &Parts,
    hash: &str,
    service: &str,
) -> Result<(String, String), ConnectorFault> {
    let mut signed: Vec<(&str, String)> = Vec::new();
    for name in parts.headers.keys() {
        let is_signed = name.as_str().starts_with("x-amz-")
            || [header::HOST, header::CONTENT_TYPE, HeaderName::from_static("content-md5")]
                .contains(name);
        if !is_signed {
            continue;
        }
        let mut values = Vec::new();
        for value in parts.headers.get_all(name) {
            let text = value
                .to_str()
                .map_err(|_| ConnectorFault(format!("header `{name}` is not plain text")))?;
            values.push(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        }
        signed.push((name.as_str(), values.join(",")));
    }
    if !signed.iter().any(|(name, _)| *name == "host") {
        return Err(ConnectorFault("the request has no host".to_owned()));
    }
    signed.sort();
    let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let mut text = format!(
        "{}\n{}\n{}\n",
        parts.method,
        path(parts.uri.path(), service),
        query(parts.uri.query().unwrap_or_default())
    );
    for (name, value) in &signed {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}:{value}");
    }
    let _ = write!(text, "\n{names}\n{hash}");
    Ok((names, text))
}

/// S3 encodes a path once, every other service encodes what is on the wire again.
fn path(raw: &str, service: &str) -> String {
    let raw = if raw.is_empty() { "/" } else { raw };
    if service == "s3" {
        let decoded: Vec<u8> = percent_decode_str(raw).collect();
        percent_encoding::percent_encode(&decoded, ENCODED_PATH).to_string()
    } else {
        utf8_percent_encode(raw, ENCODED_PATH).to_string()
    }
}

/// Parameters in their order, each decoded and encoded once.
fn query(raw: &str) -> String {
    let encode = |text: &str| {
        let decoded: Vec<u8> = percent_decode_str(text).collect();
        percent_encoding::percent_encode(&decoded, ENCODED).to_string()
    };
    let pairs = raw.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (encode(name), encode(value))
    });
    let mut pairs: Vec<(String, String)> = pairs.collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// `20150830` and `20150830T123600Z`.
fn instant(now: UnixMillis) -> (String, String) {
    let text = bailiwick_api::Timestamp::from(UnixMillis(now.0 / 1000 * 1000)).to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    let kept: String = seconds.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let day = kept.chars().take(8).collect();
    (day, format!("{kept}Z"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
