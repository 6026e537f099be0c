//! The follower: a thread that keeps an index behind its log, by as little as it can.

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tantivy::Searcher;

use super::schema::Fields;
use super::writer::{Secret, Writer};
use super::{Error, Secrets};
use crate::record::shown::with_causes;
use crate::store::Committed;

/// Time between two commits while records keep coming in: they are searchable well within a second.
const COMMIT_EVERY: Duration = Duration::from_millis(300);
/// How much of the time commits may take: one part in so many.
const COMMIT_SHARE: u32 = 3;
/// Records by which the index may be behind before it counts as being built, and commits seldom.
const BEHIND: u64 = 50_000;
/// Records after which an index that is being built commits.
const BUILD_COMMIT: u64 = 250_000;
/// How long the thread waits for records before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(100);
/// The same, while records wait for their commit.
const PATIENCE_PENDING: Duration = Duration::from_millis(20);
/// How long it waits after a failure: longer with each one, unless it got on in between.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Time between two looks over an index with which searches fail: all of it is read.
const LOOK_OVER_EVERY: Duration = Duration::from_mins(5);

/// What can be searched at a moment.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) searcher: Searcher,
    pub(super) fields: Arc<Fields>,
    pub(super) secret: Secret,
    /// The number of records in it: all of the log below this seq.
    pub(super) through: u64,
}

/// A thread that follows a log, and what it has reached.
pub(super) struct Follower {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    log: Arc<dyn Committed>,
    folder: PathBuf,
    secrets: Secrets,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    /// The seqs that somebody waits for. They may be of records that are not there yet.
    wanted: Vec<u64>,
    /// A search failed.
    doubtful: bool,
    /// When the index was looked over because of that.
    looked_over: Option<Instant>,
    stopping: bool,
}

impl Follower {
    /// Starts to follow a log into a folder.
    pub(super) fn start(
        log: Arc<dyn Committed>,
        folder: PathBuf,
        secrets: Secrets,
    ) -> io::Result<Self> {
        let (state, moved) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { log, folder, secrets, state, moved });
        let following = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("index".to_owned()).spawn(move || following.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// The folder of the index.
    pub(super) fn folder(&self) -> &PathBuf {
        &self.shared.folder
    }

    /// What can be searched now. `None` until the index was opened.
    pub(super) fn current(&self) -> Option<Current> {
        self.shared.lock().current.clone()
    }

    /// The number of records that can be found.
    pub(super) fn through(&self) -> u64 {
        self.shared.lock().current.as_ref().map_or(0, |current| current.through)
    }

    /// Waits until the record at `seq` can be found. Says whether it can.
    pub(super) fn wait_for(&self, seq: u64, patience: Duration) -> bool {
        let mut state = self.shared.lock();
        state.wanted.push(seq);
        let waiting = |state: &mut State| !state.stopping && state.through() <= seq;
        let state = self.shared.moved.wait_timeout_while(state, patience, waiting);
        let mut state = state.unwrap_or_else(PoisonError::into_inner).0;
        if let Some(place) = state.wanted.iter().position(|wanted| *wanted == seq) {
            state.wanted.swap_remove(place);
        }
        state.through() > seq
    }

    /// Has the index looked over, since a search failed.
    pub(super) fn doubt(&self) {
        self.shared.lock().doubtful = true;
    }

    /// Stops, and waits until the thread has let go of the log and of the folder.
    pub(super) fn stop(&self) {
        self.shared.lock().stopping = true;
        self.shared.moved.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of an index panicked");
        }
        self.shared.lock().current = None;
    }
}

impl State {
    fn through(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.through)
    }
}

impl Shared {
    /// Follows until it is told to stop. What fails is tried again, from what is on disk: the index may
    /// be on a disk that is full, or its folder may have been taken away.
    fn run(&self) {
        let (mut pause, mut reached) = (PAUSE_MIN, 0);
        loop {
            // A file that is changed under a mapping can make tantivy panic, as one that is not whole.
            let error = match catch_unwind(AssertUnwindSafe(|| self.follow())) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => with_causes(&error),
                Err(_) => "it panicked".to_owned(),
            };
            tracing::error!(folder = %self.folder.display(), error, "the index cannot go on");
            let state = self.lock();
            if state.through() != reached {
                (pause, reached) = (PAUSE_MIN, state.through());
            }
            let stopping = self.moved.wait_timeout_while(state, pause, |state| !state.stopping);
            if stopping.unwrap_or_else(PoisonError::into_inner).0.stopping {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn follow(&self) -> Result<(), Error> {
        let reader = self.log.reader();
        let size = self.log.size_beyond(0, Duration::ZERO);
        let secret = || (self.secrets)();
        let mut writer = Writer::open(&self.folder, reader, size, secret)?;
        let fields = Arc::new(writer.fields().clone());
        self.show(&writer, &fields);
        let mut committed = now();
        let mut every = COMMIT_EVERY;
        loop {
            let pending = writer.next() > writer.committed();
            let patience = if pending { PATIENCE_PENDING } else { PATIENCE };
            let size = self.log.size_beyond(writer.next(), patience);
            if self.lock().stopping {
                return writer.commit();
            }
            if self.is_to_be_looked_over() {
                return Err(Error::Doubtful);
            }
            writer.add(reader, size)?;
            let due = if size.saturating_sub(writer.next()) > BEHIND {
                writer.next() - writer.committed() >= BUILD_COMMIT
            } else {
                self.is_wanted(writer.committed()..writer.next()) || committed.elapsed() >= every
            };
            if due && writer.next() > writer.committed() {
                let began = now();
                writer.commit()?;
                self.show(&writer, &fields);
                committed = now();
                every = COMMIT_EVERY.max(began.elapsed() * COMMIT_SHARE);
            }
        }
    }

    /// Whether a search failed, unless that was the case a short time ago: it may be the query.
    fn is_to_be_looked_over(&self) -> bool {
        let mut state = self.lock();
        let lately = state.looked_over.is_some_and(|moment| moment.elapsed() < LOOK_OVER_EVERY);
        if !state.doubtful || lately {
            return false;
        }
        (state.doubtful, state.looked_over) = (false, Some(now()));
        true
    }

    /// Whether somebody waits for one of these records.
    fn is_wanted(&self, seqs: Range<u64>) -> bool {
        self.lock().wanted.iter().any(|wanted| seqs.contains(wanted))
    }

    /// Lets searches find what was committed.
    fn show(&self, writer: &Writer, fields: &Arc<Fields>) {
        let current = Current {
            searcher: writer.searcher(),
            fields: Arc::clone(fields),
            secret: *writer.secret(),
            through: writer.committed(),
        };
        self.lock().current = Some(current);
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment to measure from. It decides when something is committed, and never what.
#[expect(clippy::disallowed_methods, reason = "nothing that is stored or shown depends on it")]
fn now() -> Instant {
    Instant::now()
}
