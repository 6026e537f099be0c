//! The index of the store: from an id, a session or a cause to the records that have it.
//!
//! It is a fold over the log and holds nothing that the log does not say. Each [`Space`] maps 64
//! bits to the seqs of all records that may match; whoever looks something up reads those records
//! and compares, so two keys with the same 64 bits cost a read and nothing else.
//!
//! Rows gather in memory and go to disk in runs. Run *n* covers the records from 65,536 *n* on, as
//! many as a tile of the second level, and is written with the tiles of its records when it is
//! full. So a rebuilt index equals the first one to the byte, opening has to fold less than one run
//! again, and sled holds large values in place of millions of small ones, which it would keep
//! a page table for in memory.

use std::collections::{BTreeMap, BTreeSet};
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
/// How many values a run's writing puts into one batch, so that no commit waits long behind it.
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
}

impl Space {
    const ALL: [Self; 3] = [Self::Ids, Self::Sessions, Self::Effects];

    const fn number(self) -> u8 {
        match self {
            Self::Ids => 0,
            Self::Sessions => 1,
            Self::Effects => 2,
        }
    }
}

/// What one record adds to the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) id: u64,
    pub(super) session: Option<u64>,
    pub(super) causes: Vec<u64>,
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
    /// The rows that are not on disk yet.
    rows: BTreeMap<Space, BTreeSet<(u64, u64)>>,
    /// The full tiles that are not on disk yet.
    tiles: BTreeMap<(u8, u64), Arc<Tile>>,
    /// One past the seq of the last record folded in.
    through: u64,
}

