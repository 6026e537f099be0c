//! A small log, sealed entry by entry, of which a test can change anything and sign what comes out.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use whence::canon::{ContentDigest, EntryHash, Salt, TreeHash};
use whence::proof::{TilePath, Tree, bundle, tile_width};
use whence::record::data::{Genesis, ProducerKey};
use whence::record::{
    CauseLink, Draft, Entry, Event, LedgerName, Placement, SessionLink, Timestamp,
};
use whence::seal::{Checkpoint, SigningKey};

use super::outcome::canonical;

/// The origin of the log, whose ledger is `main`.
pub(super) const ORIGIN: &str = "log.example/main";

/// The key of the log of SPEC 1.4: its seed is 00 01 02 … 1f.
pub(super) fn log_key() -> SigningKey {
    SigningKey::from_seed(&std::array::from_fn(|place| u8::try_from(place).unwrap()))
}

pub(super) fn vkey() -> String {
    log_key().verifier_key(ORIGIN.parse().unwrap()).to_string()
}

/// One entry, and the parts of content that it commits to, as they stand in a content bundle.
#[derive(Clone)]
pub(super) struct SealedRecord {
    pub(super) entry: Vec<u8>,
    pub(super) parts: Vec<u8>,
}

/// A log as its writer has it: entries, and the sizes that its checkpoints cover.
#[derive(Clone)]
pub(super) struct SealedLog {
    pub(super) records: Vec<SealedRecord>,
    pub(super) batches: Vec<usize>,
    pub(super) key: SigningKey,
}

impl SealedLog {
    /// A log with its genesis entry alone, made at `time` by `software`.
    pub(super) fn new(time: &str, software: &str) -> Self {
        let key = log_key();
        let data = Genesis { key: vkey().into(), origin: ORIGIN.into(), software: software.into() };
        let time: Timestamp = time.parse().unwrap();
        let event = Event::genesis(data, time).unwrap();
        let mut log = Self { records: Vec::new(), batches: Vec::new(), key };
        log.seal(&event, time, 0);
        log.batches.push(1);
        log
    }

    /// Seals records as one batch. The salt of a part is one byte, repeated: `salt` for the first,
    /// one more for each that follows.
    pub(super) fn batch(&mut self, records: &[Value], received_at: &str, mut salt: u8) {
        for record in records {
            let draft = Draft::parse(record.to_string().as_bytes()).unwrap();
            let event = Event::try_from(draft).unwrap();
            salt = self.seal(&event, received_at.parse().unwrap(), salt);
        }
        self.batches.push(self.records.len());
    }

    /// Seals what the server says of a key of the producer `test`, as a batch.
    pub(super) fn producer_key(&mut self, data: ProducerKey, time: &str) {
        let time: Timestamp = time.parse().unwrap();
        let id = format!("key-{}", self.records.len()).parse().ok();
        let event = Event::by_server(Draft { id, ..Draft::new(data, time) }).unwrap();
        self.seal(&event, time, 0);
        self.batches.push(self.records.len());
    }

    fn seal(&mut self, event: &Event, received_at: Timestamp, mut salt: u8) -> u8 {
        let ledger: LedgerName = "main".parse().unwrap();
        let mut links = BTreeMap::new();
        let mut session = SessionLink { n: 0, prev: None };
        for (seq, record) in (0..).zip(&self.records) {
            let entry = Entry::parse(&record.entry).unwrap();
            let hash = EntryHash::of(&record.entry);
            links.insert(entry.id.to_string(), CauseLink { seq, entry_hash: hash });
            if let (Some(sealed), Some(own)) = (&entry.session, event.session())
                && *sealed.id == own.id
            {
                session = SessionLink { n: sealed.n + 1, prev: Some(hash) };
            }
        }
        let causes: Vec<_> = event.causes().iter().map(|cause| links[cause.id.as_str()]).collect();
        let (mut digests, mut parts) = (Vec::new(), Vec::new());
        for part in event.content() {
            let bytes = Salt::from_bytes([salt; 32]);
            salt += 1;
            digests.push(ContentDigest::of(&bytes, &part.bytes));
            push_part(&mut parts, &bytes, &part.bytes);
        }
        let placement = Placement {
            ledger: &ledger,
            seq: u64::try_from(self.records.len()).unwrap(),
            received_at,
            prev: self.records.last().map(|record| EntryHash::of(&record.entry)),
            session: event.session().map(|_| session),
            causes: &causes,
            content: &digests,
            flags: &[],
        };
        let sealed = Entry::seal(event, placement).unwrap();
        self.records.push(SealedRecord { entry: sealed.bytes, parts });
        salt
    }

    /// Changes an entry as a forger who has the key would: the bytes are canonical again.
    pub(super) fn edit(&mut self, seq: usize, edit: impl FnOnce(&mut Value)) {
        let mut entry = self.entry(seq);
        edit(&mut entry);
        self.records[seq].entry = canonical(&entry).into_bytes();
    }

