//! Each rule beside a twin that passes.

use std::fs;

use tempfile::TempDir;

use super::{Finding, run};
use crate::masked::Masked;

/// Checks a repository of one file; gives the rules it breaks.
fn rules(path: &str, text: &str) -> Vec<&'static str> {
    findings(&[(path, text)]).iter().map(|finding| finding.rule).collect()
}

fn findings(files: &[(&str, &str)]) -> Vec<Finding> {
    let dir = TempDir::new().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    run(dir.path()).unwrap().findings
}

#[track_caller]
fn assert_rule(rule: &str, (bad_path, bad): (&str, &str), (good_path, good): (&str, &str)) {
    assert_eq!(rules(bad_path, bad), [rule], "{bad_path}");
    assert!(rules(good_path, good).is_empty(), "{good_path}: {:?}", rules(good_path, good));
}

const API: &str = "crates/api/src/x.rs";
const CORE: &str = "crates/core/src/x.rs";

#[test]
fn long_files() {
    let lines = |count| "const A: u8 = 1;\n".repeat(count);
    assert_rule("file_length", (API, &lines(601)), (API, &lines(600)));
    assert_rule("file_length", (API, &lines(601)), ("crates/api/tests/it/x.rs", &lines(601)));
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(140));
    assert!(rules(API, &format!("{}{tests}", lines(600))).is_empty(), "tests do not count");
}

#[test]
fn long_functions() {
    let function = |body| format!("fn long() {{\n{}}}\n", "    let _ = \"}\";\n".repeat(body));
    assert_rule("function_length", (API, &function(69)), (API, &function(68)));
    let method = |body| {
        format!(
            "impl A {{\n    pub fn b<T>(&self, c: [u8; 2])\n    where\n        T: D,\n    {{\n{}    }}\n}}\n",
            "        e();\n".repeat(body)
        )
    };
    assert_rule("function_length", (API, &method(66)), (API, &method(65)));
    let finding = findings(&[(API, &format!("\n\n{}", function(69)))]).remove(0);
    assert_eq!(
        finding.to_string(),
        format!("{API}:3: function_length: fn long has 71 lines, at most 70")
    );
}

#[test]
fn long_inline_tests() {
    let tests =
        |count| format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    use a::b;\n".repeat(count));
    assert_rule("inline_tests", (API, &tests(148)), (API, &tests(147)));
    assert!(rules(API, "#[cfg(test)]\nmod tests;\n").is_empty());
}

#[test]
fn impure_core() {
    for bad in [
        "use std::fs;",
        "use std::{io, fs::File};",
        "use std::{collections::{BTreeMap, HashMap}, net::IpAddr};",
        "use tokio::sync::Mutex;",
        "fn a() { std::thread::spawn(b); }",
        "fn a() { let _ = ::std::env::var(b); }",
        "use std::time::{Duration, Instant};",
        "use rand::Rng;",
    ] {
        assert_rule("purity", (CORE, bad), (API, bad));
        assert_eq!(rules("crates/policy/src/x/y.rs", bad), ["purity"], "{bad}");
        assert_eq!(rules("crates/ledger/src/tree.rs", bad), ["purity"], "{bad}");
        assert!(rules("crates/ledger/src/file.rs", bad).is_empty(), "the driver: {bad}");
        assert!(rules("crates/ledger/src/file/disk.rs", bad).is_empty(), "the driver: {bad}");
        assert!(rules("crates/core/tests/it/x.rs", bad).is_empty(), "a test: {bad}");
    }
    for good in [
        "use std::time::Duration;",
        "use std::{fmt, io};",
        "// std::fs\nconst A: &str = \"std::fs::read\";",
        "use crate::std::fs;",
        "mod tests { use my_tokio::x; }",
        "#[cfg(test)]\nmod tests { use std::fs; }",
        "fn a(b: &operand) {}",
    ] {
        assert!(rules(CORE, good).is_empty(), "{good}: {:?}", rules(CORE, good));
    }
}