/// One filter for each space of a run.
type Filters = BTreeMap<Space, Filter>;

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

    /// Folds the next records in. On return readers find them.
    pub(super) fn fold(&self, records: &[Rows], tiles: Vec<Completed>) {
        let mut state = self.write();
        for record in records {
            let seq = state.through;
            state.rows.entry(Space::Ids).or_default().insert((record.id, seq));
            if let Some(session) = record.session {
                state.rows.entry(Space::Sessions).or_default().insert((session, seq));
            }
            for cause in &record.causes {
                state.rows.entry(Space::Effects).or_default().insert((*cause, seq));
            }
            state.through += 1;
        }
        for Completed { level, index, tile } in tiles {
            state.tiles.insert((level, index), tile);
        }
    }

    /// Writes every run that is full to disk. Called after a commit was acknowledged, never before.
    pub(super) fn persist(&self, disk: &Disk) -> Result<(), Error> {
        while self.read().through.saturating_sub(self.covered()) >= RUN_RECORDS {
            self.persist_run(disk)?;
        }
        Ok(())
    }

    /// The seqs in `seqs` of the records that may match, in order.
    pub(super) fn find(&self, space: Space, key: u64, seqs: Range<u64>) -> Result<Vec<u64>, Error> {
        let state = self.read();
        let mut found = Vec::new();
        for (run, filters) in (0u32..).zip(&state.runs) {
            let first = u64::from(run) * RUN_RECORDS;
            let overlaps = first < seqs.end && first + RUN_RECORDS > seqs.start;
            if overlaps && filters.get(&space).is_some_and(|filter| filter.may_contain(key)) {
                self.find_in_run(space, run, key, &mut found)?;
            }
        }
        if let Some(rows) = state.rows.get(&space) {
            found.extend(rows.range((key, 0)..=(key, u64::MAX)).map(|(_, seq)| *seq));
        }
        found.retain(|seq| seqs.contains(seq));
        Ok(found)
    }

    /// The seqs below `below` of records that may match, in order, from the newest run that has any.
    pub(super) fn find_newest(
        &self,
        space: Space,
        key: u64,
        below: u64,
    ) -> Result<Vec<u64>, Error> {
        let state = self.read();
        let mut found: Vec<_> = match state.rows.get(&space) {
            Some(rows) => rows.range((key, 0)..(key, below)).map(|(_, seq)| *seq).collect(),
            None => Vec::new(),
        };
        let runs = (0u32..).zip(&state.runs).collect::<Vec<_>>();
        for (run, filters) in runs.into_iter().rev() {
            if !found.is_empty() {
                break;
            }
            if filters.get(&space).is_some_and(|filter| filter.may_contain(key)) {
                self.find_in_run(space, run, key, &mut found)?;
                found.retain(|seq| *seq < below);
            }
        }
        Ok(found)
    }

    /// A full tile, from memory or disk.
    pub(super) fn tile(&self, level: u8, index: u64) -> Result<Option<Arc<Tile>>, Error> {
        if let Some(tile) = self.read().tiles.get(&(level, index)) {
            return Ok(Some(Arc::clone(tile)));
        }
        let Some(bytes) = self.tree.get(tile_key(level, index))? else { return Ok(None) };
        let tile = Tile::from_bytes(&bytes).map_err(|_| Error::damaged("a tile"))?;
        Ok(Some(Arc::new(tile)))
    }

    fn find_in_run(
        &self,
        space: Space,
        run: u32,
        key: u64,
        found: &mut Vec<u64>,
    ) -> Result<(), Error> {
        // The block before the first row with this key may end with rows of the key.
        let lowest = rows_key(space.number(), run, (0, 0));
        let from = match self.tree.get_lt(rows_key(space.number(), run, (key, 1)))? {
            Some((before, _)) if before.as_ref() >= lowest.as_slice() => before,
            _ => sled::IVec::from(&lowest),
        };
        let to = rows_key(space.number(), run, (key, u64::MAX));
        for block in self.tree.range(from..=sled::IVec::from(&to)) {
            let (_, block) = block?;
            found.extend(read_rows(&block).filter(|row| row.0 == key).map(|row| row.1));
        }
        Ok(())
    }

    /// Writes the oldest run that is complete, and then forgets its rows in memory.
    fn persist_run(&self, disk: &Disk) -> Result<(), Error> {
        let run = u32::try_from(self.read().runs.len()).map_err(|_| Error::TooLarge)?;
        let seqs = u64::from(run) * RUN_RECORDS..u64::from(run + 1) * RUN_RECORDS;

        let mut writer = RunWriter { disk, batch: sled::Batch::default(), values: 0 };
        let mut filters = Filters::new();
        for space in Space::ALL {
            let rows: Vec<_> = match self.read().rows.get(&space) {
                Some(rows) => rows.iter().filter(|row| seqs.contains(&row.1)).copied().collect(),
                None => Vec::new(),
            };
            filters.insert(space, writer.put_space(space.number(), run, &rows)?);
        }
        let tiles: Vec<_> = {
            let state = self.read();
            let below = |(level, index): (u8, u64)| last_leaf(level, index) < seqs.end;
            let tiles = state.tiles.iter().filter(|(place, _)| below(**place));
            tiles.map(|(place, tile)| (*place, Arc::clone(tile))).collect()
        };
        for ((level, index), tile) in &tiles {
            writer.put(&tile_key(*level, *index), &tile.to_bytes())?;
        }
        // The count comes last: a run that was written in part is written again after a crash.
        writer.put(RUNS, &(run + 1).to_be_bytes())?;
        writer.finish()?;

        let mut state = self.write();
        state.runs.push(filters);
        for rows in state.rows.values_mut() {
            rows.retain(|row| !seqs.contains(&row.1));
        }
        for (place, _) in &tiles {
            state.tiles.remove(place);
        }
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the values of a run in batches of bounded size.
struct RunWriter<'a> {
    disk: &'a Disk,
    batch: sled::Batch,
    values: usize,
}

impl RunWriter<'_> {
    fn put_space(&mut self, space: u8, run: u32, rows: &[(u64, u64)]) -> Result<Filter, Error> {
        for block in rows.chunks(ROWS_PER_BLOCK) {
            let Some(first) = block.first() else { continue };
            let mut bytes = Vec::with_capacity(block.len() * ROW_BYTES);
            for (key, seq) in block {
                bytes.extend(key.to_be_bytes());
                bytes.extend(seq.to_be_bytes());
            }
            self.put(&rows_key(space, run, *first), &bytes)?;
        }
        let filter = Filter::of(rows.iter().map(|row| row.0), rows.len());
        for (place, part) in (0u16..).zip(filter.as_bytes().chunks(VALUE_BYTES_MAX)) {
            self.put(&filter_key(space, run, place), part)?;
        }
        Ok(filter)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.batch.insert(key, value);
        self.values += 1;
        if self.values.is_multiple_of(VALUES_PER_BATCH) {
            self.disk.write_index(std::mem::take(&mut self.batch))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Error> {
        self.disk.write_index(self.batch)
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
