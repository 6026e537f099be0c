//! The indexes of all open ledgers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::ledger::{Ledger, Random};
use crate::search::{Index, Secrets};

/// The indexes of a server, each in a folder of its own below the data directory's `search`.
#[derive(Debug)]
pub(super) struct Indexes {
    folder: PathBuf,
    random: Arc<dyn Random>,
    open: RwLock<BTreeMap<String, Arc<Index>>>,
    /// Held while an index is opened: no folder is opened twice.
    opening: Mutex<()>,
}

impl Indexes {
    pub(super) fn new(folder: PathBuf, random: Arc<dyn Random>) -> Self {
        let (open, opening) = (RwLock::new(BTreeMap::new()), Mutex::new(()));
        Self { folder, random, open, opening }
    }

    /// The index of a ledger, which follows it from the first time on that somebody asks. `None` if its
    /// folder cannot be used: the ledger does not need it, and the next one to ask tries again.
    pub(super) fn of(&self, ledger: &Ledger) -> Option<Arc<Index>> {
        let name = &*ledger.meta().ledger;
        if let Some(index) = self.opened(name) {
            return Some(index);
        }
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = self.opened(name) {
            return Some(index);
        }
        let random = Arc::clone(&self.random);
        let secrets: Secrets = Arc::new(move || {
            let mut secret = [0; 32];
            random.fill(&mut secret).map(|()| secret)
        });
        match Index::open(ledger.committed(), self.folder.join(name), secrets) {
            Ok(index) => {
                let index = Arc::new(index);
                let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
                open.insert(name.to_owned(), Arc::clone(&index));
                Some(index)
            }
            Err(error) => {
                let error = super::error::with_causes(&error);
                tracing::error!(ledger = name, %error, "the ledger cannot be searched");
                None
            }
        }
    }

    /// Stops following. Whoever asks afterwards finds nothing new.
    pub(super) fn close(&self) {
        for index in self.open.read().unwrap_or_else(PoisonError::into_inner).values() {
            index.close();
        }
    }

    fn opened(&self, name: &str) -> Option<Arc<Index>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(name).map(Arc::clone)
    }
}

impl Drop for Indexes {
    fn drop(&mut self) {
        self.close();
    }
}
