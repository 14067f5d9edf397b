//! What an allowed call used, read off its receipt.

use std::borrow::Cow;

use bailiwick_core::permission::NEEDS_MAX;
use bailiwick_ledger::{Receipt, ReceiptKind};
use serde::Deserialize;

use crate::model::UseRow;

/// Milliseconds of a day.
pub(crate) const DAY_MS: u64 = 86_400_000;
/// Bytes of one name; a longer one is cut.
const NAME_BYTES_MAX: usize = 256;
/// Bytes of one need; a call with a longer one is counted as one that declares none.
const NEED_BYTES_MAX: usize = 1_100;

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    act: Option<Cow<'a, str>>,
    #[serde(borrow)]
    decision: Option<DecisionPart<'a>>,
    #[serde(borrow)]
    route: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    needs: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    reported: Option<Reported<'a>>,
}

#[derive(Deserialize)]
struct DecisionPart<'a> {
    allow: bool,
    #[serde(borrow)]
    inputs: Inputs<'a>,
}

#[derive(Deserialize)]
struct Inputs<'a> {
    #[serde(borrow)]
    facts: Option<Facts<'a>>,
}

#[derive(Deserialize)]
struct Facts<'a> {
    #[serde(borrow)]
    binding: Cow<'a, str>,
    #[serde(borrow)]
    resource: Resource<'a>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    system: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Reported<'a> {
    #[serde(borrow)]
    by: Cow<'a, str>,
    time: u64,
    /// Of a task that is not the gateway's: it counts for nothing.
    #[serde(default)]
    foreign: bool,
}

/// The use that a receipt is of: a decision that allowed a call.
pub(crate) fn used_by(receipt: &Receipt) -> Option<UseRow> {
    if receipt.kind != ReceiptKind::Decision {
        return None;
    }
    let payload: Payload<'_> = serde_json::from_slice(&receipt.payload).ok()?;
    let decision = payload.decision.filter(|decision| decision.allow)?;
    if payload.act.as_deref() != Some("invoke") {
        return None;
    }
    let facts = decision.inputs.facts?;
    let reported = payload.reported;
    if reported.as_ref().is_some_and(|reported| reported.foreign) {
        return None;
    }
    // A gateway may tell late, but not ahead.
    let time = reported.as_ref().map_or(receipt.time_ms, |it| it.time.min(receipt.time_ms));
    let fits = payload.needs.len() <= NEEDS_MAX
        && payload.needs.iter().all(|need| need.len() <= NEED_BYTES_MAX);
    let needs = if fits { payload.needs } else { Vec::new() };
    let gateway = reported.map(|reported| cut(&reported.by));
    Some(UseRow {
        day: u32::try_from(time / DAY_MS).unwrap_or(u32::MAX),
        route: gateway.as_ref().and(payload.route.as_deref().map(cut)),
        gateway,
        system: cut(&facts.resource.system),
        binding: cut(&facts.binding),
        needs: needs.into_iter().map(Cow::into_owned).collect(),
        calls: 1,
    })
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(NAME_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn receipt(payload: &Value) -> Receipt {
        Receipt {
            kind: ReceiptKind::Decision,
            time_ms: 3 * DAY_MS + 5,
            subject_ids: Vec::new(),
            payload: payload.to_string().into_bytes(),
        }
    }

    fn payload() -> Value {
        json!({
            "act": "invoke", "route": "crm", "needs": ["SELECT public.contact"],
            "decision": {"allow": true, "inputs": {"facts": {
                "binding": "wrapped", "resource": {"system": "crm", "id": "x"}}}},
            "reported": {"by": "spiffe://a.example/gateway/x", "time": 2 * DAY_MS, "number": 1},
        })
    }

    #[test]
    fn an_allowed_call_is_a_use_and_its_twins_are_none() {
        let used = used_by(&receipt(&payload())).unwrap();
        assert_eq!((used.day, used.system.as_str(), used.calls), (2, "crm", 1));
        assert_eq!(used.route.as_deref(), Some("crm"));
        assert_eq!(used.needs, ["SELECT public.contact"]);
        for (at, value) in [
            ("/act", json!("delegate")),
            ("/decision/allow", json!(false)),
            ("/reported/foreign", json!(true)),
            ("/decision/inputs", json!({"detail": "refused early"})),
        ] {
            let mut other = payload();
            match other.pointer_mut(at) {
                Some(place) => *place = value,
                None => other["reported"]["foreign"] = value,
            }
            assert_eq!(used_by(&receipt(&other)), None, "{at}");
        }
        let mut action = receipt(&payload());
        action.kind = ReceiptKind::Action;
        assert_eq!(used_by(&action), None);
    }

    #[test]
    fn nobody_is_early_and_nothing_is_endless() {
        let mut ahead = payload();
        ahead["reported"]["time"] = json!(9 * DAY_MS);
        assert_eq!(used_by(&receipt(&ahead)).unwrap().day, 3);
        let mut many = payload();
        many["needs"] = json!(vec!["a"; NEEDS_MAX + 1]);
        assert!(used_by(&receipt(&many)).unwrap().needs.is_empty());
        let mut long = payload();
        long["route"] = json!("é".repeat(400));
        assert_eq!(used_by(&receipt(&long)).unwrap().route.unwrap().len(), 256);
        let mut asked = payload();
        asked.as_object_mut().unwrap().remove("reported");
        let used = used_by(&receipt(&asked)).unwrap();
        assert_eq!((used.gateway, used.route), (None, None));
    }
}
