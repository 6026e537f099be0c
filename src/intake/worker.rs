//! The thread that tells what is due.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffer::Buffer;
use super::inbox::{Arrival, Inbox, Kept, Options, Times};
use super::post::Origin;
use super::teller::{Outcome, Stopped, Teller};
use crate::spool::Position;

/// See the room.
#[derive(Debug)]
pub(super) struct Worker {
    inbox: Arc<Inbox>,
    buffer: Buffer<Kept>,
    teller: Teller,
    times: Times,
    held_bytes_max: u64,
    journal_bytes_max: u64,
    origins: Vec<Arc<Origin>>,
    /// How far the journal is read, and up to where it is to be.
    replayed: Option<Position>,
    replay_to: Option<Position>,
    /// What the assembler fails on. It stays in the journal, for a version that does not.
    stuck: Vec<Kept>,
    began: Instant,
    looked_at: Duration,
}

/// Senders that are remembered, so that their telemetry shares what is known of them.
const ORIGINS_MAX: usize = 256;

impl Worker {
    pub(super) fn new(inbox: Arc<Inbox>, teller: Teller, options: &Options) -> Self {
        Self {
            // What comes in from now on comes in another way.
            replay_to: inbox.journal.pending().last().copied(),
            replayed: None,
            stuck: Vec::new(),
            inbox,
            buffer: Buffer::new(options.times),
            teller,
            times: options.times,
            held_bytes_max: options.held_bytes_max,
            journal_bytes_max: options.journal.bytes_max,
            origins: Vec::new(),
            began: now(),
            looked_at: Duration::ZERO,
        }
    }

    /// Works until it is told to stop, or until the ledger is closed.
    pub(super) fn run(mut self) {
        while self.step().is_ok() {}
    }

    /// Takes what came in, from the journal first, and tells what is due.
    fn step(&mut self) -> Result<(), Stopped> {
        let tick = self.tick();
        let mut patience = tick;
        if let Some(end) = self.replay_to {
            let (arrivals, last) = Inbox::replay(&self.inbox, self.replayed, end);
            self.replayed = last;
            self.replay_to = last.map(|_| end);
            self.take(arrivals);
            patience = Duration::ZERO;
        }
        let arrivals = self.inbox.arrivals(patience).ok_or(Stopped)?;
        self.take(arrivals);
        let moment = self.moment();
        if moment.saturating_sub(self.looked_at) >= tick {
            self.looked_at = moment;
            self.tell()?;
            self.release();
        }
        Ok(())
    }

    fn take(&mut self, arrivals: Vec<Arrival>) {
        let moment = self.moment();
        for Arrival { origin, items, kept } in arrivals {
            let origin = self.origin(origin);
            self.buffer.add(&origin, items, &kept, moment);
        }
    }

    /// The same sender as before, if it is one.
    fn origin(&mut self, origin: Origin) -> Arc<Origin> {
        if let Some(same) = self.origins.iter().find(|known| ***known == origin) {
            return Arc::clone(same);
        }
        if self.origins.len() >= ORIGINS_MAX {
            self.origins.clear();
        }
        let origin = Arc::new(origin);
        self.origins.push(Arc::clone(&origin));
        origin
    }

    fn tell(&mut self) -> Result<(), Stopped> {
        let due = self.buffer.due(self.moment());
        for telling in &due {
            for told in self.buffer.items(telling) {
                if self.teller.tell(&told)? == Outcome::Panicked {
                    tracing::error!("telemetry cannot be assembled, and stays in the journal");
                    self.stuck.extend(self.buffer.posts(telling));
                }
            }
        }
        self.teller.flush()?;
        let moment = self.moment();
        for telling in &due {
            self.buffer.told(telling, moment);
        }
        Ok(())
    }

    /// Lets go of what was told long ago: the sooner, the less room there is.
    fn release(&mut self) {
        let mut retain = self.times.retain;
        loop {
            self.buffer.release(self.moment(), retain);
            self.inbox.settle();
            let is_crowded = self.inbox.held() > self.held_bytes_max / 2
                || self.inbox.journal.bytes() > self.journal_bytes_max / 2;
            if !is_crowded || retain.is_zero() {
                break;
            }
            retain = if retain > Duration::from_secs(1) { retain / 2 } else { Duration::ZERO };
        }
    }

    /// How often it is looked for what is due.
    fn tick(&self) -> Duration {
        (self.times.settle / 10).clamp(Duration::from_millis(5), Duration::from_millis(250))
    }

    fn moment(&self) -> Duration {
        now().saturating_duration_since(self.began)
    }
}

/// A moment to measure from. It decides when something is told, and never what.
#[expect(clippy::disallowed_methods, reason = "nothing that is stored or shown depends on it")]
fn now() -> Instant {
    Instant::now()
}
