//! From items to the wire: what a program of ours tells, as any exporter would.

use data_encoding::HEXLOWER;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{self as wire, ResourceSpans, ScopeSpans, status};
use prost::Message;
use serde_json::Value;

use super::item::{Attributes, Log, Scope, Span, SpanEvent, SpanKind};

/// The body of an OTLP request (protobuf) that tells these spans of one program. Reading it gives the
/// same spans.
pub fn traces(resource: &Attributes, scope: &Scope, spans: &[Span]) -> Vec<u8> {
    let spans = ScopeSpans {
        scope: Some(instrumentation(scope)),
        spans: spans.iter().map(span).collect(),
        ..ScopeSpans::default()
    };
    let of_program = ResourceSpans {
        resource: Some(program(resource)),
        scope_spans: vec![spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![of_program] }.encode_to_vec()
}

/// The body of an OTLP request (protobuf) that tells these log records of one program.
pub fn logs(resource: &Attributes, scope: &Scope, logs: &[Log]) -> Vec<u8> {
    let records = ScopeLogs {
        scope: Some(instrumentation(scope)),
        log_records: logs.iter().map(log).collect(),
        ..ScopeLogs::default()
    };
    let of_program = ResourceLogs {
        resource: Some(program(resource)),
        scope_logs: vec![records],
        ..ResourceLogs::default()
    };
    ExportLogsServiceRequest { resource_logs: vec![of_program] }.encode_to_vec()
}

/// How many bytes a span takes in a body, nearly.
pub fn span_bytes(span: &Span) -> usize {
    let of = |attributes: &Attributes| -> usize {
        attributes.iter().map(|(name, value)| 16 + name.len() + value_bytes(value)).sum()
    };
    let events = span.events.iter().map(|event| 32 + event.name.len() + of(&event.attributes));
    128 + span.name.len() + of(&span.attributes) + events.sum::<usize>()
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 12,
        Value::String(text) => 8 + text.len(),
        Value::Array(values) => 8 + values.iter().map(value_bytes).sum::<usize>(),
        Value::Object(members) => {
            8 + members
                .iter()
                .map(|(name, value)| 16 + name.len() + value_bytes(value))
                .sum::<usize>()
        }
    }
}

fn program(resource: &Attributes) -> Resource {
    Resource { attributes: key_values(resource), ..Resource::default() }
}

fn instrumentation(scope: &Scope) -> InstrumentationScope {
    InstrumentationScope {
        name: scope.name.clone(),
        version: scope.version.clone(),
        ..InstrumentationScope::default()
    }
}

fn span(span: &Span) -> wire::Span {
    let status = wire::Status {
        message: span.status_message.clone(),
        code: if span.failed { status::StatusCode::Error } else { status::StatusCode::Unset }
            .into(),
    };
    wire::Span {
        trace_id: bytes(&span.trace_id),
        span_id: bytes(&span.span_id),
        parent_span_id: span.parent.as_deref().map(bytes).unwrap_or_default(),
        name: span.name.clone(),
        kind: kind(span.kind).into(),
        start_time_unix_nano: span.start_ns,
        end_time_unix_nano: span.end_ns,
        attributes: key_values(&span.attributes),
        dropped_attributes_count: span.dropped,
        events: span.events.iter().map(event).collect(),
        status: Some(status),
        ..wire::Span::default()
    }
}

fn log(log: &Log) -> LogRecord {
    LogRecord {
        time_unix_nano: log.time_ns,
        observed_time_unix_nano: log.time_ns,
        body: Some(any(&log.body)),
        attributes: key_values(&log.attributes),
        dropped_attributes_count: log.dropped,
        trace_id: log.trace_id.as_deref().map(bytes).unwrap_or_default(),
        span_id: log.span_id.as_deref().map(bytes).unwrap_or_default(),
        event_name: log.event_name.clone(),
        ..LogRecord::default()
    }
}

fn event(event: &SpanEvent) -> wire::span::Event {
    wire::span::Event {
        time_unix_nano: event.time_ns,
        name: event.name.clone(),
        attributes: key_values(&event.attributes),
        dropped_attributes_count: 0,
    }
}

const fn kind(kind: SpanKind) -> wire::span::SpanKind {
    match kind {
        SpanKind::Internal => wire::span::SpanKind::Internal,
        SpanKind::Server => wire::span::SpanKind::Server,
        SpanKind::Client => wire::span::SpanKind::Client,
        SpanKind::Producer => wire::span::SpanKind::Producer,
        SpanKind::Consumer => wire::span::SpanKind::Consumer,
    }
}

/// The bytes that hexadecimal digits stand for. That they are digits is what their type says.
fn bytes(digits: &str) -> Vec<u8> {
    HEXLOWER.decode(digits.as_bytes()).unwrap_or_default()
}

fn key_values(attributes: &Attributes) -> Vec<KeyValue> {
    attributes.iter().map(|(name, value)| key_value(name, value)).collect()
}

fn key_value(name: &str, value: &Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(any(value)), ..KeyValue::default() }
}

