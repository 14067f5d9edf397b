use bailiwick_policy::AgentStatus;

use super::super::RegistryErrorCode as Code;
use super::*;

#[test]
fn the_world_is_accepted_and_versioned() {
    let changes = check(&world("", Value::Null)).unwrap();
    assert_eq!(changes.iter().count(), 5);
    assert!(changes.iter().all(|c| c.version == 1 && c.change == ChangeKind::Created));
    let registry = Registry::default().apply(&changes);
    let again = check_on(&world("", Value::Null), &registry).unwrap();
    assert_eq!(again.effective().count(), 0);
    let changed = world("/workflow/0/title", json!("Another title"));
    let changes = check_on(&changed, &registry).unwrap();
    let effective: Vec<_> = changes.effective().collect();
    assert_eq!(effective.len(), 1);
    assert_eq!((effective[0].version, effective[0].change), (2, ChangeKind::Updated));
    assert_eq!(registry.apply(&changes).workflow("crm.report").unwrap().version(), 2);
}

#[test]
fn documents_survive_the_store() {
    let before = registry();
    let mut after = Registry::default();
    for entry in before.owners() {
        after.restore_owner(&entry.document.to_json(), entry.version).unwrap();
    }
    for entry in before.agents() {
        let status = entry.document.status;
        after.restore_agent(&entry.document.to_json(), entry.version, status).unwrap();
    }
    for entry in before.workflows() {
        after.restore_workflow(&entry.document().to_json(), entry.version()).unwrap();
    }
    assert_eq!(check_on(&world("", Value::Null), &after).unwrap().effective().count(), 0);
    assert!(after.agent_by_workload("spiffe://a.example/reader").is_some());
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    for (pointer, field, part) in [
        ("/owners", "owners", "did you mean `owner`?"),
        ("/owner/0/contct", "contct", "did you mean `contact`?"),
        ("/agent/0/clearence", "clearence", "did you mean `clearance`?"),
        ("/workflow/0/max_dept", "max_dept", "did you mean `max_depth`?"),
        ("/workflow/0/edges/0/scope", "edges[0].scope", "did you mean `scopes`?"),
        ("/workflow/0/authority/constraint", "authority.constraint", "did you mean `constraints`?"),
        ("/workflow/0/parameters/requierd", "parameters.requierd", "did you mean `required`?"),
        (
            "/workflow/0/parameters/properties/rows/minimun",
            "parameters.properties.rows.minimun",
            "did you mean `minimum`?",
        ),
        ("/agent/0/color", "color", "known here: `id`"),
    ] {
        refused(&world(pointer, json!([])), Code::UnknownKey, field, part);
    }
}

#[test]
fn required_keys_are_required() {
    for pointer in [
        "/owner/0/id",
        "/owner/0/name",
        "/owner/0/contact",
        "/agent/0/id",
        "/agent/0/name",
        "/agent/0/owner",
        "/agent/0/env",
        "/agent/0/tenant",
        "/workflow/0/id",
        "/workflow/0/title",
        "/workflow/0/purpose",
        "/workflow/0/owner",
        "/workflow/0/reviewer",
        "/workflow/0/reviewed",
        "/workflow/0/tenant",
        "/workflow/0/env",
        "/workflow/0/audiences",
        "/workflow/0/entry",
        "/workflow/0/authority",
        "/workflow/0/authority/scopes",
    ] {
        let field = pointer.splitn(4, '/').nth(3).unwrap().replace('/', ".");
        refused(&world(pointer, Value::Null), Code::Missing, &field, "is required");
    }
}

#[test]
fn values_are_checked_where_they_stand() {
    for (pointer, bad, good, field) in [
        ("/owner/0/id", json!("payments"), json!("team:a"), "id"),
        ("/owner/0/status", json!("gone"), json!("active"), "status"),
        ("/owner/0/name", json!(7), json!("N"), "name"),
        ("/owner/0/name", json!("a\nb"), json!("a b"), "name"),
        ("/agent/0/status", json!("asleep"), json!("active"), "status"),
        ("/agent/0/clearance", json!("secret"), json!("restricted"), "clearance"),
        ("/agent/0/roles", json!(["admin"]), json!(["agent"]), "roles[0]"),
        (
            "/agent/0/identity",
            json!({"spiffe": "x"}),
            json!({"spiffe": "spiffe://a.example/lead"}),
            "identity.spiffe",
        ),
        (
            "/agent/0/identity",
            json!({"issuer": "i"}),
            json!({"issuer": "https://i.example", "subject": "s"}),
            "identity",
        ),
        ("/workflow/0/reviewed", json!("last week"), json!("2024-02-29"), "reviewed"),
        ("/workflow/0/reviewed", json!("2026-02-29"), json!("2026-02-28"), "reviewed"),
        ("/workflow/0/max_depth", json!(11), json!(10), "max_depth"),
        ("/workflow/0/max_depth", json!("4"), json!(4), "max_depth"),
        ("/workflow/0/max_fanout", json!(0), json!(1), "max_fanout"),
        ("/workflow/0/deadline_seconds", json!(0), json!(60), "deadline_seconds"),
        ("/workflow/0/ttl_seconds_max", json!(901), json!(900), "ttl_seconds_max"),
        ("/workflow/0/offline", json!("yes"), json!(true), "offline"),
        ("/workflow/0/sensitivity", json!("top"), json!("public"), "sensitivity"),
        (
            "/workflow/0/audiences",
            json!(["crm"]),
            json!(["https://crm.a.example/x"]),
            "audiences[0]",
        ),
        (
            "/workflow/0/audiences",
            json!(["https://c.example/#f"]),
            json!(["https://c.example/"]),
            "audiences[0]",
        ),
        ("/workflow/0/edges/0/scopes", json!(["crm.**"]), json!(["crm.*"]), "edges[0].scopes[0]"),
        ("/workflow/0/edges/0/to", json!("a b"), json!("spiffe://a.example/reader"), "edges[0].to"),
    ] {
        refused(&world(pointer, bad), Code::Value, field, "");
        check(&world(pointer, good)).unwrap_or_else(|errors| panic!("{pointer}: {errors:#?}"));
    }
}

