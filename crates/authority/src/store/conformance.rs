//! What every backend has to do, as functions over a backend that can be opened again.
//!
//! Every refusal stands beside a twin that differs only in what the refusal is about, and passes.

#[path = "fixture.rs"]
pub(super) mod fixture;

pub(super) mod approval;
pub(super) mod downstreams;
pub(super) mod end;
pub(super) mod ledger;
pub(super) mod reads;
pub(super) mod registry;
pub(super) mod restart;
pub(super) mod spool;
pub(super) mod work;

use bailiwick_core::TokenId;
use bailiwick_ledger::{LeafIndex, ReceiptKind};

use self::fixture::{Maker, agent, agent_record, draw};
use super::{Page, PageRequest, StoreError, StoreHandle};
use crate::model;
use crate::model::{Effect, ProofRow, Refused, TaskRecord, TokenRecord};

/// A backend under test. Opening it again after every handle is dropped is a restart.
pub(super) trait Backend {
    fn open(&self) -> StoreHandle;
}

/// Runs every function of the suite as a test of one backend.
macro_rules! conformance {
    ($backend:expr) => {
        $crate::store::conformance::conformance!(@each $backend;
            work: opened_task_is_read_back, a_task_is_opened_once, a_late_task_is_refused,
            settled_hops_are_read_back, a_replayed_proof_is_refused, fanout_is_bounded,
            the_rate_is_bounded, an_expired_parent_is_refused, an_unknown_parent_is_refused,
            a_closed_or_late_task_settles_nothing, a_renewal_keeps_the_hops_fanout,
            a_quarantined_agent_does_nothing, budgets_are_all_or_nothing,
            a_budget_of_an_ancestor_is_shared, renewing_refills_no_budget,
            siblings_never_overspend_together, a_negative_draw_is_out_of_bounds,
            a_refused_op_leaves_its_batch_alone;
            end: a_closed_task_is_dead_with_its_tokens, a_task_ends_once,
            a_late_task_only_expires, a_revoked_task_is_dead, revoking_a_token_kills_its_subtree,
            revoking_one_token_of_a_hop_kills_the_hop, revoking_an_agent_kills_what_it_holds,
            an_unknown_target_is_refused, revocations_are_listed_by_leaf,
            status_bits_follow_revocations;
            approval: a_question_is_read_back_and_asked_once,
            questions_are_bounded_and_need_a_live_token, an_answer_is_for_the_action_that_was_seen,
            every_need_is_approved_before_it_stands, an_approval_is_used_once_with_its_decision,
            an_approval_expires_and_dies_with_its_task, a_refused_action_stays_refused_for_a_while,
            one_person_approves_so_much_an_hour, approvals_are_listed_erased_and_survive;
            registry: versions_must_follow, an_apply_is_all_or_nothing, listings_have_pages,
            quarantine_kills_and_reinstating_revives_nothing, policies_follow_each_other,
            holder_keys_expire_and_are_bounded, keys_rotate;
            ledger: leaves_have_no_gap, receipts_are_found_by_their_ids,
            an_erased_payload_leaves_its_entry, bounds_are_refused, tasks_are_listed_newest_first,
            status_indices_are_never_given_twice, a_probe_writes_no_leaf;
            spool: a_report_is_taken_once_and_is_all_leaves,
            every_leaf_of_a_report_is_found_by_its_ids,
            a_lease_is_debited_in_full_and_returned_as_far_as_it_was_not_drawn,
            the_same_lease_twice_gives_back_once, an_epoch_that_is_complete_gives_its_leases_back,
            a_draw_that_no_lease_covers_is_counted_all_the_same,
            a_lease_needs_a_live_task_and_token, leases_and_calls_never_overspend_together,
            leases_and_epochs_survive_a_restart;
            downstreams: declarations_follow_each_other, what_is_used_is_counted_with_its_leaf;
            reads: exposure_only_rises, reads_are_kept_until_the_task_ends;
            restart: everything_acknowledged_is_there_again, proofs_are_refused_after_a_restart,
            time_never_runs_back, old_proofs_are_pruned, budgets_and_fanout_survive;
        );
    };
    (@each $backend:expr; $($module:ident: $($name:ident),+;)+) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let backend = $backend;
                $crate::store::conformance::$module::$name(&backend).await;
            })+
        })+
    };
}
pub(super) use conformance;

