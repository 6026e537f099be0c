//! What can go wrong with a spool.

use std::io;
use std::path::PathBuf;

/// Why a spool did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// There is no room. Nothing was written: settle something, then try again.
    #[error("the spool is full")]
    Full,
    /// The record is longer than the whole spool may be, and will never fit.
    #[error("the record is longer than the spool may be")]
    TooLong,
    /// Another process has it open.
    #[error("the spool is in use by another process")]
    InUse,
    /// A sync failed: what is on the disk is unknown until the spool is opened again. Nothing is taken
    /// until then.
    #[error("the spool has failed and takes nothing until it is opened again")]
    Failed,
    /// The record at this position was settled, or never was.
    #[error("the spool has no such record")]
    Unknown,
    /// The record is not what was pushed.
    #[error("a spooled record has changed on the disk")]
    Damaged,
    /// The disk does not do what it was asked for. Nothing was taken.
    #[error("{path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Records that were lost, found when a spool was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file. Once the rest of it is settled it ends in `.damaged`.
    pub path: PathBuf,
    /// Where in it the damage begins, in bytes.
    pub offset: u64,
    /// How many bytes cannot be read.
    pub bytes: u64,
}

/// Says where an error of the system happened.
pub(super) fn at(path: &std::path::Path) -> impl FnOnce(io::Error) -> SpoolError {
    let path = path.to_owned();
    move |source| SpoolError::Io { path, source }
}
