//! Leases: a part of a budget is handed to one gateway, and what it does not draw comes back.
//!
//! A lease is debited in full when it is given, in the same place and by the same rule as a call
//! that the Authority decides itself: what gateways hold and what was done can never be more than the
//! budget. It comes back only when the gateway returns it *and* every record that may draw on it is
//! here; the Authority takes nothing back by itself, since draws may be on their way.

mod line;

use bailiwick_api::ProblemCode;
use bailiwick_api::enforcement::leases::{
    LEASE_NEEDS_MAX, LEASE_RETURNS_MAX, Lease, LeaseReply, LeaseRequest, LeaseReturnReply,
    LeaseReturnRequest,
};
use bailiwick_core::outcome::Outcome;
use bailiwick_core::{LeaseId, Micros, UnixMillis};
use bailiwick_ledger::{ReceiptKind, record};
use serde_json::{Value, json};

use self::line::{Budget, budgets};
use crate::authority::Authority;
use crate::caller::Caller;
use crate::fault::{Fault, Stop};
use crate::model::{BudgetRow, Effect, LeaseRecord, NewLease, Refused, TaskRecord};
use crate::registry::AgentEntry;
use crate::spine::Event;

/// For how long a lease may be drawn on.
const LEASE_MS: u64 = 60_000;
/// The largest part of what is left of a budget that one lease takes beyond what is needed.
const LEASE_SHARE: i64 = 8;
/// How often what is left is looked at again, when others draw at the same time.
const TRIES: usize = 4;

/// Hands out what a call needs: one lease for each budget, or none.
///
/// # Errors
///
/// The caller is no enforcement point of the task, the task or token is dead, or a budget does not
/// cover it.
pub(crate) async fn lease(
    authority: &Authority,
    caller: &Caller,
    ask: LeaseRequest,
) -> Result<LeaseReply, Fault> {
    try_lease(authority, caller, &ask).await.map_err(Stop::into_fault)
}

async fn try_lease(
    authority: &Authority,
    caller: &Caller,
    ask: &LeaseRequest,
) -> Result<LeaseReply, Stop> {
    let point = caller.require_enforcement_point()?;
    if ask.needs.is_empty() || ask.needs.len() > LEASE_NEEDS_MAX {
        let detail = format!("1 to {LEASE_NEEDS_MAX} needs in one request");
        return Err(Stop::new(Outcome::Malformed, detail));
    }
    let now = authority.clock.now();
    let Some(token) = authority.store.token(ask.jti).await? else {
        return Err(Stop::new(Outcome::ProvenanceMissing, "the token has no record here"));
    };
    let held = authority.held(token)?;
    let task = authority.open_task_of(&held.chain, now).await?;
    if point.document.tenant != task.tenant || point.document.env != task.env {
        let detail = "the enforcement point is not of the task's tenant and environment";
        return Err(Stop::new(Outcome::TenantMismatch, detail));
    }
    authority.require_alive(&held.chain, now)?;
    let budgets = budgets(authority, &held, &ask.needs).await?;
    for tried in 0..TRIES {
        let used = authority.store.budgets(task.id).await?;
        let amounts = budgets
            .iter()
            .map(|budget| amount(budget, &used, tried.saturating_add(1) == TRIES))
            .collect::<Option<Vec<Micros>>>();
        let Some(amounts) = amounts else {
            return Err(exhausted(authority, &task, &budgets, &used).await?);
        };
        let giving = Giving { point, task: &task, ask, now: authority.clock.now() };
        let wanted = giving.leases(authority, &budgets, &amounts);
        match giving.record(authority, wanted).await {
            // Somebody else drew in between: less may be left.
            Err(Refused::BudgetExhausted { .. }) => {}
            Err(refused) => return Err(refused.into()),
            Ok(Err(stop)) => return Err(stop),
            Ok(Ok(reply)) => return Ok(reply),
        }
    }
    let used = authority.store.budgets(task.id).await?;
    Err(exhausted(authority, &task, &budgets, &used).await?)
}

