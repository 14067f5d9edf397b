//! A directory of small files that are replaced atomically.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::read::TileSource;
use crate::tile::TilePath;

/// Largest file that is read: a full bundle of the longest entries.
pub const FILE_BYTES_MAX: u64 = 256 * (2 + 65_535);

/// What the file driver needs of a disk; a seam for fault tests.
pub trait Directory {
    /// The bytes at a relative path, or `None` when there is no such file.
    ///
    /// # Errors
    /// Anything else that the disk says.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>>;

    /// Replaces the file at a relative path.
    ///
    /// `Ok` means that the new bytes are durable. An error means that the old or the new bytes are there, whole.
    ///
    /// # Errors
    /// What the disk says.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;
}

/// A real directory.
#[derive(Clone, Debug)]
pub struct Disk {
    root: PathBuf,
}

impl Disk {
    /// The directory at `root`, which is created when first written to.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Directory for Disk {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.root.join(checked(path)?)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, path));
        }
        Ok(Some(bytes))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let to = self.root.join(checked(path)?);
        let parent = to.parent().unwrap_or(&self.root);
        create_durably(parent)?;
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let beside = parent.join(format!(".{name}.new"));
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &to)?;
        File::open(parent)?.sync_all()
    }
}

impl TileSource for Disk {
    type Error = io::Error;

    /// Reads `checkpoint` and tile paths; anything else is not part of a log and is refused.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        if path != "checkpoint" && path.parse::<TilePath>().is_err() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, path));
        }
        Directory::read(self, path)
    }
}

/// Only plain relative paths: whatever a caller passes on from outside, nothing beside the directory is reached.
fn checked(path: &str) -> io::Result<&str> {
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.');
    if path.split('/').all(plain) && !path.contains(['\\', '\0']) {
        Ok(path)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, path))
    }
}

/// Creates the directory and its parents, and makes each new name durable.
fn create_durably(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_durably(parent)?;
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => File::open(parent)?.sync_all(),
        }
    } else {
        fs::create_dir_all(directory)
    }
}
