//! Asks what investigators ask, over HTTP, and measures how long the answers take.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use serde_json::Value;

use crate::compose::{record_id, session_id};
use crate::connection::{Connection, head};
use crate::plan::{Plan, What};
use crate::words::Chance;
use crate::world::{self, World};

/// Requests of a class before those that are measured.
const WARM_UP: u64 = 50;
/// Records that `why` has to go back.
const WHY_DEPTH: usize = 40;
/// Places from which on a word is rare.
const RARE_FROM: usize = 25_000;
/// How long a record may take until it is found.
const FRESH_WITHIN: Duration = Duration::from_secs(30);

/// Where to ask, and about what.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) address: String,
    pub(crate) ledger: String,
    pub(crate) token: String,
    /// The seed and the run of the records that are there.
    pub(crate) seed: u64,
    pub(crate) run: String,
    /// How many of them there are.
    pub(crate) records: u64,
    pub(crate) samples: u64,
}

/// What the answers to one class of questions took.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) class: &'static str,
    pub(crate) micros: Histogram<u64>,
    /// Records found in all.
    pub(crate) found: u64,
}

/// The classes, and what they should stay under in milliseconds at the 99th percentile.
pub(crate) const CLASSES: [(&str, Option<f64>); 8] = [
    ("user", Some(15.0)),
    ("session", Some(15.0)),
    ("rare word", Some(25.0)),
    ("commonest word of a user", Some(50.0)),
    ("facets and histogram", Some(80.0)),
    ("why, 40 deep", Some(20.0)),
    ("fresh, with wait_for", None),
    ("fresh, asked until found", Some(1_000.0)),
];

/// Draws what is asked, as often as the records are about it.
pub(crate) struct Asker {
    asking: Asking,
    world: Arc<World>,
    chance: Chance,
    connection: Connection,
    /// Sessions that are whole.
    sessions: u64,
    /// API calls that lie so deep, by session and number.
    deep: Vec<(u64, usize)>,
    posted: u64,
}

impl Asker {
    /// Finds out which sessions there are.
    pub(crate) async fn new(asking: Asking, world: Arc<World>) -> anyhow::Result<Self> {
        let (mut records, mut sessions, mut deep) = (0, 0, Vec::new());
        // The last ones may be half told.
        while records < asking.records / 10 * 9 {
            let plan = Plan::new(&world, asking.seed, sessions);
            let call = plan
                .steps
                .iter()
                .rposition(|step| step.what == What::Call && step.depth >= WHY_DEPTH);
            deep.extend(call.map(|number| (sessions, number)));
            records += u64::try_from(plan.steps.len())?;
            sessions += 1;
        }
        ensure!(!deep.is_empty(), "no session goes {WHY_DEPTH} deep: generate more records");
        let connection = Connection::open(&asking.address).await?;
        Ok(Self { asking, world, chance: Chance(0x1457), connection, sessions, deep, posted: 0 })
    }

    /// Asks one class of questions.
    pub(crate) async fn measure(&mut self, class: &'static str) -> anyhow::Result<Measured> {
        let micros = Histogram::new_with_bounds(1, 120_000_000, 3)?;
        let mut measured = Measured { class, micros, found: 0 };
        let fresh = class.starts_with("fresh");
        let warm_up = if fresh { 5 } else { WARM_UP };
        let samples = if fresh { self.asking.samples.min(100) } else { self.asking.samples };
        for number in 0..warm_up + samples {
            let (time, found) = self.once(class).await.with_context(|| class)?;
            if number >= warm_up {
                measured.micros.saturating_record(u64::try_from(time.as_micros())?);
                measured.found += found;
            }
        }
        Ok(measured)
    }

