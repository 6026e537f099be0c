//! An index derived from the store, rebuilt at will, and the query language.
//!
//! The store is the truth; the index only says *which* records match, as seqs, and whoever asks reads
//! the records from the store. So the index can be deleted at any time, and it never shows anything
//! that is not in the ledger.
//!
//! What this room does not do: it decides nothing about a record and proves nothing; it has no clock
//! (relative times are resolved against a moment that the caller gives) and knows no HTTP. Start with
//! [`query`].

pub mod query;
pub mod text;

pub use query::Query;
