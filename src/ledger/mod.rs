//! The one writer, the rules and flags it applies, and the view that readers share.
//!
//! A record is prepared in parallel ([`Ledger::prepare`]), then waits in a bounded queue for the
//! ledger's one writer. The writer takes what is queued and gives each record its place
//! ([`sequencer`]); a second thread commits what it has built ([`committer`]), so that one batch is
//! built while the one before is being synced. A receipt is sent after the commit and never before.
//!
//! Until the commit an error refuses a request and changes nothing. At the commit it halts the
//! ledger: what is on disk is unknown, so nothing is written and nothing acknowledged until the
//! ledger is opened again. After the commit nothing may fail the request.
//!
//! What this room does not do: it parses nothing from outside and knows no HTTP; it reads neither
//! clock nor randomness of its own ([`Clock`], [`Random`]). Start with [`sequencer`].

pub mod archive;
mod committer;
mod erase;
mod error;
mod holds;
mod import;
mod in_force;
mod known;
mod open;
mod prepare;
mod producers;
mod queue;
mod receipt;
mod registry;
mod rules;
mod sequencer;
mod state;
pub mod trace;
mod view;
mod weak;

pub use erase::{EraseError, Erased, Order};
pub use error::{Error, RefusedRecord, SubmitError};
pub use holds::Hold;
pub use import::{Importer, Inspected};
pub use known::PolicyChange;
pub use open::Environment;
pub use prepare::Prepared;
pub use queue::{BATCH_RECORDS_MAX, Ledger};
pub use receipt::Receipt;
pub use registry::{Ledgers, Settings};
pub use view::{Published, Raised, RecordView, SeqEntry, View};
pub use weak::WeakLedger;

pub use crate::store::StoredPart;

use std::fmt;
use std::io;

use crate::record::Timestamp;

/// Where the writer reads the time, once for each batch.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Where salts, ids and keys come from.
pub trait Random: fmt::Debug + Send + Sync {
    /// Fills the buffer with bytes that nobody can guess.
    fn fill(&self, buffer: &mut [u8]) -> io::Result<()>;
}
