use super::*;

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

fn set(text: &str) -> ScopeSet {
    text.parse().unwrap()
}

#[test]
fn forms_follow_from_bytes_alone() {
    for (text, form) in [
        ("crm.read", ScopeForm::Literal),
        ("a.b-c.d_1", ScopeForm::Literal),
        ("crm.*", ScopeForm::Wildcard),
        ("crm.accounts.*", ScopeForm::Wildcard),
        ("crm", ScopeForm::Opaque),
        ("User.Read", ScopeForm::Opaque),
        ("repo:status", ScopeForm::Opaque),
        ("crm.", ScopeForm::Opaque),
        (".crm", ScopeForm::Opaque),
        ("crm..read", ScopeForm::Opaque),
        ("1crm.read", ScopeForm::Opaque),
    ] {
        assert_eq!(scope(text).form(), form, "{text}");
    }
}

#[test]
fn what_matches_no_form_is_refused() {
    let long = format!("a.{}", "b".repeat(SCOPE_BYTES_MAX));
    for bad in [
        "",
        "*",
        "crm.*.read",
        "User.*",
        "crm*",
        "crm.read\n",
        "crm read",
        "a\"b",
        "a\\b",
        "café.x",
        ".*",
        &long,
    ] {
        assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
    }
}

#[test]
fn covering() {
    for (held, asked, covers) in [
        ("crm.read", "crm.read", true),
        ("crm.read", "crm.reader", false),
        ("crm.*", "crm.read", true),
        ("crm.*", "crm.a.b", true),
        ("crm.*", "crm.*", true),
        ("crm.*", "crm.a.*", true),
        ("crm.a.*", "crm.*", false),
        ("crm.*", "crmx.read", false),
        ("crm.*", "crm", false),
        ("drive.*", "drive.Read", false),
        ("drive.Read", "drive.*", false),
        ("User.Read", "user.read", false),
        ("User.Read", "User.Read", true),
    ] {
        assert_eq!(scope(held).covers(&scope(asked)), covers, "{held} {asked}");
    }
}

#[test]
fn meet_is_exact_and_prunes() {
    for (a, b, meet) in [
        ("crm.* mail.send", "crm.read pay.x", "crm.read"),
        ("crm.*", "crm.* crm.read", "crm.*"),
        ("crm.a.* crm.b", "crm.*", "crm.a.* crm.b"),
        ("User.Read", "User.Read a.b", "User.Read"),
        ("a.b", "c.d", ""),
    ] {
        assert_eq!(set(a).meet(&set(b)), set(meet), "{a} | {b}");
        assert_eq!(set(b).meet(&set(a)), set(meet), "{b} | {a}");
    }
}

#[test]
fn sets_are_ordered_deduplicated_and_bounded() {
    assert_eq!(set("b.x a.x b.x").to_string(), "a.x b.x");
    assert!("a.x  b.x".parse::<ScopeSet>().is_err());
    let many = (0..=SCOPES_MAX).map(|i| scope(&format!("a.b{i}")));
    assert_eq!(ScopeSet::new(many), Err(ScopeError::TooMany));
    assert!(set("a.x").is_narrower_than(&set("a.*")));
    assert_eq!(set("a.x c.y").first_uncovered(&set("a.*")), Some(&scope("c.y")));
}
