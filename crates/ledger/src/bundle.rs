//! Entry bundles: up to 256 leaves, each behind a 16-bit big-endian length (C2SP tlog-tiles, "Log entries").

use crate::tree::TILE_WIDTH;

/// Longest entry that a bundle can hold.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;

/// Bytes of a bundle of these entries; `None` when one is too long.
pub fn encode<T: AsRef<[u8]>>(entries: &[T]) -> Option<Vec<u8>> {
    let bytes = entries.iter().map(|entry| entry.as_ref().len() + 2).sum();
    let mut out = Vec::with_capacity(bytes);
    for entry in entries {
        let entry = entry.as_ref();
        out.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Some(out)
}

/// The bytes are not a whole number of entries, or more than a bundle holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the entry bundle breaks off or overflows after {whole} entries")]
pub struct BundleError {
    /// Entries that could be read.
    pub whole: u64,
}

/// Entries of a bundle, in order; the whole entries before the first fault are still given.
pub fn decode(bytes: &[u8]) -> (Vec<&[u8]>, Result<(), BundleError>) {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let next = rest.split_first_chunk::<2>().and_then(|(length, tail)| {
            tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        });
        let whole = entries.len() as u64;
        match next {
            Some((entry, tail)) if whole < TILE_WIDTH => {
                entries.push(entry);
                rest = tail;
            }
            _ => return (entries, Err(BundleError { whole })),
        }
    }
    (entries, Ok(()))
}
