//! The benign twin: chain, permit, record, release, in this order, compiles.
use bailiwick_core::ids::DecisionId;
use bailiwick_core::{UnixMillis, VerifiedChain};
use bailiwick_ledger::{Journal, Receipt, ReceiptKind, Record, Recorded, record};
use bailiwick_policy::{Act, Facts, Permit, PolicySet, decide};

struct Permitted(Permit<String>);

impl Record for Permitted {
    fn receipt(&self) -> Receipt {
        let time_ms = self.0.decision().time.0;
        Receipt { kind: ReceiptKind::Decision, time_ms, subject_ids: Vec::new(), payload: b"{}".to_vec() }
    }
}

fn release(recorded: Recorded<Permitted>) -> String {
    recorded.into_inner().0.into_request()
}

pub async fn walk<J: Journal<()>>(
    set: &PolicySet,
    chain: &VerifiedChain,
    facts: Facts,
    id: DecisionId,
    journal: &J,
) -> Option<String> {
    let request = "call the tool".to_owned();
    let permit = decide(set, Some(chain), Act::Delegate, facts, id, UnixMillis(1), request).ok()?;
    Some(release(record(journal, Permitted(permit), ()).await.ok()?))
}

fn main() {}
