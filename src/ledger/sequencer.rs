//! The sequencer: gives records their place, links them, and seals them into batches.
//!
//! It owns the end of the log that is being built, which runs ahead of what is committed by at most
//! three batches. It writes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::committer::{Built, Reply};
use super::in_force::Settings;
use super::known::{self, Changes, Known, KnownRecord, Look};
use super::queue::Submission;
use super::rules::Case;
use super::state::{Session, Told};
use super::view::{Progress, Published};
use super::{Clock, Error, Prepared, Receipt, SubmitError, rules};
use crate::canon::{ContentDigest, EntryHash, TreeHash};
use crate::proof::Tree;
use crate::record::{
    CauseLink, Entry, Event, Flag, LedgerName, Placement, SealError, Sealed, SessionLink, Subject,
    Timestamp,
};
use crate::seal::{Checkpoint, Origin, SigningKey};
use crate::store::{self, Keys, Reader, StoredPart};

/// Builds batches, one after the other.
#[derive(Debug)]
pub(super) struct Sequencer {
    pub(super) ledger: LedgerName,
    pub(super) origin: Origin,
    pub(super) key: SigningKey,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) reader: Reader,
    pub(super) known: Known,
    /// The tree, the last entry and its time, as of the batch built last.
    pub(super) tree: Tree,
    pub(super) last: Option<EntryHash>,
    pub(super) received_at: Timestamp,
    /// How far the committer is.
    pub(super) progress: Arc<Progress>,
    /// Records whose content is erased by a batch that may not be committed yet, and the size of the log
    /// with that batch: for those that are judged after it, the content is gone.
    pub(super) erasing: BTreeMap<u64, u64>,
}

/// A sealed record, and what its commit and its receipt need.
struct Placed {
    event: Event,
    sealed: Sealed,
    flags: Vec<Flag>,
    causes: Vec<u64>,
    content: Vec<StoredPart>,
}

/// What a request adds to a batch, while it may still be refused as a whole.
struct Staged<'a> {
    /// What is in the batch before it.
    before: &'a [Placed],
    received_at: Timestamp,
    new: Additions,
}

/// What a request adds to a batch once it is taken.
#[derive(Default)]
struct Additions {
    placed: Vec<Placed>,
    changes: Changes,
    outcomes: Vec<Outcome>,
}

impl<'a> Staged<'a> {
    fn after(before: &'a [Placed], received_at: Timestamp) -> Self {
        Self { before, received_at, new: Additions::default() }
    }

    /// The place in the batch of the next record that is sealed.
    fn next_place(&self) -> usize {
        self.before.len() + self.new.placed.len()
    }

    /// The record at this place of the batch.
    fn at(&self, place: usize) -> Option<&Placed> {
        self.before.iter().chain(&self.new.placed).nth(place)
    }
}

/// Earlier records, read as a whole: those of the batch that is being built included.
struct Evidence<'a> {
    sequencer: &'a Sequencer,
    staged: &'a Staged<'a>,
}

impl rules::Evidence for Evidence<'_> {
    fn record(&self, seq: u64) -> Result<(Arc<[u8]>, Vec<StoredPart>), SubmitError> {
        self.sequencer.record(self.staged, seq)
    }
}

/// What became of one record of a request.
enum Outcome {
    /// It is the record at this place of the batch.
    Sealed(usize),
    /// It stands earlier in this batch.
    Repeated(usize),
    /// It was in the log before; the receipt it got then.
    Original(Box<Receipt>),
}

impl From<Error> for SubmitError {
    fn from(error: Error) -> Self {
        Self::Unreadable(Arc::new(error))
    }
}

impl From<store::Error> for SubmitError {
    fn from(error: store::Error) -> Self {
        Error::from(error).into()
    }
}

impl Sequencer {
    /// Seals what can be sealed of these requests, each as a whole, in their order.
    ///
    /// A request that cannot be taken is answered in the batch with its error and leaves no trace in
    /// it. The batch may be empty: it then only carries answers.
    pub(super) fn build(&mut self, submissions: Vec<Submission>) -> Result<Built, Error> {
        let received_at = self.clock.now().max(self.received_at);
        let committed = self.progress.published().tree.size();
        self.erasing.retain(|_, size| *size > committed);
        let mut batch = Vec::new();
        let mut erased = Vec::new();
        let mut answers = Vec::with_capacity(submissions.len());
        for Submission { records, erase, reply } in submissions {
            let staged = self.stage(Staged::after(&batch, received_at), records);
            answers.push((reply, staged.map(|staged| self.take(&mut batch, staged))));
            if answers.last().is_some_and(|(_, taken)| taken.is_ok()) {
                let size = self.tree.size() + u64::try_from(batch.len()).unwrap_or(u64::MAX);
                self.erasing.extend(erase.iter().map(|seq| (*seq, size)));
                erased.extend(erase);
            }
        }
        let mut built = self.finish(batch, received_at, answers)?;
        built.batch.erase = erased;
        Ok(built)
    }

