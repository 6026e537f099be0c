use std::fs;
use std::io::Read;
use std::path::Path;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope};
use opentelemetry_proto::tonic::common::v1::{KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as PbSpan, Status};
use prost::Message;
use serde_json::json;

use super::*;

fn any(value: Any) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

fn spans(spans: Vec<PbSpan>) -> Vec<u8> {
    let scope =
        InstrumentationScope { name: "lib".into(), version: "1".into(), ..Default::default() };
    let scope_spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
    let service = attribute("service.name", any(Any::StringValue("billing".into())));
    let resource = Resource { attributes: vec![service], ..Resource::default() };
    let group = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![group] }.encode_to_vec()
}

fn logs(log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn span() -> PbSpan {
    let nested = KeyValueList { values: vec![attribute("in", any(Any::DoubleValue(0.5)))] };
    let values = vec![any(Any::StringValue("a".into())), AnyValue::default()];
    PbSpan {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        parent_span_id: vec![3; 8],
        name: "chat".into(),
        kind: 3,
        start_time_unix_nano: 1_795_480_090_007_333_651,
        end_time_unix_nano: 1_795_480_090_007_333_652,
        attributes: vec![
            attribute("text", any(Any::StringValue("é".into()))),
            attribute("yes", any(Any::BoolValue(true))),
            attribute("int", any(Any::IntValue(-7))),
            attribute("large", any(Any::IntValue(i64::MAX))),
            attribute("double", any(Any::DoubleValue(1.25))),
            attribute("nan", any(Any::DoubleValue(f64::NAN))),
            attribute("low", any(Any::DoubleValue(f64::NEG_INFINITY))),
            attribute("bytes", any(Any::BytesValue(vec![0, 255]))),
            attribute("list", any(Any::ArrayValue(ArrayValue { values }))),
            attribute("object", any(Any::KvlistValue(nested))),
            attribute("empty", AnyValue::default()),
        ],
        dropped_attributes_count: 2,
        events: vec![Event {
            time_unix_nano: 5,
            name: "exception".into(),
            attributes: vec![attribute("exception.type", any(Any::StringValue("E".into())))],
            dropped_attributes_count: 1,
        }],
        dropped_events_count: 4,
        status: Some(Status { message: "broken".into(), code: 2 }),
        ..PbSpan::default()
    }
}

fn one(decoded: Decoded) -> Span {
    assert_eq!((decoded.items.len(), decoded.rejected), (1, 0), "{:?}", decoded.reason);
    match decoded.items.into_iter().next().unwrap().what {
        What::Span(span) => span,
        What::Log(log) => panic!("{log:?}"),
    }
}

fn read(post: &[u8]) -> Result<Decoded, DecodeError> {
    decode(Signal::Traces, Encoding::Protobuf, post)
}

fn read_json(post: &Value) -> Result<Decoded, DecodeError> {
    decode(Signal::Traces, Encoding::Json, post.to_string().as_bytes())
}

/// A post of one span with these members besides its ids.
fn json_span(members: &Value) -> Value {
    let mut span =
        json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"});
    span.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
}

#[test]
fn a_span_is_read_with_all_that_it_tells() {
    let decoded = read(&spans(vec![span()])).unwrap();
    let item = &decoded.items[0];
    assert_eq!(item.resource["service.name"], "billing");
    assert_eq!((item.scope.name.as_str(), item.scope.version.as_str()), ("lib", "1"));
    let read = one(decoded.clone());
    assert_eq!(&*read.trace_id, "01010101010101010101010101010101");
    assert_eq!((&*read.span_id, &*read.parent.unwrap()), ("0202020202020202", "0303030303030303"));
    assert_eq!((read.name.as_str(), read.kind), ("chat", SpanKind::Client));
    assert_eq!(
        (read.start_ns, read.end_ns),
        (1_795_480_090_007_333_651, 1_795_480_090_007_333_652)
    );
    let expected = json!({
        "text": "é", "yes": true, "int": -7, "large": "9223372036854775807", "double": 1.25,
        "nan": "NaN", "low": "-Infinity", "bytes": "AP8=", "list": ["a", null],
        "object": {"in": 0.5}, "empty": null,
    });
    assert_eq!(Value::Object(read.attributes.into_iter().collect()), expected);
    assert_eq!((read.events[0].name.as_str(), read.events[0].time_ns), ("exception", 5));
    assert_eq!(read.events[0].attributes["exception.type"], "E");
    assert!(read.failed);
    assert_eq!((read.status_message.as_str(), read.dropped), ("broken", 2 + 4 + 1));
}

#[test]
fn a_log_record_is_read_with_all_that_it_tells() {
    let log = LogRecord {
        observed_time_unix_nano: 9,
        body: Some(any(Any::StringValue("said".into()))),
        attributes: vec![attribute("event.name", any(Any::StringValue("user_prompt".into())))],
        dropped_attributes_count: 1,
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        ..LogRecord::default()
    };
    let named = LogRecord { event_name: "own".into(), time_unix_nano: 8, ..log.clone() };
    let alone = LogRecord { trace_id: vec![0; 16], ..log.clone() };
    let post = logs(vec![log, named, alone]);
    let decoded = decode(Signal::Logs, Encoding::Protobuf, &post).unwrap();
    let logs: Vec<&Log> = decoded
        .items
        .iter()
        .map(|item| match &item.what {
            What::Log(log) => log,
            What::Span(span) => panic!("{span:?}"),
        })
        .collect();
    assert_eq!(
        (logs[0].event_name.as_str(), logs[0].time_ns, logs[0].dropped),
        ("user_prompt", 9, 1)
    );
    assert_eq!((&logs[0].body, logs[0].span_id.is_some()), (&json!("said"), true));
    assert_eq!((logs[1].event_name.as_str(), logs[1].time_ns), ("own", 8));
    assert_eq!((&logs[2].trace_id, &logs[2].span_id), (&None, &None));
}

#[test]
fn an_item_with_wrong_ids_is_rejected_and_the_others_are_taken() {
    let wrong = [
        PbSpan { trace_id: vec![1; 15], ..span() },
        PbSpan { trace_id: vec![0; 16], ..span() },
        PbSpan { trace_id: Vec::new(), ..span() },
        PbSpan { span_id: vec![1; 9], ..span() },
        PbSpan { span_id: vec![0; 8], ..span() },
        PbSpan { parent_span_id: vec![1; 7], ..span() },
    ];
    for wrong in wrong {
        let decoded = read(&spans(vec![span(), wrong.clone(), span()])).unwrap();
        assert_eq!((decoded.items.len(), decoded.rejected), (2, 1), "{wrong:?}");
        assert!(decoded.reason.is_some_and(|reason| reason.contains("_id ")), "{wrong:?}");
    }
    let root = PbSpan { parent_span_id: vec![0; 8], ..span() };
    assert_eq!(one(read(&spans(vec![root])).unwrap()).parent, None);
    for (name, id) in [("traceId", "xyz"), ("spanId", "eee19b7ec3c1b1"), ("spanId", "")] {
        let decoded = read_json(&json_span(&json!({name: id}))).unwrap();
        assert_eq!((decoded.items.len(), decoded.rejected), (0, 1), "{name} {id}");
    }
    let short = LogRecord { trace_id: vec![1; 3], ..LogRecord::default() };
    let decoded = decode(Signal::Logs, Encoding::Protobuf, &logs(vec![short])).unwrap();
    assert_eq!((decoded.items.len(), decoded.rejected), (0, 1));
}

#[test]
fn json_is_read_as_exporters_write_it() {
    let post = json_span(&json!({
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "parentSpanId": "",
        "kind": "SPAN_KIND_SERVER",
        "startTimeUnixNano": 1_544_712_660_000_000_000_u64,
        "endTimeUnixNano": "1544712661000000000",
        "unknown": [{"of": "later"}],
        "events": null,
        "flags": 257,
        "status": {"code": "STATUS_CODE_ERROR"},
        "attributes": [
            {"key": "text", "value": {"stringValue": "a", "newer": 1}},
            {"key": "number", "value": {"intValue": 2}},
            {"key": "digits", "value": {"intValue": "-3"}},
            {"key": "float", "value": {"intValue": 4.0}},
            {"key": "whole", "value": {"doubleValue": 5}},
            {"key": "nan", "value": {"doubleValue": "NaN"}},
            {"key": "high", "value": {"doubleValue": "Infinity"}},
            {"key": "bytes", "value": {"bytesValue": "AP8="}},
            {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": false}, {}]}}},
            {"key": "none", "value": {"arrayValue": {}}},
            {"key": "object", "value": {"kvlistValue": {"values": [{"key": "k"}]}}},
            {"key": "newer", "value": {"fancyValue": 1}},
        ],
    }));
    let span = one(read_json(&post).unwrap());
    assert_eq!(&*span.trace_id, "5b8efff798038103d269b633813fc60c");
    assert_eq!((span.parent, span.kind, span.failed), (None, SpanKind::Server, true));
    assert_eq!(span.end_ns - span.start_ns, 1_000_000_000);
    let expected = json!({
        "text": "a", "number": 2, "digits": -3, "float": 4, "whole": 5.0, "nan": "NaN",
        "high": "Infinity", "bytes": "AP8=", "list": [false, null], "none": [],
        "object": {"k": null}, "newer": null,
    });
    assert_eq!(Value::Object(span.attributes.into_iter().collect()), expected);
}

#[test]
fn what_is_no_telemetry_is_refused_as_a_whole() {
    for post in
        [json!([]), json!("a"), json!({"resourceSpans": {}}), json_span(&json!({"name": 1}))]
    {
        assert_eq!(read_json(&post), Err(DecodeError::Malformed), "{post}");
    }
    let attribute =
        |value: Value| json_span(&json!({"attributes": [{"key": "a", "value": value}]}));
    for value in
        [json!({"intValue": "x"}), json!({"intValue": true}), json!({"stringValue": 1}), json!(1)]
    {
        assert_eq!(read_json(&attribute(value.clone())), Err(DecodeError::Malformed), "{value}");
    }
    assert_eq!(decode(Signal::Traces, Encoding::Json, b"{"), Err(DecodeError::Malformed));
    for post in [&b"{}"[..], &[0x0a, 0xff], &[0x08, 1, 0x0a, 0x02, 0x12], &[0xff; 11], &[0x00]] {
        assert_eq!(read(post), Err(DecodeError::Malformed), "{post:?}");
    }
    assert_eq!(read(&[]), Ok(Decoded::default()));
    assert_eq!(read_json(&json!({})), Ok(Decoded::default()));
}

#[test]
fn a_post_that_is_cut_or_changed_anywhere_is_read_or_refused_and_nothing_else() {
    let post = spans(vec![span(), span()]);
    for cut in 0..post.len() {
        let decoded = read(&post[..cut]);
        assert!(decoded.is_err() || cut == 0, "cut at {cut}");
    }
    for bit in 0..post.len() * 8 {
        let mut post = post.clone();
        post[bit / 8] ^= 1 << (bit % 8);
        drop(read(&post));
    }
}

#[test]
fn a_post_cannot_make_more_of_itself_than_its_bounds() {
    let mut value = any(Any::BoolValue(true));
    for _ in 1..DEPTH_MAX {
        value = any(Any::ArrayValue(ArrayValue { values: vec![value] }));
    }
    let with = |value| spans(vec![PbSpan { attributes: vec![attribute("a", value)], ..span() }]);
    assert_eq!(read(&with(value.clone())).unwrap().rejected, 0);
    let deeper = any(Any::ArrayValue(ArrayValue { values: vec![value] }));
    assert_eq!(read(&with(deeper)), Err(DecodeError::TooDeep));

    let values = vec![AnyValue::default(); VALUES_MAX];
    assert_eq!(read(&with(any(Any::ArrayValue(ArrayValue { values })))), Err(DecodeError::TooMany));
    let many = vec![PbSpan::default(); ITEMS_MAX + 1];
    assert_eq!(read(&spans(many)), Err(DecodeError::TooMany));

    let attributes =
        (0..ATTRIBUTES_MAX + 3).map(|n| attribute(&n.to_string(), AnyValue::default()));
    let events = vec![Event::default(); ATTRIBUTES_MAX + 2];
    let wide = PbSpan { trace_id: vec![1; 16], span_id: vec![2; 8], events, ..PbSpan::default() };
    let read =
        one(read(&spans(vec![PbSpan { attributes: attributes.collect(), ..wide }])).unwrap());
    assert_eq!((read.attributes.len(), read.events.len()), (ATTRIBUTES_MAX, ATTRIBUTES_MAX));
    assert_eq!(read.dropped, 5);
}

/// Every post of real producers says the same as its form in JSON that was made by another program.
#[test]
fn posts_of_real_producers_are_read_as_another_reader_reads_them() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures/otlp");
    if !captures.is_dir() {
        println!("skipped: there are no captures beside the repository");
        return;
    }
    let (mut posts, mut items) = (0, 0);
    let mut folders = vec![captures];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let (stem, form) = name.split_once('.').unwrap();
            if !folder.ends_with("raw") || form.starts_with("meta") || stem.ends_with("metrics") {
                continue;
            }
            let mut post = fs::read(&path).unwrap();
            if form.ends_with("gz") {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&*post).read_to_end(&mut plain).unwrap();
                post = plain;
            }
            let signal = if stem.ends_with("logs") { Signal::Logs } else { Signal::Traces };
            let encoding =
                if form.starts_with("json") { Encoding::Json } else { Encoding::Protobuf };
            let decoded = decode(signal, encoding, &post).unwrap();
            assert_eq!(decoded.rejected, 0, "{}", path.display());
            let other = folder.join("../decoded").join(format!("{stem}.json"));
            let other = decode(signal, Encoding::Json, &fs::read(other).unwrap()).unwrap();
            assert_eq!(decoded, other, "{}", path.display());
            posts += 1;
            items += decoded.items.len();
        }
    }
    assert!(posts > 50 && items > 500, "{posts} posts, {items} items");
}
