//! The committer: makes batches durable, publishes them, and only then answers for them.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use super::in_force::{InForce, Settings};
use super::view::{Progress, Published};
use super::{Receipt, SubmitError};
use crate::record::shown::with_causes;
use crate::store::{Appender, Batch};

/// The answer to a request.
pub(super) type Answer = Result<Vec<Receipt>, SubmitError>;
/// Where it goes.
pub(super) type Reply = oneshot::Sender<Answer>;

/// A batch that is ready for the disk, and what its senders are told once it is there.
pub(super) struct Built {
    pub(super) batch: Batch,
    pub(super) published: Published,
    /// What the batch says of keys of producers and of the policy.
    pub(super) settings: Settings,
    pub(super) answers: Vec<(Reply, Answer)>,
}

impl Built {
    /// Tells the senders that the ledger has stopped writing. Whatever they were to be told rests on
    /// a commit that did not happen.
    pub(super) fn refuse(self) {
        for (reply, _) in self.answers {
            // A sender that has gone away will ask again.
            drop(reply.send(Err(SubmitError::Halted)));
        }
    }
}

/// Commits what is built, in order, until the sequencer ends or a commit fails.
///
/// After a failed commit it never writes again: what is on disk is unknown, and to go on would risk
/// two checkpoints of one size. Only opening the ledger again can tell.
pub(super) fn run(
    mut appender: Appender,
    built: &Receiver<Built>,
    progress: &Arc<Progress>,
    in_force: &InForce,
) {
    // However this thread ends, nobody may wait for it after that: not even if it panics.
    let halt = progress.halt_on_drop();
    for mut built in built {
        let batch = std::mem::take(&mut built.batch);
        let (first_seq, records) = (batch.first_seq, batch.records.len());
        if records > 0 {
            if let Err(error) = appender.commit(batch) {
                tracing::error!(
                    error = %with_causes(&error),
                    first_seq,
                    records,
                    "a commit failed: the ledger is halted until it is opened again"
                );
                built.refuse();
                return;
            }
            in_force.learn(built.settings);
            progress.publish(built.published);
        }
        for (reply, answer) in built.answers {
            // A sender that has gone away doesn't matter: the records are in the log all the same.
            drop(reply.send(answer));
        }
        if let Err(error) = appender.settle() {
            tracing::error!(
                error = %with_causes(&error),
                "the index could not be written: the ledger is halted until it is opened again"
            );
            return;
        }
    }
    if let Err(error) = appender.settle_all() {
        // It is derived again when the ledger is opened.
        tracing::warn!(error = %with_causes(&error), "the index could not be completed");
    }
    halt.close();
}
