//! What the writer knows of earlier records and sessions: the recent ones from memory, all others
//! from the store.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Error;
use crate::canon::EntryHash;
use crate::record::{Entry, Kind};
use crate::store::Reader;

/// Records and sessions remembered. More than can be in flight, or a record could be known neither
/// to memory nor to the store: three batches, one being built, one waiting and one being committed.
const REMEMBERED: usize = 65_536;

const _: () = assert!(REMEMBERED > 4 * super::BATCH_RECORDS_MAX, "what is in flight is remembered");

/// What a rule, a link or a duplicate needs of an earlier record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownRecord {
    pub(super) seq: u64,
    pub(super) hash: EntryHash,
    pub(super) kind: Kind,
}

/// The last record of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionHead {
    pub(super) n: u64,
    pub(super) hash: EntryHash,
}

/// Records by id and sessions by id, as of the end of the log that is being built.
#[derive(Debug)]
pub(super) struct Known {
    reader: Reader,
    records: Recent<KnownRecord>,
    sessions: Recent<SessionHead>,
}

impl Known {
    /// Knows what the store has.
    pub(super) fn new(reader: Reader) -> Self {
        Self { reader, records: Recent::default(), sessions: Recent::default() }
    }

    /// The record with this id.
    pub(super) fn record(&self, id: &str) -> Result<Option<KnownRecord>, Error> {
        if let Some(known) = self.records.get(id) {
            return Ok(Some(*known));
        }
        for seq in self.reader.with_id(id, u64::MAX)? {
            let Some(bytes) = self.reader.entry(seq)? else { continue };
            let entry = parse(seq, &bytes)?;
            if entry.id.as_str() == id {
                let (hash, kind) = (EntryHash::of(&bytes), entry.kind);
                return Ok(Some(KnownRecord { seq, hash, kind }));
            }
        }
        Ok(None)
    }

    /// The last record of this session.
    pub(super) fn session(&self, id: &str) -> Result<Option<SessionHead>, Error> {
        if let Some(head) = self.sessions.get(id) {
            return Ok(Some(*head));
        }
        let mut below = u64::MAX;
        while let Some(seq) = self.reader.newest_with_session(id, below)? {
            below = seq;
            let Some(bytes) = self.reader.entry(seq)? else { continue };
            let entry = parse(seq, &bytes)?;
            if let Some(session) = entry.session.filter(|session| session.id.as_str() == id) {
                return Ok(Some(SessionHead { n: session.n, hash: EntryHash::of(&bytes) }));
            }
        }
        Ok(None)
    }

    /// Remembers a record that now has its place.
    pub(super) fn add_record(&mut self, id: Arc<str>, record: KnownRecord) {
        self.records.put(id, record);
    }

    /// Remembers the last record of a session.
    pub(super) fn add_session(&mut self, id: Arc<str>, head: SessionHead) {
        self.sessions.put(id, head);
    }
}

pub(super) fn parse(seq: u64, bytes: &[u8]) -> Result<Entry<'_>, Error> {
    Entry::parse(bytes).map_err(|source| Error::Entry { seq, source })
}

/// The values put last, by key: at most [`REMEMBERED`].
#[derive(Debug)]
struct Recent<V> {
    values: BTreeMap<Arc<str>, (u64, V)>,
    /// Keys in the order in which they were put, each with the number of that putting.
    order: VecDeque<(u64, Arc<str>)>,
    puts: u64,
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self { values: BTreeMap::new(), order: VecDeque::new(), puts: 0 }
    }
}

impl<V> Recent<V> {
    fn get(&self, key: &str) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    fn put(&mut self, key: Arc<str>, value: V) {
        self.puts += 1;
        self.order.push_back((self.puts, Arc::clone(&key)));
        self.values.insert(key, (self.puts, value));
        while self.order.len() > REMEMBERED {
            let Some((put, key)) = self.order.pop_front() else { return };
            // A key that was put again since stays until its later turn.
            if self.values.get(&key).is_some_and(|(last, _)| *last == put) {
                self.values.remove(&key);
            }
        }
    }
}
