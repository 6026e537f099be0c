//! What the ledger promises: order, all or nothing, one receipt for one record, and coming back whole.

use std::path::Path;

use whence::canon::{EntryHash, TreeHash};
use whence::ledger::{Error, Importer, Inspected, Settings, SubmitError};
use whence::proof;
use whence::record::{Code, Entry};

use crate::log::{TestLog, chain, ledgers_in, main_ledger, prompt, submit};

#[test]
fn records_are_chained_in_the_ledger_and_in_their_session() {
    let log = TestLog::new();
    for number in 0..20 {
        let receipts = log.submit(&chain(number)).unwrap();
        assert_eq!(receipts.len(), 4);
    }
    let view = log.ledger().view();
    assert_eq!(view.size(), 81);

    let mut last = None;
    let mut sessions = std::collections::BTreeMap::new();
    for (seq, bytes) in view.entries(0..u64::MAX).unwrap() {
        let entry = Entry::parse(&bytes).unwrap();
        assert_eq!((entry.seq, entry.prev), (seq, last));
        last = Some(EntryHash::of(&bytes));
        if let Some(session) = &entry.session {
            let before = sessions.insert(session.id.to_string(), (session.n, last));
            assert_eq!(session.n, before.map_or(0, |(n, _)| n + 1));
            assert_eq!(session.prev, before.and_then(|(_, hash)| hash));
        }
    }
    assert_eq!(sessions.len(), 5);
    assert_eq!(view.session("s-3", 0, 100).unwrap().len(), 16);
}

#[test]
fn every_receipt_is_proven_by_its_checkpoint() {
    let log = TestLog::new();
    let receipts: Vec<_> = (0..200).flat_map(|n| log.submit(&chain(n)).unwrap()).collect();
    let ledger = log.ledger();
    let view = ledger.view();
    for receipt in receipts {
        let note =
            whence::seal::UnverifiedCheckpoint::parse(receipt.checkpoint.as_bytes()).unwrap();
        let signed = note.verify(std::slice::from_ref(ledger.key())).unwrap();
        let checkpoint = signed.checkpoint();
        let path = view.inclusion(receipt.seq, checkpoint.size()).unwrap();
        let (size, root) = (checkpoint.size(), checkpoint.root());
        proof::verify_inclusion(&receipt.leaf_hash, receipt.seq, size, &path, &root).unwrap();
        let bytes = view.entry(receipt.seq).unwrap().unwrap();
        assert_eq!(receipt.entry_hash, EntryHash::of(&bytes));
        assert_eq!(receipt.leaf_hash, TreeHash::leaf(&bytes));

        let consistency = view.consistency(size, view.size()).unwrap();
        let end = view.checkpoint().checkpoint().root();
        proof::verify_consistency(size, &root, view.size(), &end, &consistency).unwrap();
    }
}

#[test]
fn a_retry_gets_the_original_receipt_also_after_reopening() {
    let mut log = TestLog::new();
    let first = log.submit(&chain(1)).unwrap();
    log.submit(&chain(2)).unwrap();
    for _ in 0..2 {
        let again = log.submit(&chain(1)).unwrap();
        for (original, mut receipt) in first.iter().zip(again) {
            assert!(receipt.duplicate);
            receipt.duplicate = false;
            assert_eq!(*original, receipt);
        }
        log.reopen();
    }
    assert_eq!(log.ledger().view().size(), 9);
}

