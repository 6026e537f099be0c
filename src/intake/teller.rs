//! From items that belong together to records in the ledger.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::buffer::Told;
use super::gap;
use super::inbox::Inbox;
use super::memory::Memory;
use super::post::Origin;
use crate::canon;
use crate::capture::otlp::{assemble, sessions};
use crate::ledger::{self, BATCH_RECORDS_MAX, Ledger, Prepared, SubmitError, WeakLedger};
use crate::record::shown::with_causes;
use crate::record::{Code, Draft, Event, Invalid};

/// Bytes of content at which records are submitted.
const BATCH_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How long a busy ledger is left alone, and one that has failed.
const BUSY: Duration = Duration::from_millis(20);
const FAILED: Duration = Duration::from_secs(1);
/// Refused records that are remembered, so that telling a trace again does not refuse them again.
const REFUSED_MAX: usize = 10_000;

/// What becomes of a record that a rule of the ledger refuses.
pub trait Refusals: Debug + Send + Sync {
    /// Puts a refused record into the ledger as a refusal, durably: its sender was answered, and does not
    /// send it again.
    fn tell(
        &self,
        ledger: &Ledger,
        token: &str,
        code: Code,
        record: Vec<u8>,
    ) -> Result<(), NotTold>;
}

/// It cannot be told now. It is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTold;

/// The thread is to stop. What it was doing is done again when the journal is read the next time.
#[derive(Debug)]
pub(super) struct Stopped;

/// What became of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// They are records, or waiting to be.
    Told,
    /// The assembler failed on them, and would again.
    Panicked,
}

/// See the room.
#[derive(Debug)]
pub(super) struct Teller {
    ledger: WeakLedger,
    refusals: Arc<dyn Refusals>,
    inbox: Arc<Inbox>,
    memory: Memory,
    waiting: Waiting,
    refused: BTreeMap<String, u64>,
}

/// Records that are to be submitted together.
#[derive(Debug, Default)]
struct Waiting {
    records: VecDeque<Record>,
    bytes: usize,
}

#[derive(Debug)]
struct Record {
    draft: Draft,
    origin: Arc<Origin>,
    /// Whether the server writes it, as it does with gaps.
    by_server: bool,
}

impl Teller {
    pub(super) fn new(ledger: WeakLedger, refusals: Arc<dyn Refusals>, inbox: Arc<Inbox>) -> Self {
        let (memory, waiting, refused) = (Memory::default(), Waiting::default(), BTreeMap::new());
        Self { ledger, refusals, inbox, memory, waiting, refused }
    }

    /// Makes records of items that belong together. They are in the ledger after [`Teller::flush`].
    pub(super) fn tell(&mut self, told: &Told<'_>) -> Result<Outcome, Stopped> {
        let Told { origin, items } = told;
        for item in items.iter() {
            if let Some(log) = gap::told_by(item) {
                self.put(Record {
                    draft: gap::draft(log, item, origin),
                    origin: Arc::clone(origin),
                    by_server: true,
                })?;
            }
        }
        let find = AssertUnwindSafe(|| sessions(items, &origin.sender));
        let Ok(sessions) = catch_unwind(find) else { return Ok(Outcome::Panicked) };
        for session in &sessions {
            loop {
                let learnt = self.memory.learn(&self.ledger()?.view(), session);
                let Err(error) = learnt else { break };
                let error = with_causes(&error);
                tracing::error!(%error, "what the ledger has of a session cannot be read");
                self.memory.forget(session);
                self.wait(FAILED)?;
            }
        }
        let known = &mut self.memory.known;
        let made = catch_unwind(AssertUnwindSafe(|| assemble(items, &origin.sender, known)));
        let Ok(drafts) = made else {
            for session in &sessions {
                self.memory.forget(session);
            }
            return Ok(Outcome::Panicked);
        };
        for draft in drafts {
            self.put(Record { draft, origin: Arc::clone(origin), by_server: false })?;
        }
        Ok(Outcome::Told)
    }

    fn put(&mut self, record: Record) -> Result<(), Stopped> {
        let content = record.draft.content.values();
        self.waiting.bytes += content.map(|json| length(json.as_value())).sum::<usize>();
        self.waiting.records.push_back(record);
        if self.waiting.records.len() >= BATCH_RECORDS_MAX || self.waiting.bytes >= BATCH_BYTES_MAX
        {
            return self.flush();
        }
        Ok(())
    }

