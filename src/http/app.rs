//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::accesses::Accesses;
use super::error::ApiError;
use super::indexes::Indexes;
use super::intakes::Intakes;
use super::refusals::Refusals;
use super::saved::SavedSearches;
use super::watchers::Watchers;
use crate::access::{Action, Grant, TokenFile};
use crate::intake::{JournalLimits, Times};
use crate::ledger::{self, Clock, Ledger, Ledgers, Random};
use crate::record::LedgerName;
use crate::search::Index;

/// Bounds on what clients can make the server hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one request's body (SPEC 7.2).
    pub body_bytes_max: usize,
    /// KiB of all bodies that are being worked on.
    pub bodies_kib_max: usize,
    /// Items of one page of a list.
    pub page_max: usize,
    /// Bytes at which a page of a list ends, whatever it was to have.
    pub page_bytes_max: usize,
    /// Records of one walk over causes or effects.
    pub walk_max: usize,
    /// Large answers that are held in memory at a time.
    pub answers_max: usize,
    /// How long a request waits for the index.
    pub index_wait_max: Duration,
    /// How long a client may take to send the next part of a body.
    pub body_stall_max: Duration,
    /// How long the log of who read waits in memory before it is written.
    pub accesses_interval: Duration,
    /// Bytes of it that wait. Beyond that reading is refused.
    pub accesses_bytes_max: usize,
    /// Within which time the refusals of one token are limited.
    pub refusals_interval: Duration,
    /// How many of them have a record of their own. The others are counted.
    pub refusals_max: u32,
    /// Bytes of refused records that are kept of them. Of the others the length is told.
    pub refusals_bytes_max: usize,
    /// Requests that wait for the index at a time.
    pub index_waits_max: usize,
    /// Posts of telemetry that are worked on at a time.
    pub posts_max: usize,
    /// When telemetry is told.
    pub telemetry_times: Times,
    /// How large the journal of a ledger's telemetry may become.
    pub telemetry_journal: JournalLimits,
    /// Bytes of a ledger's telemetry that are held in memory until it is told.
    pub telemetry_bytes_max: u64,
    /// How often it is looked for what did not come in time. If it is left out, nobody watches the
    /// ledgers, and no webhook is told of anything.
    pub watch_interval: Option<Duration>,
    /// How long a webhook waits after the first failure.
    pub webhook_retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 4 * 1024 * 1024,
            bodies_kib_max: 256 * 1024,
            page_max: 1_000,
            page_bytes_max: 8 * 1024 * 1024,
            walk_max: 10_000,
            answers_max: 16,
            index_wait_max: Duration::from_secs(10),
            body_stall_max: Duration::from_secs(10),
            accesses_interval: Duration::from_secs(3),
            accesses_bytes_max: 8 * 1024 * 1024,
            refusals_interval: Duration::from_mins(1),
            refusals_max: 60,
            refusals_bytes_max: 8 * 1024 * 1024,
            index_waits_max: 64,
            posts_max: 32,
            telemetry_times: Times::default(),
            telemetry_journal: JournalLimits {
                bytes_max: 1024 * 1024 * 1024,
                segment_bytes: 8 * 1024 * 1024,
            },
            telemetry_bytes_max: 256 * 1024 * 1024,
            watch_interval: Some(Duration::from_secs(5)),
            webhook_retry: Duration::from_secs(1),
        }
    }
}

/// The server's state. Clones share it.
#[derive(Clone, Debug)]
pub struct App {
    pub(super) ledgers: Arc<Ledgers>,
    pub(super) tokens: Arc<TokenFile>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) indexes: Arc<Indexes>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) intakes: Arc<Intakes>,
    pub(super) limits: Limits,
    /// What was refused of late.
    pub(super) refusals: Arc<Refusals>,
    /// Who read what, until it is logged.
    pub(super) accesses: Arc<Accesses>,
    /// The searches that have a name.
    pub(super) saved: Arc<SavedSearches>,
    /// Held while a producer's key is registered or taken back.
    pub(super) registering: Arc<tokio::sync::Mutex<()>>,
    /// Room for bodies, in KiB.
    pub(super) bodies: Arc<Semaphore>,
    /// Turns to make a large answer.
    pub(super) answers: Arc<Semaphore>,
    /// Turns to work on telemetry.
    pub(super) posts: Arc<Semaphore>,
    /// Turns to wait for an index.
    pub(super) index_waits: Arc<Semaphore>,
}

