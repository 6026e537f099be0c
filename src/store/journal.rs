//! The journal: batches in order, each all or nothing. It is the only thing that is ever committed;
//! whatever else the store holds is derived from it.

use std::ops::Range;
use std::sync::Arc;

use super::Error;
use super::block::{BlockWriter, StoredPart, write_content, write_entry};
use super::disk::Disk;
use super::index::{Index, Rows};
use super::layout::{BATCH, CONTENT, ENTRIES, seq_key};
use crate::canon;
use crate::proof::Completed;
use crate::record::Entry;

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
}

impl<'a> Keys<'a> {
    /// The keys of an entry that was read back.
    pub(super) fn of(entry: &'a Entry<'_>) -> Self {
        Self {
            id: entry.id.as_str(),
            session: entry.session.as_ref().map(|session| session.id.as_str()),
            causes: entry.causes.iter().map(|cause| cause.seq).collect(),
        }
    }

    pub(super) fn into_rows(self) -> Rows {
        let key = |id: &str| canon::lookup_key(id.as_bytes());
        Rows { id: key(self.id), session: self.session.map(key), causes: self.causes }
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

    /// `u32 count || signed note`.
    fn to_bytes(&self) -> Vec<u8> {
        [self.count.to_be_bytes().as_slice(), self.checkpoint.as_bytes()].concat()
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
    index: Arc<Index>,
}

impl Appender {
    pub(super) const fn new(disk: Disk, index: Arc<Index>) -> Self {
        Self { disk, index }
    }

    /// Appends a batch to the journal and records its checkpoint in the head file. On return both
    /// are durable, and readers find the records: the batch may be published and acknowledged.
    pub fn commit(&mut self, batch: Batch) -> Result<(), Error> {
        self.disk.commit(encode(&batch)?)?;
        self.disk.write_head(batch.checkpoint.as_bytes())?;
        let rows: Vec<_> = batch.records.into_iter().map(|record| record.rows).collect();
        self.index.fold(&rows, batch.tiles);
        Ok(())
    }

    /// Brings the part of the index that is complete to disk. Called when the batch before was
    /// acknowledged; an error loses nothing.
    pub fn settle(&mut self) -> Result<(), Error> {
        self.index.persist(&self.disk)
    }
}

/// A batch as one atomic write: its header, its entries and its content.
fn encode(batch: &Batch) -> Result<sled::Batch, Error> {
    let header = BatchHeader {
        first_seq: batch.first_seq,
        count: u32::try_from(batch.records.len()).map_err(|_| Error::TooLarge)?,
        checkpoint: batch.checkpoint.clone(),
    };
    let mut writes = sled::Batch::default();
    writes.insert(&seq_key(BATCH, header.first_seq), header.to_bytes());

    let mut entries = BlockWriter::new(ENTRIES, &mut writes)?;
    for (seq, record) in (batch.first_seq..).zip(&batch.records) {
        entries.push(seq, |raw| write_entry(raw, &record.bytes))?;
    }
    entries.close()?;

    let mut content = BlockWriter::new(CONTENT, &mut writes)?;
    for (seq, record) in (batch.first_seq..).zip(&batch.records) {
        if !record.content.is_empty() {
            content.push(seq, |raw| write_content(raw, seq, &record.content))?;
        }
    }
    content.close()?;
    Ok(writes)
}
