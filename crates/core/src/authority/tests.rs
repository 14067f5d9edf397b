use serde_json::json;

use super::*;
use crate::constraint::NoReads;

fn held(detail: &Value) -> HeldAuthority {
    HeldAuthority::from_detail(detail).unwrap()
}

fn example() -> Value {
    json!({
        "type": "agent_delegation",
        "scopes": ["crm.*", "mail.send"],
        "constraints": [{"key": "rows", "max": 10}, {"key": "rows", "min": 1}],
    })
}

#[test]
fn details_are_closed() {
    assert_eq!(held(&example()).to_detail(), example());
    let without = json!({"type": "agent_delegation", "scopes": []});
    assert_eq!(held(&without), HeldAuthority::nothing());
    for (name, value) in [
        ("type", json!("other")),
        ("type", Value::Null),
        ("actions", json!([])),
        ("scopes", json!("crm.*")),
        ("scopes", json!([1])),
        ("scopes", json!(["*"])),
        ("constraints", Value::Null),
        ("constraints", json!({})),
        ("constraints", json!(["x"])),
        ("constraints", json!([{"key": "rows", "max": 1}, {"key": "rows", "max": 2}])),
        ("constraints", (0..65).map(|i| json!({"key": format!("k{i}"), "max": 1})).collect()),
    ] {
        let mut detail = example();
        detail[name] = value;
        assert!(HeldAuthority::from_detail(&detail).is_err(), "{detail}");
    }
    assert!(HeldAuthority::from_detail(&json!([])).is_err());
}

#[test]
fn an_action_needs_a_scope_and_then_every_constraint() {
    let held = held(&example());
    let outcome = |scope: &str, arguments: Value| {
        let arguments = arguments.as_object().unwrap().clone();
        let call = CallArguments::new(scope.parse().unwrap(), arguments);
        held.permits(&call, Totals::Debited, &NoReads).map_err(|refusal| refusal.outcome)
    };
    assert_eq!(outcome("crm.read", json!({"rows": 5})), Ok(()));
    assert_eq!(outcome("crm.read", json!({"rows": 11})), Err(Outcome::CeilingExceeded));
    assert_eq!(outcome("crm.read", json!({"rows": 0})), Err(Outcome::CeilingExceeded));
    assert_eq!(outcome("pay.send", json!({"rows": 5})), Err(Outcome::ScopeNotGranted));
    assert_eq!(outcome("pay.send", json!({"rows": 11})), Err(Outcome::ScopeNotGranted));
    assert_eq!(outcome("crm", json!({})), Err(Outcome::ScopeNotGranted));
}

#[test]
fn what_is_wider_is_named() {
    let parent = held(&example());
    let mut child = example();
    child["scopes"] = json!(["pay.send"]);
    let error = held(&child).is_narrower_than(&parent).unwrap_err();
    assert_eq!(error, NarrowError::Scope("pay.send".parse().unwrap()));
    assert_eq!(error.code(), Outcome::NotNarrower);
    child["scopes"] = json!(["crm.read"]);
    assert_eq!(held(&child).is_narrower_than(&parent), Ok(()));
    child["constraints"][0]["max"] = json!(11);
    let error = held(&child).is_narrower_than(&parent).unwrap_err();
    let expected = NarrowError::Constraint { key: "rows".into(), type_name: "max".into() };
    assert_eq!(error, expected);
}
