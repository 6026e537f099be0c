//! A log that does as it is told: it takes what proxies post, and answers as a test wants.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;
use serde_json::{Value, json};
use whence::proxy::Machine;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The machine that the tests run on.
#[derive(Debug)]
pub(crate) struct TestMachine;

impl Machine for TestMachine {
    fn now_ns(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::try_from(since.as_nanos()).unwrap()
    }

    fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        getrandom::fill(buffer).map_err(io::Error::from)
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// A span as it was told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) parent: String,
    pub(crate) resource: BTreeMap<String, Value>,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) events: Vec<String>,
    pub(crate) failed: bool,
    pub(crate) dropped: u32,
}

impl Told {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.attributes.get(name).and_then(Value::as_str).unwrap_or("")
    }

    /// What an attribute of JSON text says.
    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(self.text(name)).unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    posted: Vec<Posted>,
    /// Of the requests whose path ends so, the status and the body of the answer.
    answers: BTreeMap<&'static str, (u16, String)>,
}

/// A server on a port of its own.
pub(crate) struct Receiver {
    pub(crate) url: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn at(listener: TcpListener) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(serve(stream.unwrap(), &shared)));
            }
        });
        Self { url, state }
    }

    /// From now on answers requests whose path ends like this so.
    pub(crate) fn answer(&self, path: &'static str, status: u16, body: &Value) {
        self.state.0.lock().unwrap().answers.insert(path, (status, body.to_string()));
    }

    pub(crate) fn posted(&self, path: &str) -> Vec<Posted> {
        let state = self.state.0.lock().unwrap();
        state.posted.iter().filter(|posted| posted.path.ends_with(path)).cloned().collect()
    }

    /// Waits until something holds of what came.
    pub(crate) fn until<T>(&self, what: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = what(self) {
                return found;
            }
            assert!(std::time::Instant::now() < deadline, "it did not come: {:?}", self.spans());
            let state = self.state.0.lock().unwrap();
            drop(self.state.1.wait_timeout(state, Duration::from_millis(50)).unwrap());
        }
    }

    /// Waits for so many spans.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Told> {
        self.until(|receiver| Some(receiver.spans()).filter(|spans| spans.len() >= count))
    }

    /// Every span that was taken, in the order in which they came.
    pub(crate) fn spans(&self) -> Vec<Told> {
        let mut told = Vec::new();
        for posted in self.posted("/traces") {
            let request = ExportTraceServiceRequest::decode(posted.body.as_slice()).unwrap();
            for program in request.resource_spans {
                let resource = values(&program.resource.unwrap().attributes);
                let spans = program.scope_spans.into_iter().flat_map(|scope| scope.spans);
                told.extend(spans.map(|span| Told {
                    name: span.name,
                    trace_id: data_encoding::HEXLOWER.encode(&span.trace_id),
                    span_id: data_encoding::HEXLOWER.encode(&span.span_id),
                    parent: data_encoding::HEXLOWER.encode(&span.parent_span_id),
                    resource: resource.clone(),
                    attributes: values(&span.attributes),
                    events: span.events.into_iter().map(|event| event.name).collect(),
                    failed: span.status.is_some_and(|status| status.code == 2),
                    dropped: span.dropped_attributes_count,
                }));
            }
        }
        told
    }

    /// What was said to be missing.
    pub(crate) fn gaps(&self) -> Vec<BTreeMap<String, Value>> {
        let mut gaps = Vec::new();
        for posted in self.posted("/logs") {
            let request = ExportLogsServiceRequest::decode(posted.body.as_slice()).unwrap();
            let scopes = request.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
            for log in scopes.flat_map(|scope| scope.log_records) {
                assert_eq!(log.event_name, "whence.capture_gap");
                gaps.push(values(&log.attributes));
            }
        }
        gaps
    }
}

fn values(attributes: &[KeyValue]) -> BTreeMap<String, Value> {
    attributes.iter().map(|one| (one.key.clone(), value(one.value.as_ref().unwrap()))).collect()
}

fn value(any: &AnyValue) -> Value {
    match any.value.as_ref() {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::DoubleValue(number)) => json!(number),
        Some(Any::BoolValue(yes)) => json!(yes),
        Some(Any::ArrayValue(list)) => list.values.iter().map(value).collect(),
        _ => Value::Null,
    }
}

/// Reads requests from a connection and answers them. What is not taken is not noted.
fn serve(mut stream: TcpStream, shared: &(Mutex<State>, Condvar)) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut state = shared.0.lock().unwrap();
        let answer = state.answers.iter().find(|(end, _)| path.ends_with(**end));
        let (status, answer) = answer.map_or((200, String::new()), |(_, answer)| answer.clone());
        if status < 300 || path.ends_with("/preflight") {
            state.posted.push(Posted { path, headers, body });
        }
        drop(state);
        shared.1.notify_all();
        let length = answer.len();
        write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\r\n{answer}")?;
    }
}