    /// Seals the records of one request behind what is already in the batch.
    fn stage(
        &self,
        mut staged: Staged<'_>,
        records: Vec<Prepared>,
    ) -> Result<Additions, SubmitError> {
        for (index, prepared) in records.into_iter().enumerate() {
            let outcome = match self.look(&staged).record(prepared.id())? {
                Some(known) => self.repeated(&staged, index, &prepared, known)?,
                None => self.seal(&mut staged, index, prepared)?,
            };
            staged.new.outcomes.push(outcome);
        }
        Ok(staged.new)
    }

    /// Gives one new record its place and seals it.
    fn seal(
        &self,
        staged: &mut Staged<'_>,
        index: usize,
        prepared: Prepared,
    ) -> Result<Outcome, SubmitError> {
        let Prepared { event, digests, content, redacted, .. } = prepared;
        let causes = self.causes(staged, index, &event)?;
        let session = event.session().map(|session| self.look(staged).session(&session.id));
        let session = session.transpose()?.flatten();
        let case = Case {
            index,
            event: &event,
            causes: &causes,
            session: session.as_ref(),
            redacted,
            received_at: staged.received_at,
        };
        let evidence = Evidence { sequencer: self, staged };
        let mut flags = rules::judge(&self.look(staged), case, &evidence)?;
        flags.extend(event.flags());
        flags.extend(redacted.then_some(Flag::SecretRedacted));
        flags.sort_unstable();
        flags.dedup();
        let links: Vec<_> = causes
            .iter()
            .map(|known| CauseLink { seq: known.seq, entry_hash: known.hash })
            .collect();

        let place = staged.next_place();
        let seq = self.tree.size() + u64::try_from(place).unwrap_or(u64::MAX);
        let before = staged.new.placed.last().or(staged.before.last());
        let placement = Placement {
            ledger: &self.ledger,
            seq,
            received_at: staged.received_at,
            prev: before.map(|placed| placed.sealed.hash).or(self.last),
            session: event.session().map(|_| next_in(session.as_ref())),
            causes: &links,
            content: &digests,
            flags: &flags,
        };
        let sealed = Entry::seal(&event, placement).map_err(|error| match error {
            SealError::TooLong { .. } => SubmitError::from(rules::entry_too_large(index)),
            other @ (SealError::NoId | SealError::Misplaced | SealError::NotCanonical(_)) => {
                Error::Seal(other).into()
            }
        })?;

        let known = KnownRecord { seq, hash: sealed.hash, kind: event.kind() };
        let told = Told::by_event(&event, seq, staged.received_at);
        staged.new.changes.add(&self.known, (id(&event), known), session, told)?;
        let causes = causes.iter().map(|known| known.seq).collect();
        staged.new.placed.push(Placed { event, sealed, flags, causes, content });
        Ok(Outcome::Sealed(place))
    }

