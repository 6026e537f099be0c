//! Where posts come in: durable first, then known to the thread that tells them.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::post::{Origin, Post};
use super::teller::{Refusals, Teller};
use super::worker::Worker;
use crate::capture::otlp::{DecodeError, Decoded, Encoding, Item, Signal, decode};
use crate::ledger::{Clock, Ledger};
use crate::spool::{Limits, Position, Spool, SpoolError};

/// Bytes that an item is reckoned to take in memory beside those of its post.
const ITEM_BYTES: u64 = 512;
/// Posts of the journal that are read before what is due of them is told.
const REPLAY_CHUNK: usize = 64;

/// When what belongs together is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long a trace is quiet whose root has ended.
    pub settle: Duration,
    /// How long one is quiet whose root has not.
    pub timeout: Duration,
    /// How long what was told is kept, so that what comes late is assembled together with it.
    pub retain: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            // Exporters send what they have every five seconds.
            settle: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            retain: Duration::from_mins(2),
        }
    }
}

/// How telemetry is taken in.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the journal is.
    pub folder: PathBuf,
    /// When it is told.
    pub times: Times,
    /// How large the journal may become.
    pub journal: Limits,
    /// Bytes of telemetry that are held in memory. Beyond that posts are refused.
    pub held_bytes_max: u64,
    /// Where the time of receipt comes from.
    pub clock: Arc<dyn Clock>,
    /// What becomes of records that are refused.
    pub refusals: Arc<dyn Refusals>,
}

/// Telemetry cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be used.
    #[error("the journal of telemetry cannot be used")]
    Journal(#[from] SpoolError),
    /// The server is about to stop.
    #[error("no more telemetry is taken")]
    Closed,
    /// The thread cannot be started.
    #[error("a thread could not be started")]
    Thread(#[from] io::Error),
}

/// Why a post was not taken. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// It cannot be read, and will not be when it is sent again.
    #[error(transparent)]
    Unreadable(#[from] DecodeError),
    /// It is larger than the journal may be.
    #[error("the post is too long")]
    TooLong,
    /// There is no room now: it is to be sent again a little later.
    #[error("too much telemetry waits to be written: send it again a little later")]
    Busy,
    /// The journal has failed. It may be in it, and may be sent again once the server was restarted.
    #[error("the journal of telemetry cannot be written")]
    Failed(#[source] SpoolError),
}

/// What became of a post.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Items that were taken.
    pub items: u64,
    /// Items that were not.
    pub rejected: u64,
    /// Why the first of those was not.
    pub reason: Option<&'static str>,
}

/// The telemetry of one ledger. It does not keep the ledger open.
#[derive(Debug)]
pub struct Intake {
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    held_bytes_max: u64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What those who post and the thread that tells share.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) journal: Spool,
    state: Mutex<State>,
    changed: Condvar,
    /// Bytes that are held in memory.
    held: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    arrivals: Vec<Arrival>,
    /// Posts of which nothing is held any more.
    done: Vec<Position>,
    stopping: bool,
}

/// A post that is in the journal.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) origin: Origin,
    pub(super) items: Vec<Item>,
    pub(super) kept: Kept,
}

/// Keeps a post in the journal until every clone of it is dropped.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    _post: Arc<KeptPost>,
}

#[derive(Debug)]
struct KeptPost {
    inbox: Arc<Inbox>,
    position: Position,
    bytes: u64,
}

impl Drop for KeptPost {
    fn drop(&mut self) {
        self.inbox.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.inbox.lock().done.push(self.position);
    }
}

