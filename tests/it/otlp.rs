//! OTLP over HTTP and gRPC: what is answered, what becomes of it, and that nothing that was answered is
//! lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, header};
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::{Value, json};
use tempfile::TempDir;
use whence::access::Role;
use whence::http::{JournalLimits, Limits, Times};
use whence::ledger::{Ledger, StoredPart};
use whence::record::{Data, Entry};

use crate::api::{Answer, Server};
use crate::log::Ticking;

mod killed;
mod orders;
mod refused;
mod replayed;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Limits under which telemetry is told soon.
fn limits() -> Limits {
    let times = Times {
        settle: Duration::from_millis(50),
        timeout: Duration::from_millis(400),
        retain: Duration::from_millis(400),
    };
    Limits { telemetry_times: times, watch_interval: None, ..Limits::default() }
}

/// Later than whatever is posted here.
const NOW_MS: u64 = 1_795_600_000_000;

fn started(limits: Limits) -> Server {
    let folder = tempfile::tempdir().unwrap();
    Server::at(Ticking::from(NOW_MS), folder, &["main", "other"], limits, None)
}

fn restarted(folder: TempDir, limits: Limits) -> Server {
    Server::at(Ticking::from(NOW_MS + 1_000_000), folder, &[], limits, None)
}

fn server() -> Server {
    started(limits())
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Any::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// A post of spans of one program.
fn spans(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let resource =
        Resource { attributes: vec![attribute("service.name", "billing")], ..Resource::default() };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let group = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![group] }
}

fn logs(log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }
}

/// Nanoseconds since 1970 of a moment of the tests.
const START_NS: u64 = 1_795_480_000_000_000_000;

/// One span of a trace, by small numbers.
fn span(trace: u8, number: u8, parent: u8, attributes: &[(&str, &str)]) -> Span {
    let start = START_NS + u64::from(trace) * 1_000_000_000 + u64::from(number) * 1_000_000;
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![number; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: "span".to_owned(),
        kind: 1,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 500_000,
        attributes: attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
        ..Span::default()
    }
}

/// A model call of a user in a session, who asks this.
fn chat(trace: u8, number: u8, parent: u8, asked: &str) -> Span {
    let input = json!([{"role": "user", "parts": [{"type": "text", "content": asked}]}]);
    let answer = format!("answer to {asked}");
    let output = json!([{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]);
    let mut span = span(
        trace,
        number,
        parent,
        &[
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "m-1"),
            ("user.id", "alice@example.com"),
            ("session.id", "s-1"),
            ("gen_ai.input.messages", &input.to_string()),
            ("gen_ai.output.messages", &output.to_string()),
        ],
    );
    span.kind = 3;
    span
}