impl App {
    /// A server for these ledgers and tokens.
    pub fn new(
        ledgers: Arc<Ledgers>,
        tokens: Arc<TokenFile>,
        environment: &ledger::Environment,
        limits: Limits,
    ) -> Self {
        let folder = ledgers.settings().data.join("search");
        let indexes = Indexes::new(folder, Arc::clone(&environment.random));
        let watchers = Watchers::new(ledgers.settings().clone(), environment, &limits);
        let clock = Arc::clone(&environment.clock);
        let refusals = Refusals::new(Arc::clone(&clock), &limits);
        let settings = ledgers.settings().clone();
        let intakes = Intakes::new(settings, clock, Arc::clone(&refusals), &limits);
        let app = Self {
            ledgers,
            tokens,
            indexes: Arc::new(indexes),
            watchers: Arc::new(watchers),
            intakes: Arc::new(intakes),
            clock: Arc::clone(&environment.clock),
            random: Arc::clone(&environment.random),
            refusals,
            accesses: Accesses::new(Arc::clone(&environment.clock), &limits),
            limits,
            saved: Arc::default(),
            registering: Arc::default(),
            bodies: Arc::new(Semaphore::new(limits.bodies_kib_max)),
            answers: Arc::new(Semaphore::new(limits.answers_max)),
            posts: Arc::new(Semaphore::new(limits.posts_max)),
            index_waits: Arc::new(Semaphore::new(limits.index_waits_max)),
        };
        // The others are followed from the first time on that somebody asks for them.
        for name in app.ledgers.names().unwrap_or_default() {
            app.ledgers.opened(&name).iter().for_each(|ledger| app.follow(ledger));
        }
        app
    }

    /// Begins to index and to watch a ledger, unless that is being done. Neither is needed to use it.
    fn follow(&self, ledger: &Ledger) {
        self.indexes.of(ledger);
        self.watchers.of(ledger);
        self.intakes.resume(ledger);
    }

    /// Goes on with the telemetry that was taken and not told, of all ledgers. Reads the disk, and needs a
    /// runtime.
    pub(super) fn resume(&self) {
        for name in self.ledgers.names().unwrap_or_default() {
            if !self.intakes.is_pending(&name) {
                continue;
            }
            match self.ledgers.get(&name) {
                Ok(ledger) => self.follow(&ledger),
                Err(error) => {
                    let error = super::error::with_causes(&error);
                    tracing::error!(ledger = %name, error, "telemetry waits: the ledger cannot be opened");
                }
            }
        }
    }

    /// The time in seconds since 1970, for the ends of tokens.
    pub(super) fn now_unix(&self) -> u64 {
        u64::try_from(self.clock.now().unix_nanos() / 1_000_000_000).unwrap_or(0)
    }

    /// The ledger, if the caller may do this on it.
    ///
    /// Whether the name is in the caller's scope is decided before anything is looked up, so that
    /// neither the answer nor its time tells whether a ledger of somebody else exists.
    pub(super) async fn ledger(
        &self,
        grant: &Grant,
        name: &str,
        action: Action,
    ) -> Result<Ledger, ApiError> {
        if !grant.ledgers.covers(name) {
            return Err(ApiError::ledger_unknown());
        }
        if !grant.permits(action, name) {
            return Err(ApiError::forbidden());
        }
        let name: LedgerName = name.parse().map_err(|_| ApiError::ledger_unknown())?;
        if let Some(ledger) = self.ledgers.opened(&name) {
            return Ok(ledger);
        }
        let app = self.clone();
        blocking(move || {
            let ledger = app.ledgers.get(&name)?;
            app.follow(&ledger);
            Ok(ledger)
        })
        .await
    }

    /// The index of a ledger.
    pub(super) fn index(&self, ledger: &Ledger) -> Result<Arc<Index>, ApiError> {
        self.indexes.of(ledger).ok_or_else(ApiError::index_unavailable)
    }

    /// Stops following ledgers, so that they can be closed.
    pub(super) fn close(&self) {
        self.watchers.close();
        self.indexes.close();
    }
}

/// Runs what reads the disk, or takes long, where it holds up nobody else.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ApiError::internal("a task panicked")),
    }
}
