//! Spans and log records, apart from the wire format that they came in.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::record::text::ExternalId;
use crate::record::{Agent, Hex, Session, User};

/// The attributes of a resource, a scope, a span, an event or a log record, by name. Where a name
/// is given twice the last value counts.
pub type Attributes = BTreeMap<String, Value>;

/// A trace's id, in hexadecimal digits.
pub type TraceId = Hex<32>;

/// A span's id, in hexadecimal digits.
pub type SpanId = Hex<16>;

/// One span or log record, with what it was reported under.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The program that reported it.
    pub resource: Arc<Attributes>,
    /// The instrumentation that made it.
    pub scope: Arc<Scope>,
    /// What it is.
    pub what: What,
}

/// The instrumentation that made a span or log record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Its version; empty if it has none.
    pub version: String,
}

/// A span or a log record.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A span that has ended.
    Span(Span),
    /// A log record.
    Log(Log),
}

/// A span that has ended (OTLP `Span`).
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace_id: TraceId,
    /// Itself.
    pub span_id: SpanId,
    /// The span around it; none for a root.
    pub parent: Option<SpanId>,
    /// Its name.
    pub name: String,
    /// Which side of a call it stands for.
    pub kind: SpanKind,
    /// When it started, in nanoseconds since 1970.
    pub start_ns: u64,
    /// When it ended, in nanoseconds since 1970.
    pub end_ns: u64,
    /// What it tells.
    pub attributes: Attributes,
    /// What happened in it, in the order in which it was sent.
    pub events: Vec<SpanEvent>,
    /// Whether its status is an error.
    pub failed: bool,
    /// What its status says; empty if nothing.
    pub status_message: String,
    /// How many attributes and events the exporter left out for its own limits.
    pub dropped: u32,
}

/// Which side of a call a span stands for (OTLP `SpanKind`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanKind {
    /// Not said, or within one program.
    #[default]
    Internal,
    /// It answers a call from outside.
    Server,
    /// It calls something outside.
    Client,
    /// It sends a message.
    Producer,
    /// It takes a message.
    Consumer,
}

/// Something that happened in a span.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEvent {
    /// What happened.
    pub name: String,
    /// When, in nanoseconds since 1970.
    pub time_ns: u64,
    /// What it tells.
    pub attributes: Attributes,
}

/// A log record (OTLP `LogRecord`).
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// The trace it was written in, if any.
    pub trace_id: Option<TraceId>,
    /// The span it was written in, if any.
    pub span_id: Option<SpanId>,
    /// When, in nanoseconds since 1970: the time, or when it was observed if there is none.
    pub time_ns: u64,
    /// What happened: `event_name`, or the attribute `event.name`; empty if neither.
    pub event_name: String,
    /// What was said.
    pub body: Value,
    /// What it tells.
    pub attributes: Attributes,
    /// How many attributes the exporter left out for its own limits.
    pub dropped: u32,
}

/// What is known of the sender of telemetry, apart from the telemetry.
#[derive(Clone, Debug, PartialEq)]
pub struct Sender {
    /// The name under which records made from it stand.
    pub producer: ExternalId,
    /// Who is accountable where the telemetry names nobody, as the sender states it.
    pub user: Option<User>,
    /// The session where the telemetry names none, as the sender states it.
    pub session: Option<Session>,
    /// The agent where the telemetry names none, as the sender states it.
    pub agent: Option<Agent>,
}

/// What belongs together, and is told together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The spans of a trace, and the log records written in it.
    Trace(TraceId),
    /// The log records of a session that were written in no trace.
    Session(String),
    /// A log record that belongs to neither.
    Alone,
}

impl Item {
    /// What the item is told together with.
    pub fn group(&self) -> Group {
        match &self.what {
            What::Span(span) => Group::Trace(span.trace_id.clone()),
            What::Log(log) => match (&log.trace_id, session_of(&log.attributes)) {
                (Some(trace_id), _) => Group::Trace(trace_id.clone()),
                (None, Some(session)) => Group::Session(session.to_owned()),
                (None, None) => Group::Alone,
            },
        }
    }

    /// Whether the item says that its trace is over: a span without a span around it.
    pub const fn ends_trace(&self) -> bool {
        matches!(&self.what, What::Span(Span { parent: None, .. }))
    }

    /// When it started, in nanoseconds since 1970.
    pub const fn start_ns(&self) -> u64 {
        match &self.what {
            What::Span(span) => span.start_ns,
            What::Log(log) => log.time_ns,
        }
    }
}

/// The session that attributes name, by the names that log records of coding agents use.
fn session_of(attributes: &Attributes) -> Option<&str> {
    ["session.id", "conversation.id", "gen_ai.conversation.id"]
        .iter()
        .find_map(|name| attributes.get(*name)?.as_str().filter(|text| !text.is_empty()))
}
