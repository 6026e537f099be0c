//! What a query finds, computed from the records alone: the index is compared with this.
//!
//! It shares with the index how text becomes words and nothing else. It reads whole records as JSON and
//! looks at every one, so that there is nothing to get wrong.

use std::ops::Bound;

use serde_json::Value;
use whence::canon::sorted_to_bytes;
use whence::record::Timestamp;
use whence::search::Query;
use whence::search::query::{Field, Match, Number, NumberField, Span, Words};
use whence::search::text::{fold, words};

/// What is known of a record.
pub(crate) struct Facts {
    entry: Value,
    /// Every value of `data` and `content`, with the names of the members on the way to it.
    values: Vec<(String, Value)>,
    /// The keys that the index has for the record's documents.
    pub(crate) documents: Vec<String>,
}

impl Facts {
    /// Reads an entry, and the parts of its content by name.
    pub(crate) fn new(entry: &[u8], parts: &[(String, Vec<u8>)]) -> Self {
        let entry: Value = serde_json::from_slice(entry).unwrap();
        let mut values = Vec::new();
        if let Some(data) = entry.get("data").and_then(Value::as_object) {
            for (name, value) in data {
                collect(format!("data.{name}"), value, &mut values);
            }
        }
        // What was asked of the log is not found by its words.
        let asked = ["log_access", "log_export"].contains(&entry["kind"].as_str().unwrap());
        for (name, part) in parts.iter().filter(|_| !asked) {
            let part: Value = serde_json::from_slice(part).unwrap();
            collect(format!("content.{name}"), &part, &mut values);
        }
        Self { entry, values, documents: Vec::new() }
    }

    fn text(&self, pointer: &str) -> Vec<String> {
        self.entry.pointer(pointer).and_then(Value::as_str).map(str::to_owned).into_iter().collect()
    }

    fn texts(&self, pointers: &[&str]) -> Vec<String> {
        pointers.iter().flat_map(|pointer| self.text(pointer)).collect()
    }

    /// The values of a field of names, not folded.
    fn names(&self, field: &Field) -> Vec<String> {
        match field {
            Field::User => self.text("/user/id"),
            Field::Session => self.text("/session/id"),
            Field::Agent => self.text("/agent/id"),
            Field::Tool => self.text("/data/tool"),
            Field::Kind => self.text("/kind"),
            Field::Model => self.texts(&["/data/model/requested", "/data/model/served"]),
            Field::CallId => self.text("/data/call_id"),
            Field::Host => {
                self.url().map(|(host, _)| host).chain(self.text("/data/service")).collect()
            }
            Field::Method => self.text("/data/method"),
            Field::UrlPath => {
                self.url().map(|(_, path)| path).chain(self.text("/data/operation")).collect()
            }
            Field::Label(key) => {
                self.entry["labels"][key].as_str().map(str::to_owned).into_iter().collect()
            }
            Field::Flag => {
                let flags = self.entry["flags"].as_array().into_iter().flatten();
                flags.map(|flag| flag.as_str().unwrap().to_owned()).collect()
            }
            Field::Delegation => self.texts(&["/delegation", "/data/delegation"]),
            Field::Id => self.text("/id"),
            Field::Trace => self.text("/trace/trace_id"),
            Field::Document => self.documents.clone(),
        }
    }

    /// The host and the path of the called URL.
    fn url(&self) -> impl Iterator<Item = (String, String)> + use<> {
        self.text("/data/url").into_iter().map(|url| {
            let rest = url.split_once("://").unwrap().1.trim_start_matches(['/', '\\']);
            let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(end);
            let host = match authority.find(']') {
                Some(end) => &authority[..=end],
                None => authority.split(':').next().unwrap(),
            };
            let path = rest.split(['?', '#']).next().unwrap();
            (host.to_lowercase(), path.to_owned())
        })
    }

    /// The values of a field of numbers, but of members.
    fn whole(&self, field: &NumberField) -> Option<i64> {
        match field {
            NumberField::Seq => self.entry["seq"].as_i64(),
            NumberField::Status => self.entry["data"]["status_code"].as_i64(),
            NumberField::Received => self.moment("received_at"),
            NumberField::Occurred => self.moment("occurred_at"),
            NumberField::Path(_) => None,
        }
    }

    fn moment(&self, member: &str) -> Option<i64> {
        let time: Timestamp = self.entry[member].as_str()?.parse().unwrap();
        Some(i64::try_from(time.unix_nanos()).unwrap_or(i64::MAX))
    }
}