/// What to hand out: what is needed, and more while there is plenty. `None`: not even that is left.
fn amount(budget: &Budget, used: &[BudgetRow], only_needed: bool) -> Option<Micros> {
    let left = left(budget, used);
    let plenty = left.checked_div(LEASE_SHARE).unwrap_or_default();
    let want = if only_needed { 0 } else { budget.want.0.min(plenty) };
    let whole = whole(want, budget.need.0);
    (budget.need.0 <= left).then(|| Micros(budget.need.0.max(whole)))
}

/// A lease is a multiple of what one call needs, as far as that is known.
fn whole(want: i64, need: i64) -> i64 {
    let rest = want.checked_rem(need).unwrap_or_default();
    want.saturating_sub(rest)
}

fn left(budget: &Budget, used: &[BudgetRow]) -> i64 {
    let row = used
        .iter()
        .find(|row| row.node == budget.node && row.kind == budget.kind && row.key == budget.key);
    budget.limit.0.saturating_sub(row.map_or(0, |row| row.used.0))
}

/// The refusal, with what other gateways hold: that may come back.
async fn exhausted(
    authority: &Authority,
    task: &TaskRecord,
    budgets: &[Budget],
    used: &[BudgetRow],
) -> Result<Stop, Stop> {
    let short = budgets.iter().find(|budget| left(budget, used) < budget.need.0);
    let Some(short) = short.or(budgets.first()) else {
        return Ok(Stop::new(Outcome::BudgetExhausted, "a budget does not cover this"));
    };
    let leases = authority.store.leases_of_task(task.id).await?;
    let of = leases.iter().filter(|lease| {
        lease.node == short.node && lease.kind == short.kind && lease.key == short.key
    });
    let held: i64 =
        of.map(|l| l.amount.0.saturating_sub(l.spent.0).max(0)).fold(0, i64::saturating_add);
    let key = &short.key;
    let detail = if held > 0 {
        format!(
            "the budget `{key}` does not cover this; gateways hold units of it that may come back \
             within {} s",
            LEASE_MS / 1000
        )
    } else {
        format!("the budget `{key}` does not cover this")
    };
    Ok(Stop::new(Outcome::BudgetExhausted, detail))
}

/// A hand-out in the making.
struct Giving<'a> {
    point: &'a AgentEntry,
    task: &'a TaskRecord,
    ask: &'a LeaseRequest,
    now: UnixMillis,
}

impl Giving<'_> {
    fn leases(
        &self,
        authority: &Authority,
        budgets: &[Budget],
        amounts: &[Micros],
    ) -> Vec<NewLease> {
        let end = UnixMillis(self.now.0.saturating_add(LEASE_MS)).min(self.task.deadline_ms);
        let given = budgets.iter().zip(amounts);
        let new = given.map(|(budget, amount)| NewLease {
            lease: LeaseRecord {
                id: LeaseId::new(self.now, authority.fresh()),
                gateway: self.point.document.id.clone(),
                epoch: self.ask.epoch,
                task: self.task.id,
                node: budget.node,
                kind: budget.kind,
                key: budget.key.clone(),
                amount: *amount,
                spent: Micros(0),
                expires_ms: end,
            },
            limit: budget.limit,
            unsettled: budget.unsettled,
        });
        new.collect()
    }

    async fn record(
        &self,
        authority: &Authority,
        wanted: Vec<NewLease>,
    ) -> Result<Result<LeaseReply, Stop>, Refused> {
        let leases: Vec<Value> = wanted.iter().map(|new| to_json(&new.lease)).collect();
        let event = Event {
            kind: ReceiptKind::System,
            time_ms: self.now.0,
            subject_ids: vec![self.task.id.to_string()],
            payload: json!({
                "v": 1, "type": "budget_leased", "task": self.task.id, "jti": self.ask.jti,
                "gateway": self.point.document.id, "epoch": self.ask.epoch, "leases": leases,
                "time": self.now.0,
            }),
        };
        let given = wanted.iter().map(|new| self.wire(&new.lease)).collect();
        let effect = Effect::Lease { jti: self.ask.jti, leases: wanted };
        match record(&authority.store, event, effect).await {
            Ok(_) => Ok(Ok(LeaseReply { leases: given })),
            Err(error) => match error.error.refused() {
                Some(refused) => Err(refused.clone()),
                None => Ok(Err(error.error.into())),
            },
        }
    }

    fn wire(&self, lease: &LeaseRecord) -> Lease {
        Lease {
            id: lease.id,
            node: lease.node,
            key: lease.key.clone(),
            kind: lease.kind,
            amount_micros: lease.amount,
            lasts_ms: lease.expires_ms.millis_since(self.now),
            expires: lease.expires_ms,
        }
    }
}

