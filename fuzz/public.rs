//! Fuzz targets over the public parsers of the crates below the gateway. A target is a function of
//! bytes that panics when a property does not hold; `replay.rs` runs them on stable.

use std::sync::OnceLock;

use bailiwick_api::client::FeedFrames;
use bailiwick_core::constraint::path::CanonicalPath;
use bailiwick_core::jcs::{self, Form};
use bailiwick_core::{
    Algorithm, HeldAuthority, IssuerKeys, SigningKey, UnixMillis, UnverifiedChain, UnverifiedToken,
    VerifyOptions, VerifyingKey, verify_chain, verify_leaf,
};
use bailiwick_identity::{NonceRule, PeerCredentials, ProofExpectation, verify_proof};
use bailiwick_ledger::receipt::Entry;
use bailiwick_ledger::{
    Checkpoint, Opening, ReceiptLine, ReceiptProof, SignedNote, TilePath, VerifierKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// A target's name and function.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target of this file.
pub(crate) const TARGETS: [Target; 11] = [
    ("jcs", jcs_text),
    ("token", token),
    ("token_claims", token_claims),
    ("chain", chain),
    ("authority", authority),
    ("path", path),
    ("key", key),
    ("proof", proof),
    ("proof_claims", proof_claims),
    ("feed_frames", feed_frames),
    ("ledger", ledger),
];

const ISSUER: &str = "https://authority.a.example";
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const URL: &str = "https://tools.a.example/pay";

/// What is accepted as canonical is what we would write, and what is read at all can be written.
fn jcs_text(data: &[u8]) {
    let accepted = jcs::check(data);
    let Ok(text) = std::str::from_utf8(data) else {
        assert!(accepted.is_err(), "text that is not UTF-8");
        return;
    };
    let Ok(form) = jcs::scan_text(text) else {
        assert!(accepted.is_err());
        return;
    };
    let value: Value = serde_json::from_str(text).expect("what was scanned can be parsed");
    let written = jcs::canonicalize_value(&value).expect("what was scanned can be written");
    jcs::check(&written).expect("what was written is canonical");
    assert_eq!(form == Form::Canonical, written == data, "canonical is what we write");
    assert_eq!(accepted.is_ok(), form == Form::Canonical);
    assert_eq!(jcs::canonicalize(&value).expect("one form"), written);
    let again: Value = serde_json::from_slice(&written).expect("what was written can be parsed");
    assert_eq!(jcs::canonicalize_value(&again).expect("again"), written);
}

/// Nobody's key: no text is a token.
fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(token) = UnverifiedToken::parse(text) else { return };
    let options = VerifyOptions::default();
    assert!(verify_leaf(&token, &IssuerKeys::new(), &options, NOW).is_err());
    let _ = token.as_grant().map(|grant| grant.claimed_parent());
}

/// Claims that the issuer signed: what is accepted says exactly what was signed.
fn token_claims(data: &[u8]) {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    let key = KEY.get_or_init(|| SigningKey::generate(Algorithm::EdDsa).expect("a key"));
    let mut keys = IssuerKeys::new();
    keys.insert(ISSUER, "k1", key.verifying_key());
    let header = r#"{"alg":"EdDSA","c14n":"JCS","kid":"k1","typ":"at+jwt"}"#;
    let compact = signed(key, header.as_bytes(), data);
    let Ok(token) = UnverifiedToken::parse(&compact) else { return };
    let options = VerifyOptions { audience: None, full_chain: false };
    let Ok(verified) = verify_leaf(&token, &keys, &options, NOW) else { return };
    // Scopes, constraints and their members are sets: read in one order, whatever it was.
    let signed: Value = serde_json::from_slice(data).expect("what was accepted is JSON");
    let (read, signed) = (unordered(verified.claims().to_json()), unordered(signed));
    assert_eq!(read, signed, "nothing that was signed is left out or read as something else");
    // One bit of a signature decides.
    let (input, signature) = compact.rsplit_once('.').expect("three parts");
    let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    signature[0] ^= 1;
    let forged = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
    let forged = UnverifiedToken::parse(&forged).expect("as long as before");
    assert!(verify_leaf(&forged, &keys, &options, NOW).is_err());
}

/// The value with the items of every list in the order of their text.
fn unordered(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(unordered).collect();
            items.sort_by_cached_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, unordered(value))).collect()
        }
        plain => plain,
    }
}

/// Nobody's key: no text is a chain.
fn chain(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (ancestors, leaf) = text.rsplit_once('~').unwrap_or(("", text));
    let Ok(leaf) = UnverifiedToken::parse(leaf) else { return };
    let Ok(chain) = UnverifiedChain::parse(ancestors, &leaf) else { return };
    assert!(chain.tokens().len() <= 12);
    let options = VerifyOptions::default();
    assert!(verify_chain(&chain, &IssuerKeys::new(), &options, NOW).is_err());
}

/// Scopes and constraints: written as they were read, and no wider than themselves.
fn authority(data: &[u8]) {
    let Ok(detail) = jcs::parse_strict(data) else { return };
    let Ok(held) = HeldAuthority::from_detail(&detail) else { return };
    let written = held.to_detail();
    let again = HeldAuthority::from_detail(&written).expect("what was written can be read");
    assert_eq!(again.to_detail(), written);
    assert!(held.is_narrower_than(&again).is_ok());
}

