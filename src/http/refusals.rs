//! What is refused by the ledger's rules stands in the ledger too: no refusal makes evidence vanish.
//!
//! A refused record becomes the content of an `ingest_refusal`, which is durable before its sender is
//! told. So that nobody floods the log by being refused, one token has a limited number of them in a
//! time, and of bytes that are kept; what goes beyond that is counted, and one record at the end of the
//! time tells how often ([`Refusals`]).
//!
//! The sender of telemetry was answered before any of it is refused, and has nothing left to send again. So
//! none of its refusals is only counted ([`keep`]): how much it may post is limited where it is taken.
//!
//! Counts wait in memory: a process that is killed takes those of the last time with it. One that is
//! stopped writes them first ([`Refusals::close`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::App;
use super::accesses;
use super::app::Limits;
use super::error::{ApiError, RefusalBody, with_causes};
use crate::access::Grant;
use crate::canon::Json;
use crate::ledger::{Clock, Ledger};
use crate::record::data::IngestRefusal;
use crate::record::limits::CONTENT_PART_BYTES_MAX;
use crate::record::text::Text;
use crate::record::{Cause, Code, Draft, LedgerName, Rel};

/// The content part that a refused record is kept in.
const RECORD: &str = "record";

/// The refusals of the last moments, for all tokens and ledgers.
#[derive(Debug)]
pub(super) struct Refusals {
    clock: Arc<dyn Clock>,
    interval: Duration,
    records_max: u32,
    bytes_max: usize,
    spells: Mutex<Spells>,
}

/// Refusals by ledger and token.
type Spells = BTreeMap<(LedgerName, String), Spell>;

/// The refusals of one token within one time.
#[derive(Debug)]
struct Spell {
    ledger: Ledger,
    records: u32,
    /// Bytes of refused records that are kept.
    bytes: usize,
    /// How many were only counted, by their codes.
    counted: BTreeMap<Code, u64>,
}

/// What becomes of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It has a record of its own.
    Own {
        /// Whether what was refused is kept in it.
        keeps: bool,
    },
    /// It is counted.
    Counted,
}

