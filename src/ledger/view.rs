//! What readers share: the last published checkpoint, and everything below it.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Error, SubmitError, known};
use crate::canon::TreeHash;
use crate::proof::{self, Tree};
use crate::record::{Data, Entry, Flag, Severity, Subject};
use crate::seal::SignedCheckpoint;
use crate::store::{self, BatchHeader, Committed, Reader, StoredPart};

/// Effects of a record among which flags that were raised about it are looked for.
const RAISED_AMONG_MAX: usize = 256;

/// A flag that was raised about a record after it was sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "RaisedFlag")]
pub struct Raised {
    /// The flag.
    pub flag: Flag,
    /// The record that raises it.
    pub id: String,
    /// Its place in the log.
    pub seq: u64,
    /// How bad it is.
    pub severity: Severity,
}

/// A committed state of the log: its tree, and the checkpoint over it.
#[derive(Clone, Debug)]
pub struct Published {
    /// The tree over all entries.
    pub tree: Tree,
    /// The checkpoint of the tree.
    pub checkpoint: SignedCheckpoint,
}

/// Where the writer is, for those who wait for it.
#[derive(Debug)]
pub(super) struct Progress {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug)]
struct State {
    published: Arc<Published>,
    phase: Phase,
}

/// Whether the ledger takes records. It goes from one phase to a later one only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    Closed,
    Halted,
}

impl Progress {
    pub(super) fn new(published: Published) -> Arc<Self> {
        let state = State { published: Arc::new(published), phase: Phase::Open };
        Arc::new(Self { state: Mutex::new(state), moved: Condvar::new() })
    }

