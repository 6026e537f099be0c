//! One thing is changed in an exported log. Every change is found, and in the right place.

mod producers;
mod stored;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use whence::canon::TreeHash;
use whence::ledger::View;
use whence::ledger::archive::push_checkpoint;
use whence::proof::{TILE_WIDTH, TilePath, Tree, bundle, tile_width};
use whence::seal::{Checkpoint, SigningKey, UnverifiedCheckpoint, VerifierKey};
use whence::verify::{
    Brought, Code, Error, Head, Meta, Notes, Options, ReceiptClaim, Report, Source, SourceError,
    parse_checkpoints, read_checkpoints, verify,
};

use crate::log::{TestLog, chain, prompt};

/// An archive in memory: files by their paths.
#[derive(Clone)]
struct Archive {
    meta: Meta,
    files: BTreeMap<String, Vec<u8>>,
    head: Head,
    key: VerifierKey,
}

impl Source for Archive {
    fn meta(&self) -> Result<Meta, SourceError> {
        Ok(self.meta.clone())
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.files.get("checkpoint").cloned())
    }

    fn checkpoints(&self) -> Result<Notes<'_>, SourceError> {
        Ok(read_checkpoints(self.files.get("checkpoints").map_or(&[][..], Vec::as_slice)))
    }

    fn read(&self, path: TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.files.get(&path.to_string()).cloned())
    }

    fn head(&self) -> Result<Head, SourceError> {
        Ok(self.head.clone())
    }
}

impl Archive {
    fn of(view: &View, key: &VerifierKey) -> Self {
        let size = view.size();
        let mut paths = Vec::new();
        for level in 0..3u8 {
            for index in 0..size.div_ceil(TILE_WIDTH) {
                if let Some(width) = tile_width(size, level, index) {
                    paths.push(TilePath::Hash { level, index, width });
                }
            }
        }
        for index in 0..size.div_ceil(TILE_WIDTH) {
            let width = tile_width(size, 0, index).unwrap();
            paths.push(TilePath::Entries { index, width });
            paths.push(TilePath::Content { index, width });
        }
        let file = |path: &TilePath| (path.to_string(), view.file(*path).unwrap().unwrap());
        let mut files: BTreeMap<_, _> = paths.iter().map(file).collect();
        let mut notes = Vec::new();
        for batch in view.batches(0..u64::MAX) {
            push_checkpoint(&mut notes, &batch.unwrap().checkpoint);
        }
        files.insert("checkpoints".to_owned(), notes);
        let note = view.checkpoint().note().to_string().into_bytes();
        files.insert("checkpoint".to_owned(), note);
        let origin = view.checkpoint().checkpoint().origin().to_string();
        let ledger = "main".to_owned();
        let meta = Meta { ledger, origin, size, part: None, withheld: false };
        Self { meta, files, head: Head::None, key: key.clone() }
    }

    fn audit(&self) -> Report {
        self.audit_with(Vec::new(), Vec::new())
    }

    fn audit_with(&self, known: Vec<Vec<u8>>, receipts: Vec<ReceiptClaim>) -> Report {
        self.try_audit_with(known, receipts).unwrap()
    }

    fn try_audit_with(
        &self,
        known: Vec<Vec<u8>>,
        receipts: Vec<ReceiptClaim>,
    ) -> Result<Report, Error> {
        let keys = vec![self.key.clone()];
        let known = known.into_iter().map(|note| brought("kept.note", note)).collect();
        let receipts = receipts.into_iter().map(|claim| brought("kept.json", claim)).collect();
        verify(self, &Options { keys, known, receipts, progress: None })
    }

    fn notes(&self) -> Vec<Vec<u8>> {
        parse_checkpoints(&self.files["checkpoints"]).unwrap()
    }

    /// Leaves only the bundles of these entries, as an archive of a part.
    fn part(&self, seqs: Range<u64>) -> Self {
        let mut part = self.clone();
        part.files.retain(|path, _| match path.parse() {
            Ok(TilePath::Entries { index, .. } | TilePath::Content { index, .. }) => {
                seqs.contains(&(index * TILE_WIDTH))
            }
            _ => true,
        });
        part.meta.part = Some(seqs);
        part
    }

    fn entries(&self) -> Vec<Vec<u8>> {
        let bundles = self.files.iter().filter(|(path, _)| path.starts_with("tile/entries/"));
        bundles
            .flat_map(|(_, bytes)| bundle::entries(bytes).map(|entry| entry.unwrap().to_vec()))
            .collect()
    }

