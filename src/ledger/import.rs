//! Looking at a ledger without opening it for writing, and making one from what an archive holds.

use std::collections::VecDeque;
use std::path::Path;

use super::archive::push_parts;
use super::registry::write_secret;
use super::{Error, Settings};
use crate::canon::TreeHash;
use crate::proof::{TILE_WIDTH, TilePath, Tree, bundle, tile_width};
use crate::record::{Entry, LedgerName};
use crate::seal::{Origin, SigningKey, VerifierKey};
use crate::store::{self, Appender, Meta, Reader, StoredPart};

/// A ledger's database as it is, for an auditor: nothing is checked and nothing refused.
#[derive(Debug)]
pub struct Inspected {
    meta: Meta,
    reader: Reader,
    tree: Tree,
    checkpoint: String,
    size: u64,
}

impl Inspected {
    /// Opens the database at `path`, whose server must be stopped.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (meta, reader) = store::inspect(path)?;
        let last = reader.last_batch()?.ok_or(Error::Unknown)?;
        let size = last.seqs().end;
        let covered = reader.covered();
        let mut tree = Tree::from_full_tiles(covered, &reader).map_err(store::Error::from)?;
        for entry in reader.entries(covered..size) {
            tree.append(TreeHash::leaf(&entry?.1), &mut Vec::new());
        }
        Ok(Self { meta, reader, tree, checkpoint: last.checkpoint, size })
    }

    /// What the ledger is.
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The number of entries, by the last batch.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The last checkpoint.
    pub fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// The checkpoints of all batches, in order.
    pub fn checkpoints(&self) -> Result<Vec<Vec<u8>>, Error> {
        let batches = self.reader.batches(0..u64::MAX);
        batches.map(|batch| Ok(batch?.checkpoint.into_bytes())).collect()
    }

    /// The bytes at a path of the archive.
    pub fn file(&self, path: TilePath) -> Result<Option<Vec<u8>>, Error> {
        let (index, width) = match path {
            TilePath::Hash { level, index, width } => return self.tile(level, index, width),
            TilePath::Entries { index, width } | TilePath::Content { index, width } => {
                (index, width)
            }
        };
        let seqs = index * TILE_WIDTH..index * TILE_WIDTH + u64::from(width);
        let mut bytes = Vec::new();
        if matches!(path, TilePath::Content { .. }) {
            for (_, parts) in self.reader.contents(seqs)? {
                push_parts(&mut bytes, &parts);
            }
            return Ok(Some(bytes));
        }
        for entry in self.reader.entries(seqs) {
            let (seq, entry) = entry?;
            bundle::push_entry(&mut bytes, &entry)
                .map_err(|source| Error::Bundle { seq, source })?;
        }
        Ok(Some(bytes))
    }

    /// A tile that is stored, or that stands above entries of the last run and is not stored yet.
    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Option<Vec<u8>>, Error> {
        if let Some(edge) = self.tree.edge_at(level, index) {
            return Ok(Some(edge.to_bytes()));
        }
        if let Some(tile) = self.reader.stored_tile(level, index)? {
            return Ok(Some(tile.to_bytes()));
        }
        if level > 0 || tile_width(self.size, 0, index) != Some(width) {
            return Ok(None);
        }
        let first = index * TILE_WIDTH;
        let mut bytes = Vec::new();
        for entry in self.reader.entries(first..first + u64::from(width)) {
            bytes.extend(TreeHash::leaf(&entry?.1).as_bytes());
        }
        Ok(Some(bytes))
    }
}

/// Makes a ledger of entries that were sealed elsewhere. Whoever uses it has verified them.
#[derive(Debug)]
pub struct Importer {
    appender: Appender,
    tree: Tree,
    /// The checkpoints still to come, each with its size.
    notes: VecDeque<(u64, String)>,
    batch: store::Batch,
}

impl Importer {
    /// Makes the ledger's folder and an empty store in it. The entries will be committed in the
    /// batches that `notes`, the checkpoints in their order, were signed over.
    pub fn create(
        settings: &Settings,
        meta: (LedgerName, Origin),
        key: VerifierKey,
        signing_key: Option<Vec<u8>>,
        notes: Vec<String>,
    ) -> Result<Self, Error> {
        let (ledger, origin) = meta;
        let store = settings.store(&ledger);
        if store::exists(&store.path) {
            return Err(Error::Exists);
        }
        let size = |note: &str| note.split('\n').nth(1).and_then(|size| size.parse::<u64>().ok());
        let damaged = || store::Error::Damaged { what: "a checkpoint" };
        let notes = notes.into_iter().map(|note| Ok((size(&note).ok_or_else(damaged)?, note)));
        let notes = notes.collect::<Result<_, store::Error>>()?;
        store::create(&store, &ledger, origin)?;
        if let Some(signing_key) = signing_key {
            let path = settings.folder(&ledger).join("key");
            write_secret(&path, &signing_key)?;
            let own: SigningKey = settings.key(&ledger)?;
            if own.verifier_key(key.name().clone()) != key {
                let why = "it is not the key that signed the archive".to_owned();
                return Err(Error::Key { path: path.display().to_string(), why });
            }
        }
        let opened = store::open(&store, move |_| key)?;
        let batch = store::Batch::default();
        Ok(Self { appender: opened.appender, tree: Tree::new(), notes, batch })
    }

    /// Takes the next entry and its content.
    pub fn push(&mut self, bytes: &[u8], content: Vec<StoredPart>) -> Result<(), Error> {
        let seq = self.tree.size();
        let entry = Entry::parse(bytes).map_err(|source| Error::Entry { seq, source })?;
        self.tree.append(TreeHash::leaf(bytes), &mut self.batch.tiles);
        self.batch.records.push(store::Record::read_back(&entry, bytes.to_vec(), content));
        if self.notes.front().is_some_and(|(size, _)| *size == self.tree.size()) {
            self.commit()?;
        }
        Ok(())
    }

    /// Says that all entries were taken.
    pub fn finish(self) -> Result<(), Error> {
        if self.batch.records.is_empty() && self.notes.is_empty() {
            Ok(())
        } else {
            Err(store::Error::Damaged { what: "the last batch" }.into())
        }
    }

    fn commit(&mut self) -> Result<(), Error> {
        let Some((size, note)) = self.notes.pop_front() else { return Ok(()) };
        let mut batch = std::mem::take(&mut self.batch);
        batch.first_seq = size - u64::try_from(batch.records.len()).unwrap_or(0);
        batch.checkpoint = note;
        self.appender.commit(batch)?;
        Ok(self.appender.settle()?)
    }
}
