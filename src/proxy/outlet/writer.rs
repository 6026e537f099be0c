//! From memory to disk.

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::slot::{Batch, Slot};
use super::{Shared, Told};
use crate::capture::otlp::{Span, encode};
use crate::spool::SpoolError;

/// How long a span waits for others to share a sync with.
const WAIT: Duration = Duration::from_millis(100);
/// Bytes at which a batch is full. With one more span of the longest kind it is still a request that the
/// log takes.
const BATCH_BYTES: usize = 512 * 1024;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) slot: Arc<Slot>,
    pub(super) told: mpsc::Receiver<Told>,
}

impl Writer {
    /// Puts spans on disk until it is told to close.
    pub(super) fn run(self) {
        while let Ok(Told::Span(first, bytes)) = self.told.recv() {
            let mut spans = vec![*first];
            let (mut total, mut open) = (bytes, true);
            let deadline = self.shared.machine.now_ns().saturating_add(nanos(WAIT));
            while open && total < BATCH_BYTES {
                let left = deadline.saturating_sub(self.shared.machine.now_ns());
                match self.told.recv_timeout(Duration::from_nanos(left).min(WAIT)) {
                    Ok(Told::Span(span, bytes)) => {
                        spans.push(*span);
                        total += bytes;
                    }
                    Ok(Told::Close) | Err(mpsc::RecvTimeoutError::Disconnected) => open = false,
                    Err(mpsc::RecvTimeoutError::Timeout) => break,
                }
            }
            self.put(&spans);
            self.shared.waiting.fetch_sub(total, Ordering::Relaxed);
            if !open {
                break;
            }
        }
        self.shared.gap.save();
    }

    fn put(&self, spans: &[Span]) {
        let shared = &self.shared;
        let batch = Batch {
            count: u64::try_from(spans.len()).unwrap_or(u64::MAX),
            since_ns: spans.iter().map(|span| span.start_ns).min().unwrap_or(0),
            until_ns: spans.iter().map(|span| span.end_ns).max().unwrap_or(0),
            body: encode::traces(&shared.resource, &shared.scope, spans),
        };
        if let Err(error) = self.slot.push(&batch) {
            if matches!(error, SpoolError::Full | SpoolError::TooLong) {
                tracing::warn!(spans = batch.count, "the spool is full: they are only counted");
            } else {
                tracing::error!(spans = batch.count, "the spool takes nothing: {error}");
            }
            shared.gap.note(batch.count, batch.since_ns, batch.until_ns);
            shared.gap.save();
        }
        shared.fresh.notify_one();
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