#[test]
fn tokens_of_sensitive_workflows_live_five_minutes() {
    for (sensitivity, ttl, good) in [
        ("internal", 900, true),
        ("confidential", 300, true),
        ("confidential", 301, false),
        ("restricted", 900, false),
    ] {
        let mut world = world("/workflow/0/sensitivity", json!(sensitivity));
        set(&mut world, "/workflow/0/ttl_seconds_max", json!(ttl));
        assert_eq!(check(&world).is_ok(), good, "{sensitivity} {ttl}");
    }
}

#[test]
fn nothing_is_without_a_live_owner() {
    for (pointer, field) in [("/agent/0/owner", "owner"), ("/workflow/0/owner", "owner")] {
        refused(
            &world(pointer, json!("team:b")),
            Code::OwnerNotLive,
            field,
            "did you mean `team:a`?",
        );
        refused(&world(pointer, json!("team:nobody-here")), Code::OwnerNotLive, field, "add one");
    }
    let reviewer = "/workflow/0/reviewer";
    refused(&world(reviewer, json!("user:tom-x")), Code::ReviewerNotLive, "reviewer", "add one");
    refused(&world(reviewer, json!("team:a")), Code::ReviewerNotLive, "reviewer", "someone else");
    let inactive = world("/owner/0/status", json!("inactive"));
    refused(&inactive, Code::OwnerNotLive, "owner", "is inactive");
    let inactive = world("/owner/1/status", json!("inactive"));
    refused(&inactive, Code::ReviewerNotLive, "reviewer", "is inactive");
    assert!(check(&world("", Value::Null)).is_ok());
    // What is retired needs no owner any more.
    let mut retired = world("/workflow/0/status", json!("retired"));
    set(&mut retired, "/workflow/0/owner", json!("team:gone"));
    assert!(check(&retired).is_ok());
}

#[test]
fn an_owner_does_not_leave_things_behind() {
    let leaving = json!({"owner": [
        {"id": "team:a", "name": "N", "contact": "c", "status": "inactive"}]});
    refused_on(&leaving, &registry(), Code::InUse, "status", "agent spiffe://a.example/lead");
    let mut moved = world("/owner/0/status", json!("inactive"));
    set(&mut moved, "/owner/-", owner("team:b"));
    for pointer in ["/agent/0/owner", "/agent/1/owner", "/workflow/0/owner"] {
        set(&mut moved, pointer, json!("team:b"));
    }
    assert!(check_on(&moved, &registry()).is_ok());
}

#[test]
fn workflows_name_registered_agents_of_their_tenant_and_environment() {
    let entry = "/workflow/0/entry";
    for (pointer, value, field, part) in [
        (entry, json!(["spiffe://a.example/x"]), "entry[0]", "is not registered"),
        (
            "/workflow/0/edges/0/to",
            json!("spiffe://a.example/x"),
            "edges[0].to",
            "is not registered",
        ),
        ("/agent/1/tenant", json!("other"), "edges[0].to", "another tenant"),
        ("/agent/1/env", json!("prod"), "edges[0].to", "environment"),
        ("/agent/1/status", json!("retired"), "edges[0].to", "is retired"),
        ("/agent/1/roles", json!(["enforcement-point"]), "edges[0].to", "has not the role"),
    ] {
        refused(&world(pointer, value), Code::AgentUnregistered, field, part);
    }
    assert!(check(&world("/agent/1/roles", json!(["agent", "enforcement-point"]))).is_ok());
}

#[test]
fn an_agent_in_use_keeps_what_its_workflows_need() {
    let mut moved = json!({"agent": [agent("reader")]});
    assert!(check_on(&moved, &registry()).is_ok());
    moved["agent"][0]["tenant"] = json!("other");
    refused_on(&moved, &registry(), Code::InUse, "", "workflow crm.report");
}

