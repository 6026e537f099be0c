//! The index of the store: from an id, a session or a cause to the records that have it.
//!
//! It is a fold over the log and holds nothing that the log does not say. Each [`Space`] maps 64
//! bits to the seqs of all records that may match; whoever looks something up reads those records
//! and compares, so two keys with the same 64 bits cost a read and nothing else.
//!
//! Rows gather in memory and go to disk in runs. Run *n* covers the records from 65,536 *n* on, as
//! many as a tile of the second level, and is written with the tiles of its records when it is
//! full. So a rebuilt index equals the first one to the byte, opening has to fold little more than
//! one run again, and sled holds large values in place of millions of small ones, which it would
//! keep a page table for in memory.
//!
//! A run is written a few values at a time, behind commits, so that none of them waits long for it.
//! Its rows stay in memory until the last of it is durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Error;
use super::disk::Disk;
use super::filter::Filter;
use super::layout::{RUNS, VALUE_BYTES_MAX, filter_key, rows_key, tile_key};
use crate::proof::{Completed, Tile};

/// Records of a run: the leaves below one tile of the second level.
pub(super) const RUN_RECORDS: u64 = 65_536;

const ROW_BYTES: usize = 16;
const ROWS_PER_BLOCK: usize = VALUE_BYTES_MAX / ROW_BYTES;
/// How many values of a run are written at once: what a commit may have to wait for. A run has some
/// 700 values, so it is on disk long before the next one is full.
const VALUES_PER_BATCH: usize = 64;

/// What the rows of an index map from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Space {
    /// Lookup key of a record's id → its seq.
    Ids,
    /// Lookup key of a session's id → the seqs of its records.
    Sessions,
    /// Seq of a cause → the seqs of its effects.
    Effects,
    /// Lookup key of a subject → the seqs of the records that change its state.
    Subjects,
}

impl Space {
    const ALL: [Self; 4] = [Self::Ids, Self::Sessions, Self::Effects, Self::Subjects];

    const fn number(self) -> u8 {
        match self {
            Self::Ids => 0,
            Self::Sessions => 1,
            Self::Effects => 2,
            Self::Subjects => 3,
        }
    }
}

/// What one record adds to the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) id: u64,
    pub(super) session: Option<u64>,
    pub(super) causes: Vec<u64>,
    pub(super) subjects: Vec<u64>,
}

/// The index of one ledger. Readers share it with the one writer.
#[derive(Debug)]
pub(super) struct Index {
    tree: sled::Db,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The complete runs on disk, oldest first, by their filters.
    runs: Vec<Filters>,
    /// The full runs that are not all on disk yet, oldest first.
    full: VecDeque<Arc<Fresh>>,
    /// The run that is being filled.
    filling: Fresh,
    /// One past the seq of the last record folded in.
    through: u64,
}

/// A run in memory.
#[derive(Debug, Default)]
struct Fresh {
    rows: BTreeMap<Space, BTreeSet<(u64, u64)>>,
    tiles: BTreeMap<(u8, u64), Arc<Tile>>,
}

/// One filter for each space of a run.
type Filters = BTreeMap<Space, Filter>;

impl State {
    /// The runs that are in memory, oldest first.
    fn fresh(&self) -> impl DoubleEndedIterator<Item = &Fresh> {
        self.full.iter().map(AsRef::as_ref).chain(std::iter::once(&self.filling))
    }

    /// The runs on disk that may have the key, oldest first.
    fn candidates(&self, space: Space, key: u64) -> impl DoubleEndedIterator<Item = u32> {
        let runs = self.runs.iter().enumerate().filter(move |(_, filters)| {
            filters.get(&space).is_some_and(|filter| filter.may_contain(key))
        });
        runs.filter_map(|(run, _)| u32::try_from(run).ok())
    }
}

impl Fresh {
    fn add(&mut self, space: Space, row: (u64, u64)) {
        self.rows.entry(space).or_default().insert(row);
    }

