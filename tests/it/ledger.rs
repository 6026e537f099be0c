//! What the ledger promises: order, all or nothing, one receipt for one record, and coming back whole.

use whence::canon::{EntryHash, TreeHash};
use whence::ledger::SubmitError;
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
