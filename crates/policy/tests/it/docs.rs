//! The pages on policy say what is so: generated parts are current, examples load and pass.
//!
//! `BAILIWICK_BLESS=1 cargo test -p bailiwick-policy` rewrites the generated parts.

use std::fmt::Write as _;
use std::path::PathBuf;

use bailiwick_policy::{PolicySet, PolicySource, SCHEMA, default_sources, run_fixtures};

fn page(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// Replaces what stands between two markers.
fn between(text: &str, marker: &str, content: &str) -> String {
    let (open, close) = (format!("<!-- {marker} -->\n"), format!("<!-- /{marker} -->"));
    let start = text.find(&open).unwrap() + open.len();
    let end = text.find(&close).unwrap();
    format!("{}{content}{}", &text[..start], &text[end..])
}

#[test]
fn the_reference_is_current() {
    let path = page("reference/policy.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let set = PolicySet::default_pack().unwrap();
    let mut table = "| policy | effect | says |\n| --- | --- | --- |\n".to_owned();
    for one in set.policies() {
        let told = |key: &str| one.annotations().get(key).map(String::as_str);
        let says = told("description").or(told("reason")).unwrap_or_default();
        let code = told("code").map(|code| format!(", `{code}`")).unwrap_or_default();
        let _ = writeln!(table, "| `{}` | {}{code} | {says} |", one.id(), one.effect());
    }
    let current =
        between(&text, "schema", &format!("```cedarschema\n{}\n```\n", SCHEMA.trim_end()));
    let current = between(&current, "default-policies", &table);
    if std::env::var_os("BAILIWICK_BLESS").is_some() {
        std::fs::write(&path, current).unwrap();
        return;
    }
    assert!(text == current, "docs/reference/policy.md is stale; run with BAILIWICK_BLESS=1");
}

/// Code blocks of a language, without the indentation of the list they stand in.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((indent, _)) = line.split_once(&format!("```{language}")) else { continue };
        let inside = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```"));
        let bare = |line: &str| line.strip_prefix(indent).unwrap_or(line.trim_start()).to_owned();
        blocks.push(inside.map(bare).collect::<Vec<_>>().join("\n"));
    }
    blocks
}

#[test]
fn the_guides_policies_load_and_pass_the_guides_fixtures() {
    let text = std::fs::read_to_string(page("how-to/write-policy.md")).unwrap();
    let mut sources = default_sources();
    for block in blocks(&text, "cedar") {
        sources.push(PolicySource::new("write-policy.md", block));
    }
    assert_eq!(sources.len(), 2);
    let set = PolicySet::load(&sources).unwrap_or_else(|e| panic!("{e}"));
    let fixtures = blocks(&text, "toml");
    assert_eq!(fixtures.len(), 1);
    let report = run_fixtures(&set, &fixtures[0]).unwrap();
    assert!(report.passed(), "{report}");
    // The page says that the default policies permit a small payment already.
    assert_eq!(report.cases[0].verdict.determining, ["default.invoke"]);
}