impl Server {
    /// Posts telemetry.
    fn export(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method("POST").uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap())
    }

    /// Posts spans as protocol buffers.
    fn export_spans(&self, token: &str, post: &ExportTraceServiceRequest) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", PROTOBUF)];
        self.export("/v1/traces", &headers, post.encode_to_vec())
    }

    fn main(&self) -> Ledger {
        self.ledgers.get(&"main".parse().unwrap()).unwrap()
    }

    /// Waits until the ledger is as it should be.
    fn wait_until(&self, what: &str, is_so: impl Fn(&Ledger) -> bool) {
        let ledger = self.main();
        let began = Instant::now();
        while !is_so(&ledger) {
            let shown = || (kinds(&ledger), told(&ledger));
            assert!(began.elapsed() < PATIENCE, "{what}: {:#?}", shown());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

const PROTOBUF: &str = "application/x-protobuf";

/// A record, as far as it is compared: its kind, its causes, its content.
type Told = (String, Vec<(String, String)>, BTreeMap<String, Value>);

/// The records of a ledger that came of telemetry, by their ids.
fn told(ledger: &Ledger) -> BTreeMap<String, Told> {
    let view = ledger.view();
    let entries = view.entries(0..view.size()).unwrap();
    let records = entries.iter().filter_map(|(seq, bytes)| {
        let entry = Entry::parse(bytes).unwrap();
        entry.source.as_ref()?;
        let causes = entry.causes.iter().map(|cause| (cause.id.to_string(), cause.rel.to_string()));
        let parts = entry.content.iter().zip(view.content(*seq).unwrap());
        let content = parts.map(|(named, part)| match part {
            StoredPart::Kept { bytes, .. } => {
                (named.name.to_string(), serde_json::from_slice(&bytes).unwrap())
            }
            StoredPart::Erased => panic!("nothing was erased"),
        });
        let record = (entry.kind.to_string(), causes.collect(), content.collect());
        Some((entry.id.to_string(), record))
    });
    records.collect()
}

/// How many records of each kind there are, those of the server's own included.
fn kinds(ledger: &Ledger) -> BTreeMap<String, usize> {
    let view = ledger.view();
    let mut kinds = BTreeMap::new();
    for (_, bytes) in view.entries(0..view.size()).unwrap() {
        *kinds.entry(Entry::parse(&bytes).unwrap().kind.to_string()).or_default() += 1;
    }
    kinds
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The message of a `google.rpc.Status` in protocol buffers, and its code.
fn status(answer: &Answer) -> (i64, String) {
    assert_eq!(answer.headers[header::CONTENT_TYPE], PROTOBUF);
    // The same two fields, of the same types.
    let read = opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess::decode(
        &*answer.body,
    );
    let read = read.unwrap();
    (read.rejected_spans, read.error_message)
}

#[test]
fn a_trace_becomes_records_when_it_is_over() {
    let server = server();
    let token = server.token(Role::Writer, Some("main"));
    let child = spans(vec![chat(1, 2, 1, "Pay it.")]);
    let answer = server.export_spans(&token, &child);
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    assert_eq!(answer.headers[header::CONTENT_TYPE], PROTOBUF);
    assert_eq!(told(&server.main()).len(), 0, "it is told when it is over");
    server.export_spans(&token, &spans(vec![span(1, 1, 0, &[])]));
    server.wait_until("a prompt and an output", |ledger| told(ledger).len() == 2);
    let kinds: Vec<_> = told(&server.main()).into_values().map(|(kind, ..)| kind).collect();
    assert_eq!(
        kinds.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        BTreeSet::from(["model_output", "prompt"])
    );
}

#[test]
fn what_never_ends_is_told_when_nothing_came_for_long() {
    let server = server();
    let token = server.token(Role::Writer, None);
    server.export_spans(&token, &spans(vec![chat(1, 2, 1, "Pay it.")]));
    server.wait_until("it is told", |ledger| told(ledger).len() == 2);
}

#[test]
fn the_form_of_the_request_is_the_form_of_the_answer() {
    let server = server();
    let token = format!("Bearer {}", server.token(Role::Writer, None));
    let wrong = Span { trace_id: vec![1; 3], ..span(1, 1, 0, &[]) };
    let post = spans(vec![wrong, chat(2, 1, 0, "a")]).encode_to_vec();
    let headers = [("authorization", token.as_str()), ("content-type", PROTOBUF)];
    for path in ["/v1/traces", "/v1/ledgers/other/otlp/v1/traces"] {
        let answer = server.export(path, &headers, post.clone());
        assert_eq!(answer.status, 200);
        let partial = ExportTraceServiceResponse::decode(&*answer.body).unwrap();
        let partial = partial.partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 1);
        assert!(partial.error_message.contains("trace_id"), "{}", partial.error_message);
    }
    let compressed = [headers[0], headers[1], ("content-encoding", "gzip")];
    assert_eq!(server.export("/v1/traces", &compressed, gzip(&post)).status, 200);

    let json =
        [("authorization", token.as_str()), ("content-type", "application/json; charset=utf-8")];
    let post = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "0a"}]}]}]});
    let answer = server.export("/v1/traces", &json, post.to_string().into_bytes());
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
    assert_eq!(answer.json()["partialSuccess"]["rejectedSpans"], "1");
    assert_eq!(server.export("/v1/logs", &json, b"{}".to_vec()).json(), json!({}));
    let answer = server.export("/v1/metrics", &json, b"{}".to_vec());
    assert!(answer.status == 200 && answer.json()["partialSuccess"]["errorMessage"].is_string());
    let answer = server.export("/v1/traces", &json, b"{".to_vec());
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_u64()), (400, Some(3)));
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
}

