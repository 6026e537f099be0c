//! Tells the log what passed, in the background, and loses nothing that the disk has room for.
//!
//! What is promised: [`Teller::tell`] never waits. What it took is on disk after a tenth of a second and
//! the sync that follows it, whether the log can be reached or not, and stays there until the log has
//! answered that it has it. So a crash of the process loses at most what passed in that time. What the
//! disk has no room for, what waits in memory beyond its limit, and what the log refuses for good is
//! counted, and the log is told the count once it can be reached (`whence.capture_gap`).
//!
//! The log may be told twice what a crash kept from being settled: it knows spans again by their ids.

mod gap;
mod sender;
mod slot;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::client::Log;
use super::error::Error;
use super::machine::Machine;
use crate::capture::otlp::encode::span_bytes;
use crate::capture::otlp::{Attributes, Scope, Span};
use gap::Gap;
use slot::Slots;

/// Bytes of spans that wait in memory for the disk.
const MEMORY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The longest span. What the log takes in one request is a little more (SPEC 7.2).
const SPAN_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Where and how to tell.
#[derive(Debug)]
pub struct Options {
    /// The log.
    pub log: Log,
    /// The folder in which the spools of all proxies of this user are.
    pub spool: PathBuf,
    /// Bytes that this process may have in its spool.
    pub spool_bytes_max: u64,
    /// What is said of this program in all that it tells.
    pub resource: Attributes,
}

/// What is told, on its way.
#[derive(Debug)]
pub struct Outlet {
    teller: Teller,
    writer: JoinHandle<()>,
    sender: JoinHandle<()>,
    closing: tokio::sync::watch::Sender<Option<Duration>>,
}

/// Takes what is to be told. Clones tell the same log.
#[derive(Clone, Debug)]
pub struct Teller {
    queue: mpsc::Sender<Told>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
enum Told {
    Span(Box<Span>, usize),
    Close,
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    log: Log,
    resource: Attributes,
    scope: Scope,
    machine: Arc<dyn Machine>,
    /// Bytes that wait in memory.
    waiting: AtomicUsize,
    /// What is missing.
    gap: Gap,
    /// That there is something to send.
    fresh: tokio::sync::Notify,
}

impl Outlet {
    /// Opens a spool and starts to send: first what earlier processes left in theirs.
    pub fn open(options: Options, machine: Arc<dyn Machine>) -> Result<Self, Error> {
        let Slots { own, left } =
            slot::open(&options.spool, &options.log.name(), options.spool_bytes_max)?;
        let shared = Arc::new(Shared {
            gap: Gap::open(own.gap_path.clone()),
            log: options.log,
            resource: options.resource,
            scope: Scope {
                name: "whence.proxy".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            machine,
            waiting: AtomicUsize::new(0),
            fresh: tokio::sync::Notify::new(),
        });
        let own = Arc::new(own);
        let (queue, told) = mpsc::channel();
        let (closing, closed) = tokio::sync::watch::channel(None);
        let started = |source| Error::Machine { what: "a thread cannot be started", source };
        let run = writer::Writer { shared: Arc::clone(&shared), slot: Arc::clone(&own), told };
        let writer = std::thread::Builder::new().name("whence-spool".to_owned());
        let writer = writer.spawn(move || run.run()).map_err(started)?;
        let run = sender::Sender { shared: Arc::clone(&shared), own, left, closed };
        let sender = std::thread::Builder::new().name("whence-send".to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(started)?;
        let sender = sender.spawn(move || runtime.block_on(run.run())).map_err(started)?;
        Ok(Self { teller: Teller { queue, shared }, writer, sender, closing })
    }

    /// Takes what is to be told.
    pub fn teller(&self) -> Teller {
        self.teller.clone()
    }

    /// Puts everything that was told on disk, and sends for so long at most. What is left is sent by
    /// the next process that has this spool.
    pub fn close(self, patience: Duration) {
        // A thread that is gone has said why, and its spool is as it left it.
        drop(self.teller.queue.send(Told::Close));
        drop(self.writer.join());
        self.closing.send_replace(Some(patience));
        drop(self.sender.join());
    }
}

impl Teller {
    /// Tells a span. What is too long loses its longest attributes, and says so.
    pub fn tell(&self, mut span: Span) {
        let bytes = fit(&mut span);
        let waiting = self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
        if waiting + bytes > MEMORY_BYTES_MAX {
            self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.gap.note(1, span.start_ns, span.end_ns);
        } else if self.queue.send(Told::Span(Box::new(span), bytes)).is_err() {
            tracing::error!("what passes is not recorded: the thread that writes it is gone");
        }
    }

    /// Tells that something passed which was not captured.
    pub fn missed(&self, count: u64, since_ns: u64, until_ns: u64) {
        self.shared.gap.note(count, since_ns, until_ns);
        self.shared.fresh.notify_one();
    }
}

/// Takes the longest attributes away until the span fits, and says how long it is then.
fn fit(span: &mut Span) -> usize {
    loop {
        let bytes = span_bytes(span);
        if bytes <= SPAN_BYTES_MAX {
            return bytes;
        }
        let length = |value: &serde_json::Value| value.as_str().map_or(0, str::len);
        let longest = span.attributes.iter().max_by_key(|(_, value)| length(value));
        match longest.map(|(name, _)| name.clone()) {
            Some(name) => {
                span.attributes.remove(&name);
            }
            None => span.events.clear(),
        }
        span.dropped = span.dropped.saturating_add(1);
    }
}
