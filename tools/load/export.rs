//! Drives a running server over OTLP as the exporters of many agents do: traces of ten spans, with prompts,
//! model calls that repeat the history, tool calls and the HTTP calls that came of them.
//!
//! Run with `cargo run --release --example export -- --token-file DATA/admin.token`. Every post is built and
//! encoded when it is sent, as an exporter does it; that is part of what is measured. It says how many spans
//! were answered (and so durable) in a second, and how many until all of them were records.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a measuring tool measures time, prints, and may panic"
)]

#[path = "connection.rs"]
mod connection;

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use connection::{Connection, head};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exports traces to a running server
#[derive(Debug, Parser)]
struct Args {
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:7117")]
    address: String,
    /// File that holds a token with the role of a writer
    #[arg(long)]
    token_file: PathBuf,
    /// Connections, each an exporter
    #[arg(long, default_value_t = 4)]
    connections: u64,
    /// Traces to export, of ten spans each
    #[arg(long, default_value_t = 20_000)]
    traces: u64,
    /// Traces in a post: exporters send 512 spans at a time
    #[arg(long, default_value_t = 50)]
    batch: u64,
    /// Traces of one session
    #[arg(long, default_value_t = 4)]
    session: u64,
}

const SPANS: u64 = 10;

struct Load {
    args: Args,
    token: String,
    run: u64,
    next: Cell<u64>,
    busy: Cell<u64>,
    bytes: Cell<u64>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    ensure!(args.batch > 0 && args.connections > 0 && args.session > 0, "nothing to do");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(run(args)))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let token = std::fs::read_to_string(&args.token_file).context("no token")?.trim().to_owned();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let load = Rc::new(Load {
        token,
        run: u64::try_from(now.as_nanos() / 1_000)?,
        next: Cell::new(0),
        busy: Cell::new(0),
        bytes: Cell::new(0),
        args,
    });
    let before = size(&load).await?;
    let begun = Instant::now();
    let mut exporters = JoinSet::new();
    for _ in 0..load.args.connections {
        exporters.spawn_local(export(Rc::clone(&load)));
    }
    while let Some(exporter) = exporters.join_next().await {
        exporter??;
    }
    let answered = begun.elapsed();
    let spans = load.args.traces * SPANS;
    let rate = |elapsed: Duration| spans as f64 / elapsed.as_secs_f64();
    println!("{spans} spans of {} traces, {} bytes", load.args.traces, load.bytes.get());
    println!(
        "answered: {:.2} s, {:.0} spans/s, {} times busy",
        answered.as_secs_f64(),
        rate(answered),
        load.busy.get()
    );

    // The last traces are told when they have been quiet.
    let (mut last, mut grown, mut ended) = (before, Instant::now(), begun.elapsed());
    while grown.elapsed() < Duration::from_secs(8) || last == before {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let size = size(&load).await?;
        if size != last {
            (last, grown, ended) = (size, Instant::now(), begun.elapsed());
        }
        ensure!(begun.elapsed() < Duration::from_mins(10), "the records do not come");
    }
    let records = last - before;
    println!(
        "told: {:.2} s, {:.0} spans/s, {records} records, {:.3} of a trace",
        ended.as_secs_f64(),
        rate(ended),
        records as f64 / load.args.traces as f64
    );
    Ok(())
}

/// One exporter: it sends what it has, and sends again what the server had no room for.
async fn export(load: Rc<Load>) -> anyhow::Result<()> {
    let mut connection = Connection::open(&load.args.address).await?;
    loop {
        let from = load.next.get();
        let to = load.args.traces.min(from + load.args.batch);
        if from == to {
            return Ok(());
        }
        load.next.set(to);
        let body = post(&load, from..to).encode_to_vec();
        load.bytes.set(load.bytes.get() + u64::try_from(body.len())?);
        let rest =
            format!("content-type: application/x-protobuf\r\ncontent-length: {}\r\n", body.len());
        let mut request = head("POST", "/v1/traces", &load.token, &rest).into_bytes();
        request.extend(body);
        loop {
            let answer = connection.exchange(&request).await?;
            match answer.status {
                200 => break,
                429 | 503 => {
                    load.busy.set(load.busy.get() + 1);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                status => bail!("{status}: {}", String::from_utf8_lossy(connection.body(answer))),
            }
        }
    }
}

/// How many records the ledger has.
async fn size(load: &Load) -> anyhow::Result<u64> {
    let mut connection = Connection::open(&load.args.address).await?;
    let request = head("GET", "/v1/ledgers/main", &load.token, "");
    let answer = connection.exchange(request.as_bytes()).await?;
    let body: Value = serde_json::from_slice(connection.body(answer))?;
    body["size"].as_u64().context("the ledger has no size")
}

fn post(load: &Load, traces: std::ops::Range<u64>) -> ExportTraceServiceRequest {
    let resource = Resource {
        attributes: vec![text("service.name", "billing"), text("telemetry.sdk.language", "python")],
        ..Resource::default()
    };
    let scope =
        InstrumentationScope { name: "example.agent".into(), ..InstrumentationScope::default() };
    let spans = traces.flat_map(|number| trace(load, number)).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let group = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![group] }
}

