//! Tiles: paths, contents, and which of them a growing log has to publish (C2SP tlog-tiles).

use std::fmt;
use std::str::FromStr;

use crate::bundle;
use crate::read::{EntryReader, HashReader, ReadError, rows};
use crate::tree::{SIZE_MAX, TILE_WIDTH, rows_at};

/// Longest path this crate parses.
const PATH_BYTES_MAX: usize = 64;

/// Highest tile level of a log of at most 2^63 leaves.
const LEVEL_MAX: u8 = 63;

/// Name of one tile or entry bundle: `tile/<level>/<index>[.p/<width>]` or `tile/entries/<index>[.p/<width>]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TilePath {
    level: Level,
    index: u64,
    width: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Level {
    Hashes(u8),
    Entries,
}

/// The text is not the one spelling of a tile path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a tile or an entry bundle")]
pub struct PathError;

impl TilePath {
    /// The hash tile of `level` that starts at row `index * 256`; `width` 256 is a full tile.
    ///
    /// # Errors
    /// A level, index or width that no tile has.
    pub fn hashes(level: u8, index: u64, width: u16) -> Result<Self, PathError> {
        if level > LEVEL_MAX {
            return Err(PathError);
        }
        Self::checked(Level::Hashes(level), index, width)
    }

    /// The entry bundle that starts at entry `index * 256`; `width` 256 is a full bundle.
    ///
    /// # Errors
    /// An index or width that no bundle has.
    pub fn entries(index: u64, width: u16) -> Result<Self, PathError> {
        Self::checked(Level::Entries, index, width)
    }

    fn checked(level: Level, index: u64, width: u16) -> Result<Self, PathError> {
        if width == 0 || u64::from(width) > TILE_WIDTH || index >= SIZE_MAX / TILE_WIDTH {
            return Err(PathError);
        }
        Ok(Self { level, index, width })
    }

    /// Tile level, or `None` for an entry bundle.
    pub fn level(&self) -> Option<u8> {
        match self.level {
            Level::Hashes(level) => Some(level),
            Level::Entries => None,
        }
    }

    /// Position in its level.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Number of hashes or entries, 1 to 256.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it is partial, so that a later checkpoint replaces it.
    pub fn is_partial(&self) -> bool {
        u64::from(self.width) < TILE_WIDTH
    }

    /// The full tile at the same place.
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: TILE_WIDTH as u16, ..self }
    }

    /// Whether a log of `size` leaves has it.
    pub fn is_within(&self, size: u64) -> bool {
        let level = self.level().unwrap_or(0);
        self.index * TILE_WIDTH + u64::from(self.width) <= rows_at(level, size)
    }

    /// Its bytes, from stored rows or entries.
    ///
    /// # Errors
    /// The reader's, or that it has too few rows. Check [`TilePath::is_within`] first.
    pub fn read<E, R>(&self, log: &R) -> Result<Vec<u8>, ReadError<E>>
    where
        R: HashReader<Error = E> + EntryReader<Error = E>,
    {
        let start = self.index * TILE_WIDTH;
        match self.level {
            Level::Hashes(level) => rows(log, level, start, u64::from(self.width))
                .map(|hashes| hashes.iter().flat_map(|hash| hash.0).collect()),
            Level::Entries => read_bundle(log, start, u64::from(self.width)),
        }
    }
}

fn read_bundle<R: EntryReader>(
    log: &R,
    start: u64,
    wanted: u64,
) -> Result<Vec<u8>, ReadError<R::Error>> {
    let entries = log.entries(start, wanted).map_err(ReadError::Source)?;
    let got = entries.len() as u64;
    if got != wanted {
        return Err(ReadError::Short { level: 0, start, wanted, got });
    }
    bundle::encode(&entries).ok_or_else(|| {
        let long = entries.iter().position(|entry| entry.len() > bundle::ENTRY_BYTES_MAX);
        ReadError::EntryTooLong { index: start + long.unwrap_or(0) as u64 }
    })
}

/// Tiles and bundles that a log publishes when it grows from `old` to `new` leaves, entries first, then upward.
pub fn paths_between(old: u64, new: u64) -> impl Iterator<Item = TilePath> {
    let levels = (0..=LEVEL_MAX).take_while(move |level| rows_at(*level, new) > 0);
    let hashes = levels.flat_map(move |level| paths_of(Level::Hashes(level), level, old, new));
    paths_of(Level::Entries, 0, old, new).chain(hashes)
}

fn paths_of(kind: Level, level: u8, old: u64, new: u64) -> impl Iterator<Item = TilePath> {
    let (from, to) = (rows_at(level, old), rows_at(level, new));
    let tiles = if from < to { from / TILE_WIDTH..to.div_ceil(TILE_WIDTH) } else { 0..0 };
    tiles.map(move |index| {
        let width = (to - index * TILE_WIDTH).min(TILE_WIDTH) as u16;
        TilePath { level: kind, index, width }
    })
}

/// The same with their bytes, read one at a time.
pub fn tiles_between<E, R>(
    old: u64,
    new: u64,
    log: &R,
) -> impl Iterator<Item = Result<(TilePath, Vec<u8>), ReadError<E>>>
where
    R: HashReader<Error = E> + EntryReader<Error = E>,
{
    paths_between(old, new).map(|path| path.read(log).map(|bytes| (path, bytes)))
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Hashes(level) => write!(f, "tile/{level}/")?,
            Level::Entries => f.write_str("tile/entries/")?,
        }
        let digits = self.index.to_string();
        let padded = digits.len().div_ceil(3) * 3;
        let digits = format!("{digits:0>padded$}");
        for (at, digit) in digits.chars().enumerate() {
            match at {
                _ if at % 3 != 0 => {}
                _ if at + 3 < padded => f.write_str(if at == 0 { "x" } else { "/x" })?,
                0 => {}
                _ => f.write_str("/")?,
            }
            write!(f, "{digit}")?;
        }
        if self.is_partial() { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

impl FromStr for TilePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.len() > PATH_BYTES_MAX {
            return Err(PathError);
        }
        let (level, rest) =
            text.strip_prefix("tile/").and_then(|rest| rest.split_once('/')).ok_or(PathError)?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, number(width)? as u16),
            None => (rest, TILE_WIDTH as u16),
        };
        let index = index.split('/').try_fold(0_u64, |sum, group| {
            let digits = group.strip_prefix('x').unwrap_or(group);
            let group = (digits.len() == 3).then(|| digits_of(digits)).flatten();
            sum.checked_mul(1000).zip(group).map(|(sum, group)| sum + group).ok_or(PathError)
        })?;
        let path = match level {
            "entries" => Self::entries(index, width)?,
            level => Self::hashes(number(level)?, index, width)?,
        };
        // INVARIANT: one tile has one path, so that what a cache or a mirror holds cannot have two names.
        if path.to_string() == text { Ok(path) } else { Err(PathError) }
    }
}

fn digits_of(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn number(text: &str) -> Result<u8, PathError> {
    digits_of(text).and_then(|number| u8::try_from(number).ok()).ok_or(PathError)
}