impl Refusals {
    pub(super) fn new(clock: Arc<dyn Clock>, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            clock,
            interval: limits.refusals_interval,
            records_max: limits.refusals_max,
            bytes_max: limits.refusals_bytes_max,
            spells: Mutex::default(),
        })
    }

    /// Writes what was only counted, of all tokens. What cannot be written is told to the server's log.
    pub(super) async fn close(&self) {
        let spells = std::mem::take(&mut *self.lock());
        for ((_, token), spell) in spells {
            self.tell(&token, spell).await;
        }
    }

    /// Decides what becomes of a refusal whose record takes so many bytes.
    fn place(self: &Arc<Self>, ledger: &Ledger, token: &str, code: Code, bytes: usize) -> Place {
        let key = (ledger.meta().ledger.clone(), token.to_owned());
        let mut spells = self.lock();
        let spell = spells.entry(key.clone()).or_insert_with(|| {
            tokio::spawn(Arc::clone(self).end(key));
            Spell { ledger: ledger.clone(), records: 0, bytes: 0, counted: BTreeMap::new() }
        });
        if spell.records >= self.records_max {
            *spell.counted.entry(code).or_default() += 1;
            return Place::Counted;
        }
        spell.records += 1;
        let keeps = spell.bytes + bytes <= self.bytes_max;
        spell.bytes += if keeps { bytes } else { 0 };
        Place::Own { keeps }
    }

    /// Ends the time of a token, and tells what was only counted in it.
    async fn end(self: Arc<Self>, key: (LedgerName, String)) {
        tokio::time::sleep(self.interval).await;
        let spell = self.lock().remove(&key);
        if let Some(spell) = spell {
            self.tell(&key.1, spell).await;
        }
    }

    async fn tell(&self, token: &str, spell: Spell) {
        let Spell { ledger, counted, .. } = spell;
        for (code, count) in counted {
            let refusal =
                IngestRefusal { count: Some(count), ..refusal_of(code, token, &Value::Null) };
            let draft = Draft::new(refusal, self.clock.now());
            if let Err(error) = accesses::write_draft(&ledger, draft).await {
                let ledger = &*ledger.meta().ledger;
                let why = error.cause.unwrap_or(error.detail);
                tracing::error!(%ledger, token, %code, count, why, "refusals were not logged");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Spells> {
        self.spells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the ledger that a record was refused, if it was by a rule of the ledger. The answer says where.
///
/// `posted` are the bytes of the refused record. Where the ledger cannot be told, the sender is told
/// that, in place of the reason: it sends the same record again.
pub(super) async fn tell(
    app: &App,
    ledger: &Ledger,
    grant: &Grant,
    mut error: ApiError,
    posted: impl FnOnce(usize) -> Option<Vec<u8>>,
) -> ApiError {
    let Some(refused) = &mut error.refused else { return error };
    let posted = posted(refused.index).unwrap_or_default();
    let code = refused.code;
    let place = app.refusals.place(ledger, &grant.id, code, posted.len());
    let Place::Own { keeps } = place else { return error };
    match write(&app.refusals, ledger, &grant.id, (code, posted), keeps).await {
        Ok(told) => refused.told = Some(told),
        Err(unwritten) => return unwritten,
    }
    error
}

/// The same for a record that is refused after its sender was answered: it is always kept. Of one that is
/// longer than a content part may be only the length is.
pub(super) async fn keep(
    refusals: &Refusals,
    ledger: &Ledger,
    token: &str,
    code: Code,
    record: Vec<u8>,
) -> Result<(), ApiError> {
    write(refusals, ledger, token, (code, record), true).await.map(drop)
}

async fn write(
    refusals: &Refusals,
    ledger: &Ledger,
    token: &str,
    (code, posted): (Code, Vec<u8>),
    keeps: bool,
) -> Result<RefusalBody, ApiError> {
    let (token, now) = (token.to_owned(), refusals.clock.now());
    let draft = super::app::blocking(move || {
        let record = read(&posted);
        let bytes = record.to_bytes().map_err(|error| ApiError::internal(with_causes(&error)))?;
        let mut data = refusal_of(code, &token, record.as_value());
        let mut draft = Draft::new(data.clone(), now);
        if keeps && bytes.len() <= CONTENT_PART_BYTES_MAX {
            draft.content = [(RECORD.to_owned(), record)].into_iter().collect();
        } else {
            data.bytes = u64::try_from(bytes.len()).ok();
            draft.data = data.into();
        }
        Ok(draft)
    });
    let mut draft = draft.await?;
    // The one that has the id is there: it leads to whoever claimed it too.
    if code == Code::IdConflict
        && let crate::record::Data::IngestRefusal(refusal) = &draft.data
        && let Some(id) = refusal.claimed_id.as_ref().and_then(|id| id.parse().ok())
    {
        draft.causes = vec![Cause { id, rel: Rel::About }].into();
    }
    let receipt = accesses::write_draft(ledger, draft).await?;
    Ok(RefusalBody { id: receipt.id, seq: receipt.seq })
}

/// What was refused, as JSON: what has no canonical form becomes a text.
fn read(posted: &[u8]) -> Json {
    serde_json::from_slice(posted).unwrap_or_else(|_| {
        Json::from_value(Value::String(String::from_utf8_lossy(posted).into_owned()))
    })
}

/// What a refusal says of a record, as far as it can be read from it.
fn refusal_of(code: Code, token: &str, record: &Value) -> IngestRefusal {
    IngestRefusal {
        bytes: None,
        claimed_agent: claimed(record, "/agent/id"),
        claimed_id: claimed(record, "/id"),
        claimed_kind: claimed(record, "/kind"),
        claimed_producer: claimed(record, "/source/producer"),
        claimed_session: claimed(record, "/session/id"),
        claimed_user: claimed(record, "/user/id"),
        code: code.as_str().into(),
        count: None,
        token_id: Some(token.into()),
    }
}

/// A text of a refused record, if it could stand in one that is not.
fn claimed<const MAX: usize>(record: &Value, pointer: &str) -> Option<Text<MAX>> {
    record.pointer(pointer)?.as_str().and_then(Text::checked)
}
