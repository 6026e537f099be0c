//! What a record is: kinds, fields, identities, limits; Draft → Event → Entry.
//!
//! A [`Draft`] is what was posted, with the right shape and nothing else checked. An [`Event`] is a
//! record within every rule that needs no other record: holding one is the proof that it was
//! checked. An [`Entry`] is an event in its place in a ledger: the bytes that are hashed, chained,
//! signed, stored and served. [`Kind::rules`] is the table of what each kind needs.
//!
//! An error of this room names members and limits, and never repeats what was sent: a secret that
//! lands in the wrong field must not travel on in an error.
//!
//! What this room does not do: it looks up no cause, knows no session's state and reads no clock.
//! That a cause exists and has the right kind is for the ledger, which asks [`cause_allowed`].
//! Start with [`draft`], then [`event`] and [`entry`].

#[macro_use]
mod shape;

pub mod cause;
mod check;
pub mod data;
pub mod draft;
pub mod entry;
pub mod event;
mod facts;
pub mod fault;
pub mod flag;
pub mod identity;
pub mod kind;
pub mod limits;
mod looks;
pub mod placement;
pub mod rules;
pub mod schema;
pub mod shown;
mod signed;
pub mod source;
pub mod spans;
pub mod subject;
pub mod text;
pub mod time;

pub use cause::{Cause, RecordId, Rel};
pub use data::Data;
pub use draft::Draft;
pub use entry::{Commitment, Entry, NotAnEntry, ResolvedCause, SealedSession};
pub use event::{ContentPart, Event};
pub use fault::{Code, FieldError, Invalid};
pub use flag::{Flag, Severity};
pub use identity::{Agent, Session, Trigger, User};
pub use kind::Kind;
pub use looks::same_identity;
pub use placement::{CauseLink, LedgerName, Placement, SealError, Sealed, SessionLink};
pub use rules::{Rules, cause_allowed};
pub use source::{Captured, ProducerSignature, Source, Trace};
pub use subject::Subject;
pub use text::{Hex, List, Members, Text};
pub use time::Timestamp;

#[cfg(test)]
mod tests;
