use super::*;

const QUICKSTART: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/registry/quickstart.toml"));

#[test]
fn the_example_of_the_tutorial_loads_and_fills() {
    let documents = RegistryDocuments::from_toml(QUICKSTART).unwrap();
    let changes = validate(&documents, &Registry::default()).unwrap();
    assert_eq!(changes.iter().count(), 7);
    let registry = Registry::default().apply(&changes);
    let workflow = registry.workflow("banking.pay-bill").unwrap();
    let parameters =
        json!({"file": "bill-december-2023.txt", "payee": "UK12345678901234567890", "limit": 98.7});
    let filled = workflow.instantiate(&parameters).unwrap();
    assert_eq!(
        filled.authority.scopes.to_string(),
        "banking.read_balance banking.send_money files.read"
    );
    for (parameters, good) in [
        (json!({"file": "../etc/passwd", "payee": "UK12345678901234567890", "limit": 1}), false),
        (json!({"file": "/bills/a.txt", "payee": "UK12345678901234567890", "limit": 1}), true),
        (json!({"file": "/bills/a.txt", "payee": "anyone", "limit": 1}), false),
        (json!({"file": "/bills/a.txt", "payee": "UK12345678901234567890", "limit": 5001}), false),
        (json!({"file": "/bills/a.txt", "payee": "UK12345678901234567890", "limit": 0}), false),
    ] {
        assert_eq!(workflow.instantiate(&parameters).is_ok(), good, "{parameters}");
    }
    let gateway = registry.agent("spiffe://dev.bailiwick.example/gateway/tools").unwrap();
    assert!(gateway.document.is_enforcement_point() && !gateway.document.is_agent());
}

/// The workflows of the demo are documents of ours too: they load, one change after another.
#[test]
fn the_workflows_of_the_demo_load() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/agentdojo/workflows");
    let mut registry = Registry::default();
    for file in ["owners-and-agents.toml", "banking.toml", "workspace.toml"] {
        let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        let changes = RegistryDocuments::from_toml(&text)
            .and_then(|documents| validate(&documents, &registry))
            .unwrap_or_else(|errors| {
                panic!("{file}: {:#?}", errors.iter().map(ToString::to_string).collect::<Vec<_>>())
            });
        registry = registry.apply(&changes);
    }
    assert!(registry.workflows().len() > 10);
}

/// The blocks of the how-to, one after the other, are one valid change.
#[test]
fn the_how_to_is_a_valid_change() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/how-to/register-a-workflow.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks = page.split("```toml").skip(1).filter_map(|rest| rest.split("```").next());
    let text: String = blocks.collect();
    let changes = RegistryDocuments::from_toml(&text)
        .and_then(|documents| validate(&documents, &Registry::default()))
        .unwrap_or_else(|errors| panic!("{errors:#?}"));
    let registry = Registry::default().apply(&changes);
    let workflow = registry.workflow("support.answer-ticket").unwrap();
    let good = json!({"ticket": "T-4711", "requester": "kim@b.example"});
    assert!(workflow.instantiate(&good).is_ok());
    let bad = json!({"ticket": "T-4711", "requester": "everyone"});
    assert!(workflow.instantiate(&bad).is_err());
}