/// Notes a value and all values in it. Positions in lists are no part of the way.
fn collect(path: String, value: &Value, values: &mut Vec<(String, Value)>) {
    match value {
        Value::Array(elements) => {
            for element in elements {
                collect(path.clone(), element, values);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                collect(format!("{path}.{name}"), member, values);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    values.push((path, value.clone()));
}

/// Whether the query finds the record.
pub(crate) fn matches(query: &Query, record: &Facts) -> bool {
    match query {
        Query::All => true,
        Query::And(parts) => parts.iter().all(|part| matches(part, record)),
        Query::Or(parts) => parts.iter().any(|part| matches(part, record)),
        Query::Not(part) => !matches(part, record),
        Query::Text(asked) => record.values.iter().any(|(_, value)| has(value, asked)),
        Query::Field(field, asked) => record.names(field).iter().any(|name| is(field, name, asked)),
        Query::Path(path, None) => {
            let below = format!("{path}.");
            record.values.iter().any(|(at, _)| at == path || at.starts_with(&below))
        }
        Query::Path(path, Some(asked)) if path == "content.text" => {
            record.values.iter().any(|(at, value)| at == path && has(value, asked))
        }
        Query::Path(path, Some(asked)) => {
            let count = asked.words.len();
            let each = asked.words.iter().enumerate().all(|(place, word)| {
                let prefix = asked.prefix && place + 1 == count;
                let word = Words { words: vec![word.clone()], prefix };
                record.values.iter().any(|(at, value)| at == path && has(value, &word))
            });
            each && record.values.iter().any(|(_, value)| has(value, asked))
        }
        Query::Range(NumberField::Path(path), span) => record.values.iter().any(|(at, value)| {
            at == path && value.as_f64().is_some_and(|number| between(Number::Real(number), *span))
        }),
        Query::Range(field, span) => {
            record.whole(field).is_some_and(|number| between(Number::Whole(number), *span))
        }
    }
}

fn is(field: &Field, name: &str, asked: &Match) -> bool {
    let name = if field.folds() { fold(name).into_owned() } else { name.to_owned() };
    match asked {
        Match::Is(value) => name == *value,
        Match::Prefix(value) => name.starts_with(value),
        Match::Any => true,
    }
}

/// Whether the words stand in a value, one after the other.
fn has(value: &Value, asked: &Words) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        // As they are written in the canonical form.
        Value::Number(_) | Value::Bool(_) => {
            String::from_utf8(sorted_to_bytes(value).unwrap()).unwrap()
        }
        Value::Null | Value::Array(_) | Value::Object(_) => return false,
    };
    let text: Vec<_> = words(&text).map(|word| word.folded.into_owned()).collect();
    let (last, before) = asked.words.split_last().unwrap();
    text.windows(asked.words.len()).any(|window| {
        let (end, start) = window.split_last().unwrap();
        start == before && if asked.prefix { end.starts_with(last) } else { end == last }
    })
}

fn between(number: Number, span: Span) -> bool {
    let below = |one: Number, other: Number| match (one, other) {
        (Number::Whole(one), Number::Whole(other)) => one < other,
        (Number::Real(one), Number::Real(other)) => one < other,
        mixed => panic!("{mixed:?} are not of one field"),
    };
    let from = match span.from {
        Bound::Unbounded => true,
        Bound::Included(from) => !below(number, from),
        Bound::Excluded(from) => below(from, number),
    };
    let to = match span.to {
        Bound::Unbounded => true,
        Bound::Included(to) => !below(to, number),
        Bound::Excluded(to) => below(number, to),
    };
    from && to
}

/// Whether a query, as it is written, finds an API call with everything.
fn finds(text: &str) -> bool {
    let entry = serde_json::json!({
        "agent": { "id": "Invoice-Agent" }, "delegation": "G-1", "flags": ["orphan_api_call"],
        "id": "api-1", "kind": "api_call", "labels": { "env": "Prod" },
        "occurred_at": "2026-11-24T00:06:14.5Z", "received_at": "2026-11-24T00:06:15Z", "seq": 7,
        "data": {
            "method": "POST", "status_code": 201, "url": "HTTPS://Bank.example:8443/V2/transfers?x=1",
            "resources": [{ "id": "tr-1", "type": "transfer" }],
        },
        "session": { "id": "S-1", "n": 3 }, "trace": { "trace_id": "ab" },
        "user": { "id": "Alice@example.com", "type": "human" },
    });
    let body = br#"{"amount":1200.5,"lines":[{"memo":"Wire transfer"},{"memo":"fee"}],"none":null,"ok":true}"#;
    let parts = [("request_body".to_owned(), body.to_vec())];
    let facts = Facts::new(entry.to_string().as_bytes(), &parts);
    let query = whence::search::parse(text, "2026-11-24T01:00:00Z".parse().unwrap());
    matches(&query.unwrap(), &facts)
}

#[test]
fn what_a_query_says_is_found_and_nothing_else() {
    for text in [
        "*",
        "user:alice@EXAMPLE.com agent:invoice* kind:api_call label.env:prod flag:*",
        "session:S-1 id:api-1 trace:ab delegation:G-1",
        "host:bank.example path:/V2/transfers method:post status:200..299 seq:<8",
        "since:1h until:53m received:2026-11-24 occurred:<2026-11-24T00:06:15Z",
        "\"wire TRANSFER\" wir* \"wire tran\"* transfer 1200 5 true",
        "content.request_body.lines.memo:fee content.request_body.lines:*",
        "content.request_body.amount:>1200 content.request_body.none:* data.resources.id:\"tr 1\"",
        "nothing OR -nothing",
    ] {
        assert!(finds(text), "{text}");
    }
    for text in [
        "-*",
        "user:alice",
        "session:s-1",
        "path:/v2/transfers",
        "host:\"bank.example:8443\"",
        "status:>201",
        "until:1h",
        "memo",
        "\"transfer fee\"",
        "\"tran wire\"*",
        "content.request_body.lines:wire",
        "content.request_body.amount:1200..1200",
        "content.request_body.amoun:*",
        "tool:*",
        "wire nothing",
    ] {
        assert!(!finds(text), "{text}");
    }
}
