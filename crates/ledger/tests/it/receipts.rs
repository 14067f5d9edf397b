//! Receipts, their commitments, and one receipt proven to a third party.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bailiwick_ledger::prove::{ProveError, prove};
use bailiwick_ledger::receipt::{Entry, EntryError};
use bailiwick_ledger::{
    Journal, LeafIndex, Opening, Receipt, ReceiptKind, Record, opens, record, verify_proof_bundle,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::log::{LogKey, MemoryLog, ORIGIN};

fn receipt() -> Receipt {
    Receipt {
        kind: ReceiptKind::Issue,
        time_ms: 1_790_000_000_123,
        subject_ids: vec!["task".to_owned()],
        payload: br#"{"a":1}"#.to_vec(),
    }
}

#[test]
fn a_leaf_is_canonical_json_and_opens_only_with_its_salt_and_payload() {
    let sealed = receipt().seal([9; 32]);
    let text = String::from_utf8(sealed.entry.clone()).unwrap();
    let parsed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parsed["kind"], "issue");
    assert_eq!(parsed["time"], 1_790_000_000_123_u64);
    assert_eq!(parsed["v"], 1);
    assert_eq!(parsed.to_string(), text, "sorted members, no space");
    assert!(opens(&sealed.entry, &sealed.salt, &sealed.payload));
    assert!(!opens(&sealed.entry, &[8; 32], &sealed.payload));
    assert!(!opens(&sealed.entry, &sealed.salt, br#"{"a":2}"#));
    assert!(!opens(b"{}", &sealed.salt, &sealed.payload));
    assert_ne!(sealed.entry, receipt().seal([8; 32]).entry, "a salt hides equal payloads");
    // Fixed bytes: another implementation computes SHA-256("bailiwick/receipt/v1\0" || 32 x 09 || {"a":1}).
    assert_eq!(
        text,
        concat!(
            r#"{"commit":"af3HdVvDqUD3t3zxpHBzEXQzFekA_su9Xgr9izNd4o8","kind":"#,
            r#""issue","time":1790000000123,"v":1}"#
        )
    );
}

#[test]
fn entries_in_any_other_spelling_are_refused() {
    let sealed = receipt().seal([9; 32]);
    let text = String::from_utf8(sealed.entry).unwrap();
    let parse = |text: &str| Entry::parse(text.as_bytes());
    parse(&text).unwrap();
    assert_eq!(parse(&text.replace(':', ": ")), Err(EntryError::NonCanonical));
    assert_eq!(parse(&text.replace("\"v\":1", "\"v\":2")), Err(EntryError::Version));
    assert_eq!(parse(&text.replace("issue", "gossip")), Err(EntryError::Kind));
    assert_eq!(parse(&text.replace("\"v\":1", "\"v\":1,\"x\":1")), Err(EntryError::Malformed));
    assert_eq!(parse("{}"), Err(EntryError::Malformed));
    for kind in ReceiptKind::ALL {
        assert_eq!(kind.as_str().parse::<ReceiptKind>().unwrap(), kind);
    }
}

struct Deed;

impl Record for Deed {
    fn receipt(&self) -> Receipt {
        receipt()
    }
}

struct Always(Result<u64, &'static str>);

impl Journal<()> for Always {
    type Error = &'static str;

    fn append(
        &self,
        _: Receipt,
        (): (),
    ) -> impl Future<Output = Result<LeafIndex, Self::Error>> + Send {
        ready(self.0.map(LeafIndex))
    }
}

fn now<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the journal here never waits"),
    }
}

#[test]
fn only_a_durable_append_makes_a_recorded_value() {
    let recorded = now(record(&Always(Ok(5)), Deed, ())).unwrap();
    assert_eq!(recorded.index(), LeafIndex(5));
    let Deed = recorded.get();
    let Deed = recorded.into_inner();
    let refused = now(record(&Always(Err("disk full")), Deed, ())).map(|_| ()).unwrap_err();
    assert_eq!(refused.error, "disk full");
    assert_eq!(refused.to_string(), "the receipt was not appended: disk full");
    let Deed = refused.item;
}

fn bundle(log: &MemoryLog, index: u64) -> Value {
    let key = LogKey::new(ORIGIN, 1);
    let checkpoint = key.sign_checkpoint(&log.checkpoint());
    let proof =
        prove(index, &checkpoint, &key.verifier, &log.openings[index as usize], log).unwrap();
    serde_json::to_value(&proof).unwrap()
}

fn check(bundle: &Value) -> Result<Opening, ProveError> {
    let key = LogKey::new(ORIGIN, 1).verifier;
    verify_proof_bundle(bundle.to_string().as_bytes(), &key).map(|proven| proven.opening)
}

#[test]
fn every_receipt_is_proven_with_nothing_but_the_key() {
    let log = MemoryLog::of_receipts(300);
    for index in (0..300).step_by(17).chain([255, 256, 299]) {
        assert_eq!(check(&bundle(&log, index)), Ok(log.openings[index as usize].clone()));
    }
    let mut erased = MemoryLog::of_receipts(3);
    erased.openings[1] = Opening::Erased;
    assert_eq!(check(&bundle(&erased, 1)), Ok(Opening::Erased));
}

#[test]
fn a_proof_with_anything_changed_is_refused() {
    let log = MemoryLog::of_receipts(300);
    let intact = bundle(&log, 77);
    check(&intact).unwrap();
    let other = bundle(&log, 78);
    for member in ["index", "entry", "salt", "payload", "inclusion_proof"] {
        let mut changed = intact.clone();
        changed[member] = other[member].clone();
        assert!(check(&changed).is_err(), "{member}");
        changed.as_object_mut().unwrap().remove(member);
        assert!(check(&changed).is_err(), "{member} removed");
    }
    let mut changed = intact.clone();
    changed["payload"]["outcome"] = json!("deny");
    assert_eq!(check(&changed), Err(ProveError::PayloadMismatch));
    let mut changed = intact.clone();
    changed["tree_size"] = json!(299);
    assert_eq!(check(&changed), Err(ProveError::Size));
    let mut changed = intact.clone();
    changed["checkpoint"] = bundle(&MemoryLog::of_receipts(299), 77)["checkpoint"].clone();
    assert_eq!(check(&changed), Err(ProveError::Size));
    let mut changed = intact.clone();
    changed["extra"] = json!(1);
    assert_eq!(check(&changed), Err(ProveError::Malformed));
    for at in 0..intact["inclusion_proof"].as_array().unwrap().len() {
        let mut changed = intact.clone();
        changed["inclusion_proof"][at] = other["checkpoint"].clone();
        assert_eq!(check(&changed), Err(ProveError::Malformed));
    }
    // The key inside is a hint; the verdict is by the auditor's key alone.
    let mut changed = intact.clone();
    changed["vkey"] = json!("anything");
    check(&changed).unwrap();
    let wrong = LogKey::new(ORIGIN, 2).verifier;
    assert!(verify_proof_bundle(intact.to_string().as_bytes(), &wrong).is_err());
}

proptest! {
    #[test]
    fn any_flipped_byte_of_a_proof_is_refused(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let log = MemoryLog::of_receipts(20);
        let key = LogKey::new(ORIGIN, 1).verifier;
        let intact = bundle(&log, 11);
        let mut bytes = intact.to_string().into_bytes();
        let proven = verify_proof_bundle(&bytes, &key).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // The hint, which nobody trusts, is the one member whose bytes do not matter.
        if let Ok(changed) = verify_proof_bundle(&bytes, &key) {
            prop_assert_eq!(changed, proven);
            let read: Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_ne!(&read["vkey"], &intact["vkey"]);
        }
    }
}

#[test]
fn a_proof_cannot_be_made_outside_the_log() {
    let log = MemoryLog::of_receipts(3);
    let key = LogKey::new(ORIGIN, 1);
    let checkpoint = key.sign_checkpoint(&log.checkpoint());
    let make = |index, key: &LogKey| {
        let result = prove(index, &checkpoint, &key.verifier, &Opening::Erased, &log);
        result.map(|proof| proof.index)
    };
    assert_eq!(make(2, &key).unwrap(), 2);
    assert!(make(3, &key).is_err());
    assert!(make(0, &LogKey::new(ORIGIN, 2)).is_err());
    let _: Result<u64, bailiwick_ledger::prove::MakeProofError<Infallible>> = make(0, &key);
}
