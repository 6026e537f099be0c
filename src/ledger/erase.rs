//! Erasing content: on demand, and when its time is over.
//!
//! What is erased are salts and bytes, never an entry: the log and every proof stay as they are, and a
//! record of its own says what went, why and by what right. That record and the erasure are committed
//! together ([`Ledger::submit_erasing`]). A large erasure takes several such records, each of them
//! whole by itself: what was erased before an interruption is passed over when it is asked for again.
//!
//! Who the records of a user are is found by reading all entries. That takes a while on a large ledger,
//! and is asked for seldom enough that no index is kept for it.

use std::ops::ControlFlow;

use super::holds::reaches;
use super::view::SeqEntry;
use super::{Error, Ledger, Receipt, SubmitError, View, known};
use crate::canon::{self, Json};
use crate::record::data::{Data, Erasure, Reach, RetentionPurge};
use crate::record::spans::{self, ERASED_PART};
use crate::record::text::{ExternalId, Line};
use crate::record::{Cause, Draft, Entry, Event, Invalid, Kind, RecordId, Rel, Subject, Timestamp};
use crate::store::StoredPart;

/// Records that one leaf erases.
const RECORDS_MAX: usize = 1_024;
/// Bytes of content that one leaf erases, but for the last record's.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Records that an erasure names as causes: as many as fit into an entry, however long their ids are.
/// All of them are listed in its content.
const NAMED_MAX: usize = 128;
/// Entries that are read at a time.
const STEP: u64 = 1_024;
const DAY_NANOS: i128 = 86_400 * 1_000_000_000;

/// Who asks for an erasure or a hold, of what, and why.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who asks for it.
    pub actor: ExternalId,
    /// What it reaches.
    pub reach: Reach,
    /// Why.
    pub reason: Line,
}

/// What was erased.
#[derive(Clone, Debug, Default)]
pub struct Erased {
    /// The receipts of the records that say so, in order.
    pub receipts: Vec<Receipt>,
    /// How many content parts went.
    pub parts: u64,
    /// The number of records that they were of.
    pub records: u64,
}

/// Why nothing was erased, held or released.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// It is not said what is meant, or more than one thing is.
    #[error("give exactly one of what it may reach")]
    Reach,
    /// There is no such record.
    #[error("the ledger has no record with this id")]
    UnknownRecord,
    /// There is no such session.
    #[error("the ledger has no session with this id")]
    UnknownSession,
    /// There is no such hold, or not any more.
    #[error("the ledger has no hold of this name in force")]
    UnknownHold,
    /// A hold forbids it.
    #[error("the legal hold {hold_id} forbids it: release it first")]
    Held {
        /// The hold.
        hold_id: String,
    },
    /// What was given does not make a record.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The record was not taken.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] Error),
}

/// Records with content that is to go, as one leaf says it.
#[derive(Debug, Default)]
struct Portion {
    seqs: Vec<u64>,
    /// The ids of the first ones.
    named: Vec<String>,
    parts: u64,
    bytes: usize,
    /// When the last of them was received.
    last: Option<Timestamp>,
}

impl Portion {
    const fn is_full(&self) -> bool {
        self.seqs.len() >= RECORDS_MAX || self.bytes >= BYTES_MAX
    }
}

/// What a search for content to erase came to.
#[derive(Debug, Default)]
struct Found {
    portions: Vec<Portion>,
    /// Whether there was a record at all, with content or without.
    any: bool,
}

impl Found {
    /// Takes a record in, if it still has content. Says whether it has.
    fn add(&mut self, view: &View, entry: &Entry<'_>) -> Result<bool, Error> {
        self.any = true;
        let stored = if entry.content.is_empty() { Vec::new() } else { view.content(entry.seq)? };
        let is_kept = |part: &&StoredPart| matches!(part, StoredPart::Kept { .. });
        let parts = stored.iter().filter(is_kept).count();
        if parts == 0 {
            return Ok(false);
        }
        if self.portions.last().is_none_or(Portion::is_full) {
            self.portions.push(Portion::default());
        }
        if let Some(portion) = self.portions.last_mut() {
            portion.seqs.push(entry.seq);
            if portion.named.len() < NAMED_MAX {
                portion.named.push(entry.id.to_string());
            }
            portion.parts += u64::try_from(parts).unwrap_or(u64::MAX);
            portion.bytes += stored.iter().map(StoredPart::len).sum::<usize>();
            portion.last = Some(entry.received_at);
        }
        Ok(true)
    }
}

