//! The laws. Each takes any bytes whatever, and panics when a parser breaks its promise.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::str::FromStr;

use whence::canon::{EntryHash, Json, TreeHash, sorted_to_bytes, to_bytes};
use whence::capture::otlp::{
    Encoding, Group, Item, Known, Sender, Signal, assemble, covers, decode, is_loose, sessions,
};
use whence::ledger::archive::{ArchiveMeta, ArchivedContent};
use whence::proof::{TilePath, bundle};
use whence::record::{CauseLink, Draft, Entry, Event, Placement, RecordId, SessionLink, Timestamp};
use whence::seal::{Checkpoint, Note, TlogProof, UnverifiedCheckpoint, VerifierKey};
use whence::search::{self, query::QUERY_BYTES_MAX};
use whence::verify::{self, Meta, Notes, Options, Source, SourceError, read_checkpoints};

use super::seeds;

/// One parser, or a few that belong together.
pub struct Target {
    /// Its name: that of the law, of the fuzz target and of its corpus.
    pub name: &'static str,
    /// What must hold for any bytes.
    pub law: fn(&[u8]),
    /// Valid inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "record", law: record, seeds: seeds::record },
    Target { name: "entry", law: entry, seeds: seeds::entry },
    Target { name: "note", law: note, seeds: seeds::note },
    Target { name: "tlog_proof", law: tlog_proof, seeds: seeds::tlog_proof },
    Target { name: "archive", law: archive, seeds: seeds::archive },
    Target { name: "tile_path", law: tile_path, seeds: seeds::tile_path },
    Target { name: "json", law: json, seeds: seeds::json },
    Target { name: "query", law: query, seeds: seeds::query },
    Target { name: "otlp", law: otlp, seeds: seeds::otlp },
];

/// A posted record that is accepted is written to bytes that are read as the same record, which is
/// accepted too; it can be sealed, and its entry is read back as the same record.
///
/// One that is refused need not be written the same: an empty list is left out where it is refused.
pub fn record(bytes: &[u8]) {
    let Ok(draft) = Draft::parse(bytes) else { return };
    let written = to_bytes(&draft).expect("what was read can be written");
    let Ok(event) = Event::try_from(draft) else { return };
    let again = Draft::parse(&written).expect("what was written can be read");
    let rewritten = to_bytes(&again).expect("what was read can be written");
    assert_eq!(text(&written), text(&rewritten), "writing has one outcome");
    assert_eq!(Event::try_from(again).as_ref(), Ok(&event), "both forms are accepted alike");
    seal(&event.with_id_if_absent(id("made-by-the-server")));
}

/// Seals an event far inside a ledger.
fn seal(event: &Event) {
    let (hash, prev) = (EntryHash::from_bytes([7; 32]), EntryHash::from_bytes([8; 32]));
    let content = event.content().iter().map(|part| seeds::digest(&part.bytes));
    let place = Placement {
        ledger: &seeds::ledger(),
        seq: 1_000,
        received_at: event.occurred_at(),
        prev: Some(prev),
        session: event.session().map(|_| SessionLink { n: 9, prev: Some(hash) }),
        causes: &vec![CauseLink { seq: 999, entry_hash: hash }; event.causes().len()],
        content: &content.collect::<Vec<_>>(),
        flags: &[],
    };
    let sealed = Entry::seal(event, place).expect("what is accepted can be sealed");
    let entry = Entry::parse(&sealed.bytes).expect("what was sealed is an entry");
    assert!(entry.same_record(event), "the entry is of another record");
    assert_eq!(sorted_to_bytes(&entry).unwrap(), sealed.bytes);
    assert_eq!(text(&to_bytes(&entry).unwrap()), text(&sealed.bytes), "an entry is canonical");
}

/// An entry that is read is written back the same, and is in canonical form.
pub fn entry(bytes: &[u8]) {
    let Ok(entry) = Entry::parse(bytes) else { return };
    assert_eq!(text(&sorted_to_bytes(&entry).unwrap()), text(bytes));
    assert_eq!(text(&to_bytes(&entry).unwrap()), text(bytes));
}

