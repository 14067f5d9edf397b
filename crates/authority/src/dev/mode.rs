//! A data directory is for development or it is not, from its first use on.

use std::path::Path;

use bailiwick_identity::private_files::{self, PrivateFileError};

const MARKER: &str = "MODE";
const DEVELOPMENT: &[u8] = b"development\n";
const STANDARD: &[u8] = b"standard\n";

/// Why a data directory is not used.
#[derive(Debug, thiserror::Error)]
pub enum ModeError {
    /// It was made without `--dev`.
    #[error(
        "{path} was initialised without --dev and is not opened with it: use another --data-dir"
    )]
    NotDevelopment {
        /// The directory.
        path: String,
    },
    /// It was made with `--dev`.
    #[error(
        "{path} was initialised by `serve --dev`: its records vouch for nobody. Use another \
         data_dir, or start with --dev"
    )]
    Development {
        /// The directory.
        path: String,
    },
    /// Its marker is neither.
    #[error("{path} is not a mode marker of this server: this is not its data directory")]
    Marker {
        /// The marker file.
        path: String,
    },
    /// The directory or its marker cannot be used.
    #[error(transparent)]
    File(#[from] PrivateFileError),
}

/// Makes `data_dir` one for development or not, or checks that it is. Call it before anything else
/// touches the directory.
///
/// # Errors
/// [`ModeError`]; the server must not start.
pub fn claim_data_dir(data_dir: &Path, dev: bool) -> Result<(), ModeError> {
    private_files::ensure_directory(data_dir)?;
    let marker = data_dir.join(MARKER);
    let path = || data_dir.display().to_string();
    match private_files::read(&marker)? {
        Some(text) if text.as_slice() == DEVELOPMENT => {
            if dev {
                Ok(())
            } else {
                Err(ModeError::Development { path: path() })
            }
        }
        Some(text) if text.as_slice() == STANDARD => {
            if dev {
                Err(ModeError::NotDevelopment { path: path() })
            } else {
                Ok(())
            }
        }
        Some(_) => Err(ModeError::Marker { path: marker.display().to_string() }),
        // Without a marker, what is in the directory tells which kind it was.
        None if dev && data_dir.join("keys").exists() => {
            Err(ModeError::NotDevelopment { path: path() })
        }
        None if !dev && data_dir.join("dev").exists() => {
            Err(ModeError::Development { path: path() })
        }
        None => Ok(private_files::write(&marker, if dev { DEVELOPMENT } else { STANDARD })?),
    }
}