#[test]
fn a_file_does_not_lift_a_quarantine() {
    let registry =
        registry().with_agent_status("spiffe://a.example/reader", AgentStatus::Quarantined);
    let change = json!({"agent": [agent("reader")]});
    refused_on(&change, &registry, Code::Quarantined, "status", "bailiwick agent reinstate");
    let mut kept = change.clone();
    kept["agent"][0]["status"] = json!("quarantined");
    assert!(check_on(&kept, &registry).is_ok());
    let registry = registry.with_agent_status("spiffe://a.example/reader", AgentStatus::Active);
    assert!(check_on(&change, &registry).is_ok());
}

#[test]
fn ids_and_identities_are_unique() {
    refused(&world("/owner/-", owner("team:a")), Code::Duplicate, "id", "used twice");
    refused(&world("/agent/-", agent("lead")), Code::Duplicate, "id", "used twice");
    refused(&world("/workflow/-", workflow()), Code::Duplicate, "id", "used twice");
    let mut twin = agent("twin");
    twin["identity"] = json!({"spiffe": "spiffe://a.example/lead"});
    refused(&world("/agent/-", twin), Code::Duplicate, "identity", "one identity is one agent");
    assert!(check(&world("/agent/-", agent("twin"))).is_ok());
}

#[test]
fn edges_that_can_never_be_used_are_refused() {
    let edge = |from: &str, to: &str| json!({"from": format!("spiffe://a.example/{from}"), "to": format!("spiffe://a.example/{to}")});
    let edges = "/workflow/0/edges";
    for (pointer, value, code, field, part) in [
        (
            "/workflow/0/edges/-",
            edge("lead", "reader"),
            Code::Duplicate,
            "edges[1]",
            "repeats an edge",
        ),
        ("/workflow/0/edges/-", edge("lead", "lead"), Code::NeverMatches, "edges[1]", "itself"),
        (
            edges,
            json!([edge("reader", "lead")]),
            Code::NeverMatches,
            "edges[0]",
            "no entry agent reaches",
        ),
        ("/workflow/0/max_depth", json!(0), Code::NeverMatches, "edges[0]", "max_depth is 0"),
        (
            "/workflow/0/edges/0/scopes",
            json!(["mail.send"]),
            Code::NeverMatches,
            "edges[0].scopes[0]",
            "meets no scope",
        ),
    ] {
        // Without templated scopes, which may become anything.
        let mut world = world("/workflow/0/authority/scopes", json!(["crm.read"]));
        set(&mut world, pointer, value);
        refused(&world, code, field, part);
    }
    let mut lone =
        world("/workflow/0/entry", json!(["spiffe://a.example/lead", "spiffe://a.example/solo"]));
    set(&mut lone, "/agent/-", agent("solo"));
    refused(&lone, Code::Value, "entry[1]", "has no edge");
    let mut single = world("/workflow/0/edges", Value::Null);
    set(&mut single, "/workflow/0/max_depth", json!(0));
    assert!(check(&single).is_ok(), "one agent that hands nothing on needs no edges");
    assert!(check(&world("/workflow/0/edges/0/scopes", json!(["crm.*"]))).is_ok());
}

#[test]
fn toml_and_json_say_the_same() {
    let text = "[[owner]]\nid = \"team:a\"\nname = \"A\"\ncontact = \"c\"\n";
    let json = json!({"owner": [{"id": "team:a", "name": "A", "contact": "c"}]});
    let from_toml = RegistryDocuments::from_toml(text).unwrap();
    assert_eq!(from_toml, RegistryDocuments::from_json(&json).unwrap());
    let error = RegistryDocuments::from_toml("[[owner]]\nid = \"team:a\nname = 1\n").unwrap_err();
    assert_eq!((error[0].code, error[0].field.as_str()), (Code::Syntax, "line 2"));
    let error = RegistryDocuments::from_json(&json!([])).unwrap_err();
    assert_eq!(error[0].code, Code::Value);
    let large = format!("# {}", "x".repeat(REGISTRY_BYTES_MAX));
    assert_eq!(RegistryDocuments::from_toml(&large).unwrap_err()[0].code, Code::TooLarge);
}

#[test]
fn every_fault_of_a_file_is_reported_at_once_and_names_its_document() {
    let mut world = world("/owner/0/contact", Value::Null);
    set(&mut world, "/agent/1/clearance", json!("secret"));
    set(&mut world, "/workflow/0/colour", json!(1));
    let text: Vec<String> = check(&world).unwrap_err().iter().map(ToString::to_string).collect();
    assert!(text[0].starts_with("owner \"team:a\": contact: is required"), "{text:#?}");
    assert!(text[1].starts_with("agent \"spiffe://a.example/reader\": clearance:"), "{text:#?}");
    assert!(text[2].starts_with("workflow \"crm.report\": colour: unknown key"), "{text:#?}");
}

#[test]
fn a_document_without_an_id_is_named_by_its_place() {
    let text = check(&world("/owner/1/id", Value::Null)).unwrap_err()[0].to_string();
    assert!(text.starts_with("owner \"#2\": id: is required"), "{text}");
}

#[test]
fn codes_are_unique() {
    let codes: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.code()).collect();
    assert_eq!(codes.len(), Code::ALL.len());
    assert!(codes.iter().all(|code| code.starts_with("registry_")));
}
