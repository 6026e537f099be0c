//! The queue: what is in it, and how it becomes durable.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::error::{Damage, SpoolError, at};
use super::segment;
use crate::files;

/// How large a spool may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all its files. A record that would pass it is not taken.
    pub bytes_max: u64,
    /// Bytes at which a file is full. A file goes as a whole, when all its records were settled.
    pub segment_bytes: u64,
}

/// The place of a record in a spool, in the order of pushing. It is good until the spool is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u64);

/// A bounded, durable queue of byte records in a folder of its own. Threads share it.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    limits: Limits,
    damage: Vec<Damage>,
    state: Mutex<State>,
    synced: Condvar,
    /// The folder, locked against other processes.
    _lock: File,
}

#[derive(Debug, Default)]
struct State {
    /// The files, by the number of their first record.
    segments: BTreeMap<u64, Segment>,
    /// The file that is written to.
    current: Option<u64>,
    /// The number of the next record.
    next: u64,
    /// Bytes of all files.
    bytes: u64,
    /// Records below this number are durable.
    durable: u64,
    /// Files that were written to since the last sync began.
    unsynced: Vec<Arc<File>>,
    /// Whether a file was made since the last sync began.
    made: bool,
    /// Whether somebody syncs right now. The others wait for that.
    syncing: bool,
    /// Whether a sync failed.
    failed: bool,
}

#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    bytes: u64,
    /// The places of the frames of what is not settled.
    records: BTreeMap<u64, Range<u64>>,
    damaged: bool,
}