    /// What is known, this request included.
    const fn look<'a>(&'a self, staged: &'a Staged<'_>) -> Look<'a> {
        Look { known: &self.known, changes: &staged.new.changes }
    }

    /// The causes that a record names.
    fn causes(
        &self,
        staged: &Staged<'_>,
        index: usize,
        event: &Event,
    ) -> Result<Vec<KnownRecord>, SubmitError> {
        let known = event.causes().iter().enumerate().map(|(place, cause)| {
            let known = self.look(staged).record(cause.id.as_str())?;
            known.ok_or_else(|| rules::cause_unknown(index, place).into())
        });
        known.collect()
    }

    /// The place in the batch that is being built of the record at `seq`, if it is in it.
    fn place(&self, seq: u64) -> Option<usize> {
        let place = seq.checked_sub(self.tree.size())?;
        Some(usize::try_from(place).unwrap_or(usize::MAX))
    }

    /// The entry and the content of an earlier record, wherever it is.
    fn record(
        &self,
        staged: &Staged<'_>,
        seq: u64,
    ) -> Result<(Arc<[u8]>, Vec<StoredPart>), SubmitError> {
        let damaged = || store::Error::Damaged { what: "an entry" };
        if let Some(place) = self.place(seq) {
            let Placed { sealed, content, .. } = staged.at(place).ok_or_else(damaged)?;
            return Ok((sealed.bytes.as_slice().into(), content.clone()));
        }
        // It may be in a batch that is still on its way to the disk.
        self.progress.wait_for(seq)?;
        let entry = self.reader.entry(seq)?.ok_or_else(damaged)?;
        let mut content = self.reader.content(seq)?;
        if self.erasing.contains_key(&seq) {
            content.fill(StoredPart::Erased);
        }
        Ok((entry, content))
    }

    /// Answers for a record whose id is taken: the original receipt if it is the same record.
    fn repeated(
        &self,
        staged: &Staged<'_>,
        index: usize,
        prepared: &Prepared,
        known: KnownRecord,
    ) -> Result<Outcome, SubmitError> {
        let (bytes, content) = self.record(staged, known.seq)?;
        if !same_record(known.seq, &bytes, &content, prepared)? {
            return Err(rules::id_conflict(index).into());
        }
        if let Some(place) = self.place(known.seq) {
            return Ok(Outcome::Repeated(place));
        }
        let batch =
            self.reader.batch(known.seq)?.ok_or(store::Error::Damaged { what: "an entry" })?;
        let entry = known::parse(known.seq, &bytes)?;
        Ok(Outcome::Original(Box::new(Receipt {
            id: entry.id.to_string(),
            seq: known.seq,
            entry_hash: known.hash,
            leaf_hash: TreeHash::leaf(&bytes),
            received_at: entry.received_at,
            flags: entry.flags,
            duplicate: true,
            checkpoint: batch.checkpoint.into(),
        })))
    }

    /// Takes a staged request into the batch. From here on it cannot be refused.
    fn take(&mut self, batch: &mut Vec<Placed>, staged: Additions) -> Vec<Outcome> {
        self.known.take(staged.changes);
        batch.extend(staged.placed);
        staged.outcomes
    }

    /// Extends the tree, signs its new root, and turns outcomes into receipts.
    fn finish(
        &mut self,
        batch: Vec<Placed>,
        received_at: Timestamp,
        answers: Vec<(Reply, Result<Vec<Outcome>, SubmitError>)>,
    ) -> Result<Built, Error> {
        let first_seq = self.tree.size();
        let mut tiles = Vec::new();
        for placed in &batch {
            self.tree.append(placed.sealed.leaf, &mut tiles);
            self.last = Some(placed.sealed.hash);
            self.received_at = received_at;
        }
        let checkpoint = Checkpoint::new(self.origin.clone(), self.tree.size(), self.tree.root())
            .map_err(Error::Checkpoint)?
            .sign(&self.key);
        let note: Arc<str> = checkpoint.note().to_string().into();

        let receipt = |outcome| match outcome {
            Outcome::Original(receipt) => Ok(*receipt),
            Outcome::Sealed(place) | Outcome::Repeated(place) => {
                let placed = batch.get(place).ok_or(SubmitError::Halted)?;
                Ok(Receipt {
                    id: id(&placed.event).to_owned(),
                    seq: first_seq + u64::try_from(place).unwrap_or(u64::MAX),
                    entry_hash: placed.sealed.hash,
                    leaf_hash: placed.sealed.leaf,
                    received_at,
                    flags: placed.flags.clone(),
                    duplicate: matches!(outcome, Outcome::Repeated(_)),
                    checkpoint: Arc::clone(&note),
                })
            }
        };
        let answers = answers
            .into_iter()
            .map(|(reply, outcomes)| {
                (reply, outcomes.and_then(|all| all.into_iter().map(receipt).collect()))
            })
            .collect();

        let mut settings = Settings::default();
        for placed in &batch {
            settings.note(placed.event.data());
        }
        let records = batch
            .into_iter()
            .map(|Placed { event, sealed, causes, content, .. }| {
                let session = event.session().map(|session| session.id.as_str());
                let delegation = event.delegation().map(|id| &**id);
                let subjects = Subject::of(event.data(), delegation, session);
                let subjects = subjects.map(Subject::lookup_key).collect();
                let keys = Keys { id: id(&event), session, causes, subjects };
                store::Record::new(sealed.bytes, keys, content)
            })
            .collect();
        let (checkpoint_note, erase) = (note.to_string(), Vec::new());
        let batch = store::Batch { first_seq, records, tiles, checkpoint: checkpoint_note, erase };
        let published = Published { tree: self.tree.clone(), checkpoint };
        Ok(Built { batch, published, settings, answers })
    }
}

/// The place of the record that comes next in a session.
fn next_in(session: Option<&Session>) -> SessionLink {
    session.map_or(SessionLink { n: 0, prev: None }, |session| SessionLink {
        n: session.n + 1,
        prev: Some(session.hash),
    })
}

/// The id of a prepared record.
fn id(event: &Event) -> &str {
    event.id().map_or("", |id| id.as_str())
}

/// Whether a record that is posted again is the one that was sealed: every posted member, and the
/// content by its salted digests. Where content was erased, the sealed members alone decide.
fn same_record(
    seq: u64,
    entry: &[u8],
    content: &[StoredPart],
    prepared: &Prepared,
) -> Result<bool, Error> {
    let entry = known::parse(seq, entry)?;
    let posted = prepared.event.content().iter().map(|part| &part.bytes);
    let digests = entry.content.iter().map(|commitment| commitment.digest);
    let same_content =
        posted.zip(digests).zip(content).all(|((posted, digest), stored)| match stored {
            StoredPart::Kept { salt, .. } => ContentDigest::of(salt, posted) == digest,
            StoredPart::Erased => true,
        });
    Ok(entry.same_record(&prepared.event) && content.len() == entry.content.len() && same_content)
}
