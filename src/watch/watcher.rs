//! A ledger that is watched.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::follower::{Follower, Stop};
use super::hooks::Hooks;
use crate::ledger::{Clock, Ledger, Random};

/// How a ledger is watched.
#[derive(Clone, Debug)]
pub struct Options {
    /// The ledger's own folder, in which the state and the webhooks are kept.
    pub folder: PathBuf,
    /// How often it is looked for what did not come in time.
    pub tick: Duration,
    /// How long a webhook waits after the first failure.
    pub retry: Duration,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where secrets and the times between two tries come from.
    pub random: Arc<dyn Random>,
}

/// The threads that follow one ledger. They do not keep it open.
pub struct Watcher {
    follower: Arc<Follower>,
    thread: Mutex<Option<JoinHandle<()>>>,
    hooks: Hooks,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("path", &self.follower.path).finish_non_exhaustive()
    }
}

impl Watcher {
    /// Begins to watch a ledger, and to deliver to its webhooks.
    pub fn start(ledger: &Ledger, options: &Options) -> io::Result<Self> {
        let Options { folder, tick, clock, .. } = options;
        let follower = Arc::new(Follower {
            ledger: ledger.downgrade(),
            log: ledger.committed(),
            clock: Arc::clone(clock),
            path: folder.join("watch.json"),
            tick: *tick,
            stop: Stop::default(),
        });
        let following = Arc::clone(&follower);
        let thread =
            thread::Builder::new().name("watch".to_owned()).spawn(move || following.run())?;
        let name = ledger.meta().ledger.to_string();
        let hooks = Hooks::start(name, folder, ledger.committed(), options);
        Ok(Self { follower, thread: Mutex::new(Some(thread)), hooks })
    }

    /// The webhooks of the ledger.
    pub const fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// Stops, and waits until the threads have let go of the log.
    pub fn close(&self) {
        self.follower.stop.tell();
        self.hooks.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that watches a ledger panicked");
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.close();
    }
}
