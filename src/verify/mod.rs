//! What an auditor checks, from bytes alone; findings.
//!
//! [`verify()`] takes a [`Source`] of files in the archive's layout (SPEC 6), whether they come from a
//! folder, a server or a stopped server's database, and re-hashes everything that is there. Tampering
//! is a [`Finding`], not an error: the audit goes on and lists them all. An error means that the check
//! could not be made.
//!
//! What this room does not do: it shares nothing with the writer but the formats. It cannot reach the
//! store or the ledger, reads no clock, and asks nobody. Start with [`audit`].

mod audit;
mod examine;
mod finding;
mod link;
mod source;
mod tree;

pub use audit::{Error, Options, ReceiptClaim, Report, verify};
pub use finding::{Code, Finding, Findings};
pub use source::{Meta, Source, SourceError, parse_checkpoints};
