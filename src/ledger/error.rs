//! Errors of the ledger: what a sender is told, and what an operator is told.

use std::sync::Arc;

use super::queue::{BATCH_RECORDS_MAX, QUEUE_KIB_MAX};
use crate::proof::BundleError;
use crate::record::{self, FieldError};
use crate::{seal, store};

/// A ledger could not be made, opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed, or holds something else than was acknowledged.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A stored entry is not an entry. The store was changed.
    #[error("the entry at seq {seq} cannot be read")]
    Entry {
        /// Where it stands.
        seq: u64,
        /// What is wrong with it.
        source: record::NotAnEntry,
    },
    /// The signing key cannot be used.
    #[error("the key file {path} cannot be used: {why}")]
    Key {
        /// The key file.
        path: String,
        /// Why not, and what to do.
        why: String,
    },
    /// A key that was given is not the ledger's.
    #[error("the signing key cannot be used: {why}")]
    SigningKey {
        /// Why not.
        why: String,
    },
    /// Something of a ledger is where one was to be imported.
    #[error("{path} is there already: nothing was imported; move it away if it is not needed")]
    InTheWay {
        /// The file or folder.
        path: String,
    },
    /// Another process imports the same ledger.
    #[error("another process is importing a ledger of this name")]
    Importing,
    /// There is no ledger of this name.
    #[error("there is no such ledger")]
    Unknown,
    /// There is a ledger of this name already.
    #[error("there is a ledger of this name already")]
    Exists,
    /// The origin cannot stand in a checkpoint.
    #[error("the origin of the ledger cannot be used")]
    Origin(#[source] seal::Error),
    /// A file of the data directory could not be read or written.
    #[error("cannot use {path}")]
    Io {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// No random bytes could be had.
    #[error("the system gives no random bytes")]
    Random(#[source] std::io::Error),
    /// A record could not be sealed, for a reason that is not in the record.
    #[error("a record cannot be sealed")]
    Seal(#[source] record::SealError),
    /// The first record of the ledger could not be made.
    #[error("the genesis record cannot be made")]
    Genesis(#[source] record::Invalid),
    /// A checkpoint could not be made.
    #[error("a checkpoint cannot be made")]
    Checkpoint(#[source] seal::Error),
    /// A thread of the ledger could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
    /// An entry does not fit into a bundle.
    #[error("the entry at seq {seq} does not fit into a bundle")]
    Bundle {
        /// Where it stands.
        seq: u64,
        /// Why not.
        source: BundleError,
    },
    /// What links records beyond their causes could not be asked.
    #[error("the links between records cannot be read")]
    Links(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The ledger was never as large as the proof that was asked for.
    #[error("the ledger has {size} entries")]
    TooFar {
        /// The number of its entries.
        size: u64,
    },
}

impl Error {
    /// Whether the database itself failed. After a write that failed, sled may refuse to read too, for
    /// as long as it is open: a half-made change of its tree stands in the reader's way.
    pub const fn is_of_database(&self) -> bool {
        matches!(self, Self::Store(store::Error::Database(_)))
    }
}

/// Why a request was not taken. Nothing of it is in the log, unless it says otherwise.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full. The same request will be taken a little later.
    #[error("the ledger's queue is full: send the same request again a little later")]
    Busy,
    /// The request is larger than the queue, and would be at any time.
    #[error(
        "the request is too large: at most {BATCH_RECORDS_MAX} records and {QUEUE_KIB_MAX} KiB are \
         taken at once"
    )]
    TooLarge,
    /// A record of the request cannot be taken, so that none was.
    #[error(transparent)]
    Refused(#[from] RefusedRecord),
    /// The ledger has stopped writing. Whether the request is in the log is unknown; sending it
    /// again after the ledger was reopened answers that.
    #[error("the ledger has stopped writing: send the same request again once it was reopened")]
    Halted,
    /// Something that was stored cannot be read.
    #[error("the ledger cannot be read")]
    Unreadable(#[source] Arc<Error>),
}

/// A record that cannot be taken, by its place in the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", error.message)]
pub struct RefusedRecord {
    /// Which record of the request, from 0.
    pub index: usize,
    /// What is wrong with it, and where.
    pub error: FieldError,
}
