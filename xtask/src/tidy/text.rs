//! Rules about every text file: no leftovers, no paths of one machine, no private registries.

use super::{Findings, SourceFile};

/// Words that say that something is unfinished; spelled apart so that this file passes.
const LEFTOVERS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")];

/// Where somebody's own files are; spelled apart likewise.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

/// Files that machines write and that may hold any word.
const GENERATED: [&str; 4] = ["Cargo.lock", "package-lock.json", "uv.lock", "go.sum"];

/// Lockfile lines that name where a package comes from, and the only places it may come from.
const SOURCES: [(&str, &str, &str); 2] = [
    (
        "Cargo.lock",
        "source = ",
        "source = \"registry+https://github.com/rust-lang/crates.io-index\"",
    ),
    ("package-lock.json", "\"resolved\": ", "\"resolved\": \"https://registry.npmjs.org/"),
];

pub(super) fn check(file: &SourceFile, found: &mut Findings<'_>) {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    for (number, line) in (1..).zip(file.text.lines()) {
        for (lockfile, key, allowed) in SOURCES {
            let line = line.trim_start();
            if name == lockfile && line.starts_with(key) && !line.starts_with(allowed) {
                found.add(number, "registry", "packages come from the public registries only");
            }
        }
        if GENERATED.contains(&name) || file.path.starts_with("testdata/") {
            continue;
        }
        if let Some(word) = LEFTOVERS.into_iter().find(|word| has_word(line, word)) {
            found.add(number, "leftover", format!("finish it or file an issue: {word}"));
        }
        if let Some(path) = MACHINE_PATHS.into_iter().find(|path| has_path(line, path)) {
            found.add(number, "machine_path", format!("a path of one machine: {path}"));
        }
    }
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|tail| tail.chars().next());
        let part = |c: char| c.is_alphanumeric() || c == '_';
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// Whether an absolute path begins with `path` and goes on with a name; a URL's path or a variable is not one.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|head| head.chars().next_back());
        let after = line.get(at + path.len()..).and_then(|tail| tail.chars().next());
        let inside = |c: char| c.is_alphanumeric() || "_-./~}$%*".contains(c);
        !before.is_some_and(inside) && after.is_some_and(|c| c.is_alphanumeric() || c == '.')
    })
}