/// A value of OTLP. Integers that it cannot hold become text, which changes none of their digits.
fn any(value: &Value) -> AnyValue {
    let value = match value {
        Value::Null => None,
        Value::Bool(yes) => Some(Any::BoolValue(*yes)),
        Value::Number(number) => Some(match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Any::IntValue(integer),
            (None, Some(double)) if !number.is_u64() => Any::DoubleValue(double),
            (None, _) => Any::StringValue(number.to_string()),
        }),
        Value::String(text) => Some(Any::StringValue(text.clone())),
        Value::Array(values) => {
            Some(Any::ArrayValue(ArrayValue { values: values.iter().map(any).collect() }))
        }
        Value::Object(members) => {
            let values = members.iter().map(|(name, value)| key_value(name, value)).collect();
            Some(Any::KvlistValue(KeyValueList { values }))
        }
    };
    AnyValue { value }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::capture::otlp::{Encoding, Signal, What, decode};
    use crate::record::Hex;

    #[test]
    fn a_span_is_told_with_all_that_it_has() {
        let attributes = |name: &str, value: Value| Attributes::from([(name.to_owned(), value)]);
        let told = Span {
            trace_id: Hex::new("0af7651916cd43dd8448eb211c80319c").unwrap(),
            span_id: Hex::new("b7ad6b7169203331").unwrap(),
            parent: Hex::new("00f067aa0ba902b7"),
            name: "tools/call send".to_owned(),
            kind: SpanKind::Client,
            start_ns: 5,
            end_ns: 9,
            attributes: attributes("a", json!([1, -1.5, "x", null, true, { "b": u64::MAX }])),
            events: vec![SpanEvent {
                name: "progress".to_owned(),
                time_ns: 7,
                attributes: attributes("total", json!(4)),
            }],
            failed: true,
            status_message: "no".to_owned(),
            dropped: 3,
        };
        let resource = attributes("service.name", json!("whence"));
        let scope = Scope { name: "s".to_owned(), version: "1".to_owned() };
        let body = traces(&resource, &scope, std::slice::from_ref(&told));
        assert!(span_bytes(&told) <= 2 * body.len() && body.len() <= 2 * span_bytes(&told));

        let posted = decode(Signal::Traces, Encoding::Protobuf, &body).unwrap();
        let What::Span(posted) = &posted.items[0].what else { panic!("no span") };
        let named = |span: &Span| Span { attributes: Attributes::new(), ..span.clone() };
        assert_eq!(named(posted), named(&told), "what the log reads is what was told");
        let read = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        let of_program = &read.resource_spans[0];
        let resource = of_program.resource.as_ref().unwrap();
        assert_eq!(resource.attributes[0].value, Some(any(&json!("whence"))));
        assert_eq!(of_program.scope_spans[0].scope.as_ref().unwrap().name, "s");
        let span = &of_program.scope_spans[0].spans[0];
        assert_eq!(HEXLOWER.encode(&span.trace_id), *told.trace_id);
        assert_eq!(HEXLOWER.encode(&span.span_id), *told.span_id);
        assert_eq!(HEXLOWER.encode(&span.parent_span_id), "00f067aa0ba902b7");
        assert_eq!((span.name.as_str(), span.kind), ("tools/call send", 3));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (5, 9));
        assert_eq!(span.dropped_attributes_count, 3);
        let status = span.status.as_ref().unwrap();
        assert_eq!((status.code, status.message.as_str()), (2, "no"));
        assert_eq!((span.events[0].name.as_str(), span.events[0].time_unix_nano), ("progress", 7));
        let Some(Any::ArrayValue(list)) = &span.attributes[0].value.as_ref().unwrap().value else {
            panic!("no list");
        };
        let values: Vec<_> = list.values.iter().map(|value| value.value.clone()).collect();
        assert_eq!(values[0], Some(Any::IntValue(1)));
        assert_eq!(values[1], Some(Any::DoubleValue(-1.5)));
        assert_eq!(values[2], Some(Any::StringValue("x".to_owned())));
        assert_eq!(values[3], None);
        let Some(Any::KvlistValue(object)) = &values[5] else { panic!("no object") };
        assert_eq!(object.values[0].value, Some(any(&json!(u64::MAX.to_string()))));
    }

    #[test]
    fn a_log_record_is_told_with_its_name_and_time() {
        let told = Log {
            trace_id: None,
            span_id: None,
            time_ns: 11,
            event_name: "whence.capture_gap".to_owned(),
            body: Value::Null,
            attributes: Attributes::from([("count".to_owned(), json!(2))]),
            dropped: 0,
        };
        let body = logs(&Attributes::new(), &Scope::default(), &[told]);
        let read = ExportLogsServiceRequest::decode(body.as_slice()).unwrap();
        let log = &read.resource_logs[0].scope_logs[0].log_records[0];
        assert_eq!((log.event_name.as_str(), log.time_unix_nano), ("whence.capture_gap", 11));
        assert_eq!(log.attributes[0].value, Some(any(&json!(2))));
        assert!(log.trace_id.is_empty() && log.span_id.is_empty());
    }
}
