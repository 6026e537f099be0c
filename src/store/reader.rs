//! Reading what was committed. A reader can be cloned and used from any thread.

use std::iter;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use quick_cache::sync::Cache;

use super::block::{self, StoredPart};
use super::index::{Index, Space};
use super::layout::{BATCH, CONTENT, ENTRIES, fragment_key, seq_key, seq_of};
use super::{BatchHeader, Error};
use crate::canon;
use crate::proof::{Tile, TileReader, Tree};
use crate::record::Subject;

/// Unpacked blocks kept for the next read: some 35 MiB of entries.
const BLOCKS_CACHED: usize = 2_048;
/// Expanded tiles kept for the next proof, of 16 KiB each.
const TILES_CACHED: usize = 512;

/// A log that grows, for one who derives something from it.
pub trait Committed: std::fmt::Debug + Send + Sync {
    /// Reads what was committed.
    fn reader(&self) -> &Reader;

    /// The number of published entries, as soon as it is more than `known`, and at the latest when
    /// the patience is over or nothing more will come.
    fn size_beyond(&self, known: u64, patience: Duration) -> u64;
}

/// Reads a ledger's database. What is committed may be newer than what is published: asking only
/// for seqs below the published size is the caller's part.
#[derive(Clone, Debug)]
pub struct Reader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tree: sled::Db,
    index: Arc<Index>,
    blocks: Cache<u64, Arc<EntryBlock>>,
    tiles: Cache<(u8, u64), Arc<Tile>>,
    /// Held while content is read, and while it is erased: a block may be read in several parts.
    erasing: RwLock<()>,
}

/// An unpacked block: the entries from `first_seq` on.
#[derive(Debug)]
struct EntryBlock {
    first_seq: u64,
    entries: Vec<Arc<[u8]>>,
}

impl Reader {
    pub(super) fn new(tree: sled::Db, index: Arc<Index>) -> Self {
        let (blocks, tiles) = (Cache::new(BLOCKS_CACHED), Cache::new(TILES_CACHED));
        let erasing = RwLock::new(());
        Self { inner: Arc::new(Inner { tree, index, blocks, tiles, erasing }) }
    }

    /// The bytes of one entry, as they were hashed. `None` if there is no such entry.
    pub fn entry(&self, seq: u64) -> Result<Option<Arc<[u8]>>, Error> {
        let Some(first_seq) = self.block_with(ENTRIES, seq)? else { return Ok(None) };
        let block = if let Some(block) = self.inner.blocks.get(&first_seq) {
            block
        } else {
            let entries = unpack_entries(&self.fragments(ENTRIES, first_seq)?)?;
            let block = Arc::new(EntryBlock { first_seq, entries });
            self.inner.blocks.insert(first_seq, Arc::clone(&block));
            block
        };
        let place = usize::try_from(seq - block.first_seq).unwrap_or(usize::MAX);
        Ok(block.entries.get(place).map(Arc::clone))
    }

