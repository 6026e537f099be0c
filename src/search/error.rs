//! What can go wrong with a search.

use crate::store;

/// A search could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A stored entry cannot be read.
    #[error("the entry at seq {seq} cannot be read")]
    Entry {
        /// Where it stands.
        seq: u64,
    },
    /// The index failed. It is built again by itself if it is not whole.
    #[error("the index failed")]
    Index(#[source] tantivy::TantivyError),
    /// A search failed, so that it is to be seen whether the index is whole.
    #[error("a search failed: the index is looked over")]
    Doubtful,
    /// A file of the index could not be used.
    #[error("cannot use {path}")]
    Io {
        /// The file or folder.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The query asks for something that the index cannot answer.
    #[error("{0}")]
    Unanswerable(&'static str),
}

impl From<tantivy::TantivyError> for Error {
    fn from(error: tantivy::TantivyError) -> Self {
        // The one argument that a query can bring is a beginning that too many words have.
        let too_many = matches!(
            &error,
            tantivy::TantivyError::InvalidArgument(why) if why.contains("max expansions")
        );
        if too_many {
            return Self::Unanswerable(
                "too many words begin like the last word of the phrase: write more of it",
            );
        }
        Self::Index(error)
    }
}
