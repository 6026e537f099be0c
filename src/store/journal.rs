//! The journal: batches in order, each all or nothing. It is the only thing that is ever committed;
//! whatever else the store holds is derived from it.

use std::ops::Range;
use std::sync::Arc;

use super::block::{BlockWriter, StoredPart, write_content, write_entry};
use super::disk::Disk;
use super::erase::erase;
use super::index::{Index, Rows, RunWriter};
use super::layout::{BATCH, CONTENT, ENTRIES, seq_key};
use super::{Error, Reader};
use crate::canon;
use crate::proof::Completed;
use crate::record::{Entry, Subject};

/// One record to be committed.
#[derive(Debug)]
pub struct Record {
    bytes: Vec<u8>,
    content: Vec<StoredPart>,
    rows: Rows,
}

impl Record {
    /// A record from the bytes of its entry, the keys by which it is found, and the content that the
    /// entry commits to, in the same order.
    pub fn new(bytes: Vec<u8>, keys: Keys<'_>, content: Vec<StoredPart>) -> Self {
        Self { rows: keys.into_rows(), bytes, content }
    }

    /// A record whose entry was sealed before.
    pub fn read_back(entry: &Entry<'_>, bytes: Vec<u8>, content: Vec<StoredPart>) -> Self {
        Self { rows: Keys::of(entry).into_rows(), bytes, content }
    }

    /// The bytes of the entry.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The content.
    pub fn content(&self) -> &[StoredPart] {
        &self.content
    }
}

/// What a record is found by: the same, whether it was just sealed or read back.
#[derive(Debug)]
pub struct Keys<'a> {
    /// Its id.
    pub id: &'a str,
    /// The id of its session.
    pub session: Option<&'a str>,
    /// The seqs of its causes.
    pub causes: Vec<u64>,
    /// The lookup keys of the subjects whose state it changes.
    pub subjects: Vec<u64>,
}

impl<'a> Keys<'a> {
    /// The keys of an entry that was read back.
    pub(super) fn of(entry: &'a Entry<'_>) -> Self {
        let session = entry.session.as_ref().map(|session| session.id.as_str());
        let subjects =
            Subject::of(&entry.data, entry.delegation.as_deref().map(|id| &**id), session);
        Self {
            id: entry.id.as_str(),
            session,
            causes: entry.causes.iter().map(|cause| cause.seq).collect(),
            subjects: subjects.map(Subject::lookup_key).collect(),
        }
    }

    pub(super) fn into_rows(self) -> Rows {
        let key = |id: &str| canon::lookup_key(id.as_bytes());
        Rows {
            id: key(self.id),
            session: self.session.map(key),
            causes: self.causes,
            subjects: self.subjects,
        }
    }
}

/// Records that are committed together, and the checkpoint that covers them.
#[derive(Debug, Default)]
pub struct Batch {
    /// The seq of the first record.
    pub first_seq: u64,
    /// The records, in order. Never empty.
    pub records: Vec<Record>,
    /// The full tiles that the records complete.
    pub tiles: Vec<Completed>,
    /// The seqs of earlier records whose content is erased with this batch.
    pub erase: Vec<u64>,
    /// The signed note of the checkpoint whose size is that of the log with these records.
    pub checkpoint: String,
}

/// What the journal keeps of a batch beside its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The seq of the first record.
    pub first_seq: u64,
    /// The number of records.
    pub count: u32,
    /// The signed note of the checkpoint that covers them.
    pub checkpoint: String,
}

impl BatchHeader {
    /// The seqs of the batch.
    pub fn seqs(&self) -> Range<u64> {
        self.first_seq..self.first_seq.saturating_add(u64::from(self.count))
    }

    /// `u32 count || signed note`, by the first seq.
    fn write(&self, writes: &mut sled::Batch) {
        let bytes = [self.count.to_be_bytes().as_slice(), self.checkpoint.as_bytes()].concat();
        writes.insert(&seq_key(BATCH, self.first_seq), bytes);
    }

    pub(super) fn parse(first_seq: u64, bytes: &[u8]) -> Result<Self, Error> {
        let damaged = || Error::damaged("a batch's header");
        let (count, note) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
        let checkpoint = std::str::from_utf8(note).map_err(|_| damaged())?.to_owned();
        Ok(Self { first_seq, count: u32::from_be_bytes(*count), checkpoint })
    }
}

