//! What an auditor checks, from bytes alone; findings.
//!
//! [`verify()`] takes a [`Source`] of files in the archive's layout (SPEC 6), whether they come from a
//! folder, a server or a stopped server's database, and re-hashes everything that is there. Tampering
//! is a [`Finding`], not an error: the audit goes on and lists them all, and what is damaged or missing
//! is tampering too. An error means that the check could not be made.
//!
//! What cannot be found: that the checkpoint of a batch was taken out of the middle, because nothing
//! depends on it; and, without a checkpoint that somebody kept elsewhere, that the log was cut back to
//! an earlier state of itself or replaced as a whole under the same key.
//!
//! What this room does not do: it shares nothing with the writer but the formats. It cannot reach the
//! store or the ledger, reads no clock, and asks nobody. Start with [`audit`].

mod audit;
mod examine;
mod finding;
mod link;
mod notes;
mod producers;
mod source;
mod tree;
mod walk;

pub use audit::{Brought, Error, Options, ReceiptClaim, Report, verify};
pub use finding::{Code, Finding, Findings};
pub use source::{Head, Meta, Notes, Source, SourceError, parse_checkpoints, read_checkpoints};