#[test]
fn what_cannot_be_taken_is_refused_in_the_form_that_exporters_read() {
    let server = server();
    let token = |role, ledger| format!("Bearer {}", server.token(role, ledger));
    let (writer, reader) = (token(Role::Writer, Some("other")), token(Role::Investigator, None));
    let post = spans(vec![chat(1, 1, 0, "a")]).encode_to_vec();
    let export = |path: &str, token: &str, more: &[(&str, &str)], body: &[u8]| {
        let mut headers = vec![("content-type", PROTOBUF), ("authorization", token)];
        headers.extend(more);
        let answer = server.export(path, &headers, body.to_vec());
        (answer.status.as_u16(), status(&answer).0)
    };
    let traces = "/v1/traces";
    assert_eq!(export(traces, "Bearer nobody", &[], &post), (401, 16));
    assert_eq!(export(traces, &reader, &[], &post), (403, 7));
    assert_eq!(export("/v1/ledgers/main/otlp/v1/traces", &writer, &[], &post), (404, 5));
    assert_eq!(export(traces, &writer, &[], b"\xff"), (400, 3));
    assert_eq!(export(traces, &writer, &[("content-encoding", "br")], &post), (415, 3));
    assert_eq!(export(traces, &writer, &[("content-encoding", "gzip")], &post), (400, 3));
    assert_eq!(export(traces, &writer, &[("whence-user", "a\tb")], &post), (400, 3));
    assert_eq!(export(traces, &writer, &[("whence-session", "..")], &post), (400, 3));
    let odd = [("whence-user", "a"), ("whence-user-type", "robot")];
    assert_eq!(export(traces, &writer, &odd, &post), (400, 3));
    assert_eq!(export(traces, &writer, &[], &vec![0; 5 << 20]), (413, 3));
    let bomb = gzip(&vec![0; 17 << 20]);
    assert!(bomb.len() < 1 << 20);
    assert_eq!(export(traces, &writer, &[("content-encoding", "gzip")], &bomb), (413, 3));
    let many = spans(vec![Span::default(); 16_385]).encode_to_vec();
    assert_eq!(export(traces, &writer, &[], &many), (413, 3));
    let answer = server.export(traces, &[("authorization", &writer)], post);
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_u64()), (415, Some(3)));
    assert_eq!(server.get("/v1/traces", &server.token(Role::Writer, None)).status, 405);
}

#[test]
fn a_post_for_which_there_is_no_room_is_to_be_sent_again() {
    let full = JournalLimits { bytes_max: 2_000, segment_bytes: 500 };
    for limits in [
        Limits { telemetry_journal: full, ..limits() },
        Limits { telemetry_bytes_max: 4_000, ..limits() },
    ] {
        let server = started(limits);
        let token = server.token(Role::Writer, None);
        let posts: Vec<_> =
            (1..20).map(|trace| spans(vec![chat(trace, 2, 0, "Pay it.")])).collect();
        let refused = posts.iter().find_map(|post| {
            let answer = server.export_spans(&token, post);
            (answer.status != 200).then_some(answer)
        });
        let refused = refused.unwrap();
        assert_eq!((refused.status.as_u16(), status(&refused).0), (429, 14));
        assert_eq!(refused.headers[header::RETRY_AFTER], "1");
        // There is room again when what was taken is told, and none of it was lost.
        for post in &posts {
            let began = Instant::now();
            while server.export_spans(&token, post).status != 200 {
                assert!(began.elapsed() < PATIENCE);
                thread::sleep(Duration::from_millis(5));
            }
        }
        server.wait_until("all are told", |ledger| kinds(ledger).get("model_output") == Some(&19));
    }
}

#[test]
fn what_the_headers_state_counts_where_the_telemetry_says_nothing() {
    let server = server();
    let bearer = format!("Bearer {}", server.token(Role::Writer, None));
    let mut bare = chat(1, 1, 0, "Pay it.");
    bare.attributes.retain(|attribute| !["user.id", "session.id"].contains(&&*attribute.key));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", PROTOBUF),
        ("whence-user", "bob@example.com"),
        ("whence-session", "s-9"),
        ("whence-agent", "invoice-agent"),
    ];
    let post = spans(vec![bare.clone()]).encode_to_vec();
    server.export("/v1/traces", &headers, post);
    server.wait_until("it is told", |ledger| told(ledger).len() == 2);
    let view = server.main().view();
    let seqs = view.session("s-9", 0, 10).unwrap();
    assert_eq!(seqs.len(), 2);
    for seq in seqs {
        let bytes = view.entry(seq).unwrap().unwrap();
        let entry = Entry::parse(&bytes).unwrap();
        assert_eq!(entry.user.as_ref().unwrap().id.as_str(), "bob@example.com");
    }

    // And where nobody says anything, nothing is invented: the refusal is in the ledger, once.
    let bare = Span { trace_id: vec![7; 16], ..bare };
    let token = server.token(Role::Writer, None);
    server.export_spans(&token, &spans(vec![bare.clone()]));
    let refused = |ledger: &Ledger| kinds(ledger).get("ingest_refusal").copied().unwrap_or(0);
    server.wait_until("refusals", |ledger| refused(ledger) >= 2);
    let many = refused(&server.main());
    server.export_spans(&token, &spans(vec![bare]));
    thread::sleep(limits().telemetry_times.settle * 4);
    assert_eq!((refused(&server.main()), told(&server.main()).len()), (many, 2));
}

