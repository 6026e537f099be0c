//! The JSON Schema of a posted record, made from the types.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::data::Data;
use super::draft::Posted;
use super::kind::Kind;
use super::limits::{
    CONTENT_NAME_BYTES_MAX, CONTENT_PARTS_MAX, LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX,
    LABELS_MAX,
};

/// The JSON Schema (2020-12) of a record as posted. It states every form and the limits that
/// JSON Schema can state; the rules on identities and causes are in SPEC 2.
pub fn record_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let kinds: Vec<Value> = posted_kinds()
        .map(|kind| {
            let data = Data::schema(kind, &mut generator);
            json!({
                "properties": { "kind": { "const": kind.as_str() }, "data": data },
            })
        })
        .collect();
    let mut schema = generator.into_root_schema_for::<Posted<'static>>();
    schema.insert("title".to_owned(), json!("A record as posted to whence"));
    schema.insert("oneOf".to_owned(), Value::Array(kinds));
    schema.to_value()
}

fn posted_kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.iter().copied().filter(|kind| !kind.rules().reserved)
}

/// The kinds that can be posted.
pub(super) fn posted_kind(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<_> = posted_kinds().map(Kind::as_str).collect();
    json_schema!({ "type": "string", "enum": names })
}

/// `data` before its kind is known.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["object", "null"] })
}

pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": LABELS_MAX,
        "propertyNames": { "pattern": format!("^[A-Za-z0-9_.-]{{1,{LABEL_KEY_BYTES_MAX}}}$") },
        "additionalProperties":
            { "type": "string", "minLength": 1, "maxLength": LABEL_VALUE_BYTES_MAX },
    })
}

pub(super) fn content(_: &mut SchemaGenerator) -> Schema {
    let rest = CONTENT_NAME_BYTES_MAX - 1;
    json_schema!({
        "type": "object",
        "maxProperties": CONTENT_PARTS_MAX,
        "propertyNames": { "pattern": format!("^[a-z][a-z0-9_]{{0,{rest}}}$") },
        "additionalProperties": true,
    })
}
