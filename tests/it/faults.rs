//! Every step of a commit fails, before it was taken and after. Whatever happens, what was
//! acknowledged is there when the ledger is opened again, and no size has two checkpoints.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use whence::canon::TreeHash;
use whence::ledger::{Clock, Environment, Inspected, Ledger, Ledgers, Receipt, SubmitError};
use whence::record::Timestamp;
use whence::seal::UnverifiedCheckpoint;
use whence::store::{Faults, Step};

use crate::log::{Seeded, TestLog, chain, ledgers_in, main_ledger, submit};

/// How a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is not taken.
    NotPersisted,
    /// It is taken, and reported as failed all the same.
    ButPersisted,
    /// The thread panics instead.
    Panic,
}

/// Fails one step, from some moment on.
#[derive(Debug, Default)]
pub(crate) struct Trap {
    armed: Mutex<Option<(Step, Failure)>>,
}

impl Trap {
    pub(crate) fn arm(&self, step: Step, failure: Failure) {
        *self.armed.lock().unwrap() = Some((step, failure));
    }

    fn failure(&self, step: Step) -> Option<Failure> {
        let armed = *self.armed.lock().unwrap();
        armed.filter(|(trapped, _)| *trapped == step).map(|(_, failure)| failure)
    }
}

impl Faults for Trap {
    fn before(&self, step: Step) -> io::Result<()> {
        match self.failure(step) {
            Some(Failure::NotPersisted) => Err(io::Error::from_raw_os_error(5)),
            Some(Failure::Panic) => panic!("the test asked for it"),
            Some(Failure::ButPersisted) | None => Ok(()),
        }
    }

    fn after(&self, step: Step) -> io::Result<()> {
        match self.failure(step) {
            Some(Failure::ButPersisted) => Err(io::Error::from_raw_os_error(5)),
            Some(Failure::NotPersisted | Failure::Panic) | None => Ok(()),
        }
    }
}

/// Every root that was ever shown to anybody, by size.
#[derive(Default)]
struct Seen(BTreeMap<u64, TreeHash>);

impl Seen {
    fn checkpoint(&mut self, note: &str, ledger: &Ledger) {
        let note = UnverifiedCheckpoint::parse(note.as_bytes()).unwrap();
        let signed = note.verify(std::slice::from_ref(ledger.key())).unwrap();
        let (size, root) = (signed.checkpoint().size(), signed.checkpoint().root());
        assert_eq!(*self.0.entry(size).or_insert(root), root, "two checkpoints of size {size}");
    }

    fn all(&mut self, receipts: &[Receipt], ledger: &Ledger) {
        for receipt in receipts {
            self.checkpoint(&receipt.checkpoint, ledger);
        }
        self.checkpoint(&ledger.view().checkpoint().note().to_string(), ledger);
    }

    /// The ledger continues every history that was shown.
    fn check(&self, ledger: &Ledger) {
        let view = ledger.view();
        let end = view.checkpoint().checkpoint().root();
        for (size, root) in &self.0 {
            let path = view.consistency(*size, view.size()).unwrap();
            whence::proof::verify_consistency(*size, root, view.size(), &end, &path).unwrap();
        }
    }
}

/// Whether a batch that failed at this step is in the log after the process went on to close its
/// files in good order: sled then writes what it was given.
fn persists(step: Step, failure: Failure) -> bool {
    step > Step::Apply || failure == Failure::ButPersisted
}

/// Whether opening takes the step too, after a commit that failed at it: the folder of the head file is
/// synced at every opening, and the other steps are taken where the log is ahead of the head file.
fn opening_takes(step: Step, failure: Failure) -> bool {
    match step {
        Step::Flush | Step::Sync | Step::HeadWrite | Step::HeadSync | Step::HeadDirSync => true,
        Step::HeadRename => failure != Failure::ButPersisted,
        Step::Apply | Step::Index => false,
    }
}

/// The size in the head file.
fn recorded(data: &Path) -> u64 {
    let note = std::fs::read(data.join("ledgers/main/head")).unwrap();
    UnverifiedCheckpoint::parse(&note).unwrap().claim().size()
}

fn acknowledged(ledger: &Ledger, receipts: &[Receipt]) {
    let view = ledger.view();
    for receipt in receipts {
        assert_eq!(view.seq_of(&receipt.id).unwrap(), Some(receipt.seq), "{} is lost", receipt.id);
        let bytes = view.entry(receipt.seq).unwrap().unwrap();
        assert_eq!(TreeHash::leaf(&bytes), receipt.leaf_hash);
    }
}

