//! Flushing sled, without waiting for ever.
//!
//! When a write fails in one of sled's own threads, sled 0.34 notes the error but does not always wake
//! whoever waits for that write (`exit_reservation` in its `logger.rs`). A second flush finds the error
//! and wakes the first, so a flush that takes long is followed by another.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often it is looked whether a flush takes long.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The count that ends the thread.
const CLOSED: u64 = u64::MAX;

/// Flushes a database.
#[derive(Debug)]
pub(super) struct Flusher {
    tree: sled::Db,
    /// Odd while somebody flushes.
    count: Arc<AtomicU64>,
    waker: Option<JoinHandle<()>>,
}

impl Flusher {
    /// A flusher for this database, and the thread that looks after it.
    pub(super) fn new(tree: sled::Db) -> io::Result<Self> {
        let count = Arc::new(AtomicU64::new(0));
        let (seen, waking) = (Arc::clone(&count), tree.clone());
        let waker = thread::Builder::new().name("flush-waker".to_owned());
        let waker = waker.spawn(move || wake(&waking, &seen))?;
        Ok(Self { tree, count, waker: Some(waker) })
    }

    /// Has sled write its buffers to its file.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.count.fetch_add(1, Ordering::SeqCst);
        let flushed = self.tree.flush();
        self.count.fetch_add(1, Ordering::SeqCst);
        Ok(flushed.map(drop)?)
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.count.store(CLOSED, Ordering::SeqCst);
        if let Some(waker) = self.waker.take() {
            waker.thread().unpark();
            // It must have let go of the database before this does, or the files stay locked.
            if waker.join().is_err() {
                tracing::error!("the thread that wakes flushes panicked");
            }
        }
    }
}

/// Starts a flush beside a flush that does not end, and another after twice as long: one that started
/// before the write failed may wait with it.
fn wake(tree: &sled::Db, count: &AtomicU64) {
    let (mut before, mut looks, mut patience) = (0, 0_u32, 1);
    let mut helpers = Vec::new();
    loop {
        thread::park_timeout(LOOK_EVERY);
        let now = count.load(Ordering::SeqCst);
        if now == CLOSED {
            break;
        }
        if now.is_multiple_of(2) || now != before {
            (before, looks, patience) = (now, 0, 1);
            continue;
        }
        looks += 1;
        if looks >= patience {
            (looks, patience) = (0, patience.saturating_mul(2));
            let tree = tree.clone();
            // Its outcome is that of the flush that it wakes.
            helpers.push(thread::spawn(move || tree.flush().is_ok()));
        }
    }
    for helper in helpers {
        if helper.join().is_err() {
            tracing::error!("a thread that wakes flushes panicked");
        }
    }
}