/// Notes, checkpoints and keys that are read are written back the same.
pub fn note(bytes: &[u8]) {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
        drop(note.verify(&[seeds::key()]));
    }
    if let Ok(checkpoint) = UnverifiedCheckpoint::parse(bytes) {
        assert_eq!(checkpoint.note().to_string().as_bytes(), bytes);
        assert_eq!(checkpoint.claim().to_string(), checkpoint.note().text());
        drop(checkpoint.verify(&[seeds::key()]));
    }
    prints_back::<Checkpoint>(bytes);
    prints_back::<VerifierKey>(bytes);
}

/// A proof in a file that is read is written back the same.
pub fn tlog_proof(bytes: &[u8]) {
    let Ok(proof) = TlogProof::parse(bytes) else { return };
    assert_eq!(proof.to_string().as_bytes(), bytes);
    drop(proof.verify(&TreeHash::leaf(b"leaf"), &[seeds::key()]));
}

/// The path of a tile that is read is written back the same.
pub fn tile_path(bytes: &[u8]) {
    prints_back::<TilePath>(bytes);
}

/// JSON that is read has one canonical form, which is read as itself.
pub fn json(bytes: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Json>(bytes) else { return };
    let canonical = json.to_bytes().expect("what was read has a canonical form");
    let again: Json = serde_json::from_slice(&canonical).expect("the canonical form is JSON");
    assert_eq!(text(&again.to_bytes().unwrap()), text(&canonical));
}

/// A query is read, and written as a text that is read as the same query at any moment; or it is refused
/// at a place in it.
pub fn query(bytes: &[u8]) {
    let Ok(asked) = std::str::from_utf8(bytes) else { return };
    let now = Timestamp::from_unix_nanos(1_795_000_000_000_000_000).expect("a valid time");
    match search::parse(asked, now) {
        Ok(query) => {
            let written = query.to_string();
            if written.len() <= QUERY_BYTES_MAX {
                let again = search::parse(&written, Timestamp::EPOCH);
                assert_eq!(again.as_ref(), Ok(&query), "{written}");
            }
        }
        Err(error) => {
            let columns = 1..=asked.chars().count() + 1;
            assert!(columns.contains(&error.column), "{error}");
            assert_eq!(error.caret(asked).lines().count(), 2);
        }
    }
}

/// Telemetry is read, or refused as a whole. What is read becomes drafts with ids, causes before effects;
/// given again it becomes nothing.
pub fn otlp(bytes: &[u8]) {
    let sender = Sender { producer: "fuzz".into(), user: None, session: None, agent: None };
    for (signal, encoding) in [
        (Signal::Traces, Encoding::Protobuf),
        (Signal::Traces, Encoding::Json),
        (Signal::Logs, Encoding::Protobuf),
        (Signal::Logs, Encoding::Json),
    ] {
        let Ok(decoded) = decode(signal, encoding, bytes) else { continue };
        assert_eq!(decoded.rejected > 0, decoded.reason.is_some());
        let mut groups: BTreeMap<Group, Vec<Item>> = BTreeMap::new();
        for item in decoded.items {
            groups.entry(item.group()).or_default().push(item);
        }
        let mut known = Known::default();
        for items in groups.values() {
            for session in sessions(items, &sender) {
                known.begin(&session);
            }
            assert!(!is_loose(items) || !covers(items, items), "what is loose falls into nothing");
            told(&assemble(items, &sender, &mut known));
            let again = assemble(items, &sender, &mut known);
            assert_eq!(again, [], "what is given again is told again");
        }
    }
}