/// One row of the table: chain 0 is acknowledged, chain 1 meets the fault.
fn fail_once(folder: &Path, step: Step, failure: Failure) {
    let trap = Arc::new(Trap::default());
    let ledgers = ledgers_in(folder, Some(trap.clone()));
    let ledger = ledgers.create(&main_ledger()).unwrap();
    let mut seen = Seen::default();
    let receipts = submit(&ledger, &chain(0)).unwrap();
    seen.all(&receipts, &ledger);

    trap.arm(step, failure);
    for _ in 0..3 {
        // The first meets the fault; the others meet a ledger that has stopped.
        let refused = submit(&ledger, &chain(1)).unwrap_err();
        assert!(matches!(refused, SubmitError::Halted), "{step:?} {failure:?}: {refused}");
    }
    assert!(ledger.is_halted());
    assert_eq!(ledger.view().size(), 5, "nothing is published that was not acknowledged");
    acknowledged(&ledger, &receipts);
    drop(ledger);
    ledgers.close();

    // The second fault: the ledger is opened again, and the same step fails again.
    let ledgers = ledgers_in(folder, Some(trap));
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        ledgers.get(&main_ledger()).map_err(drop)
    }));
    if opening_takes(step, failure) {
        // What was found beyond the head file is not shown before it is recorded there.
        assert!(!matches!(opened, Ok(Ok(_))), "{step:?} {failure:?}");
    } else {
        let ledger = opened.unwrap().unwrap();
        let size = ledger.view().size();
        assert_eq!(size, if persists(step, failure) { 9 } else { 5 }, "{step:?} {failure:?}");
        assert_eq!(recorded(folder), size, "{step:?} {failure:?}");
        acknowledged(&ledger, &receipts);
        seen.all(&[], &ledger);
        assert!(matches!(submit(&ledger, &chain(2)), Err(SubmitError::Halted)));
    }
    ledgers.close();

    let ledgers = ledgers_in(folder, None);
    let ledger = ledgers.get(&main_ledger()).unwrap();
    acknowledged(&ledger, &receipts);
    // Whoever got no answer sends the same again, and gets a receipt.
    for number in [1, 2, 3] {
        let receipts = submit(&ledger, &chain(number)).unwrap();
        seen.all(&receipts, &ledger);
        acknowledged(&ledger, &receipts);
    }
    assert_eq!(ledger.view().size(), 17);
    seen.check(&ledger);
    drop(ledger);
    ledgers.close();
}

#[test]
fn no_failing_step_of_a_commit_loses_what_was_acknowledged() {
    for step in Step::ALL.into_iter().filter(|step| *step != Step::Index) {
        for failure in [Failure::NotPersisted, Failure::ButPersisted, Failure::Panic] {
            let folder = tempfile::tempdir().unwrap();
            fail_once(folder.path(), step, failure);
        }
    }
}

#[test]
fn a_failing_index_halts_the_ledger_and_is_made_up_for_when_it_is_opened() {
    for failure in [Failure::NotPersisted, Failure::ButPersisted] {
        let folder = tempfile::tempdir().unwrap();
        let trap = Arc::new(Trap::default());
        let ledgers = ledgers_in(folder.path(), Some(trap.clone()));
        let ledger = ledgers.create(&main_ledger()).unwrap();
        trap.arm(Step::Index, failure);
        let mut receipts = Vec::new();
        let mut number = 0;
        let halted = loop {
            let records: Vec<_> = (number..number + 250).flat_map(chain).collect();
            number += 250;
            match submit(&ledger, &records) {
                Ok(more) => receipts.extend(more),
                Err(error) => break error,
            }
        };
        assert!(matches!(halted, SubmitError::Halted));
        assert!(receipts.len() >= 65_535, "a run of the index is written only when it is full");
        drop(ledger);
        ledgers.close();

        let ledgers = ledgers_in(folder.path(), None);
        let ledger = ledgers.get(&main_ledger()).unwrap();
        acknowledged(&ledger, &receipts[..50]);
        acknowledged(&ledger, &receipts[receipts.len() - 50..]);
        assert!(submit(&ledger, &chain(1_000_000)).is_ok());
        drop(ledger);
        ledgers.close();
    }
}