/// The one handle that writes. Opening a store gives out one, and it cannot be cloned.
///
/// After any error it must not be used again: whether the batch is on disk is unknown, and only
/// opening the store again can tell.
#[derive(Debug)]
pub struct Appender {
    disk: Disk,
    reader: Reader,
    index: Arc<Index>,
    /// The run of the index that is being written.
    run: Option<RunWriter>,
    /// Records that were loaded and are in no batch yet.
    loaded: u32,
}

impl Appender {
    pub(super) const fn new(disk: Disk, reader: Reader, index: Arc<Index>) -> Self {
        Self { disk, reader, index, run: None, loaded: 0 }
    }

    /// Appends a batch to the journal and records its checkpoint in the head file. On return both
    /// are durable, and readers find the records: the batch may be published and acknowledged.
    ///
    /// What the batch erases is gone with it, or nothing of either has happened.
    pub fn commit(&mut self, batch: Batch) -> Result<(), Error> {
        let mut writes = encode(&batch)?;
        if batch.erase.is_empty() {
            self.disk.commit(writes)?;
        } else {
            erase(&self.reader, &batch.erase, &mut writes)?;
            self.disk.mark_erased()?;
            self.reader.while_nobody_reads_content(|| self.disk.commit(writes))?;
        }
        self.disk.write_head(batch.checkpoint.as_bytes())?;
        let rows: Vec<_> = batch.records.into_iter().map(|record| record.rows).collect();
        self.index.fold(&rows, batch.tiles);
        Ok(())
    }

    /// Brings the next part of the index to disk, if a part is complete. Called when the batch
    /// before was acknowledged; an error loses nothing.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.index.persist(&self.disk, &mut self.run)
    }

    /// Brings all of the index to disk that is complete. Called when no batch is waiting.
    pub fn settle_all(&mut self) -> Result<(), Error> {
        self.index.persist_all(&self.disk, &mut self.run)
    }

    /// Writes a part of a batch that was committed elsewhere: the records and their tiles, in order.
    /// The part that has the batch's checkpoint is its last; the others have an empty one. Nothing
    /// is durable before [`Self::finish_load`].
    pub fn load(&mut self, part: Batch) -> Result<(), Error> {
        let count = u32::try_from(part.records.len()).map_err(|_| Error::TooLarge)?;
        let first_seq = part.first_seq.saturating_sub(u64::from(self.loaded));
        self.loaded = self.loaded.checked_add(count).ok_or(Error::TooLarge)?;
        let mut writes = sled::Batch::default();
        encode_records(&part, &mut writes)?;
        if !part.checkpoint.is_empty() {
            let count = std::mem::take(&mut self.loaded);
            BatchHeader { first_seq, count, checkpoint: part.checkpoint }.write(&mut writes);
        }
        self.disk.apply(writes)?;
        let rows: Vec<_> = part.records.into_iter().map(|record| record.rows).collect();
        self.index.fold(&rows, part.tiles);
        self.settle()
    }

    /// Makes what was loaded durable and records its last checkpoint in the head file.
    pub fn finish_load(&mut self, note: &str) -> Result<(), Error> {
        self.settle_all()?;
        self.record_head(note)
    }

    /// Records a checkpoint that was found in the store and not in the head file. On return the
    /// store and the head file are durable.
    pub(super) fn record_head(&mut self, note: &str) -> Result<(), Error> {
        self.disk.sync()?;
        self.disk.write_head(note.as_bytes())
    }

    /// Makes sure that the head file outlives a power cut.
    pub(super) fn confirm_head(&mut self) -> Result<(), Error> {
        self.disk.confirm_head()
    }
}

/// A batch as one atomic write: its header, its entries and its content.
fn encode(batch: &Batch) -> Result<sled::Batch, Error> {
    let mut writes = sled::Batch::default();
    let count = u32::try_from(batch.records.len()).map_err(|_| Error::TooLarge)?;
    let checkpoint = batch.checkpoint.clone();
    BatchHeader { first_seq: batch.first_seq, count, checkpoint }.write(&mut writes);
    encode_records(batch, &mut writes)?;
    Ok(writes)
}

fn encode_records(batch: &Batch, writes: &mut sled::Batch) -> Result<(), Error> {
    let mut entries = BlockWriter::new(ENTRIES, writes);
    for (seq, record) in (batch.first_seq..).zip(&batch.records) {
        entries.push(seq, |raw| write_entry(raw, &record.bytes))?;
    }
    entries.close()?;

    let mut content = BlockWriter::new(CONTENT, writes);
    for (seq, record) in (batch.first_seq..).zip(&batch.records) {
        if !record.content.is_empty() {
            content.push(seq, |raw| write_content(raw, seq, &record.content))?;
        }
    }
    content.close()
}
