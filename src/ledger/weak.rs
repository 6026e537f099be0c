//! A handle that does not keep a ledger open.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::WeakSender;

use super::producers::Producers;
use super::queue::Waiting;
use super::view::Progress;
use super::{Clock, Ledger, Random};
use crate::seal::VerifierKey;
use crate::store::{Meta, Reader};

/// A ledger for one who follows it and writes to it now and then, as long as others keep it open.
#[derive(Clone, Debug)]
pub struct WeakLedger {
    meta: Arc<Meta>,
    key: Arc<VerifierKey>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    producers: Arc<Producers>,
    reader: Reader,
    progress: Arc<Progress>,
    queue: WeakSender<Waiting>,
    room: Arc<Semaphore>,
}

impl Ledger {
    /// A handle that does not keep the ledger open.
    pub fn downgrade(&self) -> WeakLedger {
        WeakLedger {
            meta: Arc::clone(&self.meta),
            key: Arc::clone(&self.key),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            producers: Arc::clone(&self.producers),
            reader: self.reader.clone(),
            progress: Arc::clone(&self.progress),
            queue: self.queue.downgrade(),
            room: Arc::clone(&self.room),
        }
    }
}

impl WeakLedger {
    /// The ledger, unless it is closed or about to be. Whoever has it keeps it open.
    pub fn upgrade(&self) -> Option<Ledger> {
        Some(Ledger {
            meta: Arc::clone(&self.meta),
            key: Arc::clone(&self.key),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            producers: Arc::clone(&self.producers),
            reader: self.reader.clone(),
            progress: Arc::clone(&self.progress),
            queue: self.queue.upgrade()?,
            room: Arc::clone(&self.room),
        })
    }
}