    /// Puts other entries in the place of all, and leaves everything else as it was.
    fn set_entries(&mut self, entries: &[Vec<u8>]) {
        self.files.retain(|path, _| !path.starts_with("tile/entries/"));
        for (index, entries) in (0u64..).zip(entries.chunks(256)) {
            let mut bytes = Vec::new();
            for entry in entries {
                bundle::push_entry(&mut bytes, entry).unwrap();
            }
            let width = u16::try_from(entries.len()).unwrap();
            self.files.insert(TilePath::Entries { index, width }.to_string(), bytes);
        }
    }

    /// Recomputes every tile from the entries, as a forger would.
    fn set_tiles(&mut self, entries: &[Vec<u8>]) -> Tree {
        self.files
            .retain(|path, _| path.starts_with("tile/entries/") || !path.starts_with("tile/"));
        let (mut tree, mut completed) = (Tree::new(), Vec::new());
        for entry in entries {
            tree.append(TreeHash::leaf(entry), &mut completed);
        }
        for tile in completed {
            let path = TilePath::Hash { level: tile.level, index: tile.index, width: 256 };
            self.files.insert(path.to_string(), tile.tile.to_bytes());
        }
        for level in 0..2u8 {
            let index = tree.size() >> (8 * (u32::from(level) + 1));
            if let Some(edge) = tree.edge(level).filter(|edge| !edge.is_empty()) {
                let width = u16::try_from(edge.len()).unwrap();
                let path = TilePath::Hash { level, index, width };
                self.files.insert(path.to_string(), edge.to_bytes());
            }
        }
        self.meta.size = tree.size();
        tree
    }
}

/// A log of 405 entries in 101 batches, exported once for all tests.
static EXPORTED: LazyLock<Archive> = LazyLock::new(|| {
    let log = TestLog::new();
    for number in 0..100 {
        log.submit(&chain(number)).unwrap();
    }
    let mut last = chain(100);
    last[0]["content"] = serde_json::json!({ "text": "a", "attachment": { "b": [1, 2, 3] } });
    log.submit(&last).unwrap();
    let ledger = log.ledger();
    Archive::of(&ledger.view(), ledger.key())
});

fn brought<T>(name: &str, what: T) -> Brought<T> {
    Brought { name: name.to_owned(), what }
}

fn codes(report: &Report) -> Vec<(Option<u64>, Code)> {
    report.findings.listed.iter().map(|finding| (finding.seq, finding.code)).collect()
}

#[test]
fn an_untouched_log_is_verified() {
    let report = EXPORTED.audit();
    assert_eq!(codes(&report), []);
    assert_eq!((report.entries, report.checkpoints, report.sessions), (405, 103, 5));
    assert_eq!((report.contents, report.contents_absent), (405, 0));
    assert!(report.key_is_given);
}

