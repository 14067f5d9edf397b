//! Rules between crates: who may depend on whom, what is pure, and where the crypto library is.

use crate::masked::Masked;

use super::{Findings, SourceFile};

/// Which crates of ours a crate may depend on; tests of a crate may use more.
const DIRECTION: [(&str, &[&str]); 9] = [
    ("core", &[]),
    ("ledger", &[]),
    ("policy", &["core"]),
    ("identity", &["core"]),
    ("api", &["core"]),
    ("authority", &["core", "ledger", "policy", "identity", "api"]),
    ("gateway", &["core", "ledger", "policy", "identity", "api"]),
    ("bailiwick", &["core", "ledger", "policy", "identity", "api", "authority", "gateway"]),
    ("xtask", &[]),
];

/// Crates without tokio, sockets, files, clocks or randomness; and the part of them that is a driver.
const PURE: [(&str, &[&str]); 3] =
    [("core", &[]), ("policy", &[]), ("ledger", &["file", "export"])];

/// What a pure crate does not touch.
const EFFECTS: [&str; 17] = [
    "tokio",
    "async_std",
    "smol",
    "mio",
    "rand",
    "getrandom",
    "fastrand",
    "std::net",
    "std::fs",
    "std::env",
    "std::thread",
    "std::process",
    "std::os",
    "std::io::stdin",
    "std::io::stdout",
    "std::time::SystemTime",
    "std::time::Instant",
];

/// Libraries that do cryptography themselves.
const CRYPTO: [&str; 9] = [
    "aws_lc_rs",
    "aws_lc_sys",
    "ring",
    "openssl",
    "sha2",
    "hmac",
    "ed25519_dalek",
    "p256",
    "rustls_rustcrypto",
];

/// The files that import one; its random bytes are a documented effect there, called by drivers only.
const CRYPTO_FILES: [&str; 2] = ["crates/core/src/crypto.rs", "crates/ledger/src/hash.rs"];

/// Dependencies that a pure crate cannot have and stay pure.
const EFFECT_PACKAGES: [&str; 8] =
    ["tokio", "rand", "getrandom", "reqwest", "hyper", "rusqlite", "async-std", "jiff"];

pub(super) fn check_manifest(file: &SourceFile, found: &mut Findings<'_>) {
    let name = match file.path.split('/').collect::<Vec<_>>().as_slice() {
        ["crates", name, "Cargo.toml"] => *name,
        ["xtask", "Cargo.toml"] => "xtask",
        _ => return,
    };
    let Some((_, allowed)) = DIRECTION.into_iter().find(|(known, _)| *known == name) else {
        found.add(1, "new_crate", "a crate must buy an audience, a kept-out dependency or a role");
        return;
    };
    let manifest: toml::Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return found.add(1, "manifest", error.to_string()),
    };
    let pure = PURE.iter().any(|(pure, _)| *pure == name);
    for table in ["dependencies", "build-dependencies"] {
        let packages = manifest.get(table).and_then(toml::Value::as_table);
        for package in packages.into_iter().flat_map(toml::Table::keys) {
            let line = line_of_key(&file.text, package);
            let ours = package.strip_prefix("bailiwick-");
            if package == "bailiwick" || ours.is_some_and(|ours| !allowed.contains(&ours)) {
                let message = format!("{name} may not depend on {package}");
                found.add(line, "direction", message);
            }
            if pure && EFFECT_PACKAGES.contains(&package.as_str()) {
                found.add(line, "purity", format!("{name} is pure and cannot use {package}"));
            }
        }
    }
}

fn line_of_key(text: &str, key: &str) -> usize {
    text.lines().position(|line| line.trim_start().starts_with(key)).map_or(1, |at| at + 1)
}

pub(super) fn check_source(file: &SourceFile, masked: &Masked, found: &mut Findings<'_>) {
    if file.is_test() {
        return;
    }
    // A crate's own module may be called like a library.
    let own = |path: &str| {
        let root = path.split("::").next().unwrap_or(path);
        masked.words(root).any(|at| masked.code.get(..at).is_some_and(|c| c.ends_with("mod ")))
    };
    let crypto_file = CRYPTO_FILES.contains(&file.path.as_str());
    let paths = masked.paths();
    let paths = paths.iter().filter(|(path, at)| !masked.is_test(*at) && !own(path));
    let pure = PURE.iter().find_map(|(name, drivers)| {
        let inside = file.in_crate(name)?;
        let module = inside.strip_suffix(".rs").unwrap_or(inside).split('/').next()?;
        (!drivers.contains(&module)).then_some(*name)
    });
    for (path, at) in paths {
        let path = path.trim_start_matches("::");
        let effect = starting(path, &EFFECTS).filter(|effect| !(crypto_file && *effect == "rand"));
        if let (Some(name), Some(effect)) = (pure, effect) {
            let message = format!("{name} is pure and does not touch {effect}");
            found.add(masked.line_of(*at), "purity", message);
        }
        let crypto = starting(path, &CRYPTO).filter(|_| file.path.starts_with("crates/"));
        if let Some(library) = crypto.filter(|_| !crypto_file) {
            let message = format!("only {} import {library}", CRYPTO_FILES.join(" and "));
            found.add(masked.line_of(*at), "crypto", message);
        }
    }
}

/// The first of `roots` that `path` is, or begins with.
fn starting<'a>(path: &str, roots: &[&'a str]) -> Option<&'a str> {
    roots.iter().copied().find(|root| {
        path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}
