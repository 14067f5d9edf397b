//! One record of the spool as bytes: a receipt, the proof that came with the call, its draws.

use bailiwick_core::{DebitKind, LeaseId, Micros, Sha256Hash, TaskId, TokenId, UnixMillis};
use bailiwick_ledger::{Receipt, ReceiptKind};

use super::LocalEffect;
use crate::budget::{Draw, Fate};

/// Bytes of a payload: what the Authority takes, less what it adds to say who reported it.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1024 * 1024 - 4096;
/// Lookup ids of one receipt.
pub(crate) const SUBJECT_IDS_MAX: usize = 16;
/// Bytes of one lookup id.
pub(crate) const SUBJECT_ID_BYTES_MAX: usize = 256;
/// Draws of one call.
pub(crate) const DRAWS_MAX: usize = 256;
/// Bytes of a constraint's key.
pub(crate) const KEY_BYTES_MAX: usize = bailiwick_core::limits::CONSTRAINT_KEY_BYTES_MAX;
/// How long after the receipt's time a proof may still be good, in milliseconds.
const PROOF_LIFE_MS_MAX: u64 = 3_600_000;

/// Why a record cannot be kept; the Authority would not take it either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct OutOfBounds(&'static str);

/// Bytes that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no record of this format")]
pub(crate) struct Unreadable;

