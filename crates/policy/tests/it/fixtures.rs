//! The fixture runner, and the default policies held to their own fixtures.

use bailiwick_policy::{DEFAULT_FIXTURES, FixtureError, PolicySet, run_fixtures};

use crate::support::load;

#[test]
fn the_default_policies_pass_their_fixtures_and_every_one_decides_a_case() {
    let set = PolicySet::default_pack().unwrap();
    let report = run_fixtures(&set, DEFAULT_FIXTURES).unwrap();
    assert!(report.passed(), "{report}");
    assert!(report.unexercised.is_empty(), "{report}");
    assert!(report.cases.len() >= 30);
}

#[test]
fn without_policies_every_permit_the_fixtures_expect_fails_and_says_so() {
    let set = PolicySet::load(&[]).unwrap();
    let report = run_fixtures(&set, DEFAULT_FIXTURES).unwrap();
    assert!(!report.passed());
    let failure = report.failures().next().unwrap();
    assert!(failure.differences[0].contains("denied with policy_denied"), "{report}");
}

#[test]
fn a_case_fails_on_code_determining_policies_and_obligations_too() {
    let set = load(
        "@id(\"told\") @notify(\"ann\") permit(principal, action in Action::\"Invoke\", resource);",
    );
    let case = |rest: &str| {
        let text =
            format!("[[case]]\nname = \"c\"\nact = \"invoke\"\nscope = \"crm.read\"\n{rest}");
        run_fixtures(&set, &text).unwrap().failures().map(|c| c.differences.join("; ")).next()
    };
    assert_eq!(case("expect = \"allow\""), None);
    assert_eq!(case("expect = \"allow\"\ndetermining = [\"told\"]"), None);
    let told = "expect = \"allow\"\nobligations = [{ kind = \"notify\", whom = \"ann\" }]";
    assert_eq!(case(told), None);
    for (rest, expected) in [
        ("expect = \"deny\"", "allowed"),
        ("expect = \"allow\"\ndetermining = []", "determined by [\"told\"]"),
        ("expect = \"allow\"\nobligations = []", "obligations are"),
    ] {
        let got = case(rest).unwrap_or_else(|| panic!("{rest} passed"));
        assert!(got.contains(expected), "{got}");
    }
    let denied = "[[case]]\nname = \"c\"\nact = \"delegate\"\nexpect = \"deny\"\n";
    let run = |code: &str| run_fixtures(&set, &format!("{denied}{code}")).unwrap();
    assert!(run("code = \"policy_denied\"").passed());
    assert!(!run("code = \"tenant_mismatch\"").passed());
}

#[test]
fn a_document_that_makes_no_sense_is_refused_with_its_fault() {
    let set = load("permit(principal, action, resource);");
    let head =
        "[[case]]\nname = \"c\"\nact = \"invoke\"\nscope = \"crm.read\"\nexpect = \"allow\"\n";
    assert!(run_fixtures(&set, head).unwrap().passed());
    for (text, expected) in [
        (String::new(), "no [[case]]"),
        (format!("{head}expected = 1"), "unknown field `expected`"),
        (format!("{head}facts.provenence = \"intact\""), "unknown field `provenence`"),
        (format!("{head}facts.provenance = \"fine\""), "unknown variant `fine`"),
        (head.replace("invoke", "use"), "unknown variant `use`"),
        (head.replace("crm.read", "crm read"), "act:"),
        (head.replace("scope = \"crm.read\"\n", ""), "missing field `scope`"),
        (format!("{head}code = \"policy_denied\""), "a permit has no `code`"),
        (head.replace("\"allow\"", "\"deny\"\ncode = \"denied\""), "`denied` is not an outcome"),
    ] {
        let error = run_fixtures(&set, &text).unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
        assert_eq!(matches!(error, FixtureError::Empty), text.is_empty());
    }
}