impl Intake {
    /// Opens the journal, and begins to tell what is in it.
    pub fn start(ledger: &Ledger, options: &Options) -> Result<Self, Error> {
        let journal = Spool::open(&options.folder, options.journal)?;
        for damage in journal.damage() {
            let (path, offset, bytes) = (damage.path.display(), damage.offset, damage.bytes);
            tracing::error!(%path, offset, bytes, "telemetry of the journal was damaged and is lost");
        }
        let inbox = Arc::new(Inbox {
            journal,
            state: Mutex::default(),
            changed: Condvar::new(),
            held: AtomicU64::new(0),
        });
        let refusals = Arc::clone(&options.refusals);
        let teller = Teller::new(ledger.downgrade(), refusals, Arc::clone(&inbox));
        let worker = Worker::new(Arc::clone(&inbox), teller, options);
        let thread =
            thread::Builder::new().name("intake".to_owned()).spawn(move || worker.run())?;
        Ok(Self {
            inbox,
            clock: Arc::clone(&options.clock),
            held_bytes_max: options.held_bytes_max,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Takes a post. It is durable on return, and becomes records later. Costs CPU time and waits for the
    /// disk.
    pub fn post(
        &self,
        origin: Origin,
        signal: Signal,
        encoding: Encoding,
        body: &[u8],
    ) -> Result<Taken, PostError> {
        let Decoded { items, rejected, reason } = decode(signal, encoding, body)?;
        let taken = Taken { items: count(items.len()), rejected, reason };
        if items.is_empty() {
            return Ok(taken);
        }
        // Whoever has no room for it must not answer for it either.
        let bytes = reckoned(body.len(), items.len());
        let held = self.inbox.held.load(Ordering::Relaxed);
        if held.saturating_add(bytes) > self.held_bytes_max {
            return Err(PostError::Busy);
        }
        let received_at = self.clock.now();
        let post = Post { origin, signal, encoding, received_at, body };
        // A post that cannot be written down has something in its line that is no text of JSON.
        let record = post.to_bytes().map_err(|_| PostError::Unreadable(DecodeError::Malformed))?;
        let pushed = self.inbox.journal.push(&record);
        let position = pushed.map_err(|error| {
            if matches!(error, SpoolError::Full) {
                PostError::Busy
            } else if matches!(error, SpoolError::TooLong) {
                PostError::TooLong
            } else {
                PostError::Failed(error)
            }
        })?;
        drop(record);
        let kept = Inbox::keep(&self.inbox, position, bytes);
        self.inbox.arrive(Arrival { origin: post.origin, items, kept });
        Ok(taken)
    }

    /// Stops, and waits until the thread has let go of the log. What was not told stays in the journal.
    pub fn close(&self) {
        self.inbox.lock().stopping = true;
        self.inbox.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that takes in telemetry panicked");
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inbox {
    /// Counts a post as held until it is dropped.
    fn keep(inbox: &Arc<Self>, position: Position, bytes: u64) -> Kept {
        inbox.held.fetch_add(bytes, Ordering::Relaxed);
        Kept { _post: Arc::new(KeptPost { inbox: Arc::clone(inbox), position, bytes }) }
    }

    /// Reads posts of the journal, after a position, and says after which one to go on. None at the end.
    pub(super) fn replay(
        inbox: &Arc<Self>,
        after: Option<Position>,
        end: Position,
    ) -> (Vec<Arrival>, Option<Position>) {
        let (mut arrivals, mut last) = (Vec::new(), after);
        while arrivals.len() < REPLAY_CHUNK {
            let next = inbox.journal.next(last).filter(|position| *position <= end);
            let Some(position) = next else { return (arrivals, None) };
            last = Some(position);
            let read = match inbox.journal.read(position) {
                Ok(read) => read,
                Err(error) => {
                    tracing::error!(%error, "a post of the journal cannot be read and stays in it");
                    continue;
                }
            };
            let post = Post::parse(&read).and_then(|post| {
                let decoded = decode(post.signal, post.encoding, post.body).ok()?;
                let bytes = reckoned(post.body.len(), decoded.items.len());
                Some((post.origin, decoded.items, bytes))
            });
            let Some((origin, items, bytes)) = post else {
                tracing::error!("a post of the journal is none and stays in it");
                continue;
            };
            let kept = Self::keep(inbox, position, bytes);
            arrivals.push(Arrival { origin, items, kept });
        }
        (arrivals, last)
    }

    /// What came in, after at most this time. None if the thread is to stop.
    pub(super) fn arrivals(&self, time: Duration) -> Option<Vec<Arrival>> {
        let state = self.lock();
        let idle = |state: &mut State| state.arrivals.is_empty() && !state.stopping;
        let waited = self.changed.wait_timeout_while(state, time, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let arrivals = std::mem::take(&mut state.arrivals);
        let stopping = state.stopping;
        // What arrived is dropped, if it is, without the lock.
        drop(state);
        (!stopping).then_some(arrivals)
    }

    /// Hands a post to the thread, unless that is to stop: then the post waits in the journal.
    fn arrive(&self, arrival: Arrival) {
        let mut state = self.lock();
        if state.stopping {
            drop(state);
            return;
        }
        state.arrivals.push(arrival);
        self.changed.notify_all();
    }

    /// Settles the posts that nobody holds any more.
    pub(super) fn settle(&self) {
        let done = std::mem::take(&mut self.lock().done);
        for position in done {
            if let Err(error) = self.journal.settle(position) {
                tracing::warn!(%error, "a file of the journal cannot be removed");
            }
        }
    }

    /// Bytes that are held in memory.
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Waits, but not beyond the moment at which the thread is to stop. Says whether it is.
    pub(super) fn stops_within(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |state| !state.stopping);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About how much memory a post takes.
fn reckoned(body: usize, items: usize) -> u64 {
    count(body).saturating_add(count(items).saturating_mul(ITEM_BYTES))
}

fn count(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}
