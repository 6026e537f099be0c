//! A bounded queue on disk: what was taken is durable until it is settled.
//!
//! Records are byte strings. [`Spool::push`] answers after they were synced to the disk, and callers that
//! push at the same time share one sync. A record stays until it is settled ([`Spool::settle`]); a file
//! goes when everything in it was settled. A spool that is full takes nothing and loses nothing.
//!
//! After a crash every record is there that was taken and not settled, and perhaps some that were settled:
//! what is done with a record must bear being done twice. What a crash cut off in the middle of a write
//! was taken by nobody, and is gone; a record that changed on the disk is reported ([`Damage`]), and the
//! file that it stood in is kept aside.
//!
//! What this room does not do: it knows nothing of what is in the records, and hands out none twice on
//! its own. Start with [`queue`].

mod error;
mod queue;
mod segment;
#[cfg(test)]
mod tests;

pub use error::{Damage, SpoolError};
pub use queue::{Limits, Position, Spool};
