//! Codes are unique, statuses are errors, and the page in docs is the code's own text.

use super::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

#[test]
fn codes_are_unique_and_every_status_is_an_error() {
    let mut seen = BTreeSet::new();
    for code in ProblemCode::all() {
        assert!(seen.insert(code.code()), "{} twice", code.code());
        assert!((400..600).contains(&code.status()), "{}", code.code());
        assert!(code.title().ends_with('.'), "{}: {}", code.code(), code.title());
        assert!(code.remedy().ends_with('.'), "{}: {}", code.code(), code.remedy());
        assert_eq!(ProblemCode::from_code(code.code()), Some(code));
        let problem = Problem::new(code, "detail");
        assert_eq!(problem.problem_code(), Some(code));
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
    }
    assert_eq!(ProblemCode::from_code("no_such_code"), None);
}

#[test]
fn docs_problems_is_generated_from_the_codes() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/problems.md");
    let expected = page();
    if std::env::var_os("BAILIWICK_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/problems.md is stale; run: BAILIWICK_BLESS=1 cargo test -p bailiwick-api"
    );
}

fn page() -> String {
    let mut page = String::from(
        "# Problems\n\n\
         Every refusal has a stable `code`. Over HTTP it is an RFC 9457 problem\n\
         (`application/problem+json`) whose `type` is `/problems/<code>`; OAuth endpoints answer in\n\
         RFC 6749 form with the same `code` beside the standard `error`. Codes are never renamed.\n\
         A request that is at fault in several ways gets the first that is found.\n\n\
         This page is generated: `BAILIWICK_BLESS=1 cargo test -p bailiwick-api`.\n\n\
         | code | status | OAuth `error` |\n| --- | --- | --- |\n",
    );
    for code in ProblemCode::all() {
        let oauth = crate::OAuthError::new(code, "");
        let name = code.code();
        writeln!(page, "| [`{name}`](#{name}) | {} | `{}` |", code.status(), oauth.error).unwrap();
    }
    for code in ProblemCode::all() {
        write!(page, "\n## {}\n\n{}\n\n{}\n", code.code(), code.title(), code.remedy()).unwrap();
    }
    page
}
