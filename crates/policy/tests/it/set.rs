//! The hash, the listing and the replacement of policy sets.

use bailiwick_policy::{Engine, PolicySet, PolicySource};

use crate::support::{ask, facts, invoke, load};

const A: &str =
    "@id(\"a\") @notify(\"ann\") permit(principal, action in Action::\"Invoke\", resource);";
const B: &str = "@id(\"b\")\nforbid(principal, action == Action::\"crm.delete\", resource)\nwhen { context.offline };";

#[test]
fn the_hash_depends_on_what_policies_say_and_on_nothing_else() {
    let hash = |sources: &[PolicySource]| PolicySet::load(sources).unwrap().hash().to_owned();
    let one = |text: String| hash(&[PolicySource::new("x.cedar", text)]);
    let reference = one(format!("{A}\n{B}"));
    assert!(reference.starts_with("sha-256:"), "{reference}");
    assert_eq!(reference.len(), "sha-256:".len() + 43);

    let same = [
        ("order", one(format!("{B}\n{A}"))),
        ("white space", one(format!("  {}\n\n{B}\n", A.replace(", ", " ,\n\t")))),
        ("comments", one(format!("// first\n{A} // second\n{B}"))),
        ("files", hash(&[PolicySource::new("2", B), PolicySource::new("1", A)])),
        (
            "order of annotations",
            one(format!(
                "{}{B}",
                A.replace("@id(\"a\") @notify(\"ann\")", "@notify(\"ann\") @id(\"a\")")
            )),
        ),
    ];
    for (what, hash) in same {
        assert_eq!(hash, reference, "{what}");
    }
    let other = [
        ("a policy less", one(A.to_owned())),
        ("an annotation", one(format!("{}{B}", A.replace("ann", "bob")))),
        ("an id", one(format!("{}{B}", A.replace("\"a\"", "\"c\"")))),
        ("an effect", one(format!("{A}{}", B.replace("forbid", "permit")))),
        ("a condition", one(format!("{A}{}", B.replace("context.offline", "!context.offline")))),
        ("a scope", one(format!("{A}{}", B.replace("crm.delete", "crm.read")))),
        ("a kind of clause", one(format!("{A}{}", B.replace("when", "unless")))),
    ];
    for (what, hash) in other {
        assert_ne!(hash, reference, "{what}");
    }
}

#[test]
fn a_policy_without_id_gets_one_from_its_content() {
    let id = |text: &str| load(text).policies().next().unwrap().id().to_owned();
    let first = id("permit(principal, action, resource);");
    assert!(first.starts_with("policy-"), "{first}");
    assert_eq!(first, id("// moved\n\n  permit ( principal,action,resource ) ;"));
    assert_ne!(first, id("forbid(principal, action, resource);"));
}

#[test]
fn a_set_that_does_not_load_replaces_nothing() {
    let engine = Engine::new(load(A));
    let before = engine.current();
    let broken = PolicySource::new("broken.cedar", "permit(principal, action, resource)");
    let errors = engine.reload(&[broken]).unwrap_err();
    assert!(errors.to_string().starts_with("broken.cedar:1:"), "{errors}");
    assert_eq!(engine.current().hash(), before.hash());

    let replaced = engine.reload(&[PolicySource::new("b.cedar", format!("{A}{B}"))]).unwrap();
    assert_eq!(replaced.hash(), before.hash());
    let after = engine.current();
    assert_ne!(after.hash(), before.hash());
    // Who began with the old set goes on with it.
    let delete = facts(&[("/offline", true.into())]);
    assert!(ask(&before, &invoke("crm.delete"), &delete).allows());
    assert!(!ask(&after, &invoke("crm.delete"), &delete).allows());
}

#[test]
fn policies_are_listed_with_their_place() {
    let set = load(&format!("{A}\n{B}"));
    let listed: Vec<_> =
        set.policies().map(|one| (one.id(), one.effect(), one.file(), one.line())).collect();
    assert_eq!(listed, [("a", "permit", "test.cedar", 1), ("b", "forbid", "test.cedar", 2)]);
}
