//! An index derived from the store, rebuilt at will, and the query language.
//!
//! The store is the truth; the index only says *which* records match, as seqs, and whoever asks reads
//! the records from the store. So the index can be deleted at any time, and it never shows anything
//! that is not in the ledger.
//!
//! What this room does not do: it decides nothing about a record and proves nothing; it has no clock
//! (relative times are resolved against a moment that the caller gives) and knows no HTTP. Start with
//! [`query`].

mod careful;
mod compile;
mod document;
mod error;
mod follower;
mod gather;
mod index;
pub mod query;
mod schema;
mod sessions;
mod snippet;
pub mod text;
mod writer;

pub use error::Error;
pub use gather::{Facet, Order};
pub use index::{FacetCounts, Found, FoundSessions, Histogram, Index, Request};
pub use query::{Query, QueryError, parse};
pub use sessions::SessionHit;
pub use snippet::{Highlighter, Snippet};

use std::io;
use std::sync::Arc;

/// Where the secret of a new index comes from.
pub type Secrets = Arc<dyn Fn() -> io::Result<[u8; 32]> + Send + Sync>;
