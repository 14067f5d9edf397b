//! Files that only the server's own user may read: checked before they are believed, written so
//! that a crash leaves the old file or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Largest private file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Why a private file or directory is not used. The text says what to run.
#[derive(Debug, thiserror::Error)]
pub enum PrivateFileError {
    /// The system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read or write it.
    #[error("{path} can be used by others (mode {mode:04o}); run: chmod {wanted:04o} {path}")]
    Mode {
        /// The file or directory.
        path: String,
        /// Its mode.
        mode: u32,
        /// The mode it must have.
        wanted: u32,
    },
    /// It belongs to another user.
    #[error(
        "{path} belongs to user {owner} and the server runs as {ours}; run: chown {ours} {path}"
    )]
    Owner {
        /// The file or directory.
        path: String,
        /// Who owns it.
        owner: u32,
        /// Who we are.
        ours: u32,
    },
    /// It is a symbolic link, or not of the kind it should be.
    #[error("{path} is not a plain {expected}; private files are never links: replace it")]
    Kind {
        /// The path.
        path: String,
        /// What it should be.
        expected: &'static str,
    },
    /// It is larger than such a file ever is.
    #[error("{path} is larger than {FILE_BYTES_MAX} bytes: this is not a file of this server")]
    TooLarge {
        /// The path.
        path: String,
    },
}

/// Makes the directory with mode 0700, or checks that an existing one is ours alone. One of ours
/// that is still empty is closed to others; one with something in it has been open, and is refused.
pub fn ensure_directory(path: &Path) -> Result<(), PrivateFileError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => match check(path, &metadata, 0o700) {
            Err(PrivateFileError::Mode { .. }) if is_empty(path) => {
                let closed = fs::Permissions::from_mode(0o700);
                fs::set_permissions(path, closed).map_err(fault("close", path))
            }
            checked => checked,
        },
        Ok(_) => Err(PrivateFileError::Kind { path: shown(path), expected: "directory" }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(fault("create", path)),
        Err(error) => Err(fault("look at", path)(error)),
    }
}

/// Reads a file that only we may read; `None` when there is none.
pub fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, PrivateFileError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault("look at", path)(error)),
    };
    if !metadata.is_file() {
        return Err(PrivateFileError::Kind { path: shown(path), expected: "file" });
    }
    let file = File::open(path).map_err(fault("open", path))?;
    // What is checked is the opened file, not whatever the name points at by now.
    let metadata = file.metadata().map_err(fault("look at", path))?;
    check(path, &metadata, 0o600)?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(PrivateFileError::TooLarge { path: shown(path) });
    }
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0)));
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(fault("read", path))?;
    Ok(Some(bytes))
}

/// Puts `bytes` at `path` with mode 0600, whole or not at all, and on disk when it returns.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), PrivateFileError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    remove(&temporary)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(fault("create", &temporary))?;
    file.write_all(bytes).map_err(fault("write", &temporary))?;
    file.sync_all().map_err(fault("sync", &temporary))?;
    fs::rename(&temporary, path).map_err(fault("rename", &temporary))?;
    let directory_file = File::open(directory).map_err(fault("open", directory))?;
    directory_file.sync_all().map_err(fault("sync", directory))
}

/// Removes a directory and what is in it; one that is not there is no fault.
pub fn remove_directory(path: &Path) -> Result<(), PrivateFileError> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(fault("remove", path)(error)),
    }
}

/// Puts the directory `aside` in the place of the empty directory `path`, in one step.
pub fn replace_directory(aside: &Path, path: &Path) -> Result<(), PrivateFileError> {
    fs::rename(aside, path).map_err(fault("rename", aside))?;
    let parent = path.parent().unwrap_or(Path::new("."));
    let parent_file = File::open(parent).map_err(fault("open", parent))?;
    parent_file.sync_all().map_err(fault("sync", parent))
}

/// Removes a file; one that is not there is no fault.
pub fn remove(path: &Path) -> Result<(), PrivateFileError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(fault("remove", path)(error)),
    }
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

fn check(path: &Path, metadata: &fs::Metadata, wanted: u32) -> Result<(), PrivateFileError> {
    let ours = rustix::process::geteuid().as_raw();
    if metadata.uid() != ours {
        return Err(PrivateFileError::Owner { path: shown(path), owner: metadata.uid(), ours });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Mode { path: shown(path), mode, wanted });
    }
    Ok(())
}

fn fault<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> PrivateFileError + use<'a> {
    move |source| PrivateFileError::Io { action, path: shown(path), source }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_for_us_alone_is_read_and_one_for_others_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write(&path, b"secret").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"secret");
        for mode in [0o640, 0o604, 0o660, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let text = read(&path).unwrap_err().to_string();
            assert!(text.contains(&format!("chmod 0600 {}", path.display())), "{text}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read(&path).unwrap().is_some());
    }

    #[test]
    fn a_directory_for_us_alone_is_used_and_one_for_others_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        ensure_directory(&path).unwrap();
        ensure_directory(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        ensure_directory(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700, "empty: closed");
        fs::write(path.join("x"), b"x").unwrap();
        ensure_directory(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        let text = ensure_directory(&path).unwrap_err().to_string();
        assert!(text.contains(&format!("chmod 0700 {}", path.display())), "{text}");
    }

    #[test]
    fn a_link_is_refused_and_the_file_itself_read() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("key"), directory.path().join("link"));
        write(&path, b"secret").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(read(&link), Err(PrivateFileError::Kind { .. })));
        assert!(read(&path).unwrap().is_some());
    }

    #[test]
    fn an_interrupted_write_leaves_the_old_file_and_the_next_write_succeeds() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write(&path, b"old").unwrap();
        fs::write(directory.path().join("key.tmp"), b"half").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"old");
        write(&path, b"new").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"new");
    }

    #[test]
    fn no_file_is_no_fault() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(&directory.path().join("none")).unwrap().is_none());
    }
}