    /// The seqs of a key, in order.
    fn seqs(
        &self,
        space: Space,
        key: u64,
        seqs: &Range<u64>,
    ) -> impl DoubleEndedIterator<Item = u64> {
        let rows = self.rows.get(&space).filter(|_| seqs.start < seqs.end);
        let rows = rows.map(|rows| rows.range((key, seqs.start)..(key, seqs.end)));
        rows.into_iter().flatten().map(|(_, seq)| *seq)
    }
}

impl Index {
    /// Opens what is on disk. The records from [`Self::covered`] on have to be folded in again.
    pub(super) fn open(tree: sled::Db) -> Result<Self, Error> {
        let runs = match tree.get(RUNS)? {
            Some(bytes) => {
                let bytes =
                    bytes.as_ref().try_into().map_err(|_| Error::damaged("the run count"))?;
                u32::from_be_bytes(bytes)
            }
            None => 0,
        };
        let runs = (0..runs).map(|run| read_filters(&tree, run)).collect::<Result<Vec<_>, _>>()?;
        let state = State { runs, ..State::default() };
        let index = Self { tree, state: RwLock::new(state) };
        index.write().through = index.covered();
        Ok(index)
    }

    /// The number of records, from the first on, whose rows and tiles are on disk.
    pub(super) fn covered(&self) -> u64 {
        let runs = u64::try_from(self.read().runs.len()).unwrap_or(u64::MAX);
        runs.saturating_mul(RUN_RECORDS)
    }

    /// Folds the next records in, with the tiles that they complete, in order. On return readers
    /// find them.
    pub(super) fn fold(&self, records: &[Rows], tiles: Vec<Completed>) {
        let mut tiles = tiles.into_iter().peekable();
        let mut state = self.write();
        for record in records {
            let seq = state.through;
            state.filling.add(Space::Ids, (record.id, seq));
            if let Some(session) = record.session {
                state.filling.add(Space::Sessions, (session, seq));
            }
            for cause in &record.causes {
                state.filling.add(Space::Effects, (*cause, seq));
            }
            for subject in &record.subjects {
                state.filling.add(Space::Subjects, (*subject, seq));
            }
            while let Some(tile) = tiles.next_if(|tile| last_leaf(tile.level, tile.index) <= seq) {
                state.filling.tiles.insert((tile.level, tile.index), tile.tile);
            }
            state.through += 1;
            if state.through.is_multiple_of(RUN_RECORDS) {
                let full = std::mem::take(&mut state.filling);
                state.full.push_back(Arc::new(full));
            }
        }
    }

    /// Writes the next few values of the oldest full run that is not on disk; more only if another
    /// run has become full meanwhile. Called after a commit was acknowledged, never before.
    pub(super) fn persist(&self, disk: &Disk, writer: &mut Option<RunWriter>) -> Result<(), Error> {
        while self.persist_some(disk, writer)? {
            if self.read().full.len() <= 1 {
                break;
            }
        }
        Ok(())
    }

    /// Writes every full run to disk.
    pub(super) fn persist_all(
        &self,
        disk: &Disk,
        writer: &mut Option<RunWriter>,
    ) -> Result<(), Error> {
        while self.persist_some(disk, writer)? {}
        Ok(())
    }

    /// Whether it wrote anything.
    fn persist_some(&self, disk: &Disk, writer: &mut Option<RunWriter>) -> Result<bool, Error> {
        let mut run = match writer.take() {
            Some(run) => run,
            None => match self.next_run()? {
                Some(run) => run,
                None => return Ok(false),
            },
        };
        if run.write_some(disk)? {
            *writer = Some(run);
            return Ok(true);
        }
        // All of the run is durable, and only now it is said to be there.
        let mut count = sled::Batch::default();
        count.insert(RUNS, &run.number.saturating_add(1).to_be_bytes());
        disk.write_index(count)?;
        let mut state = self.write();
        state.runs.push(run.filters);
        let forgotten = state.full.pop_front();
        drop(state);
        // Freeing many rows takes a while, and no reader has to wait for it.
        drop((forgotten, run.fresh));
        Ok(true)
    }