/// Records that were assembled can be looked at by the ledger, in their order.
fn told(drafts: &[Draft]) {
    let mut ids = BTreeSet::new();
    let all: BTreeSet<String> =
        drafts.iter().filter_map(|draft| Some(draft.id.as_ref()?.to_string())).collect();
    assert_eq!(all.len(), drafts.len(), "every record has an id of its own");
    for draft in drafts {
        for cause in draft.causes.iter().map(|cause| cause.id.to_string()) {
            assert!(ids.contains(&cause) || !all.contains(&cause), "an effect before its cause");
        }
        ids.extend(draft.id.as_ref().map(ToString::to_string));
        drop(Event::try_from(draft.clone()));
    }
}

/// An archive of any content is audited to the end. Its parts are taken apart and put together again
/// the same.
pub fn archive(bytes: &[u8]) {
    let files = Files::unpack(bytes);
    for (path, file) in &files.0 {
        if path.starts_with("tile/entries/") {
            rebundle(file);
        }
    }
    let Ok(meta) = files.meta() else { return };
    let with_key = Options { keys: vec![seeds::key()], ..Options::default() };
    for options in [with_key, Options::default()] {
        if let Ok(report) = verify::verify(&files, &options) {
            assert!(report.entries <= meta.size, "more entries than the archive has");
        }
    }
}

/// Entries that are read from a bundle make up the bytes that were read.
fn rebundle(bytes: &[u8]) {
    let entries: Result<Vec<_>, _> = bundle::entries(bytes).collect();
    let Ok(entries) = entries else { return };
    let mut again = Vec::new();
    for entry in entries {
        bundle::push_entry(&mut again, entry).expect("an entry of a bundle fits a bundle");
    }
    assert_eq!(again, bytes);
}

/// The files of an archive by their paths, in memory.
pub struct Files(pub BTreeMap<String, Vec<u8>>);

/// What stands before the path of each file in the packed form.
const MARK: &[u8] = b"\n>>>";

impl Files {
    /// One byte string for all files: a mark, the path and a line feed before each.
    pub fn pack(&self) -> Vec<u8> {
        let pack =
            |(path, file): (&String, &Vec<u8>)| [MARK, path.as_bytes(), b"\n", file].concat();
        self.0.iter().flat_map(pack).collect()
    }

    /// Takes any bytes apart; what is before the first mark is dropped.
    fn unpack(mut bytes: &[u8]) -> Self {
        let find = |bytes: &[u8]| bytes.windows(MARK.len()).position(|window| window == MARK);
        let mut files = BTreeMap::new();
        while let Some(start) = find(bytes) {
            let rest = &bytes[start + MARK.len()..];
            let file = &rest[..find(rest).unwrap_or(rest.len())];
            let end = file.iter().position(|byte| *byte == b'\n').unwrap_or(file.len());
            let path = String::from_utf8_lossy(&file[..end]).into_owned();
            files.insert(path, file.get(end + 1..).unwrap_or_default().to_vec());
            bytes = rest;
        }
        Self(files)
    }

    fn file(&self, path: &str) -> Result<Vec<u8>, SourceError> {
        self.0.get(path).cloned().ok_or_else(|| format!("there is no {path}").into())
    }
}

impl Source for Files {
    fn meta(&self) -> Result<Meta, SourceError> {
        let meta: ArchiveMeta = serde_json::from_slice(&self.file("archive.json")?)?;
        let ArchiveMeta { content, from, ledger, origin, size, to, .. } = meta;
        let part = (from > 0 || to != size).then_some(from..to);
        Ok(Meta { ledger, origin, size, part, withheld: content == ArchivedContent::Withheld })
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.0.get("checkpoint").cloned())
    }

    fn checkpoints(&self) -> Result<Notes<'_>, SourceError> {
        Ok(read_checkpoints(Cursor::new(self.file("checkpoints")?)))
    }

    fn read(&self, path: TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.0.get(&path.to_string()).cloned())
    }
}

/// Text that is read as a `T` is what the `T` is written as.
fn prints_back<T: FromStr + ToString>(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

fn id(text: &str) -> RecordId {
    text.parse().expect("a valid id")
}

/// For messages that can be read.
fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
