//! Follows a ledger: what is missing, what looks wrong, and who is told.
//!
//! A thread reads what was committed, record by record, and folds it into a [`state`] of bounded size.
//! What it finds beyond single records becomes records of the ledger itself: `flag` for what looks
//! wrong, `capture_gap` for what is missing. The rules are a table ([`detections`]), described in
//! `schema/DETECTIONS.md`. A second kind of thread, one for each webhook, follows the same log and tells
//! others of flags and gaps ([`hooks`]).
//!
//! What a finding depends on is in the log: the records, their order, and the times at which they were
//! received. So the same log gives the same findings, however often and in whatever steps it is folded,
//! and the id of a finding follows from what it is about, so that none is written twice. Only that
//! something did not come in time is told by a clock.
//!
//! What this room does not do: it refuses nothing and holds nobody up. A ledger that nobody watches takes
//! records as well. Start with [`follower`], then [`state`].

mod delivery;
pub mod detections;
mod event;
mod finding;
mod follower;
mod hooks;
mod influence;
mod producers;
mod recent;
mod snapshot;
mod state;
mod targets;
#[cfg(test)]
mod tests;
mod watcher;

pub use detections::{DETECTIONS, Detection, Raises};
pub use hooks::{Changed, HookError, Hooks, Shown, Wanted};
pub use watcher::{Options, Watcher};

/// A moment in milliseconds since 1970.
type Millis = i64;

/// A moment that a record names.
fn millis(time: crate::record::Timestamp) -> Millis {
    i64::try_from(time.unix_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

/// The same moment, as records name it.
fn timestamp(millis: Millis) -> crate::record::Timestamp {
    let nanos = i128::from(millis) * 1_000_000;
    crate::record::Timestamp::from_unix_nanos(nanos).unwrap_or(crate::record::Timestamp::EPOCH)
}