#[test]
fn without_a_key_the_log_s_own_is_taken_and_that_is_said() {
    let report = verify(&*EXPORTED, &Options::default()).unwrap();
    assert_eq!(codes(&report), []);
    assert!(!report.key_is_given);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_changed_bit_in_any_file_is_found(file: Index, byte: Index, bit in 0..8u8) {
        let mut archive = EXPORTED.clone();
        let files = archive.files.len();
        let (path, bytes) = archive.files.iter_mut().nth(file.index(files)).unwrap();
        let path = path.clone();
        *byte.get_mut(bytes) ^= 1 << bit;
        prop_assert!(archive.audit().findings.total > 0, "{path}");
    }

    /// The entry that was changed is blamed, and no other: not the next one of the log or of its
    /// session, not its effects, and no tile or checkpoint.
    #[test]
    fn a_changed_bit_of_an_entry_is_found_there_and_only_there(at: Index, byte: Index, bit in 0..8u8) {
        let mut archive = EXPORTED.clone();
        let mut entries = archive.entries();
        let seq = at.index(entries.len());
        *byte.get_mut(&mut entries[seq]) ^= 1 << bit;
        archive.set_entries(&entries);
        let found = codes(&archive.audit());
        let seq = u64::try_from(seq).unwrap();
        prop_assert!(found.contains(&(Some(seq), Code::EntryChanged)), "{found:?}");
        prop_assert!(found.iter().all(|(at, _)| *at == Some(seq)), "{seq}: {found:?}");
    }

    /// The same for a forger who knows the format: the entry stays one, and says something else.
    #[test]
    fn a_forged_entry_is_found_there_and_only_there(at in 0..100usize, what in 0..5usize) {
        let mut archive = EXPORTED.clone();
        let mut entries = archive.entries();
        let seq = 4 * at + 4;
        let mut entry: serde_json::Value = serde_json::from_slice(&entries[seq]).unwrap();
        match what {
            0 => entry["session"]["id"] = "another".into(),
            1 => entry["session"]["n"] = 70_000.into(),
            2 => entry["id"] = "another".into(),
            3 => drop(entry.as_object_mut().unwrap().remove("content")),
            _ => entry["received_at"] = "2031-01-01T00:00:00.000Z".into(),
        }
        entries[seq] = whence::canon::sorted_to_bytes(&entry).unwrap();
        archive.set_entries(&entries);
        let found = codes(&archive.audit());
        let seq = u64::try_from(seq).unwrap();
        prop_assert!(found.contains(&(Some(seq), Code::EntryChanged)), "{found:?}");
        prop_assert!(found.iter().all(|(at, _)| *at == Some(seq)), "{seq}: {found:?}");
    }

    #[test]
    fn a_missing_bundle_is_the_one_finding_and_moves_nothing(index in 0..2u64) {
        let mut archive = EXPORTED.clone();
        let width = tile_width(405, 0, index).unwrap();
        archive.files.remove(&TilePath::Entries { index, width }.to_string()).unwrap();
        let report = archive.audit();
        prop_assert_eq!(codes(&report), [(Some(index * 256), Code::BundleMissing)]);
        prop_assert_eq!(report.entries, 405 - u64::from(width));
    }

    #[test]
    fn a_removed_an_inserted_and_a_swapped_entry_are_found(at: Index, how in 0..3u8) {
        let mut archive = EXPORTED.clone();
        let mut entries = archive.entries();
        let seq = at.index(entries.len() - 1);
        match how {
            0 => drop(entries.remove(seq)),
            1 => entries.insert(seq, entries[seq].clone()),
            _ => entries.swap(seq, seq + 1),
        }
        archive.set_entries(&entries);
        let first = codes(&archive.audit()).into_iter().filter_map(|(seq, _)| seq).min();
        let bundle = u64::try_from(seq).unwrap() / 256 * 256;
        prop_assert!(first.is_some_and(|first| first >= bundle && first <= u64::try_from(seq + 1).unwrap()));
    }

    #[test]
    fn a_cut_tail_is_found_even_with_new_tiles(left in 1..404usize) {
        let mut archive = EXPORTED.clone();
        let entries = archive.entries()[..left].to_vec();
        archive.set_entries(&entries);
        archive.set_tiles(&entries);
        let found = codes(&archive.audit());
        prop_assert!(found.iter().any(|(_, code)| *code == Code::RootWrong), "{found:?}");
    }

    #[test]
    fn changed_content_is_found_at_its_record(at in 1..405u64, byte: Index, salt: bool) {
        let mut archive = EXPORTED.clone();
        let index = at / 256;
        let width = tile_width(405, 0, index).unwrap();
        let path = TilePath::Content { index, width }.to_string();
        let bytes = archive.files.get_mut(&path).unwrap();
        // Walk to the part: each is 0x01, a salt, a length and the bytes.
        let first = if index == 0 { 1 } else { 256 };
        let mut place = 0;
        for _ in first..at.min(401) {
            let length = u32::from_be_bytes(bytes[place + 33..place + 37].try_into().unwrap());
            place += 37 + usize::try_from(length).unwrap();
        }
        let length = u32::from_be_bytes(bytes[place + 33..place + 37].try_into().unwrap());
        let (start, end) =
            if salt { (place + 1, place + 33) } else { (place + 37, place + 37 + usize::try_from(length).unwrap()) };
        *byte.get_mut(&mut bytes[start..end]) ^= 0x20;
        prop_assert_eq!(codes(&archive.audit()), [(Some(at.min(401)), Code::ContentWrong)]);
    }

    #[test]
    fn a_changed_tile_is_told_from_a_changed_entry(byte: Index, level in 0..2u8) {
        let mut archive = EXPORTED.clone();
        let width = if level == 0 { 256 } else { 1 };
        let path = TilePath::Hash { level, index: 0, width }.to_string();
        *byte.get_mut(archive.files.get_mut(&path).unwrap()) ^= 1;
        prop_assert_eq!(codes(&archive.audit()), [(None, Code::TileWrong)]);
    }

    #[test]
    fn a_dropped_session_entry_is_found_even_if_everything_after_is_rebuilt(at in 1..404usize) {
        let mut archive = EXPORTED.clone();
        let mut entries = archive.entries();
        entries.remove(at);
        archive.set_entries(&entries);
        archive.set_tiles(&entries);
        let found = codes(&archive.audit());
        let at = u64::try_from(at).unwrap();
        prop_assert!(found.contains(&(Some(at), Code::SeqWrong)), "{found:?}");
        prop_assert!(found.contains(&(Some(at), Code::ChainBroken)), "{found:?}");
    }
}

