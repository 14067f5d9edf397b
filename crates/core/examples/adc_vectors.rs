//! Runs ADC chain vectors: `adc_vectors DIR` prints `file<TAB>outcome` for every `*.json` in DIR.
//!
//! The outcome is `accept` or the stable code. A vector without `"draft": "02"` is judged by the
//! draft-01 profile below, which exists only here: the library implements draft-02. The vectors are
//! HMAC-signed with a key they publish, so the signature check is injected.
#![allow(clippy::print_stdout, reason = "printing is what this program does")]

use std::path::Path;
use std::process::ExitCode;

use bailiwick_core::chain::adc::{self, AdcOptions, AdcToken, SignatureCheck};
use bailiwick_core::chain::steps::{self, Link};
use bailiwick_core::{
    Constraint, ConstraintSet, HeldAuthority, NarrowError, ScopeForm, ScopeSet, UnixMillis,
    VerifyError, ct_eq, hmac_sha256,
};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let Some(dir) = std::env::args().nth(1) else {
        eprintln!("usage: adc_vectors DIR");
        return ExitCode::from(1);
    };
    match run(Path::new(&dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("adc_vectors: {error}");
            ExitCode::from(1)
        }
    }
}

fn run(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut files: Vec<_> = std::fs::read_dir(dir)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "json"))
        .collect();
    files.sort();
    for path in files {
        let vector: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match judge(&vector) {
            Some(Ok(())) => println!("{name}\taccept"),
            Some(Err(error)) => println!("{name}\t{}", error.code()),
            None => return Err(format!("{name}: not a chain vector").into()),
        }
    }
    Ok(())
}

/// The vectors' published HMAC key.
struct PublishedKey {
    alg: String,
    secret: Vec<u8>,
}

impl SignatureCheck for PublishedKey {
    fn accepts(&self, alg: &str, _kid: Option<&str>, input: &[u8], signature: &[u8]) -> bool {
        alg == self.alg && ct_eq(&hmac_sha256(&self.secret, input), signature)
    }
}

fn judge(vector: &Value) -> Option<Result<(), VerifyError>> {
    let tokens: Vec<&str> =
        vector.get("tokens")?.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
    let signer = vector.get("signer")?;
    let key = PublishedKey {
        alg: signer.get("alg")?.as_str()?.to_owned(),
        secret: unhex(signer.get("secret_hex")?.as_str()?)?,
    };
    let now = UnixMillis::from_seconds(vector.get("now")?.as_i64()?);
    if vector.get("draft").and_then(Value::as_str) != Some("02") {
        return Some(legacy(&tokens, &key, now));
    }
    let verifier = vector.get("verifier");
    let accepted: Vec<&str> = match verifier.and_then(|v| v.get("accepted_algs")) {
        Some(algs) => algs.as_array()?.iter().filter_map(Value::as_str).collect(),
        None => vec![&key.alg],
    };
    let options = AdcOptions {
        accepted_algs: &accepted,
        audience: verifier.and_then(|v| v.get("audience")).and_then(Value::as_str),
    };
    Some(adc::verify(&tokens, &key, &options, now).map(|_| ()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect()
}

/// Draft-01: `sub` is the agent and differs per hop, there is no `client_id` or `cnf`, scopes have
/// two forms, and the life of a token is part of its authority.
fn legacy(tokens: &[&str], key: &PublishedKey, now: UnixMillis) -> Result<(), VerifyError> {
    let parsed = adc::parse(tokens)?;
    for (hop, token) in parsed.iter().enumerate() {
        adc::check_signature(token, key, &[&key.alg], hop)?;
    }
    // Draft-01 reads authority only at step 4, so the links before it carry none.
    let nothing = HeldAuthority::nothing();
    let links: Vec<Link<'_>> = parsed.iter().map(|token| token.link(&nothing)).collect();
    if parsed.first().is_some_and(|root| root.payload.get("par_hash").is_some()) {
        return Err(malformed(0, "the root must not carry par_hash"));
    }
    steps::commitments(&links)?;
    if links.first().is_some_and(|root| root.depth != Some(0)) {
        return Err(VerifyError::DepthInvalid { hop: 0, what: "the root's del_depth is not 0" });
    }
    steps::depths(&links)?;
    let held: Vec<(HeldAuthority, f64)> = parsed
        .iter()
        .enumerate()
        .map(|(hop, token)| legacy_authority(token, hop))
        .collect::<Result<_, _>>()?;
    for (hop, pair) in held.windows(2).enumerate() {
        let [(parent, parent_life), (child, life)] = pair else { continue };
        let hop = hop + 1;
        child
            .is_narrower_than(parent)
            .map_err(|source| VerifyError::NotNarrower { hop, source })?;
        if life > parent_life {
            return Err(VerifyError::NotNarrower { hop, source: NarrowError::MaxDepth });
        }
    }
    steps::times(&links, now)
}

fn malformed(hop: usize, what: &str) -> VerifyError {
    VerifyError::Malformed { hop, what: what.to_owned() }
}

fn legacy_authority(token: &AdcToken<'_>, hop: usize) -> Result<(HeldAuthority, f64), VerifyError> {
    let bad = |what: &str| malformed(hop, what);
    let details = token.payload.get("authorization_details").and_then(Value::as_array);
    let detail = match details.map(Vec::as_slice) {
        Some([detail]) => detail,
        _ => return Err(bad("exactly one authorization detail is read")),
    };
    let number = |name: &str| token.payload.get(name).and_then(Value::as_f64);
    let (Some(iat), Some(exp)) = (number("iat"), number("exp")) else {
        return Err(bad("iat and exp must be numbers"));
    };
    let array = |name: &str| detail.get(name).and_then(Value::as_array);
    let scopes = array("scopes").ok_or_else(|| bad("scopes must be an array"))?;
    let scopes: Vec<_> = scopes
        .iter()
        .map(|s| s.as_str().and_then(|s| s.parse::<bailiwick_core::Scope>().ok()))
        .map(|s| s.filter(|s| s.form() != ScopeForm::Opaque))
        .collect::<Option<_>>()
        .ok_or_else(|| bad("a scope has neither of the two forms"))?;
    let constraints = array("constraints").ok_or_else(|| bad("constraints must be an array"))?;
    let constraints: Vec<Constraint> = constraints
        .iter()
        .map(|c| Constraint::from_json(&modern(c)).map_err(|e| bad(&e.to_string())))
        .collect::<Result<_, _>>()?;
    let scopes = ScopeSet::new(scopes).map_err(|e| bad(&e.to_string()))?;
    let constraints = ConstraintSet::new(constraints).map_err(|e| bad(&e.to_string()))?;
    Ok((HeldAuthority { scopes, constraints }, exp - iat))
}

/// A draft-01 constraint in draft-02's form: an egress rank had one order that everyone knew, and
/// sets and prefixes named their type in a member of its own.
fn modern(constraint: &Value) -> Value {
    let mut constraint = constraint.clone();
    if let Some(object) = constraint.as_object_mut() {
        object.remove("type");
        if object.contains_key("rank") && !object.contains_key("order") {
            object.insert("order".into(), json!(["none", "internal", "any"]));
        }
    }
    constraint
}
