use bailiwick_api::LineCount;
use serde_json::json;

use super::*;

const GATEWAY: &str = "spiffe://a.example/gateway/x";
const TODAY: u32 = 20_000;

fn record(version: u32, day: u32, permissions: &[&str]) -> DownstreamsRecord {
    let permissions: Vec<_> = permissions.iter().map(|it| json!({"actions": [it]})).collect();
    DownstreamsRecord {
        gateway: GATEWAY.parse().unwrap(),
        version,
        declared_ms: beginning(day),
        document: json!({"routes": [
            {"route": "crm", "system": "crm", "owner": "sales", "binding": "wrapped", "protocol": "http",
             "credential": {"kind": "key", "permissions": {"dialect": "plain", "permissions": permissions}},
             "needs": ["crm.read", "crm.write"], "operations": 3, "undeclared": 1},
            {"route": "wiki", "system": "wiki", "owner": "it", "binding": "opaque", "protocol": "http",
             "operations": 1, "undeclared": 1},
        ]}),
    }
}

fn used(
    day: u32,
    route: Option<&str>,
    system: &str,
    binding: &str,
    needs: &[&str],
    calls: u64,
) -> UseRow {
    UseRow {
        day,
        gateway: route.map(|_| GATEWAY.to_owned()),
        route: route.map(str::to_owned),
        system: system.to_owned(),
        binding: binding.to_owned(),
        needs: needs.iter().map(|it| (*it).to_owned()).collect(),
        calls,
    }
}

fn made(only: Option<&str>) -> GapReport {
    let window = Window::of(beginning(TODAY), 7);
    // Newest first, as the store gives them.
    let records = [
        record(2, TODAY - 2, &["crm.read", "crm.write", "crm.delete"]),
        record(1, TODAY - 20, &["crm.*", "billing.*"]),
    ];
    let rows = [
        used(TODAY, Some("crm"), "crm", "wrapped", &["crm.read"], 5),
        used(TODAY - 6, Some("crm"), "crm", "wrapped", &["crm.read", "crm.export"], 2),
        used(TODAY - 1, Some("crm"), "crm", "wrapped", &[], 3),
        used(TODAY - 7, Some("crm"), "crm", "wrapped", &["crm.write"], 11),
        used(TODAY, Some("wiki"), "wiki", "opaque", &[], 4),
        used(TODAY - 8, Some("wiki"), "wiki", "opaque", &[], 9),
        used(TODAY, Some("gone"), "old", "wrapped", &[], 1),
        used(TODAY, None, "ledger", "verifies", &[], 6),
        used(TODAY, None, "legacy", "carries", &[], 8),
    ];
    let declared = Declared::of(&records, window).unwrap();
    report(window, only, &rows, &declared)
}

#[test]
fn a_credential_stands_beside_what_was_justified() {
    let report = made(None);
    let names: Vec<&str> = report.systems.iter().map(|it| it.system.as_str()).collect();
    assert_eq!(names, ["crm", "ledger", "legacy", "old", "wiki"]);
    let crm = &report.systems[0];
    assert_eq!(crm.owners, ["sales"]);
    assert_eq!(crm.calls, CallCount { allowed: 10, unbound: 0 });
    assert_eq!(crm.previous, CallCount { allowed: 11, unbound: 0 });
    let days: Vec<u64> = crm.trend.iter().map(|it| it.calls.allowed).collect();
    assert_eq!(days, [11, 2, 3, 5]);
    let credential = &crm.credentials[0];
    assert_eq!(credential.count, LineCount { unneeded: 1, unused: 1, wider: 0, used: 1 });
    // Then it was `crm.*` for crm.write, and `billing.*` that nobody needed.
    assert_eq!(credential.previous, Some(LineCount { unneeded: 1, unused: 0, wider: 1, used: 0 }));
    let lines: Vec<&str> = credential.lines.iter().map(|it| it.action.as_str()).collect();
    assert_eq!(lines, ["crm.delete", "crm.write", "crm.read"], "the widest gap first");
    assert_eq!(credential.lines[2].used["crm.read"], 7);
    assert_eq!(credential.unmapped_calls, 3);
    assert_eq!((credential.unmet[0].need.as_str(), credential.unmet[0].calls), ("crm.export", 2));
    assert_eq!(credential.unmet.len(), 1);
}

#[test]
fn calls_that_nothing_binds_are_told_by_their_way() {
    let report = made(None);
    let hops =
        |system: &str| report.systems.iter().find(|it| it.system == system).unwrap().hops.clone();
    let wiki = &hops("wiki")[0];
    assert_eq!((wiki.calls, wiki.previous, wiki.declared), (4, 9, true));
    assert_eq!(report.systems[4].calls.unbound, 4);
    let lost = &hops("old")[0];
    assert_eq!((lost.calls, lost.declared, lost.binding.as_str()), (1, false, "wrapped"));
    let asked = &hops("legacy")[0];
    assert_eq!((asked.gateway.as_deref(), asked.calls, asked.declared), (None, 8, false));
    assert!(hops("ledger").is_empty(), "who verifies the chain is bound");
    assert!(hops("crm").is_empty());
}

#[test]
fn one_system_alone_is_that_system() {
    let report = made(Some("wiki"));
    assert_eq!(report.systems.len(), 1);
    assert!(made(Some("nothing")).systems.is_empty());
}