#[test]
fn content_swapped_between_records_is_found_at_both() {
    let mut archive = EXPORTED.clone();
    let path = TilePath::Content { index: 0, width: 256 }.to_string();
    let bytes = archive.files[&path].clone();
    let length = |place: usize| {
        let length = u32::from_be_bytes(bytes[place + 33..place + 37].try_into().unwrap());
        37 + usize::try_from(length).unwrap()
    };
    let (first, second) = (length(0), length(length(0)));
    let swapped =
        [&bytes[first..first + second], &bytes[..first], &bytes[first + second..]].concat();
    archive.files.insert(path, swapped);
    let found = codes(&archive.audit());
    assert_eq!(found, [(Some(1), Code::ContentWrong), (Some(2), Code::ContentWrong)]);
}

/// The strongest forger: every entry, tile and checkpoint is right, only the key is not the log's.
#[test]
fn a_log_signed_with_another_key_is_found() {
    let mut archive = EXPORTED.clone();
    let thief = SigningKey::from_seed(&[8; 32]);
    let mut notes = Vec::new();
    for note in archive.notes() {
        let note = UnverifiedCheckpoint::parse(&note).unwrap();
        let note = note.claim().clone().sign(&thief).note().to_string();
        push_checkpoint(&mut notes, &note);
        archive.files.insert("checkpoint".to_owned(), note.into_bytes());
    }
    archive.files.insert("checkpoints".to_owned(), notes);
    let found = codes(&archive.audit());
    assert!(found.iter().filter(|(_, code)| *code == Code::SignatureWrong).count() == 103);
}

#[test]
fn an_older_checkpoint_in_place_of_the_newest_is_found() {
    let mut archive = EXPORTED.clone();
    let older = archive.notes().swap_remove(50);
    archive.files.insert("checkpoint".to_owned(), older);
    let found = codes(&archive.audit());
    assert!(found.contains(&(None, Code::RootWrong)), "{found:?}");
    assert!(found.contains(&(None, Code::CheckpointMissing)), "{found:?}");
}

#[test]
fn a_checkpoint_that_was_kept_is_compared_with() {
    let older = EXPORTED.notes().swap_remove(50);
    assert_eq!(codes(&EXPORTED.audit_with(vec![older], Vec::new())), []);

    // The log signed another history of that size: the auditor who kept it is the one who finds out.
    let (archive, key) = resigned();
    let origin = archive.meta.origin.parse().unwrap();
    let other = Checkpoint::new(origin, 100, TreeHash::leaf(b"another history")).unwrap();
    let kept = other.sign(&key).note().to_string().into_bytes();
    let report = archive.audit_with(vec![kept], Vec::new());
    assert_eq!(codes(&report), [(None, Code::KnownCheckpointWrong)]);
    assert!(report.findings.listed[0].message.contains("kept.note"));
}

/// The log under a key of which the test knows the secret.
fn resigned() -> (Archive, SigningKey) {
    let mut archive = EXPORTED.clone();
    let key = log_key();
    archive.key = key.verifier_key(archive.key.name().clone());
    let mut notes = Vec::new();
    for note in archive.notes() {
        let note = UnverifiedCheckpoint::parse(&note).unwrap().claim().clone();
        let note = note.sign(&key).note().to_string();
        push_checkpoint(&mut notes, &note);
        archive.files.insert("checkpoint".to_owned(), note.into_bytes());
    }
    archive.files.insert("checkpoints".to_owned(), notes);
    (archive, key)
}

