//! The telemetry of all ledgers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::app::Limits;
use super::refusals::{self, Refusals};
use crate::intake::{Error, Intake, JournalLimits, NotTold, Options, Times};
use crate::ledger::{Clock, Ledger, Settings};
use crate::record::shown::with_causes;
use crate::record::{Code, LedgerName};

/// The telemetry of a server, for each ledger of which some came.
#[derive(Debug)]
pub(super) struct Intakes {
    settings: Settings,
    clock: Arc<dyn Clock>,
    refusals: Arc<Refusals>,
    times: Times,
    journal: JournalLimits,
    held_bytes_max: u64,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    intakes: BTreeMap<LedgerName, Arc<Intake>>,
    closed: bool,
}

impl Intakes {
    pub(super) fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        refusals: Arc<Refusals>,
        limits: &Limits,
    ) -> Self {
        Self {
            settings,
            clock,
            refusals,
            times: limits.telemetry_times,
            journal: limits.telemetry_journal,
            held_bytes_max: limits.telemetry_bytes_max,
            open: Mutex::default(),
        }
    }

    /// The telemetry of a ledger. Reads the disk if it is the first time, and needs a runtime then.
    pub(super) fn of(&self, ledger: &Ledger) -> Result<Arc<Intake>, Error> {
        let name = &ledger.meta().ledger;
        let mut open = self.lock();
        if let Some(intake) = open.intakes.get(name) {
            return Ok(Arc::clone(intake));
        }
        if open.closed {
            return Err(Error::Closed);
        }
        let options = Options {
            folder: self.folder(name),
            times: self.times,
            journal: self.journal,
            held_bytes_max: self.held_bytes_max,
            clock: Arc::clone(&self.clock),
            refusals: Arc::new(Teller {
                refusals: Arc::clone(&self.refusals),
                runtime: Handle::current(),
            }),
        };
        let intake = Arc::new(Intake::start(ledger, &options)?);
        open.intakes.insert(name.clone(), Arc::clone(&intake));
        Ok(intake)
    }

    /// Whether some telemetry of a ledger may not have been told when the server was last stopped.
    pub(super) fn is_pending(&self, name: &LedgerName) -> bool {
        self.folder(name).is_dir()
    }

    /// Goes on with the telemetry of a ledger, if there is any.
    pub(super) fn resume(&self, ledger: &Ledger) {
        let name = &ledger.meta().ledger;
        if Handle::try_current().is_ok()
            && self.is_pending(name)
            && let Err(error) = self.of(ledger)
        {
            let error = with_causes(&error);
            tracing::error!(ledger = %name, error, "telemetry that was taken waits on the disk");
        }
    }

    /// Stops. What was not told stays on the disk.
    pub(super) fn close(&self) {
        let mut open = self.lock();
        open.closed = true;
        let intakes = std::mem::take(&mut open.intakes);
        drop(open);
        for intake in intakes.into_values() {
            intake.close();
        }
    }

    fn folder(&self, name: &LedgerName) -> std::path::PathBuf {
        self.settings.folder(name).join("telemetry")
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Intakes {
    fn drop(&mut self) {
        self.close();
    }
}

/// Tells of records that are refused after their sender was answered.
#[derive(Debug)]
struct Teller {
    refusals: Arc<Refusals>,
    runtime: Handle,
}

impl crate::intake::Refusals for Teller {
    fn tell(
        &self,
        ledger: &Ledger,
        token: &str,
        code: Code,
        record: Vec<u8>,
    ) -> Result<(), NotTold> {
        let told = refusals::keep(&self.refusals, ledger, token, code, record);
        match self.runtime.block_on(told) {
            Ok(()) => Ok(()),
            Err(error) => {
                let why = error.cause.unwrap_or(error.detail);
                tracing::warn!(token, %code, why, "a refusal cannot be written now, and waits");
                Err(NotTold)
            }
        }
    }
}
