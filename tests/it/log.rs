//! A ledger to test on: the real store in a folder of its own, a clock that ticks, and randomness
//! that can be repeated.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use whence::ledger::{
    Clock, Environment, Ledger, Ledgers, Prepared, Random, Receipt, Settings, SubmitError,
};
use whence::record::{Draft, Event, LedgerName, Timestamp};
use whence::store::Faults;

/// A clock that moves on by a millisecond each time it is read.
#[derive(Debug)]
pub(crate) struct Ticking(AtomicU64);

impl Default for Ticking {
    fn default() -> Self {
        Self(AtomicU64::new(1_795_479_000_000))
    }
}

impl Ticking {
    /// One that begins at a moment, in milliseconds since 1970.
    pub(crate) const fn from(milliseconds: u64) -> Self {
        Self(AtomicU64::new(milliseconds))
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        let milliseconds = self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp::from_unix_nanos(i128::from(milliseconds) * 1_000_000).unwrap()
    }
}

/// Bytes from a seed (`SplitMix64`): the same in every run.
#[derive(Debug)]
pub(crate) struct Seeded(Mutex<u64>);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Random for Seeded {
    fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        for chunk in buffer.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let bytes = (mixed ^ (mixed >> 31)).to_be_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

/// The name of the ledger that tests use.
pub(crate) fn main_ledger() -> LedgerName {
    "main".parse().unwrap()
}

/// The ledgers in a folder, with the given faults.
pub(crate) fn ledgers_in(folder: &Path, faults: Option<Arc<dyn Faults>>) -> Ledgers {
    let mut settings = Settings::new(folder.to_owned(), "log.example", "whence/test");
    if let Some(faults) = faults {
        settings.faults = faults;
    }
    let clock = Arc::new(Ticking::default());
    let random = Arc::new(Seeded::new(7));
    Ledgers::new(settings, Environment { clock, random })
}

/// One ledger in a temporary folder.
pub(crate) struct TestLog {
    pub(crate) folder: TempDir,
    ledgers: Option<Ledgers>,
}

impl TestLog {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledgers = ledgers_in(folder.path(), None);
        ledgers.create(&main_ledger()).unwrap();
        Self { folder, ledgers: Some(ledgers) }
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.ledgers.as_ref().unwrap().get(&main_ledger()).unwrap()
    }

    /// Closes the ledger.
    pub(crate) fn close(&mut self) {
        self.ledgers.take().into_iter().for_each(Ledgers::close);
    }

    /// Closes the ledger and opens it again.
    pub(crate) fn reopen(&mut self) {
        self.close();
        self.ledgers = Some(ledgers_in(self.folder.path(), None));
    }

    /// Where things are.
    pub(crate) fn settings(&self) -> Settings {
        ledgers_in(self.folder.path(), None).settings().clone()
    }

    pub(crate) fn submit(&self, records: &[Value]) -> Result<Vec<Receipt>, SubmitError> {
        submit(&self.ledger(), records)
    }
}

/// A posted record, checked and prepared.
pub(crate) fn prepare(ledger: &Ledger, record: &Value) -> Prepared {
    let draft = Draft::parse(record.to_string().as_bytes()).unwrap();
    ledger.prepare(Event::try_from(draft).unwrap()).unwrap()
}

/// Posts records as one request, and waits for the answer.
pub(crate) fn submit(ledger: &Ledger, records: &[Value]) -> Result<Vec<Receipt>, SubmitError> {
    let prepared = records.iter().map(|record| prepare(ledger, record)).collect();
    ledger.submit_blocking(prepared)
}

/// A prompt of a session.
pub(crate) fn prompt(id: &str, session: &str, text: &str) -> Value {
    json!({
        "id": id,
        "kind": "prompt",
        "occurred_at": "2026-11-24T00:06:14.123Z",
        "user": { "id": "alice@example.com", "type": "human" },
        "session": { "id": session },
        "source": { "observed_by": "agent_process", "producer": "test" },
        "data": { "role": "user" },
        "content": { "text": text },
    })
}

/// The mission's chain of four in one session: prompt, model output, tool invocation, API call.
pub(crate) fn chain(number: u64) -> Vec<Value> {
    let session = format!("s-{}", number % 5);
    let id = |part: &str| format!("{part}-{number}");
    let mut output = prompt(&id("output"), &session, "I will pay it.");
    output["kind"] = json!("model_output");
    output["agent"] = json!({ "id": "invoice-agent", "version": "1.4.2" });
    output["causes"] = json!([{ "id": id("prompt"), "rel": "triggered_by" }]);
    output["data"] = json!({ "model": { "provider": "example", "requested": "m-1" }, "finish_reasons": ["tool_calls"] });
    let mut invocation = output.clone();
    invocation["id"] = json!(id("invocation"));
    invocation["kind"] = json!("tool_invocation");
    invocation["delegation"] = json!("jti-7f");
    invocation["causes"] = json!([{ "id": id("output"), "rel": "triggered_by" }]);
    invocation["data"] =
        json!({ "tool": "send_money", "call_id": id("call"), "effect": "external" });
    invocation["content"] = json!({ "arguments": { "to": "DE02", "amount": number } });
    let mut call = invocation.clone();
    call["id"] = json!(id("api"));
    call["kind"] = json!("api_call");
    call["causes"] = json!([{ "id": id("invocation"), "rel": "triggered_by" }]);
    call["data"] =
        json!({ "method": "POST", "url": "https://bank.example/transfers", "status_code": 201 });
    call["content"] = json!({ "request_body": { "amount": number } });
    vec![prompt(&id("prompt"), &session, "Pay the invoice."), output, invocation, call]
}
