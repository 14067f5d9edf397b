//! One reported receipt as a leaf: what the gateway says, and that it is the gateway who says it.

use std::str::FromStr as _;

use bailiwick_api::enforcement::receipts::{
    DRAWS_MAX, RECEIPT_ID_BYTES_MAX, RECEIPT_IDS_MAX, ReportedReceipt,
};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::{EpochId, Micros, TaskId, TokenId, UnixMillis, jcs};
use bailiwick_ledger::{Receipt, ReceiptKind};
use serde_json::{Map, Value, json};

use crate::authority::Authority;
use crate::fault::Stop;
use crate::model::TaskRecord;
use crate::registry::AgentEntry;
use crate::store::PAYLOAD_BYTES_MAX;

/// Kinds that a gateway reports. The others are the Authority's own to say.
const KINDS: [ReceiptKind; 2] = [ReceiptKind::Decision, ReceiptKind::Action];

/// The member that says who reported a receipt; nothing that a gateway sends may hold it.
const REPORTED: &str = "reported";

/// Whether the enforcement point is of the task's tenant and environment.
pub(super) fn fits(point: &AgentEntry, task: &TaskRecord) -> bool {
    point.document.tenant == task.tenant && point.document.env == task.env
}

/// The leaf of a receipt. Its time is that of its coming in: the ledger does not put its name to
/// another's clock. A task that the gateway has no business with is named, and not found by.
pub(super) async fn leaf(
    authority: &Authority,
    point: &AgentEntry,
    (epoch, at): (EpochId, u64),
    receipt: &ReportedReceipt,
    now: UnixMillis,
) -> Result<Receipt, Stop> {
    let kind = check(receipt)?;
    let Ok(Value::Object(mut payload)) = receipt.payload.read() else {
        return Err(malformed("the payload is no object"));
    };
    if payload.contains_key(REPORTED) {
        return Err(malformed("`reported` is for the Authority to say"));
    }
    let named = payload.get("task").and_then(Value::as_str);
    let task = named.and_then(|task| task.parse::<TaskId>().ok());
    let record = match task {
        Some(task) => authority.store.task(task).await?,
        None => None,
    };
    let own = record.is_some_and(|record| fits(point, &record));
    let mut reported = json!({
        "by": point.document.id, "epoch": epoch, "number": at, "time": receipt.time,
    });
    if named.is_some() && !own {
        mark_foreign(&mut reported);
    }
    let ids = ids(receipt, &payload, named.filter(|_| !own));
    payload.insert(REPORTED.to_owned(), reported);
    let payload = jcs::canonicalize_value(&Value::Object(payload))
        .map_err(|_| malformed("the payload has no canonical form"))?;
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(malformed("the payload is longer than 1 MiB"));
    }
    Ok(Receipt { kind, time_ms: now.0, subject_ids: ids, payload })
}

fn mark_foreign(reported: &mut Value) {
    if let Some(members) = reported.as_object_mut() {
        members.insert("foreign".to_owned(), true.into());
    }
}

fn check(receipt: &ReportedReceipt) -> Result<ReceiptKind, Stop> {
    let kind = ReceiptKind::from_str(&receipt.kind).ok().filter(|kind| KINDS.contains(kind));
    let kind = kind.ok_or_else(|| malformed("a gateway reports `decision` and `action` only"))?;
    if receipt.ids.len() > RECEIPT_IDS_MAX
        || receipt.ids.iter().any(|id| id.len() > RECEIPT_ID_BYTES_MAX)
    {
        return Err(malformed("too many or too long lookup ids"));
    }
    if receipt.draws.len() > DRAWS_MAX
        || receipt.draws.iter().any(|draw| draw.amount_micros < Micros(0))
    {
        return Err(malformed("too many draws, or a negative one"));
    }
    Ok(kind)
}

/// What the leaf is found by: decision, task and token as the gateway says, no task of others, and
/// nothing that is no id of such a thing (a gateway's own name is found by what is said of it).
fn ids(
    receipt: &ReportedReceipt,
    payload: &Map<String, Value>,
    foreign: Option<&str>,
) -> Vec<String> {
    let mut ids: Vec<String> = receipt.ids.clone();
    if let Some(foreign) = foreign {
        ids.retain(|id| id != foreign);
    } else {
        let jti = payload.get("jti").and_then(Value::as_str);
        ids.extend(jti.map(str::to_owned));
    }
    ids.retain(|id| id.parse::<TokenId>().is_ok());
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn malformed(detail: &str) -> Stop {
    Stop::new(Outcome::Malformed, detail)
}