/// The bytes of one record.
///
/// # Errors
/// What is out of bounds.
pub(crate) fn encode(receipt: &Receipt, effect: &LocalEffect) -> Result<Vec<u8>, OutOfBounds> {
    check(receipt, effect)?;
    let mut out = Vec::with_capacity(receipt.payload.len().saturating_add(256));
    let kind = ReceiptKind::ALL.iter().position(|kind| *kind == receipt.kind).unwrap_or_default();
    out.push(narrow(kind));
    out.extend(receipt.time_ms.to_le_bytes());
    out.push(narrow(receipt.subject_ids.len()));
    for id in &receipt.subject_ids {
        text(&mut out, id);
    }
    out.extend(u32::try_from(receipt.payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(&receipt.payload);
    match &effect.proof {
        None => out.push(0),
        Some((hash, expires)) => {
            out.push(1);
            out.extend(hash.as_bytes());
            out.extend(expires.0.to_le_bytes());
        }
    }
    out.extend(u16::try_from(effect.draws.len()).unwrap_or(u16::MAX).to_le_bytes());
    for draw in &effect.draws {
        out.extend(draw.lease.as_bytes());
        out.extend(draw.task.as_bytes());
        out.extend(draw.node.as_bytes());
        out.push(match draw.kind {
            DebitKind::Lifetime => 0,
            DebitKind::Subtree => 1,
        });
        text(&mut out, &draw.key);
        out.extend(draw.amount.0.to_le_bytes());
    }
    Ok(out)
}

fn check(receipt: &Receipt, effect: &LocalEffect) -> Result<(), OutOfBounds> {
    let ids = &receipt.subject_ids;
    if receipt.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(OutOfBounds("the arguments are too large to be recorded"));
    }
    if ids.len() > SUBJECT_IDS_MAX || ids.iter().any(|id| id.len() > SUBJECT_ID_BYTES_MAX) {
        return Err(OutOfBounds("too many or too long lookup ids"));
    }
    let last = receipt.time_ms.saturating_add(PROOF_LIFE_MS_MAX);
    if effect.proof.is_some_and(|(_, expires)| expires.0 > last) {
        return Err(OutOfBounds("a proof of possession that is good for too long"));
    }
    if effect.draws.len() > DRAWS_MAX {
        return Err(OutOfBounds("too many draws on budgets"));
    }
    if effect.draws.iter().any(|draw| draw.amount.0 < 0 || draw.key.len() > KEY_BYTES_MAX) {
        return Err(OutOfBounds("a draw on a budget that is none"));
    }
    Ok(())
}

fn narrow(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`Unreadable`] for anything else.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Receipt, LocalEffect), Unreadable> {
    let mut from = Reader(bytes);
    let kind = *ReceiptKind::ALL.get(usize::from(from.byte()?)).ok_or(Unreadable)?;
    let time_ms = from.number()?;
    let count = usize::from(from.byte()?);
    if count > SUBJECT_IDS_MAX {
        return Err(Unreadable);
    }
    let subject_ids =
        (0..count).map(|_| from.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    let length = usize::try_from(u32::from_le_bytes(from.array()?)).map_err(|_| Unreadable)?;
    let payload = from.take(length)?.to_vec();
    let proof = match from.byte()? {
        0 => None,
        1 => Some((Sha256Hash(from.array()?), UnixMillis(from.number()?))),
        _ => return Err(Unreadable),
    };
    let draws = draws(&mut from)?;
    if !from.0.is_empty() {
        return Err(Unreadable);
    }
    Ok((Receipt { kind, time_ms, subject_ids, payload }, LocalEffect { proof, draws }))
}

fn draws(from: &mut Reader<'_>) -> Result<Vec<Draw>, Unreadable> {
    let count = usize::from(u16::from_le_bytes(from.array()?));
    if count > DRAWS_MAX {
        return Err(Unreadable);
    }
    let fate = Fate::default();
    let mut draws = Vec::with_capacity(count);
    for _ in 0..count {
        draws.push(Draw {
            lease: LeaseId::from_bytes(from.array()?),
            task: TaskId::from_bytes(from.array()?),
            node: TokenId::from_bytes(from.array()?),
            kind: match from.byte()? {
                0 => DebitKind::Lifetime,
                1 => DebitKind::Subtree,
                _ => return Err(Unreadable),
            },
            key: from.text()?.into(),
            amount: Micros(i64::from_le_bytes(from.array()?)),
            fate: fate.clone(),
        });
    }
    Ok(draws)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Unreadable)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<&'a str, Unreadable> {
        let length = usize::from(u16::from_le_bytes(self.array()?));
        std::str::from_utf8(self.take(length)?).map_err(|_| Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::fixture::{draw, proof, receipt};

    #[test]
    fn a_record_is_read_back_and_no_cut_of_it_is() {
        let effect = LocalEffect { proof: Some(proof(7)), draws: vec![draw(1, 5), draw(2, 0)] };
        for effect in [effect, LocalEffect::default()] {
            let receipt = receipt(3);
            let bytes = encode(&receipt, &effect).unwrap();
            let (read, also) = decode(&bytes).unwrap();
            assert_eq!((read, also.proof, also.draws), (receipt, effect.proof, effect.draws));
            for cut in 0..bytes.len() {
                assert!(decode(&bytes[..cut]).is_err(), "{cut}");
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            assert!(decode(&longer).is_err());
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_and_its_twin_is_not() {
        let good = receipt(1);
        let none = LocalEffect::default();
        assert!(encode(&good, &none).is_ok());
        let mut large = good.clone();
        large.payload = vec![b'x'; PAYLOAD_BYTES_MAX];
        assert!(encode(&large, &none).is_ok());
        large.payload.push(b'x');
        assert!(encode(&large, &none).is_err());
        let mut ids = good.clone();
        ids.subject_ids = vec!["x".repeat(SUBJECT_ID_BYTES_MAX); SUBJECT_IDS_MAX];
        assert!(encode(&ids, &none).is_ok());
        ids.subject_ids.push("x".to_owned());
        assert!(encode(&ids, &none).is_err());
        let long = (proof(1).0, UnixMillis(good.time_ms + PROOF_LIFE_MS_MAX + 1));
        assert!(encode(&good, &LocalEffect { proof: Some(long), draws: vec![] }).is_err());
        assert!(encode(&good, &LocalEffect { proof: None, draws: vec![draw(1, -1)] }).is_err());
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(0_u8.., 0..400)) {
            let _ = decode(&bytes);
        }
    }
}