#[test]
fn what_was_brought_and_is_not_of_the_log_is_the_wrong_file_and_no_tampering() {
    let origin = "log.example/other".parse().unwrap();
    let other = Checkpoint::new(origin, 9, TreeHash::leaf(b"x")).unwrap().sign(&log_key());
    let origin = EXPORTED.meta.origin.parse().unwrap();
    let by_other = Checkpoint::new(origin, 9, TreeHash::leaf(b"x")).unwrap().sign(&log_key());
    for note in [other.to_string(), by_other.to_string(), "garbage".to_owned()] {
        let error = EXPORTED.try_audit_with(vec![note.clone().into_bytes()], Vec::new());
        assert!(matches!(error, Err(Error::Brought { name, .. }) if name == "kept.note"), "{note}");
        let (id, hash) = ("x".to_owned(), TreeHash::empty());
        let entry_hash = whence::canon::EntryHash::of(b"");
        let claim = ReceiptClaim { id, seq: 1, entry_hash, leaf_hash: hash, checkpoint: note };
        let error = EXPORTED.try_audit_with(Vec::new(), vec![claim]);
        assert!(matches!(error, Err(Error::Brought { name, .. }) if name == "kept.json"));
    }

    // Without a key of the auditor's own, it may be the log that is the wrong one.
    let known = vec![brought("kept.note", by_other.to_string().into_bytes())];
    let report = verify(&*EXPORTED, &Options { known, ..Options::default() }).unwrap();
    assert_eq!(codes(&report), [(None, Code::KnownCheckpointWrong)]);
}

/// Some key of which the test knows the secret.
fn log_key() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

#[test]
fn a_receipt_that_was_kept_is_compared_with() {
    let log = TestLog::new();
    let receipt = log.submit(&[prompt("p", "s", "hello")]).unwrap().remove(0);
    log.submit(&chain(1)).unwrap();
    let ledger = log.ledger();
    let archive = Archive::of(&ledger.view(), ledger.key());
    let claim = ReceiptClaim {
        id: receipt.id,
        seq: receipt.seq,
        entry_hash: receipt.entry_hash,
        leaf_hash: receipt.leaf_hash,
        checkpoint: receipt.checkpoint.to_string(),
    };
    assert_eq!(codes(&archive.audit_with(Vec::new(), vec![claim.clone()])), []);
    for wrong in [
        ReceiptClaim { id: "q".to_owned(), ..claim.clone() },
        ReceiptClaim { seq: 2, ..claim.clone() },
        ReceiptClaim { seq: 200, ..claim.clone() },
        ReceiptClaim { leaf_hash: TreeHash::empty(), ..claim },
    ] {
        let found = codes(&archive.audit_with(Vec::new(), vec![wrong.clone()]));
        assert!(found.iter().any(|(_, code)| *code == Code::ReceiptWrong), "{wrong:?}");
    }
}

#[test]
fn withheld_content_is_counted_and_is_no_finding_but_missing_content_is() {
    let mut archive = EXPORTED.clone();
    archive.files.retain(|path, _| !path.starts_with("content/"));
    archive.meta.withheld = true;
    let report = archive.audit();
    assert_eq!(codes(&report), []);
    assert_eq!((report.contents, report.contents_absent), (0, 405));
    assert!(report.content_withheld);

    archive.meta.withheld = false;
    let missing = [(Some(0), Code::ContentMissing), (Some(256), Code::ContentMissing)];
    assert_eq!(codes(&archive.audit()), missing);
}

#[test]
fn damaged_and_missing_checkpoints_are_findings() {
    let mut archive = EXPORTED.clone();
    let cut = archive.files["checkpoints"].len() - 3;
    archive.files.get_mut("checkpoints").unwrap().truncate(cut);
    let found = [(None, Code::CheckpointMalformed), (None, Code::CheckpointMissing)];
    let report = archive.audit();
    assert_eq!(codes(&report), found);
    assert_eq!((report.entries, report.checkpoints), (405, 102));

    let mut archive = EXPORTED.clone();
    archive.files.remove("checkpoint");
    let report = archive.audit();
    assert_eq!(codes(&report), [(None, Code::CheckpointMissing); 2]);
    assert_eq!(report.entries, 405);
    archive.files.remove("checkpoints");
    let report = archive.audit();
    assert_eq!(codes(&report), [(None, Code::CheckpointMissing); 2]);
    assert_eq!(report.entries, 0, "no number that nobody signed says how much there is");
}