impl Spool {
    /// Opens the spool in this folder, which is made if it is not there, for this process alone.
    ///
    /// What a crash cut off is removed. Damaged records are told by [`Spool::damage`], and all others are
    /// [`Spool::pending`].
    pub fn open(folder: &Path, limits: Limits) -> Result<Self, SpoolError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.and_then(|()| files::sync_parent(folder)).map_err(at(folder))?;
        let lock = File::open(folder).map_err(at(folder))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(SpoolError::InUse),
            Err(fs::TryLockError::Error(error)) => return Err(at(folder)(error)),
        }
        let mut state = State::default();
        let mut damage = Vec::new();
        for entry in fs::read_dir(folder).map_err(at(folder))? {
            let path = entry.map_err(at(folder))?.path();
            match segment::number(&path) {
                Some((first, true)) => damage.extend(state.take(&path, first)?),
                // Its number is not used again, so that it is not overwritten.
                Some((first, false)) => state.next = state.next.max(first.saturating_add(1)),
                None => {}
            }
        }
        damage.sort_by(|a, b| (&a.path, a.offset).cmp(&(&b.path, b.offset)));
        state.durable = state.next;
        let folder = folder.to_owned();
        let (state, synced) = (Mutex::new(state), Condvar::new());
        Ok(Self { folder, limits, damage, state, synced, _lock: lock })
    }

    /// The records that were lost before the spool was opened.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Takes a record. It is durable on return.
    pub fn push(&self, record: &[u8]) -> Result<Position, SpoolError> {
        let positions = self.push_all(&[record])?;
        positions.first().copied().ok_or(SpoolError::Unknown)
    }

    /// Takes records, all or none, in this order. They are durable on return. Threads that push at the
    /// same time share a sync.
    ///
    /// After an error other than [`SpoolError::Failed`] none of them was taken; after that one they may
    /// be there when the spool is opened again.
    pub fn push_all(&self, records: &[&[u8]]) -> Result<Vec<Position>, SpoolError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let mut state = self.lock();
        let numbers = state.append(&self.folder, self.limits, records)?;
        self.sync(state, numbers.end)?;
        Ok(numbers.map(Position).collect())
    }

    /// What is not settled, in order.
    pub fn pending(&self) -> Vec<Position> {
        let state = self.lock();
        let numbers = state.segments.values().flat_map(|segment| segment.records.keys());
        numbers.copied().map(Position).collect()
    }

    /// The first record after this one, or the first of all, that is not settled.
    pub fn next(&self, after: Option<Position>) -> Option<Position> {
        let from = after.map_or(0, |Position(number)| number.saturating_add(1));
        let state = self.lock();
        let holds = state.segments.range(..from).next_back().map(|(first, _)| *first);
        let mut segments = state.segments.range(holds.unwrap_or(from)..);
        segments.find_map(|(_, segment)| Some(Position(*segment.records.range(from..).next()?.0)))
    }

    /// A record that is not settled.
    pub fn read(&self, position: Position) -> Result<Vec<u8>, SpoolError> {
        let (file, place, first) = {
            let state = self.lock();
            let segment = state.segments.range(..=position.0).next_back();
            let (first, segment) = segment.ok_or(SpoolError::Unknown)?;
            let place = segment.records.get(&position.0).ok_or(SpoolError::Unknown)?;
            (Arc::clone(&segment.file), place.clone(), *first)
        };
        let read = segment::read(&file, &place, position.0);
        let read = read.map_err(at(&segment::path(&self.folder, first)))?;
        if read.is_none()
            && let Some(segment) = self.lock().segments.get_mut(&first)
        {
            segment.damaged = true;
        }
        read.ok_or(SpoolError::Damaged)
    }

    /// Says that a record is not needed any more. Settling it again changes nothing.
    ///
    /// After a crash it may be there again. If a file cannot be removed all of its records will be.
    pub fn settle(&self, position: Position) -> Result<(), SpoolError> {
        let mut state = self.lock();
        let Some((first, segment)) = state.segments.range_mut(..=position.0).next_back() else {
            return Ok(());
        };
        if segment.records.remove(&position.0).is_none() || !segment.records.is_empty() {
            return Ok(());
        }
        let first = *first;
        let Some(segment) = state.segments.remove(&first) else { return Ok(()) };
        state.bytes = state.bytes.saturating_sub(segment.bytes);
        state.current = state.current.filter(|current| *current != first);
        drop(state);
        segment::retire(&segment::path(&self.folder, first), segment.damaged)
    }

    /// Bytes that its files take.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Waits until all records below `end` are durable. One of those who wait syncs for all of them.
    fn sync<'a>(&'a self, mut state: MutexGuard<'a, State>, end: u64) -> Result<(), SpoolError> {
        loop {
            if state.durable >= end {
                return Ok(());
            }
            if state.failed {
                return Err(SpoolError::Failed);
            }
            if state.syncing {
                state = self.synced.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.syncing = true;
            let (written, made) = (state.next, std::mem::take(&mut state.made));
            let unsynced = std::mem::take(&mut state.unsynced);
            drop(state);
            let outcome = unsynced.iter().try_for_each(|file| file.sync_data());
            let outcome =
                outcome.and_then(|()| if made { files::sync_folder(&self.folder) } else { Ok(()) });
            state = self.lock();
            state.syncing = false;
            match outcome {
                Ok(()) => state.durable = state.durable.max(written),
                Err(error) => {
                    let path = self.folder.display();
                    tracing::error!(%path, %error, "a spool cannot be synced, and takes nothing more");
                    state.failed = true;
                }
            }
            self.synced.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes in a file that was found.
    fn take(&mut self, path: &Path, first: u64) -> Result<Vec<Damage>, SpoolError> {
        let found = segment::open(path, first)?;
        self.next = self.next.max(found.next).max(first.saturating_add(1));
        let damaged = !found.damage.is_empty();
        if found.records.is_empty() {
            segment::retire(path, damaged)?;
            return Ok(found.damage);
        }
        self.bytes = self.bytes.saturating_add(found.bytes);
        let records = found.records.into_iter().collect();
        let segment = Segment { file: Arc::new(found.file), bytes: found.bytes, records, damaged };
        self.segments.insert(first, segment);
        Ok(found.damage)
    }

    /// Writes records to the current file, or to a new one if that is full. Says which numbers they have.
    fn append(
        &mut self,
        folder: &Path,
        limits: Limits,
        records: &[&[u8]],
    ) -> Result<Range<u64>, SpoolError> {
        if self.failed {
            return Err(SpoolError::Failed);
        }
        let (mut frames, mut ends) = (Vec::new(), Vec::new());
        for (number, record) in (self.next..).zip(records) {
            segment::frame(number, record, &mut frames).ok_or(SpoolError::TooLong)?;
            ends.push(length(frames.len()));
        }
        let magic = length(segment::MAGIC.len());
        let added = length(frames.len());
        if magic + added > limits.bytes_max {
            return Err(SpoolError::TooLong);
        }
        if self.bytes + magic + added > limits.bytes_max {
            return Err(SpoolError::Full);
        }
        let first = self.current(folder, limits)?;
        let segment = self.segments.get_mut(&first).ok_or(SpoolError::Unknown)?;
        let start = segment.bytes;
        if let Err(error) = segment.file.write_all_at(&frames, start) {
            // What was written of it must not stand before what is written next, or have its numbers.
            if segment.file.set_len(start).is_err() {
                self.current = None;
                self.next += length(ends.len());
            }
            return Err(at(&segment::path(folder, first))(error));
        }
        let numbers = self.next..self.next + length(ends.len());
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let places = starts.zip(&ends).map(|(from, to)| start + from..start + to);
        segment.records.extend(numbers.clone().zip(places));
        segment.bytes += added;
        self.bytes += added;
        self.next = numbers.end;
        if !self.unsynced.iter().any(|file| Arc::ptr_eq(file, &segment.file)) {
            self.unsynced.push(Arc::clone(&segment.file));
        }
        Ok(numbers)
    }

    /// The file that is written to.
    fn current(&mut self, folder: &Path, limits: Limits) -> Result<u64, SpoolError> {
        if let Some(first) = self.current {
            let bytes = self.segments.get(&first).map(|segment| segment.bytes);
            if bytes.is_some_and(|bytes| bytes < limits.segment_bytes) {
                return Ok(first);
            }
        }
        let first = self.next;
        let path = segment::path(folder, first);
        let file = Arc::new(segment::create(&path).map_err(at(&path))?);
        let bytes = length(segment::MAGIC.len());
        let segment = Segment { file, bytes, records: BTreeMap::new(), damaged: false };
        self.segments.insert(first, segment);
        (self.current, self.made) = (Some(first), true);
        self.bytes += bytes;
        Ok(first)
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
