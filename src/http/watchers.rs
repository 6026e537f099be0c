//! The watchers of all open ledgers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::app::Limits;
use crate::ledger::{Environment, Ledger, Settings};
use crate::watch::{Options, Watcher};

/// The watchers of a server, one for each open ledger.
#[derive(Debug)]
pub(super) struct Watchers {
    settings: Settings,
    environment: Environment,
    /// None if nobody watches.
    tick: Option<Duration>,
    retry: Duration,
    open: Mutex<BTreeMap<String, Arc<Watcher>>>,
}

impl Watchers {
    pub(super) fn new(settings: Settings, environment: &Environment, limits: &Limits) -> Self {
        let (tick, retry) = (limits.watch_interval, limits.webhook_retry);
        Self { settings, environment: environment.clone(), tick, retry, open: Mutex::default() }
    }

    /// The watcher of a ledger, which is started if there is none. `None` if nobody watches, or if it
    /// cannot be started: the ledger does not need it, and the next one to ask tries again.
    pub(super) fn of(&self, ledger: &Ledger) -> Option<Arc<Watcher>> {
        let tick = self.tick?;
        let name = &ledger.meta().ledger;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watcher) = open.get(&**name) {
            return Some(Arc::clone(watcher));
        }
        let options = Options {
            folder: self.settings.folder(name),
            tick,
            retry: self.retry,
            clock: Arc::clone(&self.environment.clock),
            random: Arc::clone(&self.environment.random),
        };
        match Watcher::start(ledger, &options) {
            Ok(watcher) => {
                let watcher = Arc::new(watcher);
                open.insert(name.to_string(), Arc::clone(&watcher));
                Some(watcher)
            }
            Err(error) => {
                tracing::error!(ledger = %name, %error, "the ledger is not watched");
                None
            }
        }
    }

    /// Stops watching.
    pub(super) fn close(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().for_each(|watcher| watcher.close());
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.close();
    }
}
