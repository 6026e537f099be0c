//! Records of every kind: full ones, and arbitrary ones. Both are made from the schemas of the types,
//! so that no kind and no member can be forgotten.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::string::string_regex;
use proptest::test_runner::{Config, TestRunner};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::canon::json::INTEGER_MAX;
use crate::record::data::Data;
use crate::record::draft::Posted;
use crate::record::{Draft, Event, Invalid, Kind};

/// The schemas of the envelope, and of each kind's data, with what they refer to.
static SCHEMAS: LazyLock<(Value, Vec<Value>)> = LazyLock::new(|| {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let kinds = Kind::ALL.iter().map(|kind| Data::schema(*kind, &mut generator).to_value());
    let kinds = kinds.collect();
    (generator.into_root_schema_for::<Posted<'static>>().to_value(), kinds)
});

/// The schema without references, and without `null` for what may be left out.
fn plain(schema: &Value) -> Value {
    if let Some(place) = schema["$ref"].as_str() {
        return plain(SCHEMAS.0.pointer(place.trim_start_matches('#')).unwrap());
    }
    if let Some(options) = schema["anyOf"].as_array() {
        return plain(options.iter().find(|option| option["type"] != "null").unwrap());
    }
    let mut schema = schema.clone();
    if let Some(types) = schema["type"].as_array() {
        schema["type"] = types.iter().find(|name| **name != "null").unwrap().clone();
    }
    if let Some(names) = schema["enum"].as_array_mut() {
        names.retain(|name| !name.is_null());
    }
    schema
}

/// The schema of a member of the envelope.
fn member(name: &str) -> Value {
    plain(&SCHEMAS.0["properties"][name])
}

/// The schema of a kind's data.
fn data(kind: Kind) -> Value {
    let place = Kind::ALL.iter().position(|known| *known == kind).unwrap();
    plain(&SCHEMAS.1[place])
}

/// A place in a record: its pointer, what may stand there, and whether something must.
pub(super) struct Place {
    pub(super) pointer: String,
    pub(super) schema: Value,
    pub(super) required: bool,
}

/// Every place in a full record of the kind that has a type of its own.
pub(super) fn places(kind: Kind) -> Vec<Place> {
    let mut places = Vec::new();
    let envelope = ["agent", "causes", "delegation", "id", "occurred_at", "session"];
    for name in envelope.into_iter().chain(["signature", "source", "trace", "user"]) {
        let required = name == "occurred_at";
        add_places(&mut places, format!("/{name}"), member(name), required);
    }
    add_places(&mut places, "/data".to_owned(), data(kind), false);
    if kind.rules().reserved {
        let posted = ["/signature", "/source"];
        places.retain(|place| !posted.iter().any(|name| place.pointer.starts_with(name)));
    }
    places
}

fn add_places(places: &mut Vec<Place>, pointer: String, schema: Value, required: bool) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let needed = schema["required"].as_array();
        let required = needed.is_some_and(|names| names.contains(&json!(name)));
        add_places(places, format!("{pointer}/{name}"), plain(inner), required);
    }
    if schema["type"] == "array" && pointer != "/causes" {
        add_places(places, format!("{pointer}/0"), plain(&schema["items"]), false);
    }
    places.push(Place { pointer, schema, required });
}

/// A value that has every member.
pub(super) fn full(schema: &Value) -> Value {
    let schema = plain(schema);
    if let Some(names) = schema["enum"].as_array() {
        return names[0].clone();
    }
    match schema["type"].as_str().unwrap_or("object") {
        "array" => json!([full(&schema["items"])]),
        "boolean" => json!(true),
        "integer" => json!(7),
        "string" => json!(full_text(&schema)),
        _ => {
            let members = schema["properties"].as_object().into_iter().flatten();
            members.map(|(name, inner)| (name.clone(), full(inner))).collect()
        }
    }
}

fn full_text(schema: &Value) -> String {
    if schema["format"] == "date-time" {
        return "2026-11-24T00:06:14.123Z".to_owned();
    }
    match schema["pattern"].as_str() {
        Some("^[0-9a-f]{16}$") => "0f".repeat(8),
        Some("^[0-9a-f]{32}$") => "0f".repeat(16),
        Some("^[0-9a-f]{64}$") => "0f".repeat(32),
        Some("^[0-9a-f]{128}$") => "0f".repeat(64),
        Some(url) if url.contains("://") => "https://bank.example/transfers".to_owned(),
        _ => "text".to_owned(),
    }
}

