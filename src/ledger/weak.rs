//! A handle that does not keep a ledger open.

use std::sync::Arc;

use tokio::sync::mpsc::WeakSender;

use super::Ledger;
use super::queue::{Shared, Waiting};

/// A ledger for one who follows it and writes to it now and then, as long as others keep it open.
#[derive(Clone, Debug)]
pub struct WeakLedger {
    shared: Arc<Shared>,
    queue: WeakSender<Waiting>,
}

impl Ledger {
    /// A handle that does not keep the ledger open.
    pub fn downgrade(&self) -> WeakLedger {
        WeakLedger { shared: Arc::clone(&self.shared), queue: self.queue.downgrade() }
    }
}

impl WeakLedger {
    /// The ledger, unless it is closed or about to be. Whoever has it keeps it open.
    pub fn upgrade(&self) -> Option<Ledger> {
        Some(Ledger { shared: Arc::clone(&self.shared), queue: self.queue.upgrade()? })
    }
}
