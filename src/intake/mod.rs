//! Telemetry waits here, durably, until it can be told as records.
//!
//! A post goes into a journal on disk and is synced before its sender is answered ([`Intake::post`]). A
//! thread gathers what belongs together ([`buffer`]): spans are exported as they end, so what was done comes
//! before why. What is over, or quiet for too long, is assembled to records and submitted ([`teller`]); a
//! post leaves the journal when all of it was told and nothing more is expected to join it. After a crash
//! the journal is read again: records that are in the ledger already are left out, so that the ledger has
//! the same records as if nothing had happened.
//!
//! What was answered is never lost: a ledger that is busy or halted is tried again, a record that a rule
//! refuses is told as a refusal ([`Refusals`]). Where there is no room a post is refused, and the exporter
//! sends it again.
//!
//! What this room does not do: it decides nothing about what telemetry means (`capture` does), and knows no
//! HTTP. Start with [`inbox`].

mod buffer;
mod gap;
mod inbox;
mod memory;
mod post;
mod teller;
mod worker;

pub use inbox::{Error, Intake, Options, PostError, Taken, Times};
pub use post::Origin;
pub use teller::{NotTold, Refusals};

pub use crate::capture::otlp::DecodeError;
pub use crate::spool::Limits as JournalLimits;
