//! Secrets: read from files, the environment or standard input, written to files of mode 0600.
//! Never an argument, never printed.

use crate::fault::Fault;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The largest secret read: a chain of tokens.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Reads a token from a file; `-` is standard input.
pub(crate) fn read_token(path: &Path) -> Result<String, Fault> {
    let text = if path == Path::new("-") {
        read_bounded(io::stdin().lock(), path)?
    } else {
        let file = File::open(path).map_err(|error| cannot("read", path, &error))?;
        read_bounded(file, path)?
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Fault::local(format!("{}: no token in it", path.display())));
    }
    if text.contains(char::is_whitespace) {
        return Err(Fault::local(format!("{}: more than one token in it", path.display())));
    }
    Ok(text.to_owned())
}

/// Reads a private key file; refuses one that others can read.
pub(crate) fn read_private(path: &Path) -> Result<String, Fault> {
    let file = File::open(path).map_err(|error| cannot("read", path, &error))?;
    let metadata = file.metadata().map_err(|error| cannot("read", path, &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Fault::local(format!(
            "{}: a private key that others can read (mode {mode:04o})",
            path.display()
        ))
        .with_help(format!("chmod 600 {}", path.display())));
    }
    read_bounded(file, path)
}

/// Writes a secret to a file of mode 0600 by way of a new file, so that no half of it is ever seen.
/// `-` is standard output.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Fault> {
    if path == Path::new("-") {
        return crate::output::line(text);
    }
    let partial = sibling(path);
    write_new_raw(&partial, text).map_err(|error| cannot("write", &partial, &error))?;
    fs::rename(&partial, path).map_err(|error| {
        // The rename failed: the secret must not stay behind under another name.
        let _ = fs::remove_file(&partial);
        cannot("write", path, &error)
    })
}

/// Writes a secret to a file that must not exist yet.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<(), Fault> {
    write_new_raw(path, text).map_err(|error| {
        let fault = cannot("write", path, &error);
        match error.kind() {
            io::ErrorKind::AlreadyExists => fault.with_help("Move the old file away first."),
            _ => fault,
        }
    })
}

fn write_new_raw(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn sibling(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(|name| name.to_os_string()).unwrap_or_default();
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

fn read_bounded(reader: impl io::Read, path: &Path) -> Result<String, Fault> {
    let mut text = String::new();
    reader
        .take(SECRET_BYTES_MAX.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|error| cannot("read", path, &error))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > SECRET_BYTES_MAX {
        return Err(Fault::local(format!(
            "{}: larger than {SECRET_BYTES_MAX} bytes",
            path.display()
        )));
    }
    Ok(text)
}

/// A fault of a file operation.
pub(crate) fn cannot(verb: &str, path: &Path, error: &io::Error) -> Fault {
    Fault::local(format!("cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_written_for_the_owner_only_and_keys_never_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        write(&path, "one").unwrap();
        write(&path, "two").unwrap();
        assert_eq!(read_token(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_new(&path, "three").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        write_new(&path, "key").unwrap();
        assert!(read_private(&path).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_private(&path).unwrap_err().to_string().contains("0640"));
    }

    #[test]
    fn an_empty_or_double_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        for bad in ["", " \n", "a b"] {
            fs::write(&path, bad).unwrap();
            assert!(read_token(&path).is_err(), "{bad:?}");
        }
        fs::write(&path, " a.b.c\n").unwrap();
        assert_eq!(read_token(&path).unwrap(), "a.b.c");
    }
}