/// A path has one form, in which nothing leads elsewhere.
fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(path) = CanonicalPath::from_value(text) else { return };
    assert_eq!(CanonicalPath::from_value(path.as_str()).as_ref(), Some(&path));
    assert!(path.lies_under(&path));
    assert!(!path.as_str().split('/').any(|part| part == ".." || part == "."));
    assert_eq!(path.as_str().starts_with('/'), text.starts_with('/'));
}

/// Public keys in both of their forms.
fn key(data: &[u8]) {
    if let Ok(key) = VerifyingKey::from_spki_der(data) {
        let again = VerifyingKey::from_jwk(&key.to_jwk()).expect("what was written can be read");
        assert_eq!(again.thumbprint(), key.thumbprint());
    }
    let Ok(jwk) = serde_json::from_slice::<Value>(data) else { return };
    if let Ok(key) = VerifyingKey::from_jwk(&jwk) {
        let again = VerifyingKey::from_jwk(&key.to_jwk()).expect("what was written can be read");
        assert_eq!(again.thumbprint(), key.thumbprint());
    }
}

/// A proof, and the headers that it comes in.
fn proof(data: &[u8]) {
    let expect = ProofExpectation {
        method: "POST",
        url: URL,
        access_token_hash: None,
        nonce: NonceRule::NotRequired,
    };
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = verify_proof(text, &expect, NOW);
    let mut headers = http::HeaderMap::new();
    for (name, line) in
        ["authorization", "dpop", "actor-token", "delegation-chain"].into_iter().zip(text.lines())
    {
        if let Ok(value) = line.parse() {
            headers.append(name, value);
        }
    }
    if let Ok(presented) = PeerCredentials::from_headers(&headers) {
        let _ = presented.prove_holder("POST", URL, NonceRule::NotRequired, NOW);
    }
}

/// Claims of a proof that its holder signed: what is accepted is for this request, now.
fn proof_claims(data: &[u8]) {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    let key = KEY.get_or_init(|| SigningKey::generate(Algorithm::EdDsa).expect("a key"));
    let header = serde_json::json!({
        "typ": "dpop+jwt", "alg": "EdDSA", "jwk": key.verifying_key().to_jwk(),
    });
    let compact = signed(key, header.to_string().as_bytes(), data);
    let expect = ProofExpectation {
        method: "POST",
        url: URL,
        access_token_hash: None,
        nonce: NonceRule::NotRequired,
    };
    let Ok(verified) = verify_proof(&compact, &expect, NOW) else { return };
    assert_eq!(verified.jkt(), key.verifying_key().thumbprint());
    assert!(verified.expires() > NOW);
    let text = std::str::from_utf8(data).expect("claims are text");
    // Some escapes in members that nobody reads are no text to this reader.
    let Ok(said) = serde_json::from_str::<Value>(text) else { return };
    assert_eq!(said["htm"], "POST");
    let url = url::Url::parse(said["htu"].as_str().expect("text")).expect("a URL");
    assert_eq!((url.scheme(), url.host_str()), ("https", Some("tools.a.example")));
    assert!(url.path() == "/pay" || url.path().contains('%'), "{url}");
    assert!((said["iat"].as_f64().expect("a number") - 1_800_000_000.0).abs() < 1_000.0);
    assert!(!said["jti"].as_str().expect("text").is_empty());
}

/// The feed's frames are the same however the stream is cut.
fn feed_frames(data: &[u8]) {
    let all = |size: usize| {
        let mut frames = FeedFrames::default();
        let mut found = Vec::new();
        for chunk in data.chunks(size.max(1)) {
            frames.push(chunk);
            while let Some(frame) = frames.next_frame() {
                found.push(frame);
            }
        }
        found
    };
    let whole = all(data.len());
    for size in [1, 2, 7] {
        assert_eq!(all(size), whole, "chunks of {size}");
    }
}

/// What a ledger publishes and an auditor reads: nothing has two spellings.
fn ledger(data: &[u8]) {
    let _ = Entry::parse(data);
    let one_line = !data.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    if let Ok(line) = ReceiptLine::parse(data)
        && one_line
    {
        let written = line.to_line().expect("what was read can be written");
        let again = ReceiptLine::parse(written.as_bytes()).expect("and read");
        assert_eq!(again, line);
        if let Opening::Open { payload, .. } = &line.opening {
            serde_json::from_slice::<&serde_json::value::RawValue>(payload).expect("JSON");
        }
    }
    if let Ok(note) = SignedNote::parse(data) {
        assert!(data.starts_with(note.unverified_text().as_bytes()));
    }
    if let Ok(checkpoint) = Checkpoint::parse_unverified(data) {
        assert!(data.starts_with(checkpoint.body().as_bytes()), "a checkpoint has one spelling");
    }
    if let Ok(proof) = ReceiptProof::parse(data) {
        let key: VerifierKey = KEY_OF_NOBODY.parse().expect("a key");
        assert!(proof.verify(&key).is_err());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = text.parse::<VerifierKey>();
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text, "a path has one spelling");
    }
}

/// A key that signed nothing.
const KEY_OF_NOBODY: &str =
    "ledger.a.example+238f5426+AT2K8a6/oP3155BPP7XQXJy5wxaF1yq2l5Eo1rShtCCY";

/// A compact JWS.
fn signed(key: &SigningKey, header: &[u8], payload: &[u8]) -> String {
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = key.sign(input.as_bytes()).expect("a signature");
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}