#[test]
fn crypto_library_elsewhere() {
    let import = "use aws_lc_rs::digest::digest;";
    assert_rule("crypto", (CORE, import), ("crates/core/src/crypto.rs", import));
    assert_rule("crypto", (API, import), ("crates/ledger/src/hash.rs", import));
    assert!(rules(API, "fn a() { rustls::crypto::aws_lc_rs::default_provider(); }").is_empty());
    assert!(rules("crates/api/benches/x.rs", import).is_empty());
    assert!(rules(API, "fn a() { string::b(); }").is_empty());
    assert_eq!(rules(API, "use ring::digest;"), ["crypto"]);
    assert!(rules(API, "mod ring;\nuse ring::Keys;").is_empty(), "a module of the crate's own");
    let random = "use aws_lc_rs::{digest, rand};\nfn a() { rand::fill(b); }";
    assert!(rules("crates/core/src/crypto.rs", random).is_empty());
}

#[test]
fn wrong_direction() {
    let manifest = |dependency: &str| format!("[dependencies]\n{dependency}.workspace = true\n");
    let policy = "crates/policy/Cargo.toml";
    assert_rule(
        "direction",
        (policy, &manifest("bailiwick-ledger")),
        (policy, &manifest("bailiwick-core")),
    );
    for (name, dependency) in [
        ("core", "bailiwick-ledger"),
        ("ledger", "bailiwick-core"),
        ("api", "bailiwick-policy"),
        ("gateway", "bailiwick-authority"),
        ("authority", "bailiwick-gateway"),
        ("core", "bailiwick"),
    ] {
        let path = format!("crates/{name}/Cargo.toml");
        assert_eq!(rules(&path, &manifest(dependency)), ["direction"], "{name} on {dependency}");
    }
    let tests = "[dev-dependencies]\nbailiwick-ledger.workspace = true\n";
    assert!(rules(policy, tests).is_empty());
    assert_eq!(rules("crates/core/Cargo.toml", &manifest("tokio")), ["purity"]);
    assert!(rules("crates/authority/Cargo.toml", &manifest("tokio")).is_empty());
    assert_eq!(rules("crates/extra/Cargo.toml", ""), ["new_crate"]);
    assert_eq!(rules(policy, "[dependencies"), ["manifest"]);
}

#[test]
fn empty_names() {
    assert_rule("name", ("crates/api/src/x/mod.rs", ""), ("crates/api/src/x.rs", ""));
    for name in ["utils", "helpers", "common", "manager", "util", "misc"] {
        assert_eq!(rules(&format!("crates/api/src/{name}.rs"), ""), ["name"]);
        assert_eq!(rules(&format!("crates/api/src/{name}/x.rs"), ""), ["name"]);
        assert_eq!(rules(&format!("crates/api/tests/it/{name}.rs"), ""), ["name"]);
    }
    assert!(rules("crates/api/src/commonality.rs", "").is_empty());
}

#[test]
fn leftovers() {
    let comment = format!("// {}: later\n", concat!("TO", "DO"));
    assert_rule("leftover", (API, &comment), (API, "// done: earlier\n"));
    assert_eq!(rules("docs/x.md", concat!("FIX", "ME")), ["leftover"]);
    assert_eq!(rules("sdk/python/x.py", concat!("# X", "XX")), ["leftover"]);
    assert!(rules("Cargo.lock", concat!("TO", "DO")).is_empty(), "generated");
    assert!(rules(API, "// METODOLOGY, todo list\n").is_empty());
    let stub = format!("fn a() {{ {}!() }}", concat!("to", "do"));
    assert_rule("stub", (API, &stub), ("crates/api/tests/it/x.rs", &stub));
    let ignored = "#[test]\n#[ignore]\nfn a() {}";
    assert_rule("ignored_test", ("crates/api/tests/it/x.rs", ignored), (API, "// #[ignore]"));
    assert_eq!(rules(API, "#[ignore = \"slow\"]\nfn a() {}"), ["ignored_test"]);
}

