//! Clients that post: single records, arrays and NDJSON, each on a connection of its own.

use std::collections::VecDeque;

use serde_json::{Value, json};
use ureq::Agent;
use whence::ledger::Random;

use crate::log::{Seeded, chain};
use crate::server::PATIENCE;

/// Requests that were acknowledged and are kept, to be sent again.
const KEPT: usize = 40;

/// A request that can be sent again, byte for byte.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    content_type: &'static str,
    body: String,
    records: usize,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Receipts, and whether the status was 201.
    Receipts(Vec<Value>, bool),
    /// Another status and its body.
    Refused(u16, Value),
    /// No answer, or half of one.
    Gone,
}

/// A server as a client sees it.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    agent: Agent,
    url: String,
    token: String,
}

impl Post {
    pub(crate) fn one(record: &Value) -> Self {
        Self { content_type: "application/json", body: record.to_string(), records: 1 }
    }

    pub(crate) fn array(records: &[Value]) -> Self {
        let body = json!(records).to_string();
        Self { content_type: "application/json", body, records: records.len() }
    }

    pub(crate) fn ndjson(records: &[Value]) -> Self {
        let body =
            records.iter().flat_map(|record| [record.to_string(), "\n".to_owned()]).collect();
        Self { content_type: "application/x-ndjson", body, records: records.len() }
    }
}

impl Connection {
    pub(crate) fn new(url: &str, token: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        Self { agent, url: url.to_owned(), token: token.to_owned() }
    }

    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        self.read(path).unwrap_or_else(|problem| panic!("{path}: {problem}"))
    }

    /// What is at the path, or the problem that the server has with it.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, Value> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let mut response =
            request.header("authorization", format!("Bearer {}", self.token)).call().unwrap();
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
        if response.status().is_success() {
            return Ok(body);
        }
        Err(serde_json::from_slice(&body).unwrap())
    }

    /// Has the server do something that needs nothing but the path. `None` if it is gone.
    pub(crate) fn act(&self, path: &str) -> Option<u16> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        Some(request.send_empty().ok()?.status().as_u16())
    }

    pub(crate) fn post(&self, post: &Post) -> Answer {
        let request = self
            .agent
            .post(format!("{}/v1/ledgers/main/records", self.url))
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", post.content_type);
        let mut response = match request.send(&post.body) {
            Ok(response) => response,
            Err(ureq::Error::Timeout(_)) => panic!("the server does not answer"),
            Err(_) => return Answer::Gone,
        };
        let status = response.status().as_u16();
        let body = match response.body_mut().with_config().limit(1 << 30).read_to_vec() {
            Ok(body) => body,
            Err(ureq::Error::Timeout(_)) => panic!("the server does not end its answer"),
            Err(_) => return Answer::Gone,
        };
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        if !matches!(status, 200 | 201) {
            return Answer::Refused(status, body);
        }
        let receipts = match body.get_mut("data").map(Value::take) {
            Some(Value::Array(receipts)) => receipts,
            Some(other) => panic!("not a list: {other}"),
            None => vec![body],
        };
        assert_eq!(receipts.len(), post.records, "a receipt for each record");
        Answer::Receipts(receipts, status == 201)
    }
}

/// One client: what it will send next, and what it got.
#[derive(Debug)]
pub(crate) struct Client {
    random: Seeded,
    /// The number of its next chain of records.
    next: u64,
    /// To be sent, in order. The first may have been sent before, without an answer.
    planned: VecDeque<Post>,
    /// Acknowledged before.
    kept: VecDeque<Post>,
}

impl Client {
    /// Client `number` of a run with this seed. Its records have ids that no other client uses.
    pub(crate) fn new(seed: u64, number: u64) -> Self {
        let random = Seeded::new(seed.wrapping_add(number));
        let next = (number + 1) * 1_000_000_000;
        Self { random, next, planned: VecDeque::new(), kept: VecDeque::new() }
    }

    /// Sends until the server is gone or halted, or `enough` receipts have come. Returns the receipts
    /// of every answer that came.
    pub(crate) fn send(&mut self, connection: &Connection, enough: usize) -> Vec<Value> {
        let mut receipts = Vec::new();
        while receipts.len() < enough {
            if self.below(10) == 0 && !self.kept.is_empty() {
                let place =
                    usize::try_from(self.below(u64::try_from(self.kept.len()).unwrap())).unwrap();
                let again = self.kept.get(place).unwrap().clone();
                match answer(connection, &again) {
                    Some((same, created)) => {
                        assert!(!created, "known records are not made again: {same:?}");
                        receipts.extend(same);
                    }
                    None => return receipts,
                }
            }
            if self.planned.is_empty() {
                self.plan();
            }
            let post = self.planned.front().unwrap();
            let Some((more, _)) = answer(connection, post) else { return receipts };
            receipts.extend(more);
            self.kept.extend(self.planned.pop_front());
            if self.kept.len() > KEPT {
                self.kept.pop_front();
            }
        }
        receipts
    }

    /// Plans a chain posted record by record, a few as an array, or many as NDJSON.
    fn plan(&mut self) {
        let kind = self.below(4);
        let chains = match kind {
            0 | 1 => 1,
            2 => 1 + self.below(4),
            _ => 4 + self.below(13),
        };
        let mut records: Vec<_> = (self.next..self.next + chains).flat_map(chain).collect();
        self.next += chains;
        if self.below(8) == 0 {
            // Now and then content that takes more than one value of the database.
            let length = usize::try_from(self.below(40_000)).unwrap();
            let text: String = (0..length).map(|_| self.letter()).collect();
            let first = records.first_mut().and_then(|record| record.pointer_mut("/content/text"));
            *first.unwrap() = json!(text);
        }
        match kind {
            0 | 1 => self.planned.extend(records.iter().map(Post::one)),
            2 => self.planned.push_back(Post::array(&records)),
            _ => self.planned.push_back(Post::ndjson(&records)),
        }
    }

    fn letter(&self) -> char {
        char::from(b'a' + u8::try_from(self.below(26)).unwrap())
    }

    fn below(&self, end: u64) -> u64 {
        below(&self.random, end)
    }
}

/// A random number below `end`.
pub(crate) fn below(random: &Seeded, end: u64) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes).unwrap();
    u64::from_be_bytes(bytes) % end
}

/// The receipts, unless the server is gone or halted. Waits while it is busy.
fn answer(connection: &Connection, post: &Post) -> Option<(Vec<Value>, bool)> {
    loop {
        match connection.post(post) {
            Answer::Receipts(receipts, created) => return Some((receipts, created)),
            Answer::Gone | Answer::Refused(503, _) => return None,
            Answer::Refused(429, _) => std::thread::yield_now(),
            Answer::Refused(status, problem) => panic!("{status} {problem}"),
        }
    }
}
