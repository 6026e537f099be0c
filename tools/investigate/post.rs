//! Posts sessions, many at a time, as the runtimes of many agents do.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::task::JoinSet;

use crate::compose::Session;
use crate::connection::{Connection, head};
use crate::words::Chance;
use crate::world::World;

/// Sessions that one connection tells at the same time.
const OPEN_SESSIONS: usize = 32;

/// How and where to post.
#[derive(Clone, Debug)]
pub(crate) struct Posting {
    pub(crate) address: String,
    pub(crate) ledger: String,
    pub(crate) token: String,
    pub(crate) seed: u64,
    /// Tells these records from those of other runs.
    pub(crate) run: String,
    pub(crate) records: u64,
    pub(crate) batch: u64,
    pub(crate) connections: u64,
    /// Records in a second, if not as many as are answered.
    pub(crate) rate: Option<f64>,
}

/// What was posted so far. Another thread may look at it, and end it.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) over: AtomicBool,
}

/// What the connections share. They take turns on one thread.
struct Shared {
    posting: Posting,
    world: Arc<World>,
    progress: Arc<Progress>,
    left: Cell<u64>,
    start: Instant,
}

/// Posts everything, or until it is over.
pub(crate) fn post(
    posting: Posting,
    world: Arc<World>,
    progress: Arc<Progress>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (left, connections) = (Cell::new(posting.records), posting.connections);
    let shared = Rc::new(Shared { posting, world, progress, left, start: Instant::now() });
    runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        let mut lanes = JoinSet::new();
        for lane in 0..connections {
            lanes.spawn_local(lane_of(Rc::clone(&shared), lane));
        }
        while let Some(lane) = lanes.join_next().await {
            lane??;
        }
        Ok(())
    }))
}

/// Posts one batch after the other, from sessions that go on side by side.
async fn lane_of(shared: Rc<Shared>, lane: u64) -> anyhow::Result<()> {
    let Posting { batch, connections, rate, .. } = shared.posting;
    let mut connection = Connection::open(&shared.posting.address).await?;
    let path = format!("/v1/ledgers/{}/records", shared.posting.ledger);
    let mut chance = Chance(lane + 1);
    let mut open: Vec<_> = (0..OPEN_SESSIONS).map(|_| shared.begin()).collect();
    // With a rate each batch has its time, whether or not the one before is answered by then.
    let every = rate.map(|rate| Duration::from_secs_f64((batch * connections) as f64 / rate));
    let mut due =
        shared.start + every.unwrap_or_default().mul_f64(lane as f64 / connections as f64);

    let (mut body, mut request) = (Vec::new(), Vec::new());
    loop {
        let count = batch.min(shared.left.get());
        if count == 0 || shared.progress.over.load(Ordering::Relaxed) {
            return Ok(());
        }
        shared.left.set(shared.left.get() - count);
        body.clear();
        shared.fill(&mut body, count, &mut open, &mut chance);
        if let Some(every) = every {
            tokio::time::sleep_until(due.into()).await;
            due += every;
        }
        let rest =
            format!("content-type: application/x-ndjson\r\ncontent-length: {}\r\n", body.len());
        request.clear();
        request.extend_from_slice(head("POST", &path, &shared.posting.token, &rest).as_bytes());
        request.extend_from_slice(&body);
        shared.send(&mut connection, &request).await?;
        shared.progress.records.fetch_add(count, Ordering::Relaxed);
        shared.progress.bytes.fetch_add(u64::try_from(body.len())?, Ordering::Relaxed);
    }
}

impl Shared {
    /// The next session that nobody has begun.
    fn begin(&self) -> Session {
        let number = self.progress.sessions.fetch_add(1, Ordering::Relaxed);
        Session::new(&self.world, self.posting.seed, number)
    }

    /// Writes so many records: a few of one session, then a few of another.
    fn fill(&self, body: &mut Vec<u8>, count: u64, open: &mut [Session], chance: &mut Chance) {
        let mut written = 0;
        while written < count {
            let place = usize::try_from(chance.below(OPEN_SESSIONS as u64)).unwrap();
            let burst = (1 + chance.below(6)).min(count - written);
            for _ in 0..burst {
                if !open[place].append(body, &self.world, &self.posting.run) {
                    open[place] = self.begin();
                    break;
                }
                written += 1;
            }
        }
    }

    /// Sends a request until it is taken.
    async fn send(&self, connection: &mut Connection, request: &[u8]) -> anyhow::Result<()> {
        loop {
            let answer = connection.exchange(request).await?;
            match answer.status {
                200 | 201 => return Ok(()),
                429 => {
                    self.progress.busy.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                status => {
                    let body = String::from_utf8_lossy(connection.body(answer));
                    bail!("status {status}: {body}");
                }
            }
        }
    }
}
