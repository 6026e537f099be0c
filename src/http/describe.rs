//! The schemas and examples that the API's description is made of.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::error::Problem;
use super::records::{List, ReceiptBody};
use crate::record::schema::record_schema;

/// Where schemas stand in the document.
const PLACE: &str = "#/components/schemas/";

/// Collects the schemas of the document. What is read and what is written differ in what may be left
/// out.
pub(super) struct Schemas {
    answers: SchemaGenerator,
    requests: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            answers: settings().for_serialize().into_generator(),
            requests: settings().for_deserialize().into_generator(),
        }
    }

    /// Every schema that was named, by its name.
    pub(super) fn collected(mut self) -> Map<String, Value> {
        let mut all = self.requests.take_definitions(true);
        all.append(&mut self.answers.take_definitions(true));
        let mut record = record_schema();
        let parts = record.as_object_mut().and_then(|record| {
            record.remove("$schema");
            record.remove("$defs")
        });
        if let Some(Value::Object(parts)) = parts {
            for (name, part) in parts {
                let before = all.insert(name, part.clone());
                debug_assert!(before.is_none_or(|before| before == part), "two schemas of a name");
            }
        }
        all.insert("PostedRecord".to_owned(), record);
        all.values_mut().for_each(move_refs);
        all
    }
}

/// Turns references into a schema's own `$defs` into references into the document.
fn move_refs(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                let moved = value.as_str().filter(|_| name == "$ref");
                let moved = moved.and_then(|to| to.strip_prefix("#/$defs/"));
                match moved.map(|to| format!("{PLACE}{to}")) {
                    Some(to) => *value = Value::String(to),
                    None => move_refs(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(move_refs),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The schema of what is answered.
pub(super) fn answered<T: JsonSchema>(schemas: &mut Schemas) -> Schema {
    schemas.answers.subschema_for::<T>()
}

/// The schema of what is taken.
pub(super) fn taken<T: JsonSchema>(schemas: &mut Schemas) -> Schema {
    schemas.requests.subschema_for::<T>()
}

/// One record or an array of records.
pub(super) fn posted_records(schemas: &mut Schemas) -> Schema {
    let record = posted_record(schemas);
    json_schema!({
        "oneOf": [
            record,
            { "type": "array", "items": record, "minItems": 1, "maxItems": 1024 },
        ],
    })
}

/// One record.
pub(super) fn posted_record(_: &mut Schemas) -> Schema {
    json_schema!({ "$ref": format!("{PLACE}PostedRecord") })
}

/// One receipt or a list of receipts.
pub(super) fn receipts(schemas: &mut Schemas) -> Schema {
    let (one, many) = (answered::<ReceiptBody>(schemas), answered::<List<ReceiptBody>>(schemas));
    json_schema!({ "oneOf": [one, many] })
}

/// An error.
pub(super) fn problem(schemas: &mut Schemas) -> Schema {
    answered::<Problem>(schemas)
}

/// Text.
pub(super) fn text(_: &mut Schemas) -> Schema {
    json_schema!({ "type": "string" })
}

/// Bytes.
pub(super) fn octets(_: &mut Schemas) -> Schema {
    json_schema!({})
}

/// An object whose members are described elsewhere.
pub(super) fn anything(_: &mut Schemas) -> Schema {
    json_schema!({ "type": "object" })
}

/// The same, of a member.
pub(super) fn object(_: &mut schemars::SchemaGenerator) -> Schema {
    json_schema!({ "type": "object" })
}

/// The example of this name.
pub(super) fn example(name: &str) -> Value {
    match name {
        "record" => invocation(),
        "ndjson" => Value::String(format!("{}\n{}\n", prompt(), invocation())),
        "new_erasure" => json!({
            "reach": { "user": "alice@example.com" },
            "reason": "The user asked for it.",
            "authority": "GDPR Art. 17",
        }),
        "new_hold" => json!({
            "reach": { "session": "s-81f3" },
            "reason": "Case 2026-117",
        }),
        "release" => json!({ "reason": "Case 2026-117 is closed." }),
        "new_ledger" => json!({ "name": "payments" }),
        "search" => json!({ "q": "", "format": "ocsf" }),
        "new_delegation" => json!({
            "profile": "rfc8693",
            "claims": {
                "iss": "https://issuer.example",
                "sub": "alice@example.com",
                "act": { "sub": "invoice-agent" },
                "aud": "https://bank.example",
                "scope": "payments:write",
                "jti": "jti-7f",
                "iat": 1_795_478_400,
                "exp": 1_795_482_000,
            },
            "session": "s-81f3",
            "user_type": "human",
            "producer": "billing-1",
        }),
        "new_producer_key" => json!({
            "producer": "billing-2",
            "key_id": "billing-2-2026",
            "public_key": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "valid_until": "2027-11-24T00:00:00Z",
        }),
        "otlp_protobuf" => Value::String(String::new()),
        "otlp_json" => json!({ "resourceSpans": [] }),
        "webhook" => json!({ "url": "https://siem.example/whence", "min_severity": "high" }),
        "audit_log_event" => audit_log_event(),
        "policy" => json!({ "mode": "strict", "approvals": ["external", "destructive"] }),
        "new_token" => json!({
            "name": "billing agent",
            "roles": ["writer"],
            "ledgers": ["main"],
            "lifetime_seconds": 2_592_000,
        }),
        "receipt" => json!({
            "object": "receipt",
            "id": "0193-tool-1",
            "seq": 41,
            "entry_hash": "5f".repeat(32),
            "leaf_hash": "c4".repeat(32),
            "received_at": "2026-11-24T00:06:14.151Z",
            "flags": [],
            "duplicate": false,
            "checkpoint": "log.example/main\n42\n\
                xMTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMQ=\n\n— log.example/main …\n",
        }),
        _ => Value::Null,
    }
}

fn prompt() -> Value {
    json!({
        "id": "0193-prompt",
        "kind": "prompt",
        "occurred_at": "2026-11-24T00:06:11Z",
        "user": { "id": "alice@example.com", "type": "human" },
        "session": { "id": "s-81f3" },
        "source": { "observed_by": "agent_process", "producer": "billing-1", "producer_seq": 40 },
        "data": { "role": "user" },
        "content": { "text": "Pay the invoice from Contoso." },
    })
}

fn invocation() -> Value {
    json!({
        "id": "0193-tool-1",
        "kind": "tool_invocation",
        "occurred_at": "2026-11-24T00:06:14.123Z",
        "user": { "id": "alice@example.com", "type": "human" },
        "session": { "id": "s-81f3" },
        "agent": { "id": "invoice-agent", "version": "1.4.2" },
        "delegation": "jti-7f",
        "causes": [{ "id": "0193-prompt", "rel": "triggered_by" }],
        "source": { "observed_by": "agent_process", "producer": "billing-1", "producer_seq": 41 },
        "data": { "tool": "send_money", "call_id": "call_9", "effect": "external" },
        "content": { "arguments": { "to": "Contoso", "amount": 420 } },
        "labels": { "env": "prod" },
    })
}

fn audit_log_event() -> Value {
    json!({
        "organization_id": "org_01EHZ",
        "event": {
            "action": "invoice.paid",
            "occurred_at": "2026-11-24T00:06:15Z",
            "version": 1,
            "actor": { "id": "invoice-agent", "type": "agent", "name": "Invoice agent" },
            "targets": [{ "id": "inv-7", "type": "invoice" }],
            "context": { "location": "203.0.113.7" },
            "metadata": { "user_id": "alice@example.com", "session_id": "s-81f3", "amount": 420 },
        },
    })
}