    /// Names every entry by its hash again, where an entry before it was changed.
    pub(super) fn relink(&mut self) {
        let mut sessions: BTreeMap<String, String> = BTreeMap::new();
        let mut hashes: Vec<String> = Vec::new();
        for seq in 0..self.records.len() {
            let last = hashes.last().cloned();
            let before = hashes.clone();
            self.edit(seq, |entry| {
                if let Some(last) = last {
                    entry["prev"] = json!(last);
                }
                for cause in entry["causes"].as_array_mut().into_iter().flatten() {
                    let place = cause["seq"].as_u64().and_then(|seq| usize::try_from(seq).ok());
                    if let Some(hash) = place.and_then(|place| before.get(place)) {
                        cause["entry_hash"] = json!(hash);
                    }
                }
                if entry["causes"].is_null() {
                    entry.as_object_mut().unwrap().remove("causes");
                }
                if entry.get("session").is_some_and(|session| session.get("prev").is_some()) {
                    let id = entry["session"]["id"].as_str().unwrap();
                    entry["session"]["prev"] = json!(sessions[id]);
                }
            });
            let entry = self.entry(seq);
            let hash = EntryHash::of(&self.records[seq].entry).to_string();
            if let Some(id) = entry.pointer("/session/id").and_then(Value::as_str) {
                sessions.insert(id.to_owned(), hash.clone());
            }
            hashes.push(hash);
        }
    }

    pub(super) fn entry(&self, seq: usize) -> Value {
        serde_json::from_slice(&self.records[seq].entry).unwrap()
    }

    fn tree(&self, size: usize) -> Tree {
        let mut tree = Tree::new();
        for record in &self.records[..size] {
            tree.append(TreeHash::leaf(&record.entry), &mut Vec::new());
        }
        tree
    }

    pub(super) fn root(&self, size: usize) -> TreeHash {
        self.tree(size).root()
    }

    /// The signed checkpoint over the first `size` entries.
    pub(super) fn checkpoint(&self, size: usize) -> String {
        let origin = ORIGIN.parse().unwrap();
        let checkpoint =
            Checkpoint::new(origin, u64::try_from(size).unwrap(), self.root(size)).unwrap();
        checkpoint.sign(&self.key).to_string()
    }

    /// The files of its archive.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let size = u64::try_from(self.records.len()).unwrap();
        let mut files = BTreeMap::new();
        let (mut tree, mut completed) = (Tree::new(), Vec::new());
        for record in &self.records {
            tree.append(TreeHash::leaf(&record.entry), &mut completed);
        }
        for done in completed {
            let path = TilePath::Hash { level: done.level, index: done.index, width: 256 };
            files.insert(path.to_string(), done.tile.to_bytes());
        }
        for level in 0..2u8 {
            let index = size >> (8 * (u32::from(level) + 1));
            if let Some(edge) = tree.edge(level).filter(|edge| !edge.is_empty()) {
                let width = u16::try_from(edge.len()).unwrap();
                files.insert(TilePath::Hash { level, index, width }.to_string(), edge.to_bytes());
            }
        }
        for (index, records) in (0..).zip(self.records.chunks(256)) {
            let width = tile_width(size, 0, index).unwrap();
            let mut entries = Vec::new();
            for record in records {
                bundle::push_entry(&mut entries, &record.entry).unwrap();
            }
            let parts = records.iter().flat_map(|record| record.parts.clone()).collect();
            files.insert(TilePath::Entries { index, width }.to_string(), entries);
            files.insert(TilePath::Content { index, width }.to_string(), parts);
        }
        let notes = self.batches.iter().map(|size| self.checkpoint(*size));
        files.insert("checkpoints".to_owned(), framed(notes));
        files.insert("checkpoint".to_owned(), self.checkpoint(self.records.len()).into_bytes());
        files.insert("archive.json".to_owned(), canonical(&self.meta()).into_bytes());
        files
    }

    pub(super) fn meta(&self) -> Value {
        let size = self.records.len();
        json!({
            "archive": 1, "content": "kept", "from": 0, "ledger": "main", "origin": ORIGIN,
            "size": size, "software": "whence/1", "to": size,
        })
    }

    /// The receipt of the entry at `seq`, under the checkpoint of its batch.
    pub(super) fn receipt(&self, seq: usize) -> Value {
        let entry = self.entry(seq);
        let size = self.batches.iter().find(|size| **size > seq).unwrap();
        json!({
            "id": entry["id"], "seq": seq, "received_at": entry["received_at"],
            "flags": [], "duplicate": false,
            "entry_hash": EntryHash::of(&self.records[seq].entry),
            "leaf_hash": TreeHash::leaf(&self.records[seq].entry),
            "checkpoint": self.checkpoint(*size),
        })
    }
}

/// A part of a content bundle that is there.
pub(super) fn push_part(parts: &mut Vec<u8>, salt: &Salt, bytes: &[u8]) {
    parts.push(0x01);
    parts.extend(salt.as_bytes());
    parts.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    parts.extend(bytes);
}

/// The `checkpoints` file of these notes.
pub(super) fn framed(notes: impl Iterator<Item = String>) -> Vec<u8> {
    notes.flat_map(|note| format!("{}\n{note}", note.len()).into_bytes()).collect()
}