    async fn once(&mut self, class: &str) -> anyhow::Result<(Duration, u64)> {
        let path = match class {
            "user" => search(&format!("user:{}", self.user()), ""),
            "session" => {
                let session = self.chance.below(self.sessions);
                search(&format!("session:{}", session_id(&self.asking.run, session)), "")
            }
            "rare word" => {
                let rare = u64::try_from(self.world.words_count() - RARE_FROM)?;
                let place = RARE_FROM + usize::try_from(self.chance.below(rare))?;
                search(self.world.word(place), "")
            }
            "commonest word of a user" => {
                let user = self.user();
                search(&format!("{} user:{user}", self.world.word(0)), "")
            }
            "facets and histogram" => {
                let query = format!("user:{} since:30d", self.user());
                search(&query, "&facets=user,agent,tool,kind,flag&histogram=true")
            }
            "why, 40 deep" => {
                let place = self.chance.below(u64::try_from(self.deep.len())?);
                let (session, number) = self.deep[usize::try_from(place)?];
                let id = record_id(&self.asking.run, session, number);
                format!("records/{id}/why?limit=100")
            }
            _ => return self.freshness(class.ends_with("wait_for")).await,
        };
        let begun = Instant::now();
        let answer = self.get(&path).await?;
        let time = begun.elapsed();
        let found = if class.starts_with("why") {
            answer["nodes"]["data"].as_array().map_or(0, Vec::len).try_into()?
        } else {
            answer["total"].as_u64().context("no total")?
        };
        Ok((time, found))
    }

    /// Somebody who did something: whoever did more is asked about more often.
    fn user(&mut self) -> String {
        world::user(self.world.users.draw(&mut self.chance))
    }

    /// Posts a record, and measures from its receipt until it is found.
    async fn freshness(&mut self, wait: bool) -> anyhow::Result<(Duration, u64)> {
        self.posted += 1;
        let now = Instant::now();
        // Ids must be new in every run, and the clock is.
        let unique = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_nanos();
        let id = format!("fresh-{unique}");
        let body = format!(
            r#"{{"id":"{id}","kind":"prompt","occurred_at":"2026-11-24T00:00:00Z","user":{{"id":"fresh@example.com","type":"human"}},"session":{{"id":"fresh"}},"source":{{"observed_by":"agent_process","producer":"probe"}},"data":{{"role":"user"}},"content":{{"text":"how fresh is it {unique}"}}}}"#
        );
        let path = format!("/v1/ledgers/{}/records", self.asking.ledger);
        let rest = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        let request = head("POST", &path, &self.asking.token, &rest) + &body;
        let answer = self.connection.exchange(request.as_bytes()).await?;
        ensure!(answer.status == 201, "status {} for a record", answer.status);
        let receipt: Value = serde_json::from_slice(self.connection.body(answer))?;
        let seq = receipt["seq"].as_u64().context("a receipt without a seq")?;

        let query = unique.to_string();
        let received = Instant::now();
        if wait {
            let answer = self.get(&search(&query, &format!("&wait_for={seq}"))).await?;
            ensure!(answer["total"] == 1, "a record is not found after it was waited for");
            return Ok((received.elapsed(), 1));
        }
        while self.get(&search(&query, "")).await?["total"] != 1 {
            ensure!(now.elapsed() < FRESH_WITHIN, "a record is not found in time");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok((received.elapsed(), 1))
    }

    /// Reads something of the ledger.
    async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        let path = format!("/v1/ledgers/{}/{path}", self.asking.ledger);
        let request = head("GET", &path, &self.asking.token, "");
        let answer = self.connection.exchange(request.as_bytes()).await?;
        let body = self.connection.body(answer);
        if answer.status != 200 {
            bail!("GET {path}: status {}: {}", answer.status, String::from_utf8_lossy(body));
        }
        Ok(serde_json::from_slice(body)?)
    }
}

/// The path of a search.
fn search(query: &str, rest: &str) -> String {
    let mut encoded = String::new();
    for byte in query.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
    }
    format!("records?q={encoded}&limit=50&order=desc{rest}")
}