/// An agent's turn: four model calls, three tools between them, and two calls to an API.
fn trace(load: &Load, number: u64) -> Vec<Span> {
    let mut maker = Maker { run: load.run, number, spans: Vec::new() };
    let session = format!("s-{}-{}", load.run, number / load.args.session);
    let mut history = vec![message(
        "user",
        &json!({"type": "text", "content": format!("Pay the invoice {number} of Contoso, please, and tell me when it is done.")}),
    )];
    for round in 0..4u64 {
        let call = format!("call-{number}-{round}");
        let part = if round == 3 {
            json!({"type": "text", "content": format!("The invoice {number} is paid, and booked.")})
        } else {
            json!({"type": "tool_call", "id": call, "name": "lookup", "arguments": {"invoice": number, "round": round}})
        };
        let answer = message("assistant", &part);
        maker.span(
            "chat m-1",
            3,
            Some(1),
            vec![
                text("gen_ai.operation.name", "chat"),
                text("gen_ai.provider.name", "openai"),
                text("gen_ai.request.model", "m-1"),
                text("gen_ai.input.messages", &Value::Array(history.clone()).to_string()),
                text("gen_ai.output.messages", &json!([answer]).to_string()),
                int("gen_ai.usage.input_tokens", 420),
                int("gen_ai.usage.output_tokens", 42),
            ],
        );
        history.push(answer);
        if round == 3 {
            break;
        }
        maker.tool(&call, number, round);
        let result = json!({"type": "tool_call_response", "id": call, "response": {"state": "open", "round": round}});
        history.push(message("tool", &result));
    }
    maker.span(
        "invoke_agent",
        1,
        None,
        vec![
            text("gen_ai.operation.name", "invoke_agent"),
            text("gen_ai.agent.name", "invoice-agent"),
            text("user.id", "alice@example.com"),
            text("session.id", &session),
        ],
    );
    maker.spans
}

struct Maker {
    run: u64,
    number: u64,
    spans: Vec<Span>,
}

impl Maker {
    /// A tool that runs, and calls an API in the first rounds.
    fn tool(&mut self, call: &str, number: u64, round: u64) {
        let arguments = json!({"invoice": number, "round": round}).to_string();
        let result = json!({"state": "open", "round": round}).to_string();
        let tool = self.span(
            "execute_tool lookup",
            1,
            Some(1),
            vec![
                text("gen_ai.operation.name", "execute_tool"),
                text("gen_ai.tool.name", "lookup"),
                text("gen_ai.tool.call.id", call),
                text("gen_ai.tool.call.arguments", &arguments),
                text("gen_ai.tool.call.result", &result),
            ],
        );
        if round < 2 {
            self.span(
                "POST",
                3,
                Some(tool),
                vec![
                    text("http.request.method", "POST"),
                    text("url.full", "https://bank.example/v2/invoices"),
                    int("http.response.status_code", 200),
                ],
            );
        }
    }

    /// A span below one of this number; the root is 1.
    fn span(
        &mut self,
        name: &str,
        kind: i32,
        parent: Option<u64>,
        attributes: Vec<KeyValue>,
    ) -> u64 {
        let place = u64::try_from(self.spans.len()).unwrap() + 2;
        let number = parent.map_or(1, |_| place);
        let start = 1_795_480_000_000_000_000 + self.number * 1_000_000 + number * 10_000;
        // What is called falls into what calls it, and the root spans everything.
        let end = if parent.is_some() { start + 15_000 } else { start + 500_000 };
        self.spans.push(Span {
            trace_id: [self.run.to_be_bytes(), self.number.to_be_bytes()].concat(),
            span_id: number.to_be_bytes().to_vec(),
            parent_span_id: parent.map_or_else(Vec::new, |parent| parent.to_be_bytes().to_vec()),
            name: name.to_owned(),
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            ..Span::default()
        });
        number
    }
}

fn message(role: &str, part: &Value) -> Value {
    json!({"role": role, "parts": [part]})
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Any::IntValue(value))
}

fn attribute(key: &str, value: Any) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