#[test]
fn the_same_record_twice_in_one_request_is_sealed_once() {
    let log = TestLog::new();
    let record = prompt("p", "s", "hello");
    let receipts = log.submit(&[record.clone(), record.clone(), record]).unwrap();
    assert_eq!(receipts.iter().map(|receipt| receipt.seq).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(
        receipts.iter().map(|receipt| receipt.duplicate).collect::<Vec<_>>(),
        [false, true, true]
    );
    assert_eq!(log.ledger().view().size(), 2);
}

#[test]
fn another_record_with_a_known_id_is_refused_whatever_differs() {
    let log = TestLog::new();
    log.submit(&chain(1)).unwrap();
    let original = chain(1).swap_remove(0);
    for (pointer, value) in [
        ("/content/text", "Pay the invoices."),
        ("/session/id", "s-2"),
        ("/user/id", "bob@example.com"),
        ("/occurred_at", "2026-11-24T00:06:14.124Z"),
        ("/source/producer", "other"),
    ] {
        let mut changed = original.clone();
        *changed.pointer_mut(pointer).unwrap() = value.into();
        let Err(SubmitError::Refused(refused)) = log.submit(&[changed]) else {
            panic!("a changed {pointer} was taken");
        };
        assert_eq!((refused.index, refused.error.code), (0, Code::IdConflict), "{pointer}");
    }
    assert_eq!(log.ledger().view().size(), 5);
}

#[test]
fn a_request_is_taken_as_a_whole_or_not_at_all() {
    let log = TestLog::new();
    let mut records = chain(1);
    records[3]["causes"][0]["id"] = "nobody".into();
    let Err(SubmitError::Refused(refused)) = log.submit(&records) else { panic!("it was taken") };
    assert_eq!((refused.index, refused.error.code), (3, Code::CauseUnknown));
    assert_eq!(refused.error.pointer, "/causes/0/id");
    assert_eq!(log.ledger().view().size(), 1);

    // A refused request leaves no trace: its ids are free and its session has not begun.
    assert_eq!(log.submit(&chain(1)).unwrap()[0].seq, 1);
}

#[test]
fn a_cause_has_to_be_of_a_kind_that_can_cause() {
    let log = TestLog::new();
    let mut records = chain(1);
    records[3]["causes"][0]["id"] = "output-1".into();
    let Err(SubmitError::Refused(refused)) = log.submit(&records) else { panic!("it was taken") };
    assert_eq!(refused.error.code, Code::CauseKindInvalid);
}

#[test]
fn causes_duplicates_and_sessions_are_found_far_back() {
    // Past a run of the index, so that all three are looked up on disk.
    let mut log = TestLog::new();
    let first = log.submit(&chain(0)).unwrap();
    let ledger = log.ledger();
    for request in 0..70 {
        let records: Vec<_> =
            (0..1_000).map(|n| prompt(&format!("filler-{request}-{n}"), "filler", "x")).collect();
        submit(&ledger, &records).unwrap();
    }
    drop(ledger);
    log.reopen();

    let mut late = chain(5).swap_remove(1);
    late["causes"][0]["id"] = "prompt-0".into();
    let receipt = log.submit(&[late]).unwrap().remove(0);
    let view = log.ledger().view();
    let bytes = view.entry(receipt.seq).unwrap().unwrap();
    let entry = Entry::parse(&bytes).unwrap();
    assert_eq!((entry.causes[0].seq, entry.session.as_ref().unwrap().n), (1, 4));
    assert_eq!(log.submit(&chain(0)).unwrap()[3].entry_hash, first[3].entry_hash);
    assert_eq!(view.seq_of("filler-0-0").unwrap(), Some(5));
    assert_eq!(view.seq_of("filler-69-999").unwrap(), Some(70_004));
    assert_eq!(view.seq_of("nobody").unwrap(), None);
    assert_eq!(view.session("filler", 60_000, 3).unwrap(), [60_000, 60_001, 60_002]);
}

#[test]
fn a_second_writer_is_turned_away() {
    let log = TestLog::new();
    let second = ledgers_in(log.folder.path(), None);
    let error = second.get(&main_ledger()).unwrap_err().to_string();
    assert!(error.contains("open in another process"), "{error}");
}

#[test]
fn a_request_that_never_fits_is_refused_and_not_put_off() {
    let log = TestLog::new();
    let ledger = log.ledger();
    let many: Vec<_> = (0..1_025).map(|n| prompt(&format!("p-{n}"), "s", "x")).collect();
    assert!(matches!(submit(&ledger, &many), Err(SubmitError::TooLarge)));

    let part = "x".repeat(1_000_000);
    let mut record = prompt("p", "s", &part);
    for number in 0..31 {
        record["content"][format!("part{number}")] = part.clone().into();
    }
    let large: Vec<_> = (0..3)
        .map(|n| {
            let mut record = record.clone();
            record["id"] = format!("p-{n}").into();
            record
        })
        .collect();
    assert!(matches!(submit(&ledger, &large), Err(SubmitError::TooLarge)));
    assert_eq!(submit(&ledger, &large[..1]).unwrap()[0].seq, 1);
    assert_eq!(ledger.view().record(1).unwrap().unwrap().content.len(), 32);
}

#[test]
fn a_record_counts_with_all_that_is_sealed_of_it() {
    let log = TestLog::new();
    let ledger = log.ledger();
    // Half a queue of records that are long without any content.
    let labels: serde_json::Map<_, _> =
        (0..50).map(|n| (format!("label_{n}"), "x".repeat(500).into())).collect();
    let records: Vec<_> = (0..1_024)
        .map(|n| {
            let mut record = prompt(&format!("p-{n}"), "s", "x");
            record["labels"] = labels.clone().into();
            record
        })
        .collect();
    let prepare = || records.iter().map(|record| crate::log::prepare(&ledger, record)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let answers = (0..4).map(|_| {
            let (ledger, records) = (ledger.clone(), prepare());
            Box::pin(async move { ledger.submit(records).await })
        });
        let mut answers: Vec<_> = answers.collect();
        let mut busy = 0;
        for answer in &mut answers {
            // The first look queues the request or finds no room for it.
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            if let std::task::Poll::Ready(Err(SubmitError::Busy)) =
                answer.as_mut().poll(&mut context)
            {
                busy += 1;
            }
        }
        assert!(busy > 0, "100 MiB of labels were taken into a queue of 64 MiB");
    });
}