#[test]
fn clocks_outside_clock_rs() {
    for clock in ["std::time::SystemTime::now()", "Instant::now()", "jiff::Timestamp::now()"] {
        let text = format!("fn a() {{ {clock}; }}");
        assert_rule("clock", (API, &text), ("crates/api/src/clock.rs", &text));
        let tests = format!("#[cfg(test)]\nmod tests {{ {text} }}");
        assert!(rules(API, &tests).is_empty());
    }
    assert!(rules(API, "fn a() { MyInstant::nowhere(); } // Instant::now").is_empty());
}

#[test]
fn machine_paths() {
    let home = concat!("/ho", "me/someone/x");
    assert_rule(
        "machine_path",
        ("docs/x.md", &format!("see {home}")),
        ("docs/x.md", "see ~/x and $HOME/x"),
    );
    assert_eq!(rules("x.sh", concat!("cd /ro", "ot/.cache")), ["machine_path"]);
    assert_eq!(rules(API, concat!("const A: &str = \"/wo", "rk/main\";")), ["machine_path"]);
    assert!(rules("docs/x.md", concat!("https://a.example/wo", "rk/1")).is_empty(), "a URL");
    assert!(rules(API, concat!("\"/ho", "me/${user}\"")).is_empty(), "a template");
}

#[test]
fn private_registries() {
    let package = |source: &str| format!("[[package]]\nname = \"a\"\nsource = \"{source}\"\n");
    assert_rule(
        "registry",
        ("Cargo.lock", &package("registry+https://mirror.example/index")),
        ("Cargo.lock", &package("registry+https://github.com/rust-lang/crates.io-index")),
    );
    assert_rule(
        "registry",
        ("console/package-lock.json", "  \"resolved\": \"https://mirror.example/a.tgz\","),
        ("console/package-lock.json", "  \"resolved\": \"https://registry.npmjs.org/a.tgz\","),
    );
}

#[test]
fn what_is_not_ours_is_not_read() {
    let bad = "use std::fs;";
    for path in ["target/x.rs", "crates/core/target/x.rs", "node_modules/a/x.rs", ".venv/x.rs"] {
        assert!(findings(&[(path, bad), (CORE, "")]).is_empty(), "{path}");
    }
    assert_eq!(rules(".ci/run", concat!("# TO", "DO")), ["leftover"]);
}

#[test]
fn masking_keeps_code_and_lines() {
    let text = r##"let a = "x\"y"; let b = 'c'; let d: &'static str = r#"e"f"#; /* g /* h */ i */ j // k
let l = b'\''; let m = '\u{1f}'; let n = b"o"; let p = br"q"; 'r: loop { break 'r }"##;
    let masked = Masked::new(text);
    assert_eq!(masked.code.len(), text.len());
    let words: Vec<&str> = masked.code.split_whitespace().collect();
    assert_eq!(
        words.join(" "),
        "let a = ; let b = ; let d: &'static str = ; j let l = ; let m = ; let n = ; let p = ; 'r: loop { break 'r }"
    );
    assert_eq!(masked.line_of(text.find("let l").unwrap()), 2);
    let unclosed = Masked::new("fn a() { \"never closed\n /* nor this");
    assert!(unclosed.functions().is_empty());
}

#[test]
fn this_repository_has_a_summary() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("crates/api/src")).unwrap();
    for (name, lines) in [("a", 10), ("b", 20), ("c", 30)] {
        fs::write(dir.path().join(format!("crates/api/src/{name}.rs")), "//\n".repeat(lines))
            .unwrap();
    }
    let report = run(dir.path()).unwrap();
    assert_eq!((report.files, report.median_lines, report.longest_lines), (3, 20, 30));
}