/// A record of the kind that has every member it can have, and that is accepted.
pub(super) fn full_record(kind: Kind) -> Value {
    let mut record: Value = ["agent", "session", "trace", "user"]
        .into_iter()
        .map(|name| (name.to_owned(), full(&member(name))))
        .collect();
    for (pointer, value) in [("/agent/id", "agent"), ("/agent/instance_id", "agent-1")] {
        *record.pointer_mut(pointer).unwrap() = json!(value);
    }
    let causes = kind.rules().edges.iter().enumerate();
    let causes: Vec<_> = causes
        .map(|(place, edge)| json!({ "id": format!("c-{place}"), "rel": edge.rel }))
        .collect();
    record["causes"] = json!(causes);
    record["content"] = json!({ "text": "words" });
    record["data"] = full(&data(kind));
    record["delegation"] = json!("jti-7f");
    record["id"] = json!("record-1");
    record["kind"] = json!(kind);
    record["labels"] = json!({ "env": "prod" });
    record["occurred_at"] = json!("2026-11-24T00:06:14.123Z");
    if !kind.rules().reserved {
        record["signature"] = full(&member("signature"));
        record["source"] = full(&member("source"));
    }
    record
}

/// Reads a posted record, or one that the server writes.
pub(super) fn parse(record: &Value) -> Result<Draft, Invalid> {
    parse_text(&record.to_string())
}

pub(super) fn parse_text(record: &str) -> Result<Draft, Invalid> {
    let Some(head) = record.strip_suffix('}').filter(|_| !record.contains("\"source\":")) else {
        return Draft::parse(record.as_bytes());
    };
    let source = r#","source":{"observed_by":"imported","producer":"p"}}"#;
    Draft::parse(format!("{head}{source}").as_bytes()).map(|draft| Draft { source: None, ..draft })
}

/// Checks a record, as posted or as written by the server.
pub(super) fn check(record: &Value) -> Result<Event, Invalid> {
    check_draft(parse(record)?)
}

pub(super) fn check_draft(draft: Draft) -> Result<Event, Invalid> {
    if draft.kind().rules().reserved { Event::by_server(draft) } else { Event::try_from(draft) }
}

/// Tests a law on arbitrary records of every kind.
pub(super) fn for_every_kind(cases: u32, law: impl Fn(Value) -> Result<(), TestCaseError>) {
    for kind in Kind::ALL {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new(config).run(&any_record(*kind), &law);
        outcome.unwrap_or_else(|failure| panic!("{kind}: {failure}"));
    }
}

/// Arbitrary text that a record can hold.
fn any_text(max: usize) -> BoxedStrategy<String> {
    let texts =
        prop_oneof!["[ -~]{1,12}", "[a-zß-öЖ株式😀\u{301} ]{1,5}", "[\"\\\\/<>&'\u{a0}]{1,6}"];
    texts.prop_filter("within the limit", move |text| text.len() <= max).boxed()
}

/// Something that is always there if it is needed, and half of the time if not.
fn any_option(needed: bool, value: BoxedStrategy<Value>) -> BoxedStrategy<Option<Value>> {
    if needed { value.prop_map(Some).boxed() } else { proptest::option::of(value).boxed() }
}

/// An arbitrary value of the schema.
fn any_value(schema: &Value) -> BoxedStrategy<Value> {
    let schema = plain(schema);
    if let Some(names) = schema["enum"].as_array() {
        return proptest::sample::select(names.clone()).boxed();
    }
    match schema["type"].as_str().unwrap_or("object") {
        "array" => {
            let least = usize::try_from(schema["minItems"].as_u64().unwrap()).unwrap();
            proptest::collection::vec(any_value(&schema["items"]), least..4)
                .prop_map(Value::Array)
                .boxed()
        }
        "boolean" => any::<bool>().prop_map(Value::Bool).boxed(),
        "integer" if schema["maximum"].is_number() => {
            (0..=999_u64).prop_map(|it| json!(it)).boxed()
        }
        "integer" => prop_oneof![0..=9_u64, 0..=INTEGER_MAX].prop_map(|it| json!(it)).boxed(),
        "string" => any_string(&schema).prop_map(Value::String).boxed(),
        _ => any_object(&schema),
    }
}

fn any_string(schema: &Value) -> BoxedStrategy<String> {
    if schema["format"] == "date-time" {
        return string_regex(r"20[0-9]{2}-1[0-2]-[12][0-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]0[0-9]:30)")
            .unwrap()
            .boxed();
    }
    match schema["pattern"].as_str() {
        Some(url) if url.contains("://") => {
            string_regex("[a-z]{3,5}://[a-z]{1,9}(:[0-9]{2})?/[a-z@?#%/]{0,9}").unwrap().boxed()
        }
        Some(pattern) => string_regex(pattern.trim_matches(['^', '$'])).unwrap().boxed(),
        None => any_text(usize::try_from(schema["maxLength"].as_u64().unwrap()).unwrap()),
    }
}

