//! Files of the spool: one header each, then frames. Numbered without a gap; only the last grows.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bailiwick_core::{EpochId, sha256};

use super::SpoolError;
use super::frame::{self, Front};

/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 72;
/// Bytes after which another segment is begun.
pub(crate) const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// How often the lock is tried, and the time between: a process that has just gone may have left a copy
/// of it to a child that has not begun yet.
const LOCK_TRIES: u32 = 10;
const LOCK_WAIT: Duration = Duration::from_millis(10);
const MAGIC: [u8; 8] = *b"BwSpool1";
const SEGMENT: &str = "seg";
const PROOFS: &str = "proofs";

/// What the epoch before held when this one began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Previous {
    /// The epoch before.
    pub(crate) epoch: EpochId,
    /// How many records it held.
    pub(crate) next: u64,
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The opening of the spool that it belongs to.
    pub(crate) epoch: EpochId,
    /// The opening before; none in a directory that was new.
    pub(crate) previous: Option<Previous>,
    /// Sequence number of its first record.
    pub(crate) first: u64,
}

impl Header {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.epoch.as_bytes());
        let (flag, previous) = match self.previous {
            None => (0, Previous { epoch: EpochId::from_bytes([0; 16]), next: 0 }),
            Some(previous) => (1_u64, previous),
        };
        out.extend(flag.to_le_bytes());
        out.extend(previous.epoch.as_bytes());
        out.extend(previous.next.to_le_bytes());
        out.extend(self.first.to_le_bytes());
        let sum = sha256(&out);
        out.extend(sum.as_bytes().iter().take(8));
        out
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (said, sum) = bytes.get(..HEADER_BYTES)?.split_last_chunk::<8>()?;
        if !sha256(said).as_bytes().starts_with(sum) {
            return None;
        }
        let rest = said.strip_prefix(&MAGIC)?;
        let (epoch, rest) = rest.split_first_chunk::<16>()?;
        let (flag, rest) = rest.split_first_chunk::<8>()?;
        let (before, rest) = rest.split_first_chunk::<16>()?;
        let (next, rest) = rest.split_first_chunk::<8>()?;
        let first = u64::from_le_bytes(rest.try_into().ok()?);
        let next = u64::from_le_bytes(*next);
        let previous = Previous { epoch: EpochId::from_bytes(*before), next };
        let previous = (u64::from_le_bytes(*flag) == 1).then_some(previous);
        Some(Self { epoch: EpochId::from_bytes(*epoch), previous, first })
    }
}

/// One segment, and how much of it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its number.
    pub(crate) number: u64,
    /// What it says of itself.
    pub(crate) header: Header,
    /// Durable records.
    pub(crate) records: u64,
    /// Durable bytes, header included.
    pub(crate) bytes: u64,
}

impl Segment {
    /// Sequence number after its last record.
    pub(crate) fn next(&self) -> u64 {
        self.header.first.saturating_add(self.records)
    }
}

/// The file of a segment.
pub(crate) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016x}.{SEGMENT}"))
}

/// The file of proofs that a deleted segment held.
pub(crate) fn proofs_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:016x}.{PROOFS}"))
}

/// Makes the directory, for the owner only.
pub(crate) fn make_directory(directory: &Path) -> Result<(), SpoolError> {
    let mut how = DirBuilder::new();
    how.recursive(true).mode(0o700).create(directory).map_err(SpoolError::at(directory))
}

/// Takes the directory for this process alone.
pub(crate) fn lock(directory: &Path) -> Result<File, SpoolError> {
    let path = directory.join("spool.lock");
    let mut how = OpenOptions::new();
    let file = how.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(SpoolError::at(&path))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_WAIT),
            Err(TryLockError::Error(source)) => return Err(SpoolError::Path { path, source }),
        }
    }
    Err(SpoolError::InUse { path: directory.to_owned() })
}

/// A new file, for the owner only.
pub(crate) fn create(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Makes names in the directory durable.
pub(crate) fn sync_directory(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Begins a segment: its header is durable when this returns.
pub(crate) fn begin(
    directory: &Path,
    number: u64,
    header: Header,
) -> std::io::Result<(Segment, File)> {
    let path = path(directory, number);
    // INVARIANT: the number is above that of every segment, so that this can only be what an earlier
    // try left behind.
    let _ = std::fs::remove_file(&path);
    let written = create(&path).and_then(|mut file| {
        file.write_all(&header.to_bytes())?;
        file.sync_all()?;
        sync_directory(directory)?;
        Ok(file)
    });
    let file = written.inspect_err(|_| {
        // A header that is not durable is no segment; the next try takes the same number.
        let _ = std::fs::remove_file(&path);
    })?;
    let bytes = u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX);
    Ok((Segment { number, header, records: 0, bytes }, file))
}

/// Numbers of the files with this ending, in order.
fn numbers(directory: &Path, ending: &str) -> std::io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(ending)?.strip_suffix('.'));
        numbers.extend(stem.and_then(|stem| u64::from_str_radix(stem, 16).ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Numbers of the segments, in order.
pub(crate) fn segments(directory: &Path) -> std::io::Result<Vec<u64>> {
    numbers(directory, SEGMENT)
}

/// Numbers of the files of proofs, in order.
pub(crate) fn proof_files(directory: &Path) -> std::io::Result<Vec<u64>> {
    numbers(directory, PROOFS)
}

/// A segment as it was found, with the bodies of its records.
pub(crate) struct Found {
    pub(crate) segment: Segment,
    /// Bytes behind the last whole frame.
    pub(crate) torn: bool,
}

/// Reads a segment and gives each record's body to `each`. Of the last one the tail may be torn.
///
/// `None`: the last segment has no whole header; it was being begun.
///
/// # Errors
/// [`SpoolError::Damaged`] where something that was durable cannot be read.
pub(crate) fn scan(
    directory: &Path,
    number: u64,
    last: bool,
    mut each: impl FnMut(&[u8]) -> Result<(), SpoolError>,
) -> Result<Option<Found>, SpoolError> {
    let path = path(directory, number);
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(SpoolError::at(&path))?;
    let damaged = |offset: usize| SpoolError::Damaged { path: path.clone(), offset };
    let Some(header) = Header::parse(&bytes) else {
        return if last && bytes.len() <= HEADER_BYTES { Ok(None) } else { Err(damaged(0)) };
    };
    // A mark without a record behind it is part of a torn batch.
    let (mut offset, mut whole, mut records) = (HEADER_BYTES, HEADER_BYTES, 0_u64);
    loop {
        let rest = bytes.get(offset..).unwrap_or_default();
        let length = match frame::front(rest) {
            Front::Record(body, length) => {
                each(body)?;
                records = records.saturating_add(1);
                whole = offset.saturating_add(length);
                length
            }
            Front::Mark(epoch, said) if epoch == header.epoch && said == wide(offset) => {
                frame::MARK_BYTES
            }
            Front::Nothing if rest.is_empty() => break,
            _ if !last || frame::has_mark(rest, header.epoch, wide(offset)) => {
                return Err(damaged(offset));
            }
            _ => break,
        };
        offset = offset.saturating_add(length);
    }
    let segment = Segment { number, header, records, bytes: wide(whole) };
    Ok(Some(Found { segment, torn: whole < bytes.len() }))
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
