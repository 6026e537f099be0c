//! Reading is logged: who read what of a ledger stands in that ledger.
//!
//! A handler notes what it is about to show ([`Accesses::note`]), and shows it only if the note was
//! taken. Notes of the same caller and operation are merged, and written every few seconds as one
//! `log_access` record, so that reading stays cheap, and so that reading these records cannot make the
//! log grow without end. There is no setting that turns this off. When notes cannot be kept, because
//! the ledger takes no records or too many wait already, reading is refused.
//!
//! Notes wait in memory: a process that is killed takes those of the last seconds with it. One that is
//! stopped writes them first ([`Accesses::close`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;
use tokio::runtime::Handle;

use super::App;
use super::app::Limits;
use super::error::{ApiError, with_causes};
use crate::access::Grant;
use crate::canon::Json;
use crate::ledger::{Clock, Ledger, Prepared, Receipt, SubmitError};
use crate::record::data::{ConfigChange, LogAccess};
use crate::record::{Data, Draft, Event, LedgerName, Timestamp};

/// Different questions that one record holds.
const QUERIES_MAX: usize = 256;
/// Bytes of questions at which a record takes no further one.
const QUERIES_BYTES_MAX: usize = 64 * 1024;
/// What a waiting record takes beside its questions, about.
const GROUP_BYTES: usize = 512;
/// Records that are appended in one request.
const APPEND_MAX: usize = 256;
/// How long to wait before a busy ledger is asked again.
const RETRY: Duration = Duration::from_millis(100);
/// How often a busy ledger is asked before the caller is told, or, at the end, before it is given up.
const TRIES_MAX: u32 = 50;

/// By which call somebody read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// The list of who read.
    Accesses,
    /// Snapshots of catalogs, or what differs between two.
    Catalogs,
    /// The content of a bundle.
    Content,
    /// Records that a record led to.
    Effects,
    /// A bundle of entries.
    Entries,
    /// The list of what was erased.
    Erasures,
    /// The rows of an export, beside its own record.
    Export,
    /// The list of legal holds.
    Holds,
    /// A saved search.
    Poll,
    /// One record.
    Record,
    /// A search.
    Search,
    /// One session.
    Session,
    /// The list of sessions.
    Sessions,
    /// Records that led to a record.
    Why,
}

impl Operation {
    /// How a `log_access` record names it. Stable.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Accesses => "accesses",
            Self::Catalogs => "catalogs",
            Self::Content => "content",
            Self::Effects => "effects",
            Self::Entries => "entries",
            Self::Erasures => "erasures",
            Self::Export => "export",
            Self::Holds => "holds",
            Self::Poll => "poll",
            Self::Record => "record",
            Self::Search => "search",
            Self::Session => "session",
            Self::Sessions => "sessions",
            Self::Why => "why",
        }
    }
}

/// One call that shows something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access<'a> {
    pub(super) operation: Operation,
    /// How many records it shows.
    pub(super) records: u64,
    /// What was asked for: a query, or the id of a record or session.
    pub(super) query: Option<&'a str>,
}

/// The notes that wait to be written, for all ledgers.
#[derive(Debug)]
pub(super) struct Accesses {
    clock: Arc<dyn Clock>,
    interval: Duration,
    bytes_max: usize,
    pending: Mutex<Pending>,
    /// Held while notes are being written.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Pending {
    /// What further calls are merged into.
    open: BTreeMap<Key, Group>,
    /// What takes no further calls, oldest first.
    full: Vec<Group>,
    /// About how much waits, or is being written.
    bytes: usize,
    /// Whether there is a task that will write it.
    running: bool,
    /// Whether that has failed, and the log says so.
    failing: bool,
    /// Whether nothing is taken any more.
    closed: bool,
}

/// What is merged: calls on one ledger, with one token, of one kind.
type Key = (LedgerName, String, Operation);

/// Calls that become one record.
#[derive(Debug)]
struct Group {
    ledger: Ledger,
    actor: String,
    operation: Operation,
    calls: u64,
    records: u64,
    first_at: Timestamp,
    last_at: Timestamp,
    /// What was asked for, each question once.
    queries: Vec<String>,
    queries_bytes: usize,
}

