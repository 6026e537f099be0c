//! The state on disk: a small file that can be deleted, and is then made again from the log.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::state::State;
use crate::canon::EntryHash;
use crate::files;
use crate::store::Reader;

/// The version of the file. A file of another one is made again.
const VERSION: u64 = 1;

#[derive(Serialize)]
struct Written<'a> {
    v: u64,
    last: EntryHash,
    state: &'a State,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    v: u64,
    /// The hash of the last entry that the state took, so that it is not used for another log.
    last: EntryHash,
    state: State,
}

/// The state in a file, if it is one of this log as it is.
pub(super) fn load(path: &Path, log: &Reader, size: u64) -> Option<State> {
    let bytes = fs::read(path).ok()?;
    let read: Read = serde_json::from_slice(&bytes).ok()?;
    let fits = read.v == VERSION
        && read.state.next <= size
        && last(log, read.state.next).is_some_and(|last| last == read.last);
    fits.then_some(read.state)
}

/// Writes the state to a file. What a crash leaves is the old file or the new one; both will do.
pub(super) fn save(path: &Path, log: &Reader, state: &State) -> io::Result<()> {
    let last = last(log, state.next).ok_or(io::ErrorKind::InvalidData)?;
    let mut bytes = Vec::new();
    serde_json::to_writer(&mut bytes, &Written { v: VERSION, last, state })?;
    files::replace(path, &bytes)
}

/// The hash of the entry before `next`, if there is one.
fn last(log: &Reader, next: u64) -> Option<EntryHash> {
    let bytes = log.entry(next.checked_sub(1)?).ok().flatten()?;
    Some(EntryHash::of(&bytes))
}
