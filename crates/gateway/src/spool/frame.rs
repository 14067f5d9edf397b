//! Frames of a segment: length, checksum, body; and the marks that tell a torn tail from damage.
//!
//! A batch of records is preceded by a mark, which says that everything before it was durable when
//! it was written. A frame that cannot be read is a torn tail as long as no mark of this epoch
//! follows it: nobody was ever told that what is behind it is kept. With such a mark behind it,
//! something that was acknowledged has been damaged, and that is an error.

use bailiwick_core::{EpochId, sha256};

/// Bytes in front of a body.
pub(crate) const FRAME_HEAD: usize = 16;
/// Bytes of a mark, with its head.
pub(crate) const MARK_BYTES: usize = FRAME_HEAD + MARK_BODY;

const RECORD: [u8; 4] = *b"BwR1";
const MARK: [u8; 4] = *b"BwM1";
const MARK_BODY: usize = 24;
/// Longest body that is read: a payload of a MiB and everything around it.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A frame that holds a record.
pub(crate) fn record(body: &[u8]) -> Vec<u8> {
    frame(RECORD, body)
}

/// The mark of a batch that begins at `offset`.
pub(crate) fn mark(epoch: EpochId, offset: u64) -> Vec<u8> {
    let mut body = epoch.as_bytes().to_vec();
    body.extend(offset.to_le_bytes());
    frame(MARK, &body)
}

fn frame(magic: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len().saturating_add(FRAME_HEAD));
    out.extend(magic);
    out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(check(body));
    out.extend(body);
    out
}

fn check(body: &[u8]) -> [u8; 8] {
    let mut check = [0; 8];
    check.iter_mut().zip(sha256(body).as_bytes()).for_each(|(to, from)| *to = *from);
    check
}

/// What is at the front of some bytes.
pub(crate) enum Front<'a> {
    /// A record's body, and the bytes of its frame.
    Record(&'a [u8], usize),
    /// A mark, and the bytes of its frame.
    Mark(EpochId, u64),
    /// No whole frame.
    Nothing,
}

/// Reads the frame at the front of `bytes`.
pub(crate) fn front(bytes: &[u8]) -> Front<'_> {
    let whole = || {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let body = rest.get(..length).filter(|body| body.len() <= BODY_BYTES_MAX)?;
        (check(body) == *sum).then_some((*magic, body))
    };
    match whole() {
        Some((RECORD, body)) => Front::Record(body, body.len().saturating_add(FRAME_HEAD)),
        Some((MARK, body)) => mark_body(body).unwrap_or(Front::Nothing),
        _ => Front::Nothing,
    }
}

fn mark_body(body: &[u8]) -> Option<Front<'static>> {
    let (epoch, offset) = body.split_first_chunk::<16>()?;
    let offset = u64::from_le_bytes(offset.try_into().ok()?);
    Some(Front::Mark(EpochId::from_bytes(*epoch), offset))
}

/// Whether a mark of this epoch stands anywhere in `bytes`, which begin at `offset` of the segment.
pub(crate) fn has_mark(bytes: &[u8], epoch: EpochId, offset: u64) -> bool {
    bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK).any(|(at, _)| {
        let here = offset.saturating_add(u64::try_from(at).unwrap_or(u64::MAX));
        let rest = bytes.get(at..).unwrap_or_default();
        matches!(front(rest), Front::Mark(of, said) if of == epoch && said == here)
    })
}
