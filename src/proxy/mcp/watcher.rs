//! Reads the copy of what passes, on a thread of its own: what passes does not wait for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Bytes;

use super::copy::{Copy, Framing};
use super::dialogue::{Allowed, Dialogue, Place};
use crate::proxy::error::Error;
use crate::proxy::machine::Machine;
use crate::proxy::outlet::Teller;

/// Bytes of the copy that wait to be read. Beyond them messages pass without being read.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How often it is looked for what nobody answers.
const SWEEP: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Debug)]
enum Event {
    Open { stream: u64, framing: Framing, place: Place },
    Bytes { stream: u64, at_ns: u64, bytes: Bytes },
    Lost { stream: u64, at_ns: u64 },
    End { stream: u64, at_ns: u64 },
    Allowed { place: Place, id: String, allowed: Allowed },
    Over { exchange: u64, at_ns: u64, failed: Option<u16> },
    Close,
}

/// Takes copies of what passes. It never waits.
#[derive(Clone, Debug)]
pub(super) struct Tap {
    events: mpsc::Sender<Event>,
    waiting: Arc<AtomicUsize>,
    streams: Arc<AtomicU64>,
    machine: Arc<dyn Machine>,
}

/// The thread that reads them.
#[derive(Debug)]
pub(super) struct Watcher {
    tap: Tap,
    thread: JoinHandle<()>,
}

impl Watcher {
    pub(super) fn start(
        dialogue: Dialogue,
        teller: Teller,
        machine: Arc<dyn Machine>,
    ) -> Result<Self, Error> {
        let (events, received) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let tap = Tap {
            events,
            waiting: Arc::clone(&waiting),
            streams: Arc::new(AtomicU64::new(0)),
            machine: Arc::clone(&machine),
        };
        let reader = Reader { dialogue, teller, streams: BTreeMap::new(), waiting, machine };
        let thread = std::thread::Builder::new().name("whence-read".to_owned());
        let thread = thread.spawn(move || reader.run(&received));
        let thread = thread.map_err(Error::of("a thread cannot be started"))?;
        Ok(Self { tap, thread })
    }

    pub(super) fn tap(&self) -> Tap {
        self.tap.clone()
    }

    /// Reads what is left, and tells what was never answered.
    pub(super) fn close(self) {
        self.tap.send(Event::Close);
        // A thread that is gone has said why.
        drop(self.thread.join());
    }
}

impl Tap {
    /// A stream begins. Its number stands for it from now on.
    pub(super) fn open(&self, framing: Framing, place: Place) -> u64 {
        let stream = self.streams.fetch_add(1, Ordering::Relaxed);
        self.send(Event::Open { stream, framing, place });
        stream
    }

    /// These bytes are about to pass.
    pub(super) fn bytes(&self, stream: u64, bytes: Bytes) {
        let (at_ns, length) = (self.machine.now_ns(), bytes.len());
        if self.waiting.fetch_add(length, Ordering::Relaxed) + length > WAITING_BYTES_MAX {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
            self.send(Event::Lost { stream, at_ns });
        } else {
            self.send(Event::Bytes { stream, at_ns, bytes });
        }
    }

    /// What passes in the stream cannot be read.
    pub(super) fn lose(&self, stream: u64) {
        self.send(Event::Lost { stream, at_ns: self.machine.now_ns() });
    }

    /// Nothing passes in the stream any more.
    pub(super) fn end(&self, stream: u64) {
        self.send(Event::End { stream, at_ns: self.machine.now_ns() });
    }

    /// The log allowed a call that is about to pass.
    pub(super) fn allow(&self, place: Place, id: String, allowed: Allowed) {
        self.send(Event::Allowed { place, id, allowed });
    }

    /// An exchange is over; with a status, it failed.
    pub(super) fn over(&self, exchange: u64, failed: Option<u16>) {
        self.send(Event::Over { exchange, at_ns: self.machine.now_ns(), failed });
    }

    fn send(&self, event: Event) {
        // The thread goes last, or it has failed and said why. What passes passes all the same.
        drop(self.events.send(event));
    }
}

#[derive(Debug)]
struct Reader {
    dialogue: Dialogue,
    teller: Teller,
    streams: BTreeMap<u64, (Copy, Place)>,
    waiting: Arc<AtomicUsize>,
    machine: Arc<dyn Machine>,
}

impl Reader {
    fn run(mut self, events: &mpsc::Receiver<Event>) {
        let every = u64::try_from(SWEEP.as_nanos()).unwrap_or(u64::MAX);
        let mut swept_ns = self.machine.now_ns();
        loop {
            match events.recv_timeout(SWEEP) {
                Ok(Event::Close) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Ok(event) => self.read(event),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            let now_ns = self.machine.now_ns();
            if now_ns.saturating_sub(swept_ns) >= every {
                self.dialogue.sweep(now_ns, false);
                swept_ns = now_ns;
            }
        }
        let now_ns = self.machine.now_ns();
        let left: Vec<_> = self.streams.keys().copied().collect();
        for stream in left {
            self.read(Event::End { stream, at_ns: now_ns });
        }
        self.dialogue.sweep(now_ns, true);
    }

    fn read(&mut self, event: Event) {
        match event {
            Event::Open { stream, framing, place } => {
                self.streams.insert(stream, (Copy::new(framing), place));
            }
            Event::Bytes { stream, at_ns, bytes } => {
                if let Some((copy, place)) = self.streams.get_mut(&stream) {
                    for message in copy.feed(&bytes) {
                        self.dialogue.read(place, at_ns, &message);
                    }
                }
                self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
            }
            Event::Lost { stream, at_ns } => {
                if let Some((copy, _)) = self.streams.get_mut(&stream) {
                    copy.lose();
                }
                self.teller.missed(1, at_ns, at_ns);
            }
            Event::End { stream, at_ns } => {
                if let Some((mut copy, place)) = self.streams.remove(&stream) {
                    for message in copy.end() {
                        self.dialogue.read(&place, at_ns, &message);
                    }
                }
            }
            Event::Allowed { place, id, allowed } => self.dialogue.allow(&place, &id, allowed),
            Event::Over { exchange, at_ns, failed } => self.dialogue.over(exchange, at_ns, failed),
            Event::Close => {}
        }
    }
}
