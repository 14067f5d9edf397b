//! What does not load, and says where and why; beside each a twin that does.

use bailiwick_policy::{LoadError, PolicySet, PolicySource, default_sources};

fn errors(text: &str) -> Vec<LoadError> {
    match PolicySet::load(&[PolicySource::new("p.cedar", text)]) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().cloned().collect(),
    }
}

/// (what, faulty policy, line, column, words of the message, words of the help, benign twin)
type Row = (&'static str, &'static str, usize, usize, &'static str, &'static str, &'static str);

const ROWS: &[Row] = &[
    (
        "syntax",
        "permit(principal, action, resource)\nwhen { context.offline == };",
        2,
        27,
        "unexpected token",
        "",
        "permit(principal, action, resource)\nwhen { context.offline == true };",
    ),
    (
        "unknown entity type",
        "permit(principal is Robot, action, resource);",
        1,
        21,
        "unrecognized entity type `Robot`",
        "",
        "permit(principal is Agent, action, resource);",
    ),
    (
        "unknown attribute",
        "permit(principal is Agent, action, resource)\nwhen { principal.tenat == \"acme\" };",
        2,
        8,
        "attribute `tenat`",
        "tenant",
        "permit(principal is Agent, action, resource)\nwhen { principal.tenant == \"acme\" };",
    ),
    (
        "wrong type",
        "permit(principal, action, resource)\nwhen { context.chain.depth < \"3\" };",
        2,
        30,
        "unexpected type",
        "",
        "permit(principal, action, resource)\nwhen { context.chain.depth < 3 };",
    ),
    (
        "word that is not in the vocabulary",
        "forbid(principal, action, resource)\nwhen { context.provenance == Provenance::\"intakt\" };",
        2,
        30,
        "intakt",
        "",
        "forbid(principal, action, resource)\nwhen { context.provenance == Provenance::\"dropped\" };",
    ),
    (
        "optional attribute without a guard",
        "permit(principal, action, resource) when {\n  context.arguments.hasTag(\"n\") && context.arguments.getTag(\"n\").whole < 3 };",
        2,
        36,
        "unable to guarantee safety of access to optional attribute",
        "",
        "permit(principal, action, resource) when {\n  context.arguments.hasTag(\"n\") && context.arguments.getTag(\"n\") has whole && context.arguments.getTag(\"n\").whole < 3 };",
    ),
    (
        "rule that can never match",
        "forbid(principal is Agent, action == Action::\"Delegate\", resource)\nwhen { resource is Workflow };",
        1,
        1,
        "impossible",
        "can never match",
        "forbid(principal is Agent, action == Action::\"Delegate\", resource)\nwhen { resource is Agent };",
    ),
    (
        "action that does not apply to the principal",
        "forbid(principal is Subject, action == Action::\"Delegate\", resource);",
        1,
        1,
        "impossible",
        "can never match",
        "forbid(principal is Agent, action == Action::\"Delegate\", resource);",
    ),
    (
        "equality with the group of all scopes",
        "forbid(principal, action == Action::\"Invoke\", resource);",
        1,
        1,
        "impossible",
        "action in Action::\"Invoke\"",
        "forbid(principal, action in Action::\"Invoke\", resource);",
    ),
    (
        "equality with a wildcard",
        "forbid(principal, action == Action::\"crm.*\", resource);",
        1,
        1,
        "impossible",
        "action in Action::\"crm.*\"",
        "forbid(principal, action in Action::\"crm.*\", resource);",
    ),
    (
        "scope that is not in the grammar",
        "forbid(\n  principal,\n  action == Action::\"crm*\", resource);",
        3,
        21,
        "is not a scope",
        "a wildcard that ends in `.*`",
        "forbid(\n  principal,\n  action == Action::\"crm.read\", resource);",
    ),
    (
        "action misspelt",
        "forbid(principal, action == Action::\"delegate\", resource);",
        1,
        37,
        "no action",
        "did you mean `Action::\"Delegate\"`",
        "forbid(principal, action == Action::\"Delegate\", resource);",
    ),
    (
        "scope in a set that no scope can be",
        "permit(principal, action, resource)\nwhen { context.requested.scopes.contains(\"crm read\") };",
        2,
        42,
        "`crm read` is not a scope",
        "dotted",
        "permit(principal, action, resource)\nwhen { context.requested.scopes.contains(\"crm.read\") };",
    ),
    (
        "unknown annotation",
        "@id(\"a\")\n@aproval(\"owner\")\npermit(principal, action, resource);",
        2,
        1,
        "unknown annotation `@aproval`",
        "did you mean `@approval`",
        "@id(\"a\")\n@approval(\"owner\")\npermit(principal, action, resource);",
    ),
    (
        "unknown annotation like nothing known",
        "@severity(\"high\")\npermit(principal, action, resource);",
        1,
        1,
        "unknown annotation",
        "x_",
        "@x_severity(\"high\")\npermit(principal, action, resource);",
    ),
    (
        "lifetime that is none",
        "@max_ttl(\"5m\")\npermit(principal, action, resource);",
        1,
        1,
        "not a lifetime",
        "seconds",
        "@max_ttl(\"300\")\npermit(principal, action, resource);",
    ),
    (
        "lifetime beyond the bound",
        "@max_ttl(\"901\")\npermit(principal, action, resource);",
        1,
        1,
        "not a lifetime",
        "900",
        "@max_ttl(\"900\")\npermit(principal, action, resource);",
    ),
    (
        "obligation without a value",
        "@approval\npermit(principal, action, resource);",
        1,
        1,
        "needs a value",
        "@approval(\"…\")",
        "@approval(\"owner\")\npermit(principal, action, resource);",
    ),
    (
        "approval by nobody",
        "@approval(\"security\")\npermit(principal, action, resource);",
        1,
        1,
        "names nobody who could approve",
        "group:…",
        "@approval(\"group:security\")\npermit(principal, action, resource);",
    ),
    (
        "approval by somebody misspelt",
        "@approval(\"ownr\")\npermit(principal, action, resource);",
        1,
        1,
        "names nobody who could approve",
        "did you mean `owner`",
        "@approval(\"owner\")\npermit(principal, action, resource);",
    ),
    (
        "approval of what is no call",
        "@approval(\"owner\")\npermit(principal is Agent, action == Action::\"Delegate\", resource is Agent);",
        1,
        1,
        "never met",
        "Invoke",
        "@approval(\"owner\")\npermit(principal is Agent, action in Action::\"Invoke\", resource);",
    ),
    (
        "obligation on a forbid",
        "@approval(\"owner\")\nforbid(principal, action, resource);",
        1,
        1,
        "no effect",
        "on the permit",
        "@notify(\"owner\")\nforbid(principal, action, resource);",
    ),
    (
        "code on a permit",
        "@code(\"policy_denied\")\npermit(principal, action, resource);",
        1,
        1,
        "no effect",
        "on a forbid",
        "@code(\"policy_denied\")\nforbid(principal, action, resource);",
    ),
    (
        "code that is none",
        "@code(\"tenant_missmatch\")\nforbid(principal, action, resource);",
        1,
        1,
        "is not a code",
        "did you mean `tenant_mismatch`",
        "@code(\"tenant_mismatch\")\nforbid(principal, action, resource);",
    ),
    (
        "code only the code can establish",
        "@code(\"signature_invalid\")\nforbid(principal, action, resource);",
        1,
        1,
        "is not a code",
        "a forbid may answer with",
        "@code(\"issuer_untrusted\")\nforbid(principal, action, resource);",
    ),
    (
        "id with a space",
        "@id(\"my policy\")\npermit(principal, action, resource);",
        1,
        1,
        "not a usable policy id",
        "letters",
        "@id(\"my.policy\")\npermit(principal, action, resource);",
    ),
    (
        "the same id twice",
        "@id(\"a\")\npermit(principal, action, resource);\n@id(\"a\")\nforbid(principal, action, resource);",
        3,
        1,
        "`a` is used twice",
        "p.cedar:1",
        "@id(\"a\")\npermit(principal, action, resource);\n@id(\"b\")\nforbid(principal, action, resource);",
    ),
    (
        "the same policy twice",
        "permit(principal, action, resource);\n\npermit ( principal , action , resource ) ;",
        3,
        1,
        "used twice",
        "delete one",
        "permit(principal, action, resource);\n\nforbid ( principal , action , resource ) ;",
    ),
    (
        "template",
        "\npermit(principal == ?principal, action, resource);",
        2,
        1,
        "templates",
        "one policy for each",
        "\npermit(principal == Agent::\"a\", action, resource);",
    ),
    (
        "string that reads from right to left",
        "forbid(principal, action, resource)\nwhen { context.task.purpose == \"pay\u{202e}yap\" };",
        2,
        32,
        "BIDI",
        "ASCII",
        "forbid(principal, action, resource)\nwhen { context.task.purpose == \"pay\" };",
    ),
];

#[test]
fn faults_point_at_their_place_and_say_what_to_do() {
    let mut wrong = Vec::new();
    for (what, text, line, column, message, help, twin) in ROWS {
        let Some(error) = errors(text).into_iter().next() else {
            wrong.push(format!("{what}: loaded"));
            continue;
        };
        let told = error.help.clone().unwrap_or_default();
        let right = (error.file.as_str(), error.line, error.column) == ("p.cedar", *line, *column)
            && error.message.contains(message)
            && !error.message.starts_with("for policy")
            && told.contains(help);
        if !right {
            wrong.push(format!("{what}: {error}"));
        }
        wrong.extend(errors(twin).first().map(|error| format!("{what}, twin: {error}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_fault_of_every_source_is_told_at_once() {
    let sources = [
        PolicySource::new("b.cedar", "@nope(\"1\") permit(principal, action, resource);"),
        PolicySource::new("a.cedar", "permit(principal, action, resource"),
        PolicySource::new("c.cedar", "permit(principal, action, resource);"),
    ];
    let errors = PolicySet::load(&sources).unwrap_err();
    let files: Vec<&str> = errors.iter().map(|error| error.file.as_str()).collect();
    assert_eq!(files, ["a.cedar", "b.cedar"]);
    assert!(errors.to_string().contains("b.cedar:1:1: unknown annotation"), "{errors}");
}

#[test]
fn ids_are_unique_across_sources_and_the_other_place_is_named() {
    let one = "@id(\"same\") permit(principal, action, resource);";
    let two = "// another\n@id(\"same\") forbid(principal, action, resource);";
    let sources = [PolicySource::new("one.cedar", one), PolicySource::new("two.cedar", two)];
    let errors = PolicySet::load(&sources).unwrap_err();
    let error = errors.iter().next().unwrap();
    assert_eq!((error.file.as_str(), error.line), ("two.cedar", 2));
    assert!(error.help.as_deref().unwrap().contains("one.cedar:1"), "{error}");
}

#[test]
fn nothing_at_all_is_a_set_that_permits_nothing() {
    let set = PolicySet::load(&[]).unwrap();
    assert_eq!(set.policies().len(), 0);
    let verdict =
        crate::support::ask(&set, &crate::support::invoke("crm.read"), &crate::support::facts(&[]));
    assert_eq!(verdict.outcome.map(|o| o.code()), Some("policy_denied"));
}

#[test]
fn too_much_text_is_refused_unread() {
    let huge = PolicySource::new("huge.cedar", " ".repeat(16 * 1024 * 1024 + 1));
    let error = PolicySet::load(std::slice::from_ref(&huge)).unwrap_err();
    assert!(error.to_string().contains("bytes of policy"), "{error}");
    let fits = PolicySource::new("fits.cedar", " ".repeat(16 * 1024));
    assert!(PolicySet::load(&[fits]).is_ok());
}

#[test]
fn the_default_policies_load_and_say_what_they_are() {
    let set = PolicySet::default_pack().unwrap_or_else(|e| panic!("{e}"));
    assert!(set.policies().len() >= 10);
    for policy in set.policies() {
        assert!(policy.id().starts_with("default."), "{}", policy.id());
        let told = |key| policy.annotations().contains_key(key);
        assert!(told("description") || told("reason"), "{}", policy.id());
        assert_eq!(policy.file(), "default.cedar");
        let source = &default_sources()[0];
        let line = source.text.lines().nth(policy.line() - 1).unwrap();
        assert!(line.contains(policy.id()), "{} is not at line {}", policy.id(), policy.line());
    }
}

#[test]
fn long_conditions_and_large_numbers_load() {
    let clauses: Vec<String> = (0..60)
        .map(|n| format!("context.task.id != \"{n}\" && context.ttl_seconds != {n}"))
        .collect();
    let text = format!(
        "permit(principal, action, resource) when {{ {} }}
         unless {{ context.ttl_seconds == 9223372036854775807 }};",
        clauses.join(" && ")
    );
    let set = crate::support::load(&text);
    let verdict =
        crate::support::ask(&set, &crate::support::invoke("crm.read"), &crate::support::facts(&[]));
    assert!(verdict.allows(), "{verdict:?}");
}
