//! What can go wrong with the store.

use std::io;
use std::path::PathBuf;

use super::Step;
use crate::proof::ReadError;
use crate::record::Timestamp;

/// What can go wrong with the store. Each message says what is the matter and what can be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tile that a root or a proof needs is missing or has too few hashes.
    #[error("the tree cannot be read from the store")]
    Tree(#[source] Box<ReadError<Self>>),
    /// There is no ledger at the path.
    #[error("there is no ledger at {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The ledger was in use and its database is gone. A new one would begin a second history.
    #[error(
        "the ledger's database is missing: there is none at {}, and yet {} shows that the ledger was in \
         use: put the database back, by mounting its disk or from a backup; to begin a new ledger of \
         this name move the ledger's key and head file away first",
        path.display(), witness.display()
    )]
    DatabaseMissing {
        /// Where the database should be.
        path: PathBuf,
        /// The file of the ledger that is still there.
        witness: PathBuf,
    },
    /// There is a ledger at the path already.
    #[error("there is a ledger at {} already", path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// Another process has the ledger open.
    #[error("the ledger at {} is open in another process: stop that process first", path.display())]
    Locked {
        /// Where the ledger is.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A step of a commit failed. What is on disk is unknown until the store was opened again.
    #[error("the step {step:?} of a commit failed")]
    Step {
        /// The step.
        step: Step,
        /// Why.
        source: io::Error,
    },
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sled::Error),
    /// zstd failed.
    #[error("compression failed")]
    Compression(#[source] io::Error),
    /// A batch or block exceeds what the layout can number.
    #[error("the batch is too large for the layout")]
    TooLarge,
    /// The layout is of a version that this program does not know.
    #[error("the ledger has layout version {found}, and this program reads version {known}")]
    Version {
        /// The ledger's version.
        found: u8,
        /// The version of this program.
        known: u8,
    },
    /// Bytes in the store are not what was written. Restore a backup, and compare it with the head
    /// file and with checkpoints that others kept.
    #[error("{what} in the store is damaged: restore the ledger from a backup")]
    Damaged {
        /// What was read.
        what: &'static str,
    },
    /// Records that were acknowledged are missing.
    #[error(
        "the store has lost acknowledged records: the head file {} records a checkpoint of {recorded} \
         entries, and the store holds {found}, the last received at {}: restore a newer backup",
        head.display(), received_at(last.as_ref())
    )]
    Lost {
        /// The head file.
        head: PathBuf,
        /// The number of entries that were acknowledged.
        recorded: u64,
        /// The number of entries that are there.
        found: u64,
        /// When the last of them was received.
        last: Option<Timestamp>,
    },
    /// Records were changed after they were sealed.
    #[error(
        "the store was changed: its entries from seq {since} to {size} do not lead to the checkpoint \
         that was signed over them: {why}"
    )]
    Changed {
        /// The first entry that may differ from what was sealed.
        since: u64,
        /// The number of entries in the store.
        size: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// The store holds another history than the one that was acknowledged.
    #[error(
        "the store and its head file {} are two different histories at {size} entries: one of them was \
         replaced; keep both, and compare them with checkpoints that others kept",
        head.display()
    )]
    Forked {
        /// The head file.
        head: PathBuf,
        /// The size at which both have a checkpoint.
        size: u64,
    },
    /// The head file is gone, so that nobody can tell whether the store is complete.
    #[error(
        "the head file {} is missing, so it cannot be told whether the store lost records: put it back, \
         or accept the store as it is with --accept-missing-head",
        path.display()
    )]
    HeadMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A checkpoint is not signed by the ledger's key.
    #[error("the {what} is not signed by the ledger's key {key}")]
    WrongKey {
        /// Which checkpoint.
        what: &'static str,
        /// The name of the key that was expected.
        key: String,
    },
}

impl Error {
    /// Whether it says that bytes are not those that were written, and not that nobody could look.
    pub fn is_damage(&self) -> bool {
        use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        if let Self::Database(sled::Error::Io(error)) = self {
            return matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof);
        }
        matches!(
            self,
            Self::Database(_)
                | Self::Tree(_)
                | Self::Compression(_)
                | Self::Damaged { .. }
                | Self::Lost { .. }
                | Self::Changed { .. }
                | Self::Forked { .. }
        )
    }

    pub(super) const fn damaged(what: &'static str) -> Self {
        Self::Damaged { what }
    }
}

impl From<ReadError<Self>> for Error {
    fn from(error: ReadError<Self>) -> Self {
        match error {
            ReadError::Read(error) => error,
            other @ (ReadError::Short { .. }
            | ReadError::OutOfRange { .. }
            | ReadError::NotTiled { .. }) => Self::Tree(Box::new(other)),
        }
    }
}

fn received_at(last: Option<&Timestamp>) -> String {
    last.map_or_else(|| "an unknown time".to_owned(), ToString::to_string)
}