#[test]
fn a_store_that_comes_back_shorter_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, data) = (folder.path().join("kept"), folder.path().join("data"));
    let ledgers = ledgers_in(&data, None);
    let ledger = ledgers.create(&main_ledger()).unwrap();
    submit(&ledger, &chain(0)).unwrap();
    drop(ledger);
    ledgers.close();
    copy(&data.join("ledgers/main/db"), &kept);

    let ledgers = ledgers_in(&data, None);
    let ledger = ledgers.get(&main_ledger()).unwrap();
    submit(&ledger, &chain(1)).unwrap();
    drop(ledger);
    ledgers.close();

    // A backup is put back, but the head file remembers.
    std::fs::remove_dir_all(data.join("ledgers/main/db")).unwrap();
    copy(&kept, &data.join("ledgers/main/db"));
    let error = ledgers_in(&data, None).get(&main_ledger()).unwrap_err().to_string();
    assert!(error.contains("lost acknowledged records"), "{error}");
    assert!(error.contains("9 entries") && error.contains("holds 5"), "{error}");

    // Without its head file nobody can tell, so that is refused too, until somebody says so.
    std::fs::remove_file(data.join("ledgers/main/head")).unwrap();
    let error = ledgers_in(&data, None).get(&main_ledger()).unwrap_err().to_string();
    assert!(error.contains("--accept-missing-head"), "{error}");
}

#[test]
fn two_histories_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let ledgers = ledgers_in(&first, None);
    let ledger = ledgers.create(&main_ledger()).unwrap();
    submit(&ledger, &chain(0)).unwrap();
    drop(ledger);
    ledgers.close();
    copy(&first, &second);
    for (data, number) in [(&first, 1), (&second, 2)] {
        let ledgers = ledgers_in(data, None);
        let ledger = ledgers.get(&main_ledger()).unwrap();
        submit(&ledger, &chain(number)).unwrap();
        drop(ledger);
        ledgers.close();
    }
    std::fs::copy(second.join("ledgers/main/head"), first.join("ledgers/main/head")).unwrap();
    let error = ledgers_in(&first, None).get(&main_ledger()).unwrap_err().to_string();
    assert!(error.contains("two different histories at 9 entries"), "{error}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &to);
        } else {
            std::fs::copy(file.path(), to).unwrap();
        }
    }
}

/// Everything of a ledger that a commit does not touch after it was made.
fn key_of(data: &Path) -> Vec<u8> {
    std::fs::read(data.join("ledgers/main/key")).unwrap()
}

#[test]
fn a_key_is_never_overwritten_when_the_database_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let ledgers = ledgers_in(folder.path(), None);
    let ledger = ledgers.create(&main_ledger()).unwrap();
    submit(&ledger, &chain(0)).unwrap();
    drop(ledger);
    ledgers.close();
    let key = key_of(folder.path());

    // As when its disk is not mounted. First the head file bears witness, then the key alone.
    let database = folder.path().join("ledgers/main/db");
    std::fs::rename(&database, folder.path().join("elsewhere")).unwrap();
    for witness in ["main/head", "main/key"] {
        let ledgers = ledgers_in(folder.path(), None);
        for error in [ledgers.create(&main_ledger()), ledgers.get(&main_ledger())] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("database is missing") && error.contains(witness), "{error}");
        }
        assert_eq!(key_of(folder.path()), key);
        assert!(!database.exists());
        if witness == "main/head" {
            let head = folder.path().join("ledgers/main/head");
            std::fs::rename(head, folder.path().join("head")).unwrap();
        }
    }

    std::fs::rename(folder.path().join("elsewhere"), &database).unwrap();
    std::fs::rename(folder.path().join("head"), folder.path().join("ledgers/main/head")).unwrap();
    let ledgers = ledgers_in(folder.path(), None);
    assert_eq!(ledgers.get(&main_ledger()).unwrap().view().size(), 5);
    ledgers.close();
}

