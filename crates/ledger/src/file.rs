//! The file driver: a log in a directory, laid out as C2SP tiles.
//!
//! Entries and tiles are written before the checkpoint that covers them, each file by write, fsync and rename, so at
//! any moment the directory holds the log that its checkpoint signs.

mod disk;
mod kept;
mod log;

pub use disk::{Directory, Disk, FILE_BYTES_MAX};
pub use kept::{KeptCheckpoint, KeptError};
pub use log::{FileLog, FileLogError};
