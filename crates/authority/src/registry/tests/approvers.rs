use super::super::RegistryErrorCode as Code;
use super::*;

/// The world with a constraint that is asked about, these approvers, and these members of the owner.
fn asking(approvers: &Value, members: &Value) -> Value {
    let mut world = world(
        "/workflow/0/authority/constraints/-",
        json!({"key": "crm.read:region", "one_of": ["eu"], "otherwise": "ask"}),
    );
    set(&mut world, "/workflow/0/approvers", approvers.clone());
    set(&mut world, "/owner/0/members", members.clone());
    world
}

#[test]
fn a_question_that_nobody_may_answer_is_refused() {
    let nobody = asking(&Value::Null, &Value::Null);
    refused(&nobody, Code::NeverMatches, "approvers", "`owner` is nobody");
    for approvers in [json!(["team:b"]), json!(["subject", "user:nobody"])] {
        refused(&asking(&approvers, &Value::Null), Code::NeverMatches, "approvers", "is nobody");
    }
    for (approvers, members) in [
        (Value::Null, json!(["group:payments"])),
        (json!(["subject"]), Value::Null),
        (json!(["reviewer", "group:finance"]), Value::Null),
        (json!(["user:rita"]), Value::Null),
        (json!(["team:a"]), json!(["user:bob@a.example"])),
    ] {
        let twin = asking(&approvers, &members);
        assert!(check(&twin).is_ok(), "{approvers} {members}: {:?}", check(&twin));
    }
    // A workflow that never asks needs no approver.
    assert!(check(&world("", Value::Null)).is_ok());
}

#[test]
fn approvers_and_members_have_a_closed_form() {
    let bad = asking(&json!(["anyone"]), &Value::Null);
    refused(&bad, Code::Value, "approvers[0]", "is not `subject`");
    let bad = asking(&json!(["subject"]), &json!(["spiffe://a.example/lead"]));
    refused(&bad, Code::Value, "members[0]", "neither `group:…` nor the id of a person");
}

#[test]
fn approvers_survive_the_store_and_name_people() {
    let world =
        asking(&json!(["owner", "subject", "group:finance"]), &json!(["user:bob@a.example"]));
    let registry = Registry::default().apply(&check(&world).unwrap());
    let mut after = Registry::default();
    for entry in registry.owners() {
        after.restore_owner(&entry.document.to_json(), entry.version).unwrap();
    }
    for entry in registry.workflows() {
        after.restore_workflow(&entry.document().to_json(), entry.version()).unwrap();
    }
    let workflow = after.workflow("crm.report").unwrap().document().clone();
    let mut all = People::default();
    for approver in workflow.who_approves() {
        all.add(after.people(&approver, &workflow));
    }
    assert_eq!(all.names(), ["subject", "user:bob@a.example", "group:finance"]);
}