#[test]
fn a_creation_that_failed_is_made_up_for_with_the_same_key() {
    for step in [Step::Apply, Step::Flush, Step::Sync] {
        let folder = tempfile::tempdir().unwrap();
        let trap = Arc::new(Trap::default());
        let ledgers = ledgers_in(folder.path(), Some(trap.clone()));
        trap.arm(step, Failure::NotPersisted);
        ledgers.create(&main_ledger()).unwrap_err();
        assert_eq!(ledgers.names().unwrap(), [], "a ledger is there when it is complete");
        assert!(folder.path().join("ledgers/main/db.new").exists());
        let key = key_of(folder.path());

        let ledgers = ledgers_in(folder.path(), None);
        let ledger = ledgers.create(&main_ledger()).unwrap();
        assert_eq!(submit(&ledger, &chain(0)).unwrap()[0].seq, 1);
        assert_eq!(key_of(folder.path()), key);
        let left: Vec<_> = std::fs::read_dir(folder.path().join("ledgers/main"))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| Path::new(name).extension().is_some())
            .collect();
        assert!(left.is_empty(), "{left:?} was left behind");
        drop(ledger);
        ledgers.close();
    }
}

#[test]
fn of_two_creations_at_once_one_makes_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::thread::scope(|scope| {
        let create = || ledgers_in(folder.path(), None).create(&main_ledger()).is_ok();
        let threads = [scope.spawn(create), scope.spawn(create)];
        threads.map(|thread| thread.join().unwrap())
    });
    assert!(made[0] != made[1], "{made:?}");
    let ledgers = ledgers_in(folder.path(), None);
    assert_eq!(ledgers.get(&main_ledger()).unwrap().view().size(), 1);
}

#[test]
fn what_sled_left_of_a_snapshot_does_not_lock_the_ledger_up() {
    let mut log = TestLog::new();
    log.submit(&chain(0)).unwrap();
    log.close();
    let left = log.folder.path().join("ledgers/main/db/snap.FFFFFFFFFFFFFFFF.generating");
    std::fs::write(&left, b"snaps").unwrap();
    log.reopen();
    assert_eq!(log.ledger().view().size(), 5);
    assert!(!left.exists());
}

/// A clock that panics when it is told to.
#[derive(Debug, Default)]
struct Broken(AtomicBool);

impl Clock for Broken {
    fn now(&self) -> Timestamp {
        assert!(!self.0.load(Ordering::Relaxed), "the test asked for it");
        "2026-11-24T00:10:00Z".parse().unwrap()
    }
}

#[test]
fn a_ledger_whose_sequencer_panics_is_halted_and_not_closed() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Broken::default());
    let environment = Environment { clock: clock.clone(), random: Arc::new(Seeded::new(7)) };
    let settings = ledgers_in(folder.path(), None).settings().clone();
    let ledgers = Ledgers::new(settings, environment);
    let ledger = ledgers.create(&main_ledger()).unwrap();
    submit(&ledger, &chain(0)).unwrap();
    clock.0.store(true, Ordering::Relaxed);
    assert!(matches!(submit(&ledger, &chain(1)), Err(SubmitError::Halted)));
    // The committer has ended too when the ledger's threads are waited for.
    let handle = ledger.clone();
    drop(ledger);
    ledgers.close();
    assert!(handle.is_halted());
    assert_eq!(handle.view().size(), 5);
}

#[test]
fn looking_at_a_ledger_changes_nothing_of_it() {
    let mut log = TestLog::new();
    log.submit(&chain(0)).unwrap();
    log.close();
    let scratch = tempfile::tempdir().unwrap();
    let options = log.settings().store(&main_ledger());
    // A torn tail, which opening would cut off.
    let database = options.path.join("db");
    let mut file = std::fs::OpenOptions::new().append(true).open(&database).unwrap();
    io::Write::write_all(&mut file, &[7; 1_000]).unwrap();
    drop(file);

    let before = files(log.folder.path());
    let inspected = Inspected::open(&options, scratch.path()).unwrap();
    assert_eq!(inspected.size(), 5);
    assert_eq!(inspected.head(), Some(inspected.checkpoint().as_bytes()));
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    drop(inspected);
    assert_eq!(files(log.folder.path()), before);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "the copy is gone");

    std::fs::remove_file(&options.head).unwrap();
    assert_eq!(Inspected::open(&options, scratch.path()).unwrap().head(), None);
}

#[test]
fn a_ledger_that_is_open_is_not_looked_at() {
    let log = TestLog::new();
    log.ledger();
    let scratch = tempfile::tempdir().unwrap();
    let error = Inspected::open(&log.settings().store(&main_ledger()), scratch.path()).unwrap_err();
    assert!(error.to_string().contains("open in another process"), "{error}");
}

/// Every file below a folder, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_dir() {
            found.extend(files(&file.path()));
        } else {
            found.insert(file.path(), std::fs::read(file.path()).unwrap());
        }
    }
    found
}