fn any_object(schema: &Value) -> BoxedStrategy<Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let members: Vec<_> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, inner)| {
            let name = name.clone();
            let needed = required.contains(&json!(name));
            any_option(needed, any_value(inner))
                .prop_map(move |value| value.map(|value| (name.clone(), value)))
        })
        .collect();
    let empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    members
        .prop_map(move |members| {
            let members = members.into_iter().flatten().filter(|(_, value)| !empty(value));
            Value::Object(members.collect())
        })
        .boxed()
}

/// Arbitrary JSON that can be content.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (0..=INTEGER_MAX).prop_map(|number| json!(number)),
        (-9_007_199_254_740_991_i64..0).prop_map(|number| json!(number)),
        (-1e9..1e9).prop_map(|number: f64| json!(number)),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Arbitrary causes that the kind can have, and those that it needs.
fn any_causes(kind: Kind) -> BoxedStrategy<Vec<Value>> {
    let counts: Vec<_> = kind.rules().edges.iter().map(|edge| edge.min..=edge.max.min(2)).collect();
    counts
        .prop_map(move |counts| {
            let edges = kind.rules().edges.iter().zip(counts);
            let rels = edges.flat_map(|(edge, count)| std::iter::repeat_n(edge.rel, count));
            rels.enumerate()
                .map(|(id, rel)| json!({ "id": format!("c-{id}"), "rel": rel }))
                .collect()
        })
        .boxed()
}

/// An arbitrary record of the kind that is accepted.
pub(super) fn any_record(kind: Kind) -> BoxedStrategy<Value> {
    let names = ["agent", "id", "session", "signature", "source", "trace", "user", "occurred_at"];
    let names = names.into_iter().chain(["delegation"]);
    let envelope: Vec<_> = names
        .map(|name| {
            let rules = kind.rules();
            let needed = match name {
                "agent" => rules.agent,
                "delegation" => rules.delegation,
                "session" => rules.session,
                "user" => rules.user,
                "source" => !rules.reserved,
                _ => name == "occurred_at",
            };
            any_option(needed, any_value(&member(name)))
                .prop_map(move |value| value.map(|value| (name.to_owned(), value)))
        })
        .collect();
    let labels = proptest::collection::btree_map("[A-Za-z0-9_.-]{1,9}", any_text(500), 0..3);
    let content = proptest::collection::btree_map("[a-z][a-z0-9_]{0,8}", any_json(), 1..3);
    (envelope, labels, content, any_causes(kind), any_value(&data(kind)))
        .prop_map(move |(envelope, labels, content, causes, data)| {
            let mut record: Value = envelope.into_iter().flatten().collect();
            if kind.rules().reserved {
                let members = record.as_object_mut().unwrap();
                members.retain(|name, _| name != "source" && name != "signature");
            }
            record["kind"] = json!(kind);
            record["labels"] = json!(labels);
            record["content"] = json!(content);
            record["causes"] = json!(causes);
            record["data"] = data;
            keep_rules(&mut record);
            record
        })
        .boxed()
}

/// Makes an arbitrary record keep the rules that join one member to another.
fn keep_rules(record: &mut Value) {
    if let Some(id) = record.pointer("/user/id").cloned() {
        let id = id.as_str().unwrap().get(..3).unwrap_or("x").to_owned();
        record["user"]["id"] = json!(format!("user:{id}"));
        record["user"]["owner"] = json!("owner");
    }
    if record.get("agent").is_some() {
        record["agent"]["id"] = json!("agent");
        record["agent"]["instance_id"] = json!("agent-1");
    }
    if record.pointer("/source/captured") == Some(&json!("absent")) {
        record["content"] = json!({});
    }
    for pointer in ["/id", "/session/id"] {
        let Some(id) = record.pointer_mut(pointer) else { continue };
        if *id == "." || *id == ".." {
            *id = json!("...");
        }
    }
    if record["kind"] == "genesis" {
        // Nothing comes before it, a session's first record neither.
        record.as_object_mut().unwrap().remove("session");
    }
    if record.get("id").is_none() {
        record.as_object_mut().unwrap().remove("signature");
    }
    if record["kind"] == "erasure" || record["kind"] == "legal_hold" {
        record["data"]["reach"] = json!({ "session": "s-1" });
    }
    if record["kind"] == "api_call" {
        let data = &mut record["data"];
        if data.get("url").is_none() {
            data["service"] = json!("s3");
            data["operation"] = json!("PutObject");
        }
        if data.get("phase").is_none_or(|phase| phase != "requested") {
            data["status_code"] = json!(201);
        }
    }
}
