//! What a caller does before the writer is asked: bounds, commitment, leaf hash, lookup keys.

use bailiwick_core::action::ACTION_BYTES_MAX;
use bailiwick_core::fill_random;
use bailiwick_ledger::{Receipt, leaf_hash};

use super::key::{Key, Role};
use super::write::{Append, Leaf};
use crate::model::{ApprovalRecord, Effect, NewLease, RevocationTarget, SpoolReport};
use crate::store::usage::used_by;
use crate::store::{DEBITS_MAX, PAYLOAD_BYTES_MAX, SUBJECT_IDS_MAX, StoreError};

/// How long after the receipt's time a proof may still be good, in milliseconds.
const PROOF_LIFE_MS_MAX: u64 = 3_600_000;
/// Bytes of one lookup id.
const SUBJECT_ID_BYTES_MAX: usize = 1_024;
/// Needs and reasons of one question.
const QUESTION_TEXTS_MAX: usize = 64;
/// Leases returned at once.
const RETURNS_MAX: usize = 1_024;
/// Leaves of one report besides the first.
const LEAVES_OF_REPORT_MAX: usize = 1_024;
/// Documents in one change of the registry.
const DOCUMENTS_MAX: usize = 10_000;

/// Seals the receipt under a fresh salt and collects the keys it is found by.
pub(super) fn prepare(receipt: Receipt, effect: Effect) -> Result<Box<Append>, StoreError> {
    check_receipt(&receipt)?;
    check_effect(&receipt, &effect)?;
    let mut effect = effect;
    let more = match &mut effect {
        Effect::ReceiptsFrom(report) => std::mem::take(&mut report.more),
        _ => Vec::new(),
    };
    more.iter().try_for_each(check_receipt)?;
    let more = more.into_iter().map(|receipt| seal(receipt, &Effect::None));
    let more = more.collect::<Result<_, _>>()?;
    let leaf = seal(receipt, &effect)?;
    Ok(Box::new(Append { leaf, more, effect, reply: None }))
}

fn seal(receipt: Receipt, effect: &Effect) -> Result<Leaf, StoreError> {
    let keys = keys(&receipt.subject_ids, effect);
    let used = used_by(&receipt);
    let mut salt = [0; 32];
    fill_random(&mut salt).map_err(StoreError::unavailable)?;
    let sealed = receipt.seal(salt);
    let hash = leaf_hash(&sealed.entry);
    Ok(Leaf { sealed, hash, keys, used })
}

fn check_receipt(receipt: &Receipt) -> Result<(), StoreError> {
    let ids = &receipt.subject_ids;
    if receipt.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(StoreError::Invalid("a payload of more than 1 MiB"));
    }
    if ids.len() > SUBJECT_IDS_MAX || ids.iter().any(|id| id.len() > SUBJECT_ID_BYTES_MAX) {
        return Err(StoreError::Invalid("too many or too long lookup ids"));
    }
    if receipt.time_ms > i64::MAX as u64 {
        return Err(StoreError::Invalid("a time that does not fit"));
    }
    Ok(())
}

fn check_effect(receipt: &Receipt, effect: &Effect) -> Result<(), StoreError> {
    match effect {
        Effect::Debit { entries, .. } => {
            if entries.len() > DEBITS_MAX {
                return Err(StoreError::Invalid("too many draws on budgets"));
            }
            if entries.iter().any(|entry| entry.debit.amount.0 < 0) {
                return Err(StoreError::Invalid("a negative draw on a budget"));
            }
        }
        Effect::Lease { leases, .. } => check_leases(leases)?,
        Effect::ReturnLease { leases, .. } if leases.len() > RETURNS_MAX => {
            return Err(StoreError::Invalid("too many leases returned at once"));
        }
        Effect::ReceiptsFrom(report) => check_report(report)?,
        Effect::AskApproval { asked, .. } => check_question(asked)?,
        Effect::DeclareDownstreams(record)
            if record.document.to_string().len() > PAYLOAD_BYTES_MAX =>
        {
            return Err(StoreError::Invalid("a declaration of more than 1 MiB"));
        }
        Effect::PutRegistry { records } if records.len() > DOCUMENTS_MAX => {
            return Err(StoreError::Invalid("too many registry documents at once"));
        }
        _ => {}
    }
    let last = receipt.time_ms.saturating_add(PROOF_LIFE_MS_MAX);
    if effect.proof().is_some_and(|proof| proof.expires_ms.0 > last) {
        return Err(StoreError::Invalid("a proof of possession that is good for too long"));
    }
    Ok(())
}