/// A store and a maker of records.
struct Rig {
    store: StoreHandle,
    make: Maker,
}

impl Rig {
    fn new(backend: &impl Backend) -> Self {
        Self { store: backend.open(), make: Maker::new(42) }
    }

    async fn append(&mut self, effect: Effect) -> Result<LeafIndex, StoreError> {
        let receipt = self.make.receipt(ReceiptKind::Decision, &[]);
        self.store.append(receipt, effect).await
    }

    async fn ok(&mut self, effect: Effect) -> LeafIndex {
        self.append(effect).await.expect("an effect that is allowed")
    }

    /// The effect is refused for this reason, and nothing was appended.
    async fn refused(&mut self, effect: Effect, why: Refused) {
        let size = self.store.ledger_size();
        let answer = self.append(effect).await;
        assert_eq!(answer.as_ref().map_err(StoreError::refused), Err(Some(&why)));
        assert_eq!(self.store.ledger_size(), size, "a refused effect appends nothing");
    }

    async fn task(&mut self) -> (TaskRecord, TokenRecord) {
        let (task, mut token) = self.make.task();
        token.status_idx = self.store.allocate_status_idx().await.unwrap();
        self.ok(Effect::OpenTask { task: task.clone(), token: token.clone(), proof: None }).await;
        (*task, token)
    }

    async fn child(&mut self, parent: &TokenRecord, name: &str) -> TokenRecord {
        let mut token = self.make.child(parent, name);
        token.status_idx = self.store.allocate_status_idx().await.unwrap();
        token
    }

    async fn settled(&mut self, parent: &TokenRecord, name: &str) -> TokenRecord {
        let token = self.child(parent, name).await;
        self.ok(settle(&token)).await;
        token
    }

    async fn renewed(&mut self, token: &TokenRecord) -> TokenRecord {
        let mut renewal = self.make.renewal(token);
        renewal.status_idx = self.store.allocate_status_idx().await.unwrap();
        self.ok(renew(&renewal)).await;
        renewal
    }

    async fn is_revoked(&self, jti: TokenId) -> bool {
        self.store.token(jti).await.unwrap().expect("token").revoked_ms.is_some()
    }

    async fn revoked(&self, tokens: &[&TokenRecord]) -> Vec<bool> {
        let mut revoked = Vec::new();
        for token in tokens {
            revoked.push(self.is_revoked(token.jti).await);
        }
        revoked
    }
}

fn settle(token: &TokenRecord) -> Effect {
    settle_within(token, None, 64, 600)
}

fn settle_within(token: &TokenRecord, proof: Option<ProofRow>, fanout: u32, rate: u32) -> Effect {
    Effect::Settle {
        token: token.clone(),
        grant: format!("grant of {}", token.jti).into_bytes(),
        proof,
        fanout_max: fanout,
        rate_per_minute_max: rate,
    }
}

fn renew(token: &TokenRecord) -> Effect {
    Effect::Renew { token: token.clone(), proof: None }
}

fn debit(token: &TokenRecord, entries: Vec<model::NodeDebit>) -> Effect {
    let (task, jti) = (token.task, token.jti);
    Effect::Debit { task, jti, entries, proof: None, exposes: None, approval: None }
}

fn exhausted(key: &str) -> Refused {
    Refused::BudgetExhausted { key: key.to_owned() }
}

/// Every item of a listing, read in pages of two.
async fn in_pages<T, F>(mut page: impl FnMut(PageRequest) -> F) -> Vec<T>
where
    F: Future<Output = Result<Page<T>, StoreError>>,
{
    let mut request = PageRequest::first(2);
    let mut items = Vec::new();
    loop {
        let found = page(request.clone()).await.unwrap();
        assert!(found.items.len() <= 2);
        items.extend(found.items);
        request.cursor = found.next;
        if request.cursor.is_none() {
            return items;
        }
    }
}