impl Accesses {
    pub(super) fn new(clock: Arc<dyn Clock>, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            clock,
            interval: limits.accesses_interval,
            bytes_max: limits.accesses_bytes_max,
            pending: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        })
    }

    /// Notes a call before its answer is sent. After an error nothing may be shown.
    ///
    /// It takes no time, and waits for nothing. It is called on a runtime's thread.
    pub(super) fn note(
        self: &Arc<Self>,
        ledger: &Ledger,
        grant: &Grant,
        access: Access<'_>,
    ) -> Result<(), ApiError> {
        let runtime =
            Handle::try_current().map_err(|error| ApiError::internal(with_causes(&error)))?;
        if ledger.is_halted() {
            return Err(unlogged());
        }
        let now = self.clock.now();
        let mut pending = self.lock();
        let added = pending.cost(ledger, grant, access);
        if pending.closed || pending.bytes + added > self.bytes_max {
            return Err(unlogged());
        }
        pending.bytes += added;
        pending.merge(ledger, grant, access, now);
        if !pending.running {
            pending.running = true;
            runtime.spawn(Arc::clone(self).write_on());
        }
        Ok(())
    }

    /// Writes what waits, and takes no more. What cannot be written is told to the server's log.
    pub(super) async fn close(&self) {
        self.lock().closed = true;
        for _ in 0..TRIES_MAX {
            if self.write().await {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
        for group in self.lock().take() {
            group.give_up("the ledger stayed busy");
        }
    }

    /// Writes until nothing waits any more.
    async fn write_on(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.interval).await;
            while !self.write().await {
                tokio::time::sleep(RETRY).await;
            }
            let mut pending = self.lock();
            if pending.open.is_empty() && pending.full.is_empty() {
                pending.running = false;
                return;
            }
        }
    }

    /// Writes everything that waits, once. Says whether it is done: what a busy ledger did not take
    /// waits on.
    async fn write(&self) -> bool {
        let _writing = self.writing.lock().await;
        let mut by_ledger: BTreeMap<LedgerName, Vec<Group>> = BTreeMap::new();
        for group in self.lock().take() {
            by_ledger.entry(group.ledger.meta().ledger.clone()).or_default().push(group);
        }
        let mut back = Vec::new();
        for groups in by_ledger.into_values() {
            let mut groups = groups.into_iter();
            loop {
                let part: Vec<_> = groups.by_ref().take(APPEND_MAX).collect();
                if part.is_empty() {
                    break;
                }
                back.extend(self.append(part).await);
            }
        }
        let mut pending = self.lock();
        let done = back.is_empty();
        pending.failing &= !done;
        back.append(&mut pending.full);
        pending.full = back;
        done
    }

    /// Appends records to one ledger. Those that it may take later come back.
    async fn append(&self, groups: Vec<Group>) -> Vec<Group> {
        let Some(ledger) = groups.first().map(|group| group.ledger.clone()) else { return groups };
        let mut records = Vec::new();
        for group in &groups {
            match prepare(&ledger, group.draft()) {
                Ok(record) => records.push(record),
                Err(error) => group.give_up(error.cause.as_deref().unwrap_or(&error.detail)),
            }
        }
        match ledger.submit(records).await {
            Ok(_) => {}
            Err(SubmitError::Halted) => {
                for group in &groups {
                    group.give_up("the ledger has stopped writing");
                }
            }
            Err(SubmitError::Busy) => return groups,
            Err(error) => {
                if !std::mem::replace(&mut self.lock().failing, true) {
                    let ledger = &*ledger.meta().ledger;
                    tracing::error!(%ledger, error = with_causes(&error), "reading cannot be logged yet");
                }
                return groups;
            }
        }
        let bytes: usize = groups.iter().map(Group::bytes).sum();
        let mut pending = self.lock();
        pending.bytes = pending.bytes.saturating_sub(bytes);
        Vec::new()
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// How much more waits once this call was noted.
    fn cost(&self, ledger: &Ledger, grant: &Grant, access: Access<'_>) -> usize {
        let key = key(ledger, grant, access);
        match (self.open.get(&key), access.query) {
            (Some(group), Some(query)) if group.takes(query) => group.added(query),
            (Some(_), None) => 0,
            (_, query) => GROUP_BYTES + query.map_or(0, str::len),
        }
    }

    fn merge(&mut self, ledger: &Ledger, grant: &Grant, access: Access<'_>, now: Timestamp) {
        let key = key(ledger, grant, access);
        let full = |group: &Group| access.query.is_some_and(|query| !group.takes(query));
        if self.open.get(&key).is_some_and(full) {
            self.full.extend(self.open.remove(&key));
        }
        let group = self.open.entry(key).or_insert_with(|| Group {
            ledger: ledger.clone(),
            actor: grant.id.clone(),
            operation: access.operation,
            calls: 0,
            records: 0,
            first_at: now,
            last_at: now,
            queries: Vec::new(),
            queries_bytes: 0,
        });
        group.calls += 1;
        group.records += access.records;
        group.last_at = group.last_at.max(now);
        if let Some(query) = access.query.filter(|query| !group.asks(query)) {
            group.queries_bytes += query.len();
            group.queries.push(query.to_owned());
        }
    }

    /// Everything that waits, oldest first.
    fn take(&mut self) -> Vec<Group> {
        let mut groups = std::mem::take(&mut self.full);
        groups.extend(std::mem::take(&mut self.open).into_values());
        groups
    }
}

impl Group {
    fn asks(&self, query: &str) -> bool {
        self.queries.iter().any(|asked| asked == query)
    }

    /// Whether this question still has a place in the record.
    fn takes(&self, query: &str) -> bool {
        self.asks(query)
            || (self.queries.len() < QUERIES_MAX && self.queries_bytes < QUERIES_BYTES_MAX)
    }

