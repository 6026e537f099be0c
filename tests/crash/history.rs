//! Everything that a server ever said about its log, and whether it still holds.

use std::collections::BTreeMap;

use serde_json::Value;
use whence::canon::{EntryHash, TreeHash};
use whence::proof::{Tree, bundle, verify_consistency};
use whence::record::Entry;
use whence::seal::{UnverifiedCheckpoint, VerifierKey};

use crate::load::Connection;

/// Entries of a bundle.
const WIDTH: usize = 256;

/// What was said. Whatever is in here binds the server for ever.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    key: Option<VerifierKey>,
    /// Receipts, by id, without `duplicate`.
    receipts: BTreeMap<String, Value>,
    /// The root of each size that had a signed checkpoint.
    signed: BTreeMap<u64, TreeHash>,
    /// Notes whose signature was checked.
    notes: BTreeMap<String, u64>,
    /// The leaves that were read, with the ids of their entries.
    leaves: Vec<(String, EntryHash, TreeHash)>,
    /// The root of every size up to that of `leaves`, from 1.
    roots: Vec<TreeHash>,
    tree: Tree,
}

impl History {
    /// The verifier key, as text.
    pub(crate) fn key(&self) -> String {
        self.key.as_ref().unwrap().to_string()
    }

    /// Records that were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.receipts.len()
    }

    /// The ids of the records that were acknowledged.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.receipts.keys().map(String::as_str)
    }

    /// The ids of the entries that were read, in the order of the log.
    pub(crate) fn read_ids(&self) -> impl Iterator<Item = &str> {
        self.leaves.iter().map(|(id, ..)| id.as_str())
    }

    /// A checkpoint that was signed some time ago.
    pub(crate) fn early_checkpoint(&self) -> &str {
        self.notes.iter().min_by_key(|(_, size)| **size).unwrap().0
    }

    /// Takes receipts. One that was given before must be the same.
    pub(crate) fn take(&mut self, receipts: Vec<Value>) {
        for mut receipt in receipts {
            let id = receipt.get("id").and_then(Value::as_str).unwrap().to_owned();
            let note = receipt.get("checkpoint").and_then(Value::as_str).unwrap().to_owned();
            let size = self.checkpoint(&note);
            let seq = receipt.get("seq").and_then(Value::as_u64).unwrap();
            assert!(seq < size, "the checkpoint of {id} does not cover it");
            receipt.as_object_mut().unwrap().remove("duplicate");
            let first = self.receipts.entry(id).or_insert_with(|| receipt.clone());
            assert_eq!(*first, receipt, "a retry gives the original receipt");
        }
    }

    /// Takes a checkpoint: signed, and the only one of its size. Returns the size.
    fn checkpoint(&mut self, note: &str) -> u64 {
        if let Some(size) = self.notes.get(note) {
            return *size;
        }
        let key = self.key.as_ref().unwrap();
        let unverified = UnverifiedCheckpoint::parse(note.as_bytes()).unwrap();
        let checkpoint = unverified.verify(std::slice::from_ref(key)).unwrap();
        let (size, root) = (checkpoint.checkpoint().size(), checkpoint.checkpoint().root());
        let first = *self.signed.entry(size).or_insert(root);
        assert_eq!(first, root, "two checkpoints of size {size}");
        let place = usize::try_from(size).unwrap() - 1;
        if let Some(read) = self.roots.get(place) {
            assert_eq!(*read, root, "the log never was what the checkpoint of {size} says");
        }
        self.notes.insert(note.to_owned(), size);
        size
    }

    /// Reads the log from the server, and compares it with all that was said about it: from the end
    /// of what was read before, or all of it.
    pub(crate) fn audit(&mut self, connection: &Connection, all: bool) {
        self.try_audit(connection, all).unwrap_or_else(|problem| panic!("{problem}"));
    }

    /// Audits the server's log after one of its writes failed. The server shows nothing that it did
    /// not acknowledge, and may refuse to read what the failed write left half-made.
    pub(crate) fn audit_halted(&mut self, connection: &Connection) {
        if let Err(problem) = self.try_audit(connection, true) {
            let code = problem.get("code").and_then(Value::as_str);
            let codes = ["ledger_unreadable", "reading_unlogged"];
            assert!(code.is_some_and(|code| codes.contains(&code)), "{problem}");
        }
    }

    fn try_audit(&mut self, connection: &Connection, all: bool) -> Result<(), Value> {
        if self.key.is_none() {
            let key = String::from_utf8(connection.read("/tlog/main/log.vkey")?).unwrap();
            self.key = Some(key.trim_end().parse().unwrap());
        }
        let note = String::from_utf8(connection.read("/tlog/main/checkpoint")?).unwrap();
        let size = usize::try_from(self.checkpoint(&note)).unwrap();
        assert!(size >= self.leaves.len(), "{} entries were there, now {size}", self.leaves.len());
        let first = if all { 0 } else { self.leaves.len() / WIDTH };
        for index in first..size.div_ceil(WIDTH) {
            let width = WIDTH.min(size - index * WIDTH);
            let path = format!("/tlog/main/tile/{}", bundle_path(index, width));
            let bytes = connection.read(&path)?;
            let entries: Vec<_> = bundle::entries(&bytes).map(Result::unwrap).collect();
            assert_eq!(entries.len(), width, "bundle {index}");
            for (seq, entry) in (index * WIDTH..).zip(entries) {
                self.entry(seq, entry);
            }
        }
        for (size, root) in &self.signed {
            let place = usize::try_from(*size).unwrap() - 1;
            let read = self.roots.get(place);
            assert_eq!(read, Some(root), "the log is not what the checkpoint of {size} says");
        }
        for (id, receipt) in &self.receipts {
            let seq = receipt.get("seq").and_then(Value::as_u64).unwrap();
            let read = self.leaves.get(usize::try_from(seq).unwrap());
            let (found, hash, leaf) = read.unwrap_or_else(|| panic!("{id} is lost: {receipt}"));
            assert_eq!(found, id, "seq {seq}");
            let said = |name: &str| receipt.get(name).and_then(Value::as_str).unwrap();
            assert_eq!(said("entry_hash"), hash.to_string(), "{id}");
            assert_eq!(said("leaf_hash"), leaf.to_string(), "{id}");
        }
        self.consistency(connection, u64::try_from(size).unwrap())
    }

    /// Takes an entry that was read. One that was read before must be the same.
    fn entry(&mut self, seq: usize, bytes: &[u8]) {
        let leaf = TreeHash::leaf(bytes);
        if let Some((id, _, before)) = self.leaves.get(seq) {
            assert_eq!(*before, leaf, "seq {seq} was {id} and has changed");
            return;
        }
        let id = Entry::parse(bytes).unwrap().id.to_string();
        self.leaves.push((id, EntryHash::of(bytes), leaf));
        self.tree.append(leaf, &mut Vec::new());
        self.roots.push(self.tree.root());
    }

    /// The server proves that it continues some of the checkpoints that it signed.
    fn consistency(&self, connection: &Connection, size: u64) -> Result<(), Value> {
        let step = self.signed.len().div_ceil(8);
        for (from, root) in self.signed.iter().step_by(step) {
            let path = format!("/v1/ledgers/main/proof/consistency?from={from}&to={size}");
            let body: Value = serde_json::from_slice(&connection.read(&path)?).unwrap();
            let hashes = body.get("hashes").and_then(Value::as_array).unwrap();
            let hashes: Vec<TreeHash> =
                hashes.iter().map(|hash| hash.as_str().unwrap().parse().unwrap()).collect();
            let end = self.tree.root();
            verify_consistency(*from, root, size, &end, &hashes).unwrap();
        }
        Ok(())
    }

    /// A record is served with all that it was posted with.
    pub(crate) fn spot_check(&self, connection: &Connection, place: usize) {
        let (id, receipt) = self.receipts.iter().nth(place % self.receipts.len()).unwrap();
        let body = connection.get(&format!("/v1/ledgers/main/records/{id}"));
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        let mut served = body.get_mut("receipt").unwrap().take();
        served.as_object_mut().unwrap().remove("duplicate");
        for (name, value) in served.as_object().unwrap() {
            assert_eq!(receipt.get(name), Some(value), "{id}");
        }
        assert!(!body.get("content").and_then(Value::as_array).unwrap().is_empty());
    }
}

/// `entries/x001/234.p/5`
fn bundle_path(index: usize, width: usize) -> String {
    let index = u64::try_from(index).unwrap();
    let path = whence::proof::TilePath::Entries { index, width: u16::try_from(width).unwrap() };
    path.to_string().trim_start_matches("tile/").to_owned()
}
