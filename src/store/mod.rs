//! Durable, append-only bytes: batches of sealed records on sled, and what is derived from them.
//!
//! [`Appender::commit`] returns when a batch and its checkpoint are fsynced; that is what every
//! acknowledgement rests on. The journal of batches is the truth. Ids, sessions, effects and tiles
//! are folded from it, by the same code when running and when opening ([`open()`]).
//!
//! There is one [`Appender`] for each store, and it cannot be cloned: the single writer is a fact of
//! types. A [`Reader`] can be cloned freely.
//!
//! If a thread of sled's own panics while it writes, then sled may let a commit wait for ever: nothing
//! is acknowledged from then on, and the process has to be restarted.
//!
//! What this room does not do: it decides nothing. Which record may follow which, what is signed and
//! what is published is the ledger's. Start with [`journal`].

mod block;
mod compact;
mod database;
mod disk;
mod erase;
mod error;
mod filter;
mod flush;
mod index;
mod journal;
mod layout;
mod open;
mod reader;

pub use block::StoredPart;
pub use compact::{compact, holds_erased};
pub use database::{create, exists, wait_until_released};
pub use disk::{Faults, NoFaults, Step};
pub use error::Error;
pub use journal::{Appender, Batch, BatchHeader, Keys, Record};
pub use open::{Head, Inspection, Meta, Opened, Options, inspect, open};
pub use reader::{Committed, Reader, Tiles};