/// What an import takes of a ledger.
struct Archive {
    entries: Vec<Vec<u8>>,
    notes: Vec<String>,
    key: String,
    meta: whence::store::Meta,
    verifier: whence::seal::VerifierKey,
}

impl Archive {
    fn of(log: &mut TestLog) -> Self {
        let ledger = log.ledger();
        let view = ledger.view();
        let entries = view.entries(0..u64::MAX).unwrap();
        let notes = view.batches(0..u64::MAX).map(|batch| batch.unwrap().checkpoint).collect();
        let archive = Self {
            entries: entries.into_iter().map(|(_, bytes)| bytes.to_vec()).collect(),
            notes,
            key: std::fs::read_to_string(log.folder.path().join("ledgers/main/key")).unwrap(),
            meta: ledger.meta().clone(),
            verifier: ledger.key().clone(),
        };
        drop((view, ledger));
        log.close();
        archive
    }

    fn importer(&self, settings: &Settings, key: Option<&str>) -> Result<Importer, Error> {
        let of = (self.meta.ledger.clone(), self.meta.origin.clone());
        Importer::create(settings, of, self.verifier.clone(), key, self.notes.clone())
    }

    fn push(&self, importer: &mut Importer) -> Result<(), Error> {
        self.entries.iter().try_for_each(|entry| {
            let parts = Entry::parse(entry).unwrap().content.len();
            importer.push(entry, vec![whence::ledger::StoredPart::Erased; parts])
        })
    }

    fn import(&self, settings: &Settings, key: Option<&str>) -> Result<(), Error> {
        let mut importer = self.importer(settings, key)?;
        self.push(&mut importer)?;
        importer.finish()
    }
}

fn archive_of_chains(count: u64) -> (TestLog, Archive) {
    let mut log = TestLog::new();
    for number in 0..count {
        log.submit(&chain(number)).unwrap();
    }
    let archive = Archive::of(&mut log);
    (log, archive)
}

fn settings_in(folder: &Path) -> Settings {
    ledgers_in(folder, None).settings().clone()
}

#[test]
fn an_imported_ledger_goes_on_where_the_archive_ended() {
    let (_log, archive) = archive_of_chains(3);
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings_in(folder.path());
    settings.heads = Some(folder.path().join("heads"));
    archive.import(&settings, Some(&archive.key)).unwrap();
    assert!(folder.path().join("heads/main.head").exists());

    let environment = whence::ledger::Environment {
        clock: std::sync::Arc::new(crate::log::Ticking::default()),
        random: std::sync::Arc::new(crate::log::Seeded::new(9)),
    };
    let ledgers = whence::ledger::Ledgers::new(settings, environment);
    let ledger = ledgers.get(&main_ledger()).unwrap();
    let view = ledger.view();
    assert_eq!(view.checkpoint().note().to_string(), *archive.notes.last().unwrap());
    assert_eq!(view.batches(0..u64::MAX).count(), archive.notes.len());
    assert_eq!(submit(&ledger, &chain(9)).unwrap()[0].seq, 13);
    drop(ledger);
    ledgers.close();
}