fn to_json(lease: &LeaseRecord) -> Value {
    json!({
        "lease": lease.id, "node": lease.node, "key": lease.key, "kind": lease.kind.as_str(),
        "amount_micros": lease.amount.0,
    })
}

/// Takes leases back. What is not drawn goes to their budgets.
///
/// # Errors
///
/// The caller is no enforcement point, or not every record that may draw on them is here.
pub(crate) async fn take_back(
    authority: &Authority,
    caller: &Caller,
    ask: LeaseReturnRequest,
) -> Result<LeaseReturnReply, Fault> {
    try_take_back(authority, caller, ask).await.map_err(Stop::into_fault)
}

async fn try_take_back(
    authority: &Authority,
    caller: &Caller,
    ask: LeaseReturnRequest,
) -> Result<LeaseReturnReply, Stop> {
    let gateway = &caller.require_enforcement_point()?.document.id;
    if ask.leases.len() > LEASE_RETURNS_MAX {
        let detail = format!("at most {LEASE_RETURNS_MAX} leases in one request");
        return Err(Stop::new(Outcome::Malformed, detail));
    }
    let known = authority.store.spool_epoch(gateway, ask.epoch).await?;
    if known.map_or(0, |known| known.next) < ask.through {
        let detail = "records that may draw on these leases are not here yet; report them first";
        return Err(Stop::new(ProblemCode::VersionConflict, detail));
    }
    let mut open = Vec::new();
    for id in ask.leases {
        let lease = authority.store.lease(id).await?;
        open.extend(lease.filter(|l| l.gateway == *gateway && l.epoch == ask.epoch));
    }
    if open.is_empty() {
        return Ok(LeaseReturnReply { returned: Vec::new(), ledger_index: None });
    }
    let now = authority.clock.now();
    let mut subject_ids: Vec<String> = open.iter().map(|lease| lease.task.to_string()).collect();
    subject_ids.sort_unstable();
    subject_ids.dedup();
    // A task that shares the leaf with too many others is found by the leaf of the lease.
    subject_ids.truncate(crate::store::SUBJECT_IDS_MAX);
    let leases: Vec<Value> = open
        .iter()
        .map(|lease| json!({"lease": lease.id, "task": lease.task, "spent_micros": lease.spent.0}))
        .collect();
    let event = Event {
        kind: ReceiptKind::System,
        time_ms: now.0,
        subject_ids,
        payload: json!({
            "v": 1, "type": "budget_returned", "gateway": gateway, "epoch": ask.epoch,
            "leases": leases, "time": now.0,
        }),
    };
    let ids: Vec<LeaseId> = open.iter().map(|lease| lease.id).collect();
    let effect = Effect::ReturnLease {
        gateway: gateway.clone(),
        epoch: ask.epoch,
        through: ask.through,
        leases: ids.clone(),
    };
    match record(&authority.store, event, effect).await {
        Ok(recorded) => {
            Ok(LeaseReturnReply { returned: ids, ledger_index: Some(recorded.index().0) })
        }
        // The same return came twice at once.
        Err(error) if error.error.refused() == Some(&Refused::NotFound) => {
            Ok(LeaseReturnReply { returned: Vec::new(), ledger_index: None })
        }
        Err(error) => Err(error.error.into()),
    }
}