#[test]
fn what_an_exporter_lost_is_a_gap_in_the_ledger_written_once() {
    let server = server();
    let bearer = format!("Bearer {}", server.token(Role::Writer, None));
    let int = |value| Some(AnyValue { value: Some(Any::IntValue(value)) });
    let of = |key: &str, value| KeyValue { key: key.to_owned(), value, ..KeyValue::default() };
    let gap = LogRecord {
        time_unix_nano: START_NS,
        event_name: "whence.capture_gap".to_owned(),
        attributes: vec![
            of("count", int(3)),
            of("since_unix_nano", int(1_795_480_000_000_000_000)),
        ],
        ..LogRecord::default()
    };
    let headers = [("authorization", bearer.as_str()), ("content-type", PROTOBUF)];
    for _ in 0..2 {
        server.export("/v1/logs", &headers, logs(vec![gap.clone()]).encode_to_vec());
        server.wait_until("a gap", |ledger| kinds(ledger).contains_key("capture_gap"));
    }
    thread::sleep(limits().telemetry_times.settle * 4);
    let view = server.main().view();
    let entries = view.entries(0..view.size()).unwrap();
    let gaps = entries.iter().filter_map(|(_, bytes)| {
        let data = Entry::parse(bytes).unwrap().data.into_owned();
        if let Data::CaptureGap(gap) = data { Some(gap.count) } else { None }
    });
    assert_eq!(gaps.collect::<Vec<_>>(), [Some(3)]);
}

/// A call over gRPC, with a token.
fn with<T>(message: T, token: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

#[test]
fn exporters_speak_grpc_on_the_same_port() {
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use tonic::Code;
    use tonic::codec::CompressionEncoding;

    let server = server();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let drain = Duration::from_secs(1);
    let options = whence::http::ServeOptions { listener, tls: None, drain };
    let serving = server.runtime.spawn(whence::http::serve(
        server.app.clone(),
        options,
        std::future::pending(),
    ));
    let token = server.token(Role::Writer, Some("main"));
    server.runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let mut traces = TraceServiceClient::with_origin(client.clone(), url.parse().unwrap());
        let wrong = Span { span_id: Vec::new(), ..span(1, 1, 0, &[]) };
        let post = spans(vec![wrong, chat(1, 2, 0, "Pay it.")]);
        let answer = traces.export(with(post.clone(), &token)).await.unwrap().into_inner();
        assert_eq!(answer.partial_success.unwrap().rejected_spans, 1);
        let refused = traces.export(with(post.clone(), "nobody")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);

        let mut traces = traces.send_compressed(CompressionEncoding::Gzip);
        let answer = traces.export(with(spans(vec![chat(2, 2, 0, "Now.")]), &token)).await.unwrap();
        assert_eq!(answer.into_inner().partial_success, None);
        let long = spans(vec![span(3, 1, 0, &[("text", &"a".repeat(17 << 20))])]);
        let refused = traces.export(with(long, &token)).await.unwrap_err();
        assert_ne!(refused.code(), Code::Ok);

        let mut exporter = LogsServiceClient::with_origin(client, url.parse().unwrap());
        let answer = exporter.export(with(logs(vec![LogRecord::default()]), &token)).await.unwrap();
        assert_eq!(answer.into_inner().partial_success, None);
    });
    server.wait_until("both are told", |ledger| kinds(ledger).get("model_output") == Some(&2));
    serving.abort();
}

#[test]
fn what_was_answered_is_told_after_a_restart() {
    let mut limits = limits();
    limits.telemetry_times.settle = Duration::from_mins(1);
    limits.telemetry_times.timeout = Duration::from_mins(1);
    let server = started(limits);
    let token = server.token(Role::Writer, None);
    server.export_spans(&token, &spans(vec![chat(1, 2, 1, "Pay it.")]));
    let folder = server.stopped();
    let server = restarted(folder, limits);
    server.export_spans(&token, &spans(vec![span(1, 1, 0, &[])]));
    assert_eq!(told(&server.main()).len(), 0, "it was quiet for too short a time");
    let server = restarted(server.stopped(), self::limits());
    // Whoever reads a ledger lets its telemetry go on.
    server.get("/v1/ledgers/main/records/x", &server.token(Role::Investigator, None));
    server.wait_until("it is told", |ledger| told(ledger).len() == 2);
    let settled =
        || std::fs::read_dir(server.folder.path().join("ledgers/main/telemetry")).unwrap();
    server.wait_until("it has left the journal", |_| settled().count() == 0);
}

#[test]
fn every_command_of_the_page_is_run() {
    let printed = crate::readme::run("schema/OTLP.md");
    let found: Vec<_> = printed.lines().filter(|line| line.contains("s-81f3")).collect();
    assert!(found.iter().any(|line| line.contains("prompt")), "{printed}");
    assert!(found.iter().any(|line| line.contains("model_output")), "{printed}");
}