    /// The last state that was committed.
    pub(super) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.lock().published)
    }

    /// Shows a committed state to readers.
    pub(super) fn publish(&self, published: Published) {
        self.lock().published = Arc::new(published);
        self.moved.notify_all();
    }

    /// Waits until the entry at `seq` is committed.
    pub(super) fn wait_for(&self, seq: u64) -> Result<(), SubmitError> {
        let mut state = self.lock();
        loop {
            if state.published.tree.size() > seq {
                return Ok(());
            }
            if state.phase != Phase::Open {
                return Err(SubmitError::Halted);
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The number of published entries, as soon as it is more than `known`, and at the latest when
    /// the patience is over or nothing more will come.
    fn size_beyond(&self, known: u64, patience: Duration) -> u64 {
        let waiting =
            |state: &mut State| state.published.tree.size() <= known && state.phase == Phase::Open;
        let state = self.moved.wait_timeout_while(self.lock(), patience, waiting);
        let (state, _) = state.unwrap_or_else(PoisonError::into_inner);
        state.published.tree.size()
    }

    /// Whether something failed, so that nothing is written any more.
    pub(super) fn is_halted(&self) -> bool {
        self.lock().phase == Phase::Halted
    }

    /// Halts the ledger when the guard goes out of scope, unless it was closed in good order.
    pub(super) fn halt_on_drop(self: &Arc<Self>) -> HaltOnDrop {
        HaltOnDrop { progress: Arc::clone(self), end: Phase::Halted }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Progress::halt_on_drop`].
pub(super) struct HaltOnDrop {
    progress: Arc<Progress>,
    end: Phase,
}

impl HaltOnDrop {
    /// The committer ends in good order: everything that was taken is committed.
    pub(super) fn close(mut self) {
        self.end = Phase::Closed;
    }

    /// The sequencer ends in good order: the committer may still be busy.
    pub(super) fn disarm(mut self) {
        self.end = Phase::Open;
    }
}

impl Drop for HaltOnDrop {
    fn drop(&mut self) {
        let mut state = self.progress.lock();
        // One of two threads may have failed: a ledger that is halted is never called closed.
        state.phase = state.phase.max(self.end);
        drop(state);
        self.progress.moved.notify_all();
    }
}

/// The log for one who follows it: unlike a [`super::Ledger`], it does not keep the ledger open.
#[derive(Clone, Debug)]
pub(super) struct Following {
    pub(super) reader: Reader,
    pub(super) progress: Arc<Progress>,
}

impl Committed for Following {
    fn reader(&self) -> &Reader {
        &self.reader
    }

    fn size_beyond(&self, known: u64, patience: Duration) -> u64 {
        self.progress.size_beyond(known, patience)
    }
}

/// An entry's place and its bytes.
pub type SeqEntry = (u64, Arc<[u8]>);

/// One record with all that the ledger has of it.
#[derive(Clone, Debug)]
pub struct RecordView {
    /// Its place.
    pub seq: u64,
    /// The bytes of its entry, as they were hashed.
    pub entry: Arc<[u8]>,
    /// Its content, in the order in which the entry names it.
    pub content: Vec<StoredPart>,
    /// The batch that it was committed with.
    pub batch: BatchHeader,
}

/// The log as of one checkpoint. It does not change while it is held.
#[derive(Clone, Debug)]
pub struct View {
    reader: Reader,
    published: Arc<Published>,
}

impl View {
    pub(super) const fn new(reader: Reader, published: Arc<Published>) -> Self {
        Self { reader, published }
    }

    /// The number of entries.
    pub fn size(&self) -> u64 {
        self.published.tree.size()
    }

    /// The checkpoint that covers them.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.published.checkpoint
    }

    /// The bytes of the entry at `seq`.
    pub fn entry(&self, seq: u64) -> Result<Option<Arc<[u8]>>, Error> {
        if seq >= self.size() {
            return Ok(None);
        }
        Ok(self.reader.entry(seq)?)
    }

    /// The entries in `seqs`, with their bytes, as far as they exist.
    pub fn entries(&self, seqs: Range<u64>) -> Result<Vec<SeqEntry>, Error> {
        let seqs = seqs.start..seqs.end.min(self.size());
        Ok(self.reader.entries(seqs).collect::<Result<_, _>>()?)
    }

    /// The content of the records in `seqs` that have any.
    pub fn contents(&self, seqs: Range<u64>) -> Result<Vec<(u64, Vec<StoredPart>)>, Error> {
        Ok(self.reader.contents(seqs.start..seqs.end.min(self.size()))?)
    }

    /// The content of the record at `seq`, in the order in which its entry names it.
    pub fn content(&self, seq: u64) -> Result<Vec<StoredPart>, Error> {
        if seq >= self.size() {
            return Ok(Vec::new());
        }
        Ok(self.reader.content(seq)?)
    }

    /// The first records below `size` that name the record at `seq` as a cause, in order, at most
    /// `limit`.
    pub fn effects(&self, seq: u64, size: u64, limit: usize) -> Result<Vec<u64>, Error> {
        Ok(self.reader.effects(seq, size.min(self.size()), limit)?)
    }

    /// What was raised about the record at `seq` later, by records below `size`, in their order. Of very
    /// many effects only the first are looked at.
    pub fn raised(&self, seq: u64, size: u64) -> Result<Vec<Raised>, Error> {
        let mut all = Vec::new();
        for effect in self.effects(seq, size, RAISED_AMONG_MAX)? {
            let Some(bytes) = self.entry(effect)? else { continue };
            let entry = known::parse(effect, &bytes)?;
            if let Data::Flag(raised) = &*entry.data {
                let (id, flag) = (entry.id.to_string(), raised.code);
                all.push(Raised { flag, severity: raised.severity, id, seq: effect });
            }
        }
        Ok(all)
    }

    /// The place of the record with this id.
    pub fn seq_of(&self, id: &str) -> Result<Option<u64>, Error> {
        for seq in self.reader.with_id(id, self.size())? {
            let Some(bytes) = self.reader.entry(seq)? else { continue };
            if known::parse(seq, &bytes)?.id.as_str() == id {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }

    /// The record at `seq`.
    pub fn record(&self, seq: u64) -> Result<Option<RecordView>, Error> {
        let Some(entry) = self.entry(seq)? else { return Ok(None) };
        let Some(batch) = self.reader.batch(seq)? else { return Ok(None) };
        Ok(Some(RecordView { seq, entry, content: self.reader.content(seq)?, batch }))
    }

    /// The places of a session's records from `from` on, in order, at most `limit`.
    pub fn session(&self, id: &str, from: u64, limit: usize) -> Result<Vec<u64>, Error> {
        let mut seqs = Vec::new();
        let mut rest = from..self.size();
        while seqs.len() < limit {
            let candidates = self.reader.with_session(id, &rest, limit - seqs.len())?;
            let Some(last) = candidates.last() else { break };
            rest.start = last + 1;
            for seq in candidates {
                let Some(bytes) = self.reader.entry(seq)? else { continue };
                let entry = known::parse(seq, &bytes)?;
                if entry.session.is_some_and(|session| session.id.as_str() == id) {
                    seqs.push(seq);
                }
            }
        }
        Ok(seqs)
    }

    /// The snapshots of a server's catalogs below this seq, the newest first, at most `limit`.
    pub fn catalogs(&self, server: &str, below: u64, limit: usize) -> Result<Vec<SeqEntry>, Error> {
        self.newest(Subject::Catalog(server), below, limit, |entry| {
            matches!(&*entry.data, Data::ToolCatalogSnapshot(catalog) if &*catalog.server == server)
        })
    }

    /// The entries of a subject below this seq that `is_one`, the newest first, at most `limit`.
    pub(super) fn newest(
        &self,
        subject: Subject<'_>,
        below: u64,
        limit: usize,
        is_one: impl Fn(&Entry<'_>) -> bool,
    ) -> Result<Vec<SeqEntry>, Error> {
        let mut found = Vec::new();
        for entry in self.reader.newest_of_subject(subject, below.min(self.size())) {
            if found.len() >= limit {
                break;
            }
            let (seq, bytes) = entry?;
            if is_one(&known::parse(seq, &bytes)?) {
                found.push((seq, bytes));
            }
        }
        Ok(found)
    }

    /// The batches whose first entry is in `seqs`.
    pub fn batches(
        &self,
        seqs: Range<u64>,
    ) -> impl Iterator<Item = Result<BatchHeader, Error>> + '_ {
        let seqs = seqs.start..seqs.end.min(self.size());
        self.reader.batches(seqs).map(|batch| Ok(batch?))
    }

    /// The inclusion proof of the entry at `seq` in the tree of `size` entries.
    pub fn inclusion(&self, seq: u64, size: u64) -> Result<Vec<TreeHash>, Error> {
        self.within(size)?;
        let tiles = self.reader.tiles(&self.published.tree);
        Ok(proof::inclusion(&tiles, seq, size).map_err(store::Error::from)?)
    }

    /// The consistency proof from the tree of `from` entries to that of `to`.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<TreeHash>, Error> {
        self.within(to)?;
        let tiles = self.reader.tiles(&self.published.tree);
        Ok(proof::consistency(&tiles, from, to).map_err(store::Error::from)?)
    }

    /// The hashes of the tile at this place, as far as the log has them. `None` if it has none.
    pub fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, Error> {
        if proof::tile_width(self.size(), level, index).is_none() {
            return Ok(None);
        }
        let tiles = self.reader.tiles(&self.published.tree);
        let tile = proof::TileReader::tile(&tiles, level, index)?;
        Ok(Some(tile.to_bytes()))
    }

    fn within(&self, size: u64) -> Result<(), Error> {
        if size > self.size() {
            return Err(Error::TooFar { size: self.size() });
        }
        Ok(())
    }
}