impl Ledger {
    /// Erases the content of all records that the order reaches and that are in the log now. On return
    /// nobody can read it, and records say so. `authority` is the right by which it is asked for.
    ///
    /// Nothing is erased if a legal hold is on any of it.
    pub async fn erase(
        &self,
        order: Order,
        authority: Line,
        now: Timestamp,
    ) -> Result<Erased, EraseError> {
        check_reach(&order.reach, false)?;
        let _alone = self.shared.erasing.lock().await;
        let (ledger, reach) = (self.clone(), order.reach.clone());
        let mut found = reading(move || ledger.find_reached(&reach)).await?;
        // Of a user nobody can say whether the ledger had to know it.
        match &order.reach {
            Reach { record: Some(_), .. } if !found.any => return Err(EraseError::UnknownRecord),
            Reach { session: Some(_), .. } if !found.any => return Err(EraseError::UnknownSession),
            Reach { .. } => {}
        }
        if found.portions.is_empty() {
            // That it was asked for and nothing was there any more is worth a record too.
            found.portions.push(Portion::default());
        }
        let mut erased = Erased::default();
        for portion in found.portions {
            let data = Erasure {
                actor: order.actor.clone(),
                authority: authority.clone(),
                parts: portion.parts,
                reach: order.reach.clone(),
                reason: order.reason.clone(),
                records: count(&portion.seqs),
            };
            self.seal_erasure(data, portion, now, &mut erased).await?;
        }
        Ok(erased)
    }

    /// Erases the content whose time is over by the policy in force. What is on hold stays until it is
    /// released.
    pub async fn purge_due(&self, now: Timestamp) -> Result<Erased, EraseError> {
        let _alone = self.shared.erasing.lock().await;
        let ledger = self.clone();
        let due = reading(move || ledger.find_due(now)).await?;
        let Some((found, before)) = due else { return Ok(Erased::default()) };
        let mut erased = Erased::default();
        let mut portions = found.portions.into_iter().peekable();
        while let Some(mut portion) = portions.next() {
            let last = portion.last.unwrap_or(before);
            let data = RetentionPurge {
                // The next portion may begin at the moment at which this one ends.
                before: if portions.peek().is_some() { last } else { before },
                parts: portion.parts,
                policy: "retention_days".into(),
                records: count(&portion.seqs),
            };
            portion.named.clear();
            self.seal_erasure(data, portion, now, &mut erased).await?;
        }
        Ok(erased)
    }

    /// The records that say what was erased, the newest first, at most `limit`, below a seq.
    pub fn erasures(&self, below: u64, limit: usize) -> Result<Vec<SeqEntry>, Error> {
        self.view().newest(Subject::Erasures, below, limit, |entry| is_erasure(entry.kind))
    }

    /// Commits one portion with the record that tells of it.
    async fn seal_erasure(
        &self,
        data: impl Into<Data>,
        portion: Portion,
        now: Timestamp,
        erased: &mut Erased,
    ) -> Result<(), EraseError> {
        let list = spans::write(&portion.seqs);
        let content = (!list.is_empty()).then_some((ERASED_PART, list));
        let event = server_record(data, portion.named, Rel::About, content, now)?;
        let prepared = vec![self.prepare(event)?];
        erased.parts += portion.parts;
        erased.records += count(&portion.seqs);
        erased.receipts.extend(self.submit_erasing(prepared, portion.seqs).await?);
        Ok(())
    }