#[test]
fn a_checkpoint_of_an_empty_log_is_refused() {
    let (mut archive, key) = resigned();
    let origin = archive.meta.origin.parse().unwrap();
    let empty = Checkpoint::new(origin, 0, TreeHash::empty()).unwrap().sign(&key).to_string();
    let mut notes = Vec::new();
    push_checkpoint(&mut notes, &empty);
    notes.extend(&archive.files["checkpoints"]);
    archive.files.insert("checkpoints".to_owned(), notes);
    assert_eq!(codes(&archive.audit()), [(None, Code::CheckpointMalformed)]);
}

#[test]
fn a_part_says_that_it_is_one_and_has_nothing_unchecked_beside_it() {
    let part = EXPORTED.part(256..405);
    let report = part.audit();
    assert_eq!(codes(&report), []);
    assert_eq!((report.from, report.to, report.size, report.entries), (256, 405, 405, 149));
    assert!(report.is_of_a_part() && !EXPORTED.audit().is_of_a_part());

    let mut more = EXPORTED.clone();
    more.meta.part = Some(256..405);
    assert_eq!(codes(&more.audit()), [(Some(0), Code::BundleUnexpected)]);

    for nothing in [0..0, 405..405, 256..256, 256..300, 256..512] {
        let mut archive = EXPORTED.clone();
        archive.meta.part = Some(nothing.clone());
        let error = archive.try_audit_with(Vec::new(), Vec::new());
        assert!(matches!(error, Err(Error::Meta(_))), "{nothing:?}");
    }
}

#[test]
fn no_number_in_a_file_decides_how_much_is_looked_at() {
    // The archive says that it is huge: what was signed counts.
    let mut archive = EXPORTED.clone();
    archive.meta.size = 1 << 60;
    assert_eq!(codes(&archive.audit()), [(None, Code::RootWrong)]);

    // The newest checkpoint, which nobody signed, says so: the last one that was signed counts.
    let origin = archive.meta.origin.parse().unwrap();
    let huge = Checkpoint::new(origin, 1 << 60, TreeHash::leaf(b"x")).unwrap();
    let note = huge.sign(&log_key()).to_string().into_bytes();
    archive.files.insert("checkpoint".to_owned(), note);
    let report = archive.audit();
    assert_eq!(codes(&report), [(None, Code::SignatureWrong), (None, Code::CheckpointMissing)]);
    assert_eq!(report.entries, 405);

    // The log itself signed it: it ends where nothing more is there.
    let (mut archive, key) = resigned();
    archive.meta.size = 1 << 60;
    archive.files.insert("checkpoint".to_owned(), huge.sign(&key).to_string().into_bytes());
    let report = archive.audit();
    let ends = report.findings.listed.iter().filter(|finding| finding.seq == Some(64 * 256));
    assert_eq!(ends.map(|end| end.code).collect::<Vec<_>>(), [Code::BundleMissing]);
    assert!(report.findings.total < 200, "{}", report.findings.total);
}

#[test]
fn the_head_file_is_one_more_checkpoint_that_was_kept() {
    let with = |head: Head| {
        let mut archive = EXPORTED.clone();
        archive.head = head;
        archive
    };
    let name = || "the head file".to_owned();
    let newest = EXPORTED.files["checkpoint"].clone();
    let there = |note: &[u8]| Head::There { name: name(), note: note.to_vec() };
    assert_eq!(codes(&with(there(&newest)).audit()), []);
    assert_eq!(codes(&with(Head::Missing { name: name() }).audit()), [(None, Code::HeadMissing)]);
    assert_eq!(codes(&with(there(b"x")).audit()), [(None, Code::CheckpointMalformed)]);

    // The tail is cut together with its checkpoints: only the head file knows.
    let mut cut = with(there(&newest));
    let mut notes = cut.notes();
    notes.pop();
    let size = UnverifiedCheckpoint::parse(notes.last().unwrap()).unwrap().claim().size();
    let entries = cut.entries()[..usize::try_from(size).unwrap()].to_vec();
    cut.set_entries(&entries);
    cut.set_tiles(&entries);
    cut.meta.withheld = true;
    cut.files.retain(|path, _| !path.starts_with("content/"));
    let mut bytes = Vec::new();
    for note in &notes {
        push_checkpoint(&mut bytes, str::from_utf8(note).unwrap());
    }
    cut.files.insert("checkpoints".to_owned(), bytes);
    cut.files.insert("checkpoint".to_owned(), notes.pop().unwrap());
    assert_eq!(codes(&cut.audit()), [(None, Code::KnownCheckpointWrong)]);
    cut.head = Head::None;
    assert_eq!(codes(&cut.audit()), [], "without it, nothing is left to tell");
}
