//! The follower: a thread that folds a log into a state, and writes down what it finds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::finding::Finding;
use super::state::State;
use super::{Millis, millis, snapshot};
use crate::ledger::{Clock, SubmitError, WeakLedger};
use crate::record::shown::with_causes;
use crate::record::{Entry, Event};
use crate::store::{self, Committed};

/// How long the thread waits for records before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(100);
/// Records that are taken before it is looked again whether to stop.
const CHUNK: u64 = 1_024;
/// Time between two snapshots while records keep coming in.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// How long to wait after a failure: longer with each one.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a busy ledger is left alone.
const BUSY: Duration = Duration::from_millis(50);
/// Ids that are tried for a finding. All but the first are for one whose id somebody else took first.
const IDS_MAX: usize = 16;

/// Why the thread cannot go on for now.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Store(#[from] store::Error),
    /// An entry of the log is none.
    #[error("the entry at seq {0} cannot be read")]
    Entry(u64),
    /// The ledger takes no findings.
    #[error("a finding cannot be written")]
    Submit(#[source] SubmitError),
}

/// What the thread works with, and how it is told to stop.
pub(super) struct Follower {
    pub(super) ledger: WeakLedger,
    pub(super) log: Arc<dyn Committed>,
    pub(super) clock: Arc<dyn Clock>,
    /// The snapshot.
    pub(super) path: PathBuf,
    /// How often it is looked for what did not come in time.
    pub(super) tick: Duration,
    pub(super) stop: Stop,
}

/// Whether a thread is to stop.
#[derive(Debug, Default)]
pub(super) struct Stop {
    stopping: Mutex<bool>,
    told: Condvar,
}

impl Stop {
    pub(super) fn tell(&self) {
        *self.lock() = true;
        self.told.notify_all();
    }

    pub(super) fn is_told(&self) -> bool {
        *self.lock()
    }

    /// Waits, but not beyond the moment at which it is to stop. Says whether it is.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let waited = self.told.wait_timeout_while(self.lock(), time, |stopping| !*stopping);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.stopping.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// Follows until it is told to stop, or until the ledger is closed. What fails is tried again.
    pub(super) fn run(&self) {
        let mut pause = PAUSE_MIN;
        loop {
            let error = match catch_unwind(AssertUnwindSafe(|| self.follow())) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => with_causes(&error),
                Err(_) => "it panicked".to_owned(),
            };
            // A ledger that has halted says so itself, and is opened again before anything changes.
            let halted = self.ledger.upgrade().is_none_or(|ledger| ledger.is_halted());
            if halted {
                return;
            }
            tracing::error!(path = %self.path.display(), error, "the ledger is not watched for now");
            if self.stop.wait(pause) {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn follow(&self) -> Result<(), Error> {
        let reader = self.log.reader();
        let size = self.log.size_beyond(0, Duration::ZERO);
        let mut state = snapshot::load(&self.path, reader, size).unwrap_or_default();
        let (mut saved, mut saved_at, mut looked_at) = (state.next, now(), now());
        let mut from: Option<Millis> = None;
        loop {
            let size = self.log.size_beyond(state.next, PATIENCE.min(self.tick));
            if self.stop.is_told() {
                break;
            }
            let end = size.min(state.next.saturating_add(CHUNK));
            self.take(&mut state, end)?;
            if state.next == size && state.waits() && looked_at.elapsed() >= self.tick {
                let time = millis(self.clock.now());
                // Whoever was sending while nobody was there to take it gets the whole time again.
                let findings = state.due(time, *from.get_or_insert(time));
                self.write(findings)?;
                looked_at = now();
            }
            if state.next != saved && saved_at.elapsed() >= SAVE_EVERY {
                self.save(&state);
                (saved, saved_at) = (state.next, now());
            }
        }
        if state.next != saved {
            self.save(&state);
        }
        Ok(())
    }

    /// Takes the records up to `end`. What is found with them is in the ledger on return.
    fn take(&self, state: &mut State, end: u64) -> Result<(), Error> {
        let reader = self.log.reader();
        let mut findings = Vec::new();
        for entry in reader.entries(state.next..end) {
            let (seq, bytes) = entry?;
            let entry = Entry::read_back(&bytes).map_err(|_| Error::Entry(seq))?;
            findings.extend(state.fold(&entry, reader)?);
        }
        self.write(findings)
    }

    /// Writes down what is not in the ledger yet.
    fn write(&self, findings: Vec<Finding>) -> Result<(), Error> {
        for finding in findings {
            let Some(id) = self.free_id(&finding)? else { continue };
            loop {
                // A closed ledger takes nothing more; the finding is found again when it is opened.
                let Some(ledger) = self.ledger.upgrade() else {
                    return Err(Error::Submit(SubmitError::Halted));
                };
                let prepared =
                    Event::by_server(finding.draft(&id)).map_err(|error| error.to_string());
                let prepared = prepared
                    .and_then(|event| ledger.prepare(event).map_err(|error| with_causes(&error)));
                let record = match prepared {
                    Ok(record) => record,
                    Err(error) => {
                        tracing::error!(id, error, "a finding is no record");
                        break;
                    }
                };
                match ledger.submit_blocking(vec![record]) {
                    Ok(_) => break,
                    Err(SubmitError::Busy) => {}
                    Err(SubmitError::Refused(error)) => {
                        tracing::error!(id, %error, "a finding was refused");
                        break;
                    }
                    Err(error) => return Err(Error::Submit(error)),
                }
                drop(ledger);
                if self.stop.wait(BUSY) {
                    return Err(Error::Submit(SubmitError::Busy));
                }
            }
        }
        Ok(())
    }

    /// The id under which a finding is to be written. `None` if it is in the ledger.
    ///
    /// No posted record has such an id; if one stood in the ledger all the same, it would hide no finding.
    fn free_id(&self, finding: &Finding) -> Result<Option<String>, Error> {
        let reader = self.log.reader();
        let size = self.log.size_beyond(0, Duration::ZERO);
        let mut id = finding.id.clone();
        for number in 1..=IDS_MAX {
            let mut free = true;
            for seq in reader.with_id(&id, size)? {
                let Some(bytes) = reader.entry(seq)? else { continue };
                let entry = Entry::parse(&bytes).map_err(|_| Error::Entry(seq))?;
                if entry.id.as_str() == id {
                    if entry.source.is_none() {
                        return Ok(None);
                    }
                    free = false;
                }
            }
            if free {
                return Ok(Some(id));
            }
            id = format!("{}.{number}", finding.id);
        }
        tracing::error!(id = finding.id, "every id of a finding is taken by others");
        Ok(None)
    }

    fn save(&self, state: &State) {
        if let Err(error) = snapshot::save(&self.path, self.log.reader(), state) {
            tracing::warn!(path = %self.path.display(), %error, "what is watched could not be saved");
        }
    }
}

/// A moment to measure from. It decides when it is looked, and never what is found.
#[expect(clippy::disallowed_methods, reason = "nothing that is stored or shown depends on it")]
pub(super) fn now() -> Instant {
    Instant::now()
}