    /// The entries in `seqs`, in order, read past the cache. It ends early where entries end.
    pub fn entries(
        &self,
        seqs: Range<u64>,
    ) -> impl Iterator<Item = Result<(u64, Arc<[u8]>), Error>> + '_ {
        let start = self.block_with(ENTRIES, seqs.start).map(|first| first.unwrap_or(seqs.start));
        let (start, failed) = match start {
            Ok(start) => (start, None),
            Err(error) => (seqs.end, Some(Err(error))),
        };
        let blocks = self.blocks(ENTRIES, start..seqs.end).map(|block| {
            let (first_seq, block) = block?;
            Ok((first_seq, unpack_entries(&block)?))
        });
        let entries = blocks.flat_map(|block: Result<_, Error>| match block {
            Ok((first_seq, entries)) => (first_seq..).zip(entries).map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        });
        let wanted = entries.filter(move |entry| match entry {
            Ok((seq, _)) => seqs.contains(seq),
            Err(_) => true,
        });
        failed.into_iter().chain(wanted)
    }

    /// The content of one record, in the order in which its entry names it. Empty if it has none.
    pub fn content(&self, seq: u64) -> Result<Vec<StoredPart>, Error> {
        let reading = self.reading_content();
        let Some(first_seq) = self.block_with(CONTENT, seq)? else { return Ok(Vec::new()) };
        let block = self.fragments(CONTENT, first_seq)?;
        drop(reading);
        let raw = block::unpack(&block)?;
        for record in block::contents(&raw) {
            let (found, parts) = record?;
            if found == seq {
                return Ok(parts);
            }
        }
        Ok(Vec::new())
    }

    /// The content of all records in `seqs` that have any, in order.
    pub fn contents(&self, seqs: Range<u64>) -> Result<Vec<(u64, Vec<StoredPart>)>, Error> {
        let _reading = self.reading_content();
        let start = self.block_with(CONTENT, seqs.start)?.unwrap_or(seqs.start);
        let mut found = Vec::new();
        for block in self.blocks(CONTENT, start..seqs.end) {
            for record in block::contents(&block::unpack(&block?.1)?) {
                let record = record?;
                if seqs.contains(&record.0) {
                    found.push(record);
                }
            }
        }
        Ok(found)
    }

    /// The batch that the entry at `seq` was committed with.
    pub fn batch(&self, seq: u64) -> Result<Option<BatchHeader>, Error> {
        let Some(after) = seq.checked_add(1) else { return Ok(None) };
        let Some((key, value)) = self.inner.tree.get_lt(seq_key(BATCH, after))? else {
            return Ok(None);
        };
        let Some(first_seq) = seq_of(BATCH, &key) else { return Ok(None) };
        let header = BatchHeader::parse(first_seq, &value)?;
        Ok(header.seqs().contains(&seq).then_some(header))
    }

    /// The batches whose first entry is in `seqs`, in order.
    pub fn batches(&self, seqs: Range<u64>) -> impl Iterator<Item = Result<BatchHeader, Error>> {
        let keys = seq_key(BATCH, seqs.start)..seq_key(BATCH, seqs.end.max(seqs.start));
        self.inner.tree.range(keys).map(|batch| {
            let (key, value) = batch?;
            let first_seq = seq_of(BATCH, &key).ok_or(Error::damaged("a batch's key"))?;
            BatchHeader::parse(first_seq, &value)
        })
    }

    /// The last batch of the store.
    pub fn last_batch(&self) -> Result<Option<BatchHeader>, Error> {
        let Some((key, value)) = self.inner.tree.get_lt([BATCH + 1])? else { return Ok(None) };
        let Some(first_seq) = seq_of(BATCH, &key) else { return Ok(None) };
        BatchHeader::parse(first_seq, &value).map(Some)
    }

    /// The seqs below `size` of the records that may have this id: read them and compare.
    pub fn with_id(&self, id: &str, size: u64) -> Result<Vec<u64>, Error> {
        self.inner.index.find(Space::Ids, canon::lookup_key(id.as_bytes()), &(0..size), usize::MAX)
    }

    /// The first seqs in `seqs` of the records that may be of this session, in order, at most
    /// `limit`: read them and compare.
    pub fn with_session(
        &self,
        session: &str,
        seqs: &Range<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, Error> {
        self.inner.index.find(Space::Sessions, canon::lookup_key(session.as_bytes()), seqs, limit)
    }

    /// The last seq below `below` of a record that may be of this session: read it and compare, and
    /// ask again below it if it is not.
    pub fn newest_with_session(&self, session: &str, below: u64) -> Result<Option<u64>, Error> {
        let key = canon::lookup_key(session.as_bytes());
        self.inner.index.find_newest(Space::Sessions, key, below)
    }

    /// The first seqs in `seqs` of the records that may change the state of this subject, in order, at
    /// most `limit`: read them and compare.
    pub fn of_subject(
        &self,
        subject: Subject<'_>,
        seqs: &Range<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, Error> {
        self.inner.index.find(Space::Subjects, subject.lookup_key(), seqs, limit)
    }

    /// The entries below `below` that may change the state of this subject, the newest first: compare
    /// each. After an error there is nothing more to ask for.
    pub fn newest_of_subject(
        &self,
        subject: Subject<'_>,
        mut below: u64,
    ) -> impl Iterator<Item = Result<(u64, Arc<[u8]>), Error>> {
        let key = subject.lookup_key();
        iter::from_fn(move || {
            loop {
                match self.inner.index.find_newest(Space::Subjects, key, below).transpose()? {
                    Ok(seq) => below = seq,
                    Err(error) => return Some(Err(error)),
                }
                if let Some(entry) = self.entry(below).transpose() {
                    return Some(entry.map(|bytes| (below, bytes)));
                }
            }
        })
    }

    /// The first seqs below `size` of the records that name the record at `seq` as a cause, in order,
    /// at most `limit`.
    pub fn effects(&self, seq: u64, size: u64, limit: usize) -> Result<Vec<u64>, Error> {
        let later = seq.saturating_add(1)..size;
        self.inner.index.find(Space::Effects, seq, &later, limit)
    }

    /// The number of entries, from the first on, whose tiles are stored.
    pub fn covered(&self) -> u64 {
        self.inner.index.covered()
    }

    /// A full tile, if it is stored.
    pub fn stored_tile(&self, level: u8, index: u64) -> Result<Option<Arc<Tile>>, Error> {
        self.inner.index.tile(level, index)
    }

    /// The tiles of the log as of `tree`, whose right edge only `tree` knows.
    pub const fn tiles<'a>(&'a self, tree: &'a Tree) -> Tiles<'a> {
        Tiles { reader: self, tree }
    }

    /// The first seq of the content block that would hold `seq`.
    pub(super) fn content_block_with(&self, seq: u64) -> Result<Option<u64>, Error> {
        self.block_with(CONTENT, seq)
    }

    /// A content block as it is stored. Only the one who writes may ask.
    pub(super) fn content_block(&self, first_seq: u64) -> Result<Vec<u8>, Error> {
        self.fragments(CONTENT, first_seq)
    }

    /// Does something to blocks of content that nobody may see half done.
    pub(super) fn while_nobody_reads_content<T>(&self, work: impl FnOnce() -> T) -> T {
        let _erasing = self.inner.erasing.write().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    fn reading_content(&self) -> RwLockReadGuard<'_, ()> {
        self.inner.erasing.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first seq of the block that would hold `seq`.
    fn block_with(&self, kind: u8, seq: u64) -> Result<Option<u64>, Error> {
        let Some(after) = seq.checked_add(1) else { return Ok(None) };
        let found = self.inner.tree.get_lt(seq_key(kind, after))?;
        Ok(found.and_then(|(key, _)| seq_of(kind, &key)))
    }

    /// The joined fragments of one block.
    fn fragments(&self, kind: u8, first_seq: u64) -> Result<Vec<u8>, Error> {
        let places = fragment_key(kind, first_seq, 0)..=fragment_key(kind, first_seq, u16::MAX);
        let mut block = Vec::new();
        for fragment in self.inner.tree.range(places) {
            block.extend(fragment?.1.as_ref());
        }
        Ok(block)
    }

    /// The blocks whose first seq is in `seqs`, each with its fragments joined.
    fn blocks(
        &self,
        kind: u8,
        seqs: Range<u64>,
    ) -> impl Iterator<Item = Result<(u64, Vec<u8>), Error>> {
        let keys = seq_key(kind, seqs.start)..seq_key(kind, seqs.end.max(seqs.start));
        let mut fragments = self.inner.tree.range(keys).peekable();
        std::iter::from_fn(move || {
            let (key, first) = match fragments.next()? {
                Ok(fragment) => fragment,
                Err(error) => return Some(Err(error.into())),
            };
            let Some(first_seq) = seq_of(kind, &key) else {
                return Some(Err(Error::damaged("a block's key")));
            };
            let mut block = first.to_vec();
            let of_block = |next: &sled::Result<(sled::IVec, _)>| {
                next.as_ref().is_ok_and(|(key, _)| seq_of(kind, key) == Some(first_seq))
            };
            while let Some(Ok((_, fragment))) = fragments.next_if(of_block) {
                block.extend(fragment.as_ref());
            }
            Some(Ok((first_seq, block)))
        })
    }
}

/// The tiles of a log of one size: full tiles from the store, the right edge from memory.
#[derive(Debug)]
pub struct Tiles<'a> {
    reader: &'a Reader,
    tree: &'a Tree,
}

impl TileReader for Tiles<'_> {
    type Error = Error;

    fn tile(&self, level: u8, index: u64) -> Result<Arc<Tile>, Error> {
        match self.tree.edge_at(level, index) {
            Some(edge) => Ok(Arc::clone(edge)),
            None => self.reader.tile(level, index),
        }
    }
}

/// Full tiles only.
impl TileReader for Reader {
    type Error = Error;

    fn tile(&self, level: u8, index: u64) -> Result<Arc<Tile>, Error> {
        if let Some(tile) = self.inner.tiles.get(&(level, index)) {
            return Ok(tile);
        }
        let tile = self.inner.index.tile(level, index)?.ok_or(Error::damaged("a tile"))?;
        self.inner.tiles.insert((level, index), Arc::clone(&tile));
        Ok(tile)
    }
}

fn unpack_entries(block: &[u8]) -> Result<Vec<Arc<[u8]>>, Error> {
    let raw = block::unpack(block)?;
    block::entries(&raw).map(|entry| entry.map(Arc::from)).collect()
}