fn check_leases(leases: &[NewLease]) -> Result<(), StoreError> {
    let Some(first) = leases.first() else {
        return Err(StoreError::Invalid("no lease"));
    };
    if leases.len() > DEBITS_MAX {
        return Err(StoreError::Invalid("too many draws on budgets"));
    }
    if leases.iter().any(|new| new.lease.task != first.lease.task) {
        return Err(StoreError::Invalid("leases of several tasks at once"));
    }
    if leases.iter().any(|new| new.lease.amount.0 <= 0 || new.lease.spent.0 != 0) {
        return Err(StoreError::Invalid("a lease of nothing, or one that is drawn on already"));
    }
    Ok(())
}

fn check_question(asked: &ApprovalRecord) -> Result<(), StoreError> {
    if asked.action.len() > ACTION_BYTES_MAX {
        return Err(StoreError::Invalid("a longer action than anybody could read"));
    }
    let texts = asked.needs.len().saturating_add(asked.why.len());
    let bytes: usize = asked.needs.iter().chain(&asked.why).map(String::len).sum();
    if asked.needs.is_empty() || texts > QUESTION_TEXTS_MAX || bytes > ACTION_BYTES_MAX {
        return Err(StoreError::Invalid("a question that nothing needs, or with too many reasons"));
    }
    Ok(())
}

fn check_report(report: &SpoolReport) -> Result<(), StoreError> {
    if report.more.len() > LEAVES_OF_REPORT_MAX || report.next < report.expected {
        return Err(StoreError::Invalid("too many records at once, or fewer than before"));
    }
    if report.draws.iter().any(|draw| draw.amount.0 < 0) {
        return Err(StoreError::Invalid("a negative draw on a budget"));
    }
    Ok(())
}

/// The receipt's own ids, and those that the effect is found by whatever the receipt says. A key is
/// given once, with its strongest role.
fn keys(subject_ids: &[String], effect: &Effect) -> Vec<(Key, Role)> {
    let mut keys = Vec::with_capacity(subject_ids.len() + 4);
    let mut add = |key: Key, role: Role| match keys.iter_mut().find(|(known, _)| *known == key) {
        Some((_, known)) => *known = role.max(*known),
        None => keys.push((key, role)),
    };
    if let Some(token) = effect.issues() {
        add(Key::of_task(token.task), Role::IssuedFor);
        add(Key::of_token(token.jti), Role::Issued);
    }
    match effect {
        Effect::Debit { task, jti, .. } => {
            add(Key::of_task(*task), Role::Named);
            add(Key::of_token(*jti), Role::Named);
        }
        Effect::AskApproval { asked, .. } => {
            add(Key::of_task(asked.task), Role::Named);
            add(Key::of_text(&asked.id.to_string()), Role::Named);
        }
        Effect::DecideApproval { id, .. } => add(Key::of_text(&id.to_string()), Role::Named),
        Effect::UseApproval { task, approval, .. } => {
            add(Key::of_task(*task), Role::Named);
            add(Key::of_text(&approval.id.to_string()), Role::Named);
        }
        Effect::CloseTask { task, .. } | Effect::Expose { task, .. } => {
            add(Key::of_task(*task), Role::Named);
        }
        Effect::Revoke { id, target, .. } => {
            add(Key::of_text(&id.to_string()), Role::Named);
            match target {
                RevocationTarget::Task(task) => add(Key::of_task(*task), Role::Named),
                RevocationTarget::Token(jti) => add(Key::of_token(*jti), Role::Named),
                RevocationTarget::Agent(agent) => add(Key::of_agent(agent), Role::Named),
            }
        }
        Effect::SetAgentStatus { agent, .. } => add(Key::of_agent(agent), Role::Named),
        Effect::Lease { leases, .. } => {
            leases.iter().for_each(|new| add(Key::of_task(new.lease.task), Role::Named));
        }
        _ => {}
    }
    for id in subject_ids {
        add(Key::of_text(id), Role::Named);
    }
    keys
}
