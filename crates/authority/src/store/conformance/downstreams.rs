//! What stands behind gateways, and what was used of it.

use bailiwick_core::UnixMillis;
use bailiwick_ledger::{Receipt, ReceiptKind};
use serde_json::{Value, json};

use super::{Backend, Rig};
use crate::model::{DownstreamsRecord, Effect, Refused, UseRow};

const GATEWAY: &str = "spiffe://a.example/gateway/x";
const DAY_MS: u64 = 86_400_000;

fn record(version: u32) -> DownstreamsRecord {
    DownstreamsRecord {
        gateway: GATEWAY.parse().unwrap(),
        version,
        declared_ms: UnixMillis(1_000 + u64::from(version)),
        document: json!({"routes": [{"version": version}]}),
    }
}

pub(in crate::store) async fn declarations_follow_each_other(backend: &impl Backend) {
    let mut rig = Rig::new(backend);
    let gateway = GATEWAY.parse().unwrap();
    assert_eq!(rig.store.downstreams_of(&gateway).await.unwrap(), None);
    let declare = |version| Effect::DeclareDownstreams(Box::new(record(version)));
    rig.refused(declare(2), Refused::VersionConflict).await;
    rig.ok(declare(1)).await;
    rig.refused(declare(1), Refused::VersionConflict).await;
    rig.ok(declare(2)).await;
    assert_eq!(rig.store.downstreams_of(&gateway).await.unwrap(), Some(record(2)));
    assert_eq!(rig.store.downstreams(10).await.unwrap(), [record(2), record(1)]);
    assert_eq!(rig.store.downstreams(1).await.unwrap(), [record(2)]);
    for version in 3..=70 {
        rig.ok(declare(version)).await;
    }
    let kept = rig.store.downstreams(1_000).await.unwrap();
    assert_eq!((kept.len(), kept[0].version), (64, 70), "the oldest go");
}

fn decision(time_ms: u64, change: impl FnOnce(&mut Value)) -> Receipt {
    let mut payload = json!({
        "act": "invoke", "route": "crm", "needs": ["crm.read"],
        "decision": {"allow": true, "inputs": {"facts": {
            "binding": "wrapped", "resource": {"system": "crm"}}}},
        "reported": {"by": GATEWAY, "time": time_ms},
    });
    change(&mut payload);
    Receipt {
        kind: ReceiptKind::Decision,
        time_ms,
        subject_ids: Vec::new(),
        payload: payload.to_string().into_bytes(),
    }
}

pub(in crate::store) async fn what_is_used_is_counted_with_its_leaf(backend: &impl Backend) {
    let rig = Rig::new(backend);
    let day = 20_000;
    let at = |day: u64| day * DAY_MS + 7;
    let receipts = [
        decision(at(day), |_| {}),
        decision(at(day), |_| {}),
        decision(at(day + 1), |_| {}),
        decision(at(day + 1), |it| it["needs"] = json!([])),
        decision(at(day + 1), |it| it["decision"]["allow"] = json!(false)),
        decision(at(day + 1), |it| it["reported"]["foreign"] = json!(true)),
    ];
    for receipt in receipts {
        rig.store.append(receipt, Effect::None).await.unwrap();
    }
    // A leaf that is refused counts nothing.
    let refused = Effect::DeclareDownstreams(Box::new(record(7)));
    assert!(rig.store.append(decision(at(day), |_| {}), refused).await.is_err());
    let row = |day: u64, needs: &[&str], calls| UseRow {
        day: u32::try_from(day).unwrap(),
        gateway: Some(GATEWAY.to_owned()),
        route: Some("crm".to_owned()),
        system: "crm".to_owned(),
        binding: "wrapped".to_owned(),
        needs: needs.iter().map(|it| (*it).to_owned()).collect(),
        calls,
    };
    let all = [row(day, &["crm.read"], 2), row(day + 1, &["crm.read"], 1), row(day + 1, &[], 1)];
    let used = async |from: u32, to: u32, system: Option<&str>| {
        rig.store.used(from..=to, system.map(str::to_owned), 100).await.unwrap()
    };
    let mut found = used(0, u32::MAX, None).await;
    found.sort();
    let mut expected = all.to_vec();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(used(20_000, 20_000, Some("crm")).await, [all[0].clone()]);
    assert!(used(20_000, 20_001, Some("other")).await.is_empty());
    assert!(used(20_002, 20_009, None).await.is_empty());
    assert_eq!(rig.store.used(0..=u32::MAX, None, 1).await.unwrap().len(), 1);
}