    /// What a reach has, or the hold that is on it.
    fn find_reached(&self, reach: &Reach) -> Result<Found, EraseError> {
        let (view, holds) = (self.view(), self.read_holds()?);
        let id = [&reach.record, &reach.session, &reach.user].into_iter().flatten().next();
        let needle = id.map(canon::to_bytes).transpose();
        // An id is a string, which can always be written.
        let needle = needle.ok().flatten().ok_or(EraseError::Reach)?;
        let mut found = Found::default();
        let has_it = |bytes: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
        scan(&view, 0, has_it, |entry| {
            let touched =
                reaches(reach, entry) && !is_erasure(entry.kind) && found.add(&view, entry)?;
            if touched && let Some(held) = holds.on(entry) {
                return Err(EraseError::Held { hold_id: held.hold.hold_id.to_string() });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// What the policy no longer keeps, and the moment before which it was received.
    fn find_due(&self, now: Timestamp) -> Result<Option<(Found, Timestamp)>, EraseError> {
        let (view, holds) = (self.view(), self.read_holds()?);
        let Some(days) = self.policy().retention_days else { return Ok(None) };
        let nanos = now.unix_nanos() - i128::from(days) * DAY_NANOS;
        let Ok(before) = Timestamp::from_unix_nanos(nanos) else { return Ok(None) };
        let from = match self.newest_purge(&view)? {
            // What a hold kept from the last one may go now.
            Some((seq, _)) if holds.released.is_some_and(|released| released > seq) => 0,
            Some((_, done)) => first_received_at(&view, done)?,
            None => 0,
        };
        let mut found = Found::default();
        scan(
            &view,
            from,
            |_| true,
            |entry| {
                if entry.received_at >= before {
                    return Ok(ControlFlow::Break(()));
                }
                if !is_erasure(entry.kind) && holds.on(entry).is_none() {
                    found.add(&view, entry)?;
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(Some((found, before)))
    }

    /// The last purge: its seq, and the moment up to which it came.
    fn newest_purge(&self, view: &View) -> Result<Option<(u64, Timestamp)>, Error> {
        for entry in self.shared.reader.newest_of_subject(Subject::Erasures, view.size()) {
            let (seq, bytes) = entry?;
            if let Data::RetentionPurge(purge) = known::parse(seq, &bytes)?.data.as_ref() {
                return Ok(Some((seq, purge.before)));
            }
        }
        Ok(None)
    }
}

/// Refuses what does not say, or says twice, what is meant.
pub(super) fn check_reach(reach: &Reach, or_all: bool) -> Result<(), EraseError> {
    let ids = [&reach.record, &reach.session, &reach.user];
    let given = ids.into_iter().flatten().count();
    let right = match reach.all {
        None => given == 1,
        Some(all) => all && or_all && given == 0,
    };
    if right { Ok(()) } else { Err(EraseError::Reach) }
}

/// A record that the server writes, with these causes in one relation and at most one part of content.
pub(super) fn server_record(
    data: impl Into<Data>,
    causes: Vec<String>,
    rel: Rel,
    content: Option<(&str, String)>,
    now: Timestamp,
) -> Result<Event, Invalid> {
    let causes = causes.into_iter().filter_map(|id| RecordId::try_from(id).ok());
    let causes = causes.map(|id| Cause { id, rel }).collect();
    let content = content.into_iter();
    let content = content.map(|(name, text)| (name.to_owned(), Json::from_value(text.into())));
    Event::by_server(Draft { causes, content: content.collect(), ..Draft::new(data, now) })
}

/// Reads entries in order until told to stop: those whose bytes look right.
fn scan(
    view: &View,
    from: u64,
    looks_right: impl Fn(&[u8]) -> bool,
    mut each: impl FnMut(&Entry<'_>) -> Result<ControlFlow<()>, EraseError>,
) -> Result<(), EraseError> {
    let mut next = from;
    while next < view.size() {
        let end = next.saturating_add(STEP);
        for (seq, bytes) in view.entries(next..end)? {
            if looks_right(&bytes) && each(&known::parse(seq, &bytes)?)?.is_break() {
                return Ok(());
            }
        }
        next = end;
    }
    Ok(())
}

/// The first entry that was received at this moment or later: times never go back.
fn first_received_at(view: &View, moment: Timestamp) -> Result<u64, Error> {
    let (mut low, mut high) = (0, view.size());
    while low < high {
        let middle = low + (high - low) / 2;
        let bytes = view.entry(middle)?;
        let earlier = match bytes {
            Some(bytes) => known::parse(middle, &bytes)?.received_at < moment,
            None => false,
        };
        if earlier { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

const fn is_erasure(kind: Kind) -> bool {
    matches!(kind, Kind::Erasure | Kind::RetentionPurge)
}

fn count(seqs: &[u64]) -> u64 {
    u64::try_from(seqs.len()).unwrap_or(u64::MAX)
}

/// Runs what reads much where it holds up nobody else.
async fn reading<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EraseError> + Send + 'static,
) -> Result<T, EraseError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(SubmitError::Halted.into()),
    }
}
