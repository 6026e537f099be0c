//! The queue in front of the writer, and the handle by which everybody else reaches the ledger.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::committer::{Answer, Built, Reply};
use super::producers::Producers;
use super::sequencer::Sequencer;
use super::view::{Following, Progress};
use super::{Clock, Error, Prepared, Random, Receipt, SubmitError, View};
use crate::record::data::ProducerKey;
use crate::record::shown::with_causes;
use crate::record::{Event, Invalid};
use crate::seal::VerifierKey;
use crate::store::{Committed, Meta, Reader};

/// Records that the writer takes into one batch, and that one request may have (SPEC 7.2).
pub const BATCH_RECORDS_MAX: usize = 1_024;
/// Bytes after which a batch takes no further request.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Requests that may wait.
const QUEUE_REQUESTS_MAX: usize = 4_096;
/// Bytes that may wait, in KiB. A sender that meets a full queue is told to come again.
pub(super) const QUEUE_KIB_MAX: usize = 64 * 1024;

/// A request in the queue.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) records: Vec<Prepared>,
    pub(super) reply: Reply,
}

/// A submission with the room that it takes in the queue.
#[derive(Debug)]
pub(super) struct Waiting {
    submission: Submission,
    bytes: usize,
    _room: OwnedSemaphorePermit,
}

/// An open ledger. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(super) shared: Arc<Shared>,
    /// As long as one is there, the ledger stays open.
    pub(super) queue: mpsc::Sender<Waiting>,
}

/// What all handles of a ledger share, those that do not keep it open too.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) meta: Meta,
    pub(super) key: VerifierKey,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) producers: Arc<Producers>,
    pub(super) reader: Reader,
    pub(super) progress: Arc<Progress>,
    pub(super) room: Arc<Semaphore>,
}

impl Ledger {
    /// What the ledger is.
    pub fn meta(&self) -> &Meta {
        &self.shared.meta
    }

    /// The key that verifies its checkpoints.
    pub fn key(&self) -> &VerifierKey {
        &self.shared.key
    }

    /// Does for a record what can be done before it is queued. Costs CPU time and does not wait.
    pub fn prepare(&self, event: Event) -> Result<Prepared, Error> {
        Prepared::new(event, true, self.shared.random.as_ref())
    }

    /// Refuses a record that its producer has to sign, and has not signed rightly. Costs CPU time and
    /// does not wait.
    pub fn check_signature(&self, event: &Event) -> Result<(), Invalid> {
        self.shared.producers.check(event, self.shared.clock.now())
    }

    /// The keys of producers by their names, each in its newest state.
    pub fn producer_keys(&self) -> Vec<ProducerKey> {
        self.shared.producers.list()
    }

    /// Takes a request, all of it or none, and answers when it is durable and covered by a signed
    /// checkpoint. It has at most [`BATCH_RECORDS_MAX`] records.
    ///
    /// Dropping the future does not take the request back.
    pub async fn submit(&self, records: Vec<Prepared>) -> Result<Vec<Receipt>, SubmitError> {
        self.enqueue(records)?.await.unwrap_or(Err(SubmitError::Halted))
    }

    /// The same, for a thread that may wait.
    pub fn submit_blocking(&self, records: Vec<Prepared>) -> Result<Vec<Receipt>, SubmitError> {
        self.enqueue(records)?.blocking_recv().unwrap_or(Err(SubmitError::Halted))
    }

    /// Queues a request, and says where its answer will come.
    fn enqueue(&self, records: Vec<Prepared>) -> Result<oneshot::Receiver<Answer>, SubmitError> {
        let bytes: usize = records.iter().map(|record| record.bytes).sum();
        if records.len() > BATCH_RECORDS_MAX || bytes / 1_024 >= QUEUE_KIB_MAX {
            return Err(SubmitError::TooLarge);
        }
        let kib = u32::try_from(bytes / 1_024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.shared.room).try_acquire_many_owned(kib);
        let room = room.map_err(|_| SubmitError::Busy)?;
        let (reply, answer) = oneshot::channel();
        let submission = Submission { records, reply };
        self.queue.try_send(Waiting { submission, bytes, _room: room }).map_err(
            |error| match error {
                TrySendError::Full(_) => SubmitError::Busy,
                TrySendError::Closed(_) => SubmitError::Halted,
            },
        )?;
        Ok(answer)
    }

    /// The log as it was last published.
    pub fn view(&self) -> View {
        View::new(self.shared.reader.clone(), self.shared.progress.published())
    }

    /// The log for one who follows it. It outlives the ledger, and does not keep it open.
    pub fn committed(&self) -> Arc<dyn Committed> {
        let (reader, progress) = (self.shared.reader.clone(), Arc::clone(&self.shared.progress));
        Arc::new(Following { reader, progress })
    }

    /// Whether a commit failed, so that the ledger takes no records until it is opened again.
    pub fn is_halted(&self) -> bool {
        self.shared.progress.is_halted()
    }
}

/// An empty queue: where to put requests in, and where to take them out.
pub(super) fn queue() -> (mpsc::Sender<Waiting>, mpsc::Receiver<Waiting>, Arc<Semaphore>) {
    let (sender, receiver) = mpsc::channel(QUEUE_REQUESTS_MAX);
    (sender, receiver, Arc::new(Semaphore::new(QUEUE_KIB_MAX)))
}

/// Runs the sequencer until every [`Ledger`] is dropped and the queue is empty, or until the
/// committer has stopped.
///
/// It takes whatever waits, up to the limits, and never waits for more: under load batches grow, and
/// one fsync serves many.
pub(super) fn run(
    mut sequencer: Sequencer,
    mut waiting: mpsc::Receiver<Waiting>,
    built: &SyncSender<Built>,
) {
    // Dropped before the sender of batches is: the committer never takes a failure for the end.
    let halt = sequencer.progress.halt_on_drop();
    let mut next = waiting.blocking_recv();
    while let Some(first) = next.take() {
        let mut records = first.submission.records.len();
        let mut bytes = first.bytes;
        let mut batch = vec![first.submission];
        while let Ok(more) = waiting.try_recv() {
            if records + more.submission.records.len() > BATCH_RECORDS_MAX
                || bytes + more.bytes > BATCH_BYTES_MAX
            {
                next = Some(more);
                break;
            }
            records += more.submission.records.len();
            bytes += more.bytes;
            batch.push(more.submission);
        }
        let batch = match sequencer.build(batch) {
            Ok(batch) => batch,
            Err(error) => {
                let error = with_causes(&error);
                tracing::error!(%error, "no checkpoint could be made: the ledger is halted");
                return;
            }
        };
        if let Err(unsent) = built.send(batch) {
            unsent.0.refuse();
            return;
        }
        if next.is_none() {
            next = waiting.blocking_recv();
        }
    }
    halt.disarm();
}
