//! The append spine: the only road to a [`Recorded`] value.
//!
//! `Permit --record--> Recorded<Permit>`: whoever wants to release an effect asks for a `Recorded` value, and only
//! [`record`] makes one, after the journal says that the receipt is durable.

use std::fmt;
use std::future::Future;

use crate::receipt::Receipt;

/// Position of a leaf in the log, from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex(pub u64);

impl fmt::Display for LeafIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Something that leaves a receipt: a decision, a refusal, a revocation, a change of policy.
pub trait Record {
    /// The receipt to append for it.
    fn receipt(&self) -> Receipt;
}

impl<T: Record + ?Sized> Record for Box<T> {
    fn receipt(&self) -> Receipt {
        (**self).receipt()
    }
}

/// A durable log of receipts, together with the state changes (`E`) that the receipts are about.
pub trait Journal<E> {
    /// Why an append failed.
    type Error;

    /// Appends the receipt and applies the effect in one transaction.
    ///
    /// MUST return `Ok` only when both are durable, and MUST leave neither behind when it refuses the effect.
    fn append(
        &self,
        receipt: Receipt,
        effect: E,
    ) -> impl Future<Output = Result<LeafIndex, Self::Error>> + Send;
}

/// Appends `item`'s receipt with `effect` and, once that is durable, gives the item back as [`Recorded`].
///
/// # Errors
/// The journal's error, with the item, so that the caller can refuse and record the refusal.
pub async fn record<T, E, J>(
    journal: &J,
    item: T,
    effect: E,
) -> Result<Recorded<T>, RecordError<T, J::Error>>
where
    T: Record,
    J: Journal<E>,
{
    let receipt = item.receipt();
    match journal.append(receipt, effect).await {
        Ok(index) => Ok(Recorded { item, index }),
        Err(error) => Err(RecordError { item, error }),
    }
}

/// A value whose receipt is durable in the log. Only [`record`] makes one.
///
/// ```compile_fail
/// let forged = bailiwick_ledger::Recorded { item: (), index: bailiwick_ledger::LeafIndex(0) };
/// ```
pub struct Recorded<T> {
    item: T,
    index: LeafIndex,
}

impl<T> Recorded<T> {
    /// Where in the log its receipt is.
    pub fn index(&self) -> LeafIndex {
        self.index
    }

    /// The recorded value.
    pub fn get(&self) -> &T {
        &self.item
    }

    /// The recorded value, releasing the proof that it was recorded.
    pub fn into_inner(self) -> T {
        self.item
    }
}

impl<T> fmt::Debug for Recorded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("index", &self.index).finish_non_exhaustive()
    }
}

/// An append that did not become durable; the item comes back unrecorded.
#[derive(thiserror::Error)]
#[error("the receipt was not appended: {error}")]
pub struct RecordError<T, X> {
    /// What should have been recorded.
    pub item: T,
    /// Why it was not.
    pub error: X,
}

impl<T, X: fmt::Debug> fmt::Debug for RecordError<T, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordError").field("error", &self.error).finish_non_exhaustive()
    }
}