#[test]
fn an_import_that_did_not_end_leaves_no_ledger_and_the_next_one_makes_it() {
    let (_log, archive) = archive_of_chains(2);
    let folder = tempfile::tempdir().unwrap();
    let settings = settings_in(folder.path());
    let mut importer = archive.importer(&settings, Some(&archive.key)).unwrap();
    archive.push(&mut importer).unwrap();
    assert!(matches!(archive.importer(&settings, None), Err(Error::Importing)));
    drop(importer);
    let ledgers = ledgers_in(folder.path(), None);
    assert_eq!(ledgers.names().unwrap(), []);
    assert!(matches!(ledgers.get(&main_ledger()), Err(Error::Unknown)));

    // Nor does one of which entries are missing.
    let mut importer = archive.importer(&settings, None).unwrap();
    importer.push(&archive.entries[0], Vec::new()).unwrap();
    importer.finish().unwrap_err();
    assert_eq!(ledgers.names().unwrap(), []);

    archive.import(&settings, Some(&archive.key)).unwrap();
    assert_eq!(ledgers.get(&main_ledger()).unwrap().view().size(), 9);
    assert!(matches!(archive.import(&settings, None), Err(Error::InTheWay { .. })));
}

#[test]
fn an_import_checks_what_it_is_given_before_it_writes() {
    let (_log, mut archive) = archive_of_chains(2);
    let folder = tempfile::tempdir().unwrap();
    let settings = settings_in(folder.path());
    let other = data_encoding::BASE64.encode(&[5; 32]);
    for key in [other.as_str(), "no key"] {
        let refused = archive.importer(&settings, Some(key));
        assert!(matches!(refused, Err(Error::SigningKey { .. })));
    }
    // A head file of such a ledger says that there is, or was, another one.
    std::fs::create_dir_all(folder.path().join("ledgers/main")).unwrap();
    std::fs::write(folder.path().join("ledgers/main/head"), &archive.notes[0]).unwrap();
    assert!(matches!(archive.importer(&settings, None), Err(Error::InTheWay { .. })));
    std::fs::remove_file(folder.path().join("ledgers/main/head")).unwrap();

    // A checkpoint of nothing, of another order, and over another tree.
    let root = data_encoding::BASE64.encode(TreeHash::empty().as_bytes());
    let empty = archive.notes[0].lines().skip(3).collect::<Vec<_>>().join("\n");
    let empty = format!("{}\n0\n{root}\n{empty}\n", archive.meta.origin.as_str());
    archive.notes.insert(0, empty);
    archive.importer(&settings, None).unwrap_err();
    archive.notes.remove(0);
    archive.notes.swap(0, 1);
    archive.importer(&settings, None).unwrap_err();
    archive.notes.swap(0, 1);
    assert!(!folder.path().join("ledgers/main.importing").exists(), "nothing was written");
    archive.entries.swap(3, 4);
    assert!(archive.import(&settings, None).is_err());
}

#[test]
fn a_ledger_without_its_key_is_audited_and_not_opened() {
    let (_log, archive) = archive_of_chains(1);
    let folder = tempfile::tempdir().unwrap();
    let settings = settings_in(folder.path());
    archive.import(&settings, None).unwrap();
    let ledgers = ledgers_in(folder.path(), None);
    let error = ledgers.get(&main_ledger()).unwrap_err().to_string();
    assert!(error.contains("key file") && error.contains("is missing"), "{error}");
    assert!(!ledgers.any_halted());
    let scratch = tempfile::tempdir().unwrap();
    let inspected = Inspected::open(&settings.store(&main_ledger()), scratch.path()).unwrap();
    assert_eq!(inspected.size(), 5);
}

#[test]
fn an_archive_with_few_checkpoints_is_imported_in_parts() {
    let mut log = TestLog::new();
    for request in 0..3 {
        let records: Vec<_> =
            (0..1_000).map(|n| prompt(&format!("p-{request}-{n}"), "s", "x")).collect();
        log.submit(&records).unwrap();
    }
    let mut archive = Archive::of(&mut log);
    archive.notes.drain(..3);
    let folder = tempfile::tempdir().unwrap();
    let settings = settings_in(folder.path());
    archive.import(&settings, Some(&archive.key)).unwrap();
    let ledgers = ledgers_in(folder.path(), None);
    let view = ledgers.get(&main_ledger()).unwrap().view();
    assert_eq!((view.size(), view.batches(0..u64::MAX).count()), (3_001, 1));
    assert_eq!(view.record(1_500).unwrap().unwrap().batch.seqs(), 0..3_001);
    assert_eq!(view.session("s", 0, 5_000).unwrap().len(), 3_000);
}