    /// Submits what waits, and returns when all of it is in the ledger or was refused.
    pub(super) fn flush(&mut self) -> Result<(), Stopped> {
        self.waiting.bytes = 0;
        let mut many = self.waiting.records.len();
        while !self.waiting.records.is_empty() {
            let ledger = self.ledger()?;
            many = many.clamp(1, self.waiting.records.len());
            let prepared = match self.prepare(&ledger, many) {
                Ok(prepared) => prepared,
                // Those before it are in order.
                Err(Fault { index: 0, why }) => {
                    self.fault(&ledger, why)?;
                    continue;
                }
                Err(Fault { index, .. }) => {
                    many = index;
                    continue;
                }
            };
            match ledger.submit_blocking(prepared) {
                Ok(receipts) => {
                    let records = self.waiting.records.drain(..many);
                    for (record, receipt) in records.zip(&receipts) {
                        self.memory.written(&record.draft, receipt);
                    }
                    many = self.waiting.records.len();
                }
                Err(SubmitError::Refused(refused)) if refused.index == 0 => {
                    self.fault(&ledger, Why::Rule(refused.error.code))?;
                    many = self.waiting.records.len();
                }
                Err(SubmitError::Refused(refused)) => many = refused.index,
                Err(SubmitError::TooLarge) if many == 1 => {
                    self.fault(&ledger, Why::Rule(Code::ContentTooLarge))?;
                }
                Err(SubmitError::TooLarge) => many /= 2,
                Err(error) => self.later(&error)?,
            }
        }
        Ok(())
    }

    fn later(&self, error: &SubmitError) -> Result<(), Stopped> {
        if matches!(error, SubmitError::Busy) {
            return self.wait(BUSY);
        }
        let error = with_causes(error);
        tracing::warn!(%error, "telemetry cannot be written now, and waits");
        self.wait(FAILED)
    }

    /// Prepares the first of those that wait.
    fn prepare(&self, ledger: &Ledger, many: usize) -> Result<Vec<Prepared>, Fault> {
        let mut prepared = Vec::with_capacity(many);
        for (index, record) in self.waiting.records.iter().take(many).enumerate() {
            let one = check(ledger, record).map_err(|invalid| {
                let code = invalid.errors.first().map_or(Code::FieldInvalid, |error| error.code);
                Fault { index, why: Why::Rule(code) }
            })?;
            let one = ledger.prepare(one);
            prepared.push(one.map_err(|error| Fault { index, why: Why::Error(error) })?);
        }
        Ok(prepared)
    }

    /// Takes the first record out, because it is refused; or waits, because the server is at fault.
    fn fault(&mut self, ledger: &Ledger, why: Why) -> Result<(), Stopped> {
        let code = match why {
            Why::Rule(code) => code,
            Why::Error(error) => {
                let error = with_causes(&error);
                tracing::error!(%error, "a record cannot be prepared, and waits");
                return self.wait(FAILED);
            }
        };
        let Some(Record { draft, origin, .. }) = self.waiting.records.front() else {
            return Ok(());
        };
        let record = canon::sorted_to_bytes(draft).unwrap_or_default();
        let id = draft.id.as_ref().map(ToString::to_string).unwrap_or_default();
        let session = draft.session.as_ref().map(|session| session.id.to_string());
        let digest = digest(&record, code);
        if self.refused.get(&id) != Some(&digest) {
            while self.refusals.tell(ledger, &origin.token, code, record.clone()).is_err() {
                self.wait(FAILED)?;
            }
            if self.refused.len() >= REFUSED_MAX {
                self.refused.clear();
            }
            self.refused.insert(id, digest);
        }
        self.waiting.records.pop_front();
        // It was noted when it was assembled, and is not there.
        if let Some(session) = session {
            self.memory.forget(&session);
        }
        Ok(())
    }

    fn ledger(&self) -> Result<Ledger, Stopped> {
        self.ledger.upgrade().ok_or(Stopped)
    }

    fn wait(&self, time: Duration) -> Result<(), Stopped> {
        if self.inbox.stops_within(time) { Err(Stopped) } else { Ok(()) }
    }
}

/// A record that cannot be submitted, by its place.
struct Fault {
    index: usize,
    why: Why,
}

enum Why {
    Rule(Code),
    Error(ledger::Error),
}

/// Checks a record as if it had been posted with the token.
fn check(ledger: &Ledger, record: &Record) -> Result<Event, Invalid> {
    let Record { draft, origin, by_server } = record;
    let draft = draft.clone();
    let event = if *by_server { Event::by_server(draft)? } else { Event::try_from(draft)? };
    let forbidden = |pointer| {
        let message = "the token may not append it";
        Err(Invalid::one(pointer, Code::ProducerForbidden, message))
    };
    if origin.kinds.as_ref().is_some_and(|kinds| !kinds.contains(event.kind().as_str())) {
        return forbidden("/kind");
    }
    if *by_server {
        return Ok(event);
    }
    let producer = event.source().map(|source| source.producer.to_string()).unwrap_or_default();
    if origin.producers.as_ref().is_some_and(|producers| !producers.contains(&producer)) {
        return forbidden("/source/producer");
    }
    ledger.check_signature(&event)?;
    Ok(event)
}

/// Tells a refused record from one of the same id that says something else.
fn digest(record: &[u8], code: Code) -> u64 {
    let mut hasher = DefaultHasher::new();
    (record, code.as_str()).hash(&mut hasher);
    hasher.finish()
}

/// About how many bytes a value takes.
fn length(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::String(text) => text.len() + 2,
        serde_json::Value::Array(items) => items.iter().map(length).sum::<usize>() + 2,
        serde_json::Value::Object(members) => {
            members.iter().map(|(name, value)| name.len() + 4 + length(value)).sum::<usize>() + 2
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => 8,
    }
}