    /// How many bytes this question adds.
    fn added(&self, query: &str) -> usize {
        if self.asks(query) { 0 } else { query.len() }
    }

    fn bytes(&self) -> usize {
        GROUP_BYTES + self.queries_bytes
    }

    fn draft(&self) -> Draft {
        let data = LogAccess {
            actor: self.actor.as_str().into(),
            calls: Some(self.calls),
            last_at: Some(self.last_at),
            operation: self.operation.as_str().into(),
            records: Some(self.records),
        };
        let queries = self.queries.iter().cloned().map(Value::String).collect();
        let part = ("queries".to_owned(), Json::from_value(Value::Array(queries)));
        let content = (!self.queries.is_empty()).then_some(part).into_iter().collect();
        Draft { content, ..Draft::new(data, self.first_at) }
    }

    /// Tells the server's log what the ledger will never hold, but not what was asked for.
    fn give_up(&self, why: &str) {
        let (ledger, operation) = (&*self.ledger.meta().ledger, self.operation.as_str());
        let Self { actor, calls, records, .. } = self;
        tracing::error!(%ledger, actor, operation, calls, records, why, "reading was not logged");
    }
}

fn key(ledger: &Ledger, grant: &Grant, access: Access<'_>) -> Key {
    (ledger.meta().ledger.clone(), grant.id.clone(), access.operation)
}

/// Reading is refused, because it could not be logged.
fn unlogged() -> ApiError {
    let detail = "reading is logged, and the ledger cannot take a record of this reading: nothing is \
                  shown; its status says whether it has stopped writing, else try again a little later";
    let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "reading_unlogged", detail);
    ApiError { retry_after_seconds: Some(1), ..error }
}

/// Checks and prepares a record that the server writes.
fn prepare(ledger: &Ledger, draft: Draft) -> Result<Prepared, ApiError> {
    let event = Event::by_server(draft).map_err(|error| ApiError::internal(with_causes(&error)))?;
    Ok(ledger.prepare(event)?)
}

/// Counts what a long answer shows, and notes it when the answer is over, however it ends. That it was
/// begun has to be in the ledger before.
#[derive(Debug)]
pub(super) struct Reader {
    accesses: Arc<Accesses>,
    ledger: Ledger,
    grant: Arc<Grant>,
    operation: Operation,
    query: Option<String>,
    records: u64,
}

impl Reader {
    pub(super) fn new(
        accesses: &Arc<Accesses>,
        ledger: &Ledger,
        grant: Arc<Grant>,
        access: Access<'_>,
    ) -> Self {
        let Access { operation, query, records } = access;
        let (accesses, ledger) = (Arc::clone(accesses), ledger.clone());
        Self { accesses, ledger, grant, operation, query: query.map(str::to_owned), records }
    }

    /// So many more records are shown.
    pub(super) const fn add(&mut self, records: u64) {
        self.records += records;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Self { operation, records, .. } = *self;
        let access = Access { operation, records, query: self.query.as_deref() };
        if self.accesses.note(&self.ledger, &self.grant, access).is_err() {
            let (ledger, actor) = (&*self.ledger.meta().ledger, &self.grant.id);
            let operation = operation.as_str();
            tracing::warn!(%ledger, actor, operation, records, "the end of a reading was not logged");
        }
    }
}

/// Tells the ledger what somebody does to a setting of it, before it is done.
pub(super) async fn write_change(
    app: &App,
    ledger: &Ledger,
    grant: &Grant,
    setting: &str,
    change: Value,
) -> Result<(), ApiError> {
    let actor = grant.id.as_str().into();
    let data = ConfigChange { actor, policy: None, setting: setting.into() };
    write_first(ledger, data, Some(("change", change)), app.clock.now()).await
}

/// Appends a record that the server writes about itself, durably: what it tells of may happen after
/// this only. A busy ledger is asked again for a while.
pub(super) async fn write_first(
    ledger: &Ledger,
    data: impl Into<Data>,
    content: Option<(&str, Value)>,
    now: Timestamp,
) -> Result<(), ApiError> {
    let content = content.into_iter();
    let content = content.map(|(name, value)| (name.to_owned(), Json::from_value(value))).collect();
    write_draft(ledger, Draft { content, ..Draft::new(data, now) }).await.map(drop)
}

/// The same for any record that the server writes.
pub(super) async fn write_draft(ledger: &Ledger, draft: Draft) -> Result<Receipt, ApiError> {
    for _ in 0..TRIES_MAX {
        match ledger.submit(vec![prepare(ledger, draft.clone())?]).await {
            Ok(mut receipts) => {
                let receipt = receipts.pop();
                return receipt.ok_or_else(|| ApiError::internal("a record has no receipt"));
            }
            Err(SubmitError::Busy) => tokio::time::sleep(RETRY).await,
            Err(SubmitError::Halted) => return Err(unlogged()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::busy())
}