    /// The oldest full run that is not on disk, of which nothing is written yet.
    fn next_run(&self) -> Result<Option<RunWriter>, Error> {
        let state = self.read();
        let number = u32::try_from(state.runs.len()).map_err(|_| Error::TooLarge)?;
        Ok(state.full.front().map(|fresh| RunWriter::new(number, Arc::clone(fresh))))
    }

    /// The first seqs in `seqs` of the records that may match, in order, at most `limit`.
    pub(super) fn find(
        &self,
        space: Space,
        key: u64,
        seqs: &Range<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, Error> {
        // What is in memory is copied, so that nobody waits for the lock while the disk is read.
        let (runs, newer) = {
            let state = self.read();
            let overlaps = |run: &u32| {
                let first = u64::from(*run) * RUN_RECORDS;
                first < seqs.end && first + RUN_RECORDS > seqs.start
            };
            let runs: Vec<_> = state.candidates(space, key).filter(overlaps).collect();
            let newer = state.fresh().flat_map(|fresh| fresh.seqs(space, key, seqs));
            (runs, newer.take(limit).collect::<Vec<_>>())
        };
        let mut found = Vec::new();
        for run in runs {
            if found.len() >= limit {
                break;
            }
            let rest = limit - found.len();
            found.extend(self.find_in_run((space, run), key, seqs, rest)?);
        }
        found.extend(newer);
        found.truncate(limit);
        Ok(found)
    }

    /// The last seq below `below` of a record that may match.
    pub(super) fn find_newest(
        &self,
        space: Space,
        key: u64,
        below: u64,
    ) -> Result<Option<u64>, Error> {
        let runs: Vec<_> = {
            let state = self.read();
            let mut newest = state.fresh().rev();
            let newest = newest.find_map(|fresh| fresh.seqs(space, key, &(0..below)).next_back());
            if newest.is_some() {
                return Ok(newest);
            }
            state.candidates(space, key).rev().collect()
        };
        for run in runs {
            // If the run has any, then the last is in the last block that starts below it.
            let place = rows_key(space.number(), run, (key, below));
            let Some((first, block)) = self.tree.get_lt(place)? else { continue };
            if first.as_ref() < rows_key(space.number(), run, (0, 0)).as_slice() {
                continue;
            }
            let newest = read_rows(&block).filter(|row| row.0 == key && row.1 < below).last();
            if let Some((_, seq)) = newest {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }

    /// A full tile, from memory or disk.
    pub(super) fn tile(&self, level: u8, index: u64) -> Result<Option<Arc<Tile>>, Error> {
        let place = (level, index);
        if let Some(tile) = self.read().fresh().find_map(|fresh| fresh.tiles.get(&place)) {
            return Ok(Some(Arc::clone(tile)));
        }
        let Some(bytes) = self.tree.get(tile_key(level, index))? else { return Ok(None) };
        let tile = Tile::from_bytes(&bytes).map_err(|_| Error::damaged("a tile"))?;
        Ok(Some(Arc::new(tile)))
    }

    /// The first wanted seqs of one run, in order, at most `limit`.
    fn find_in_run(
        &self,
        (space, run): (Space, u32),
        key: u64,
        seqs: &Range<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, Error> {
        let mut found = Vec::new();
        // The block that starts before the first wanted row may end with it.
        let place = |seq| rows_key(space.number(), run, (key, seq));
        let lowest = rows_key(space.number(), run, (0, 0));
        let from = match self.tree.get_lt(place(seqs.start.saturating_add(1)))? {
            Some((before, _)) if before.as_ref() >= lowest.as_slice() => before,
            _ => sled::IVec::from(&lowest),
        };
        for block in self.tree.range(from..=sled::IVec::from(&place(seqs.end))) {
            let (_, block) = block?;
            let wanted = read_rows(&block).filter(|row| row.0 == key && seqs.contains(&row.1));
            found.extend(wanted.map(|row| row.1).take(limit - found.len()));
            if found.len() >= limit {
                break;
            }
        }
        Ok(found)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A full run on its way to disk.
#[derive(Debug)]
pub(super) struct RunWriter {
    number: u32,
    fresh: Arc<Fresh>,
    /// What is still to be turned into values.
    parts: VecDeque<Part>,
    /// What is still to be written.
    values: VecDeque<(Vec<u8>, Vec<u8>)>,
    filters: Filters,
}

/// A part of a run.
#[derive(Clone, Copy, Debug)]
enum Part {
    Rows(Space),
    Tiles,
}

impl RunWriter {
    fn new(number: u32, fresh: Arc<Fresh>) -> Self {
        let parts = Space::ALL.map(Part::Rows).into_iter().chain([Part::Tiles]).collect();
        Self { number, fresh, parts, values: VecDeque::new(), filters: Filters::new() }
    }

    /// Writes the next values, durably. `false` if there are none left.
    fn write_some(&mut self, disk: &Disk) -> Result<bool, Error> {
        while self.values.len() < VALUES_PER_BATCH {
            match self.parts.pop_front() {
                Some(Part::Rows(space)) => self.encode_rows(space),
                Some(Part::Tiles) => {
                    let tiles = self.fresh.tiles.iter();
                    let tile = |((level, index), tile): (&(u8, u64), &Arc<Tile>)| {
                        (tile_key(*level, *index).to_vec(), tile.to_bytes())
                    };
                    self.values.extend(tiles.map(tile));
                }
                None => break,
            }
        }
        if self.values.is_empty() {
            return Ok(false);
        }
        let mut batch = sled::Batch::default();
        let some = self.values.len().min(VALUES_PER_BATCH);
        for (key, value) in self.values.drain(..some) {
            batch.insert(key, value);
        }
        disk.write_index(batch)?;
        Ok(true)
    }

    /// The rows of a space in blocks, and the filter over their keys.
    fn encode_rows(&mut self, space: Space) {
        let empty = BTreeSet::new();
        let rows = self.fresh.rows.get(&space).unwrap_or(&empty);
        let mut block = Vec::with_capacity(VALUE_BYTES_MAX);
        let mut place = None;
        let mut keys: Vec<u64> = Vec::new();
        for row in rows {
            if place.is_some() && block.len() == ROWS_PER_BLOCK * ROW_BYTES {
                let full = std::mem::replace(&mut block, Vec::with_capacity(VALUE_BYTES_MAX));
                self.values.extend(place.take().map(|place| (place, full)));
            }
            place.get_or_insert_with(|| rows_key(space.number(), self.number, *row).to_vec());
            block.extend(row.0.to_be_bytes());
            block.extend(row.1.to_be_bytes());
            if keys.last() != Some(&row.0) {
                keys.push(row.0);
            }
        }
        self.values.extend(place.map(|place| (place, block)));

        let filter = Filter::of(&keys);
        for (place, part) in (0u16..).zip(filter.as_bytes().chunks(VALUE_BYTES_MAX)) {
            let key = filter_key(space.number(), self.number, place).to_vec();
            self.values.push_back((key, part.to_vec()));
        }
        self.filters.insert(space, filter);
    }
}

/// The last leaf below a tile: a tile of level *l* stands over 256^(l+1) leaves.
fn last_leaf(level: u8, index: u64) -> u64 {
    let leaves = 1u64.checked_shl(8 * (u32::from(level) + 1)).unwrap_or(u64::MAX);
    leaves.saturating_mul(index.saturating_add(1)).saturating_sub(1)
}

fn read_filters(tree: &sled::Db, run: u32) -> Result<Filters, Error> {
    let mut filters = Filters::new();
    for space in Space::ALL {
        let places = filter_key(space.number(), run, 0)..=filter_key(space.number(), run, u16::MAX);
        let mut bytes = Vec::new();
        for part in tree.range(places) {
            bytes.extend(part?.1.as_ref());
        }
        filters.insert(space, Filter::from_bytes(bytes));
    }
    Ok(filters)
}

fn read_rows(block: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let (rows, _) = block.as_chunks::<ROW_BYTES>();
    rows.iter().map(|row| {
        let row = u128::from_be_bytes(*row);
        let low = row & u128::from(u64::MAX);
        (u64::try_from(row >> 64).unwrap_or(u64::MAX), u64::try_from(low).unwrap_or(u64::MAX))
    })
}
