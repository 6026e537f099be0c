//! Rows as a table (RFC 4180) with fixed columns ([`COLUMNS`]), which spreadsheets can open.
//!
//! A spreadsheet takes a field that begins with `=`, `+`, `-`, `@`, a tab or a line end for a formula, and
//! an attacker may have written the field. Such a field gets a `'` in front, which spreadsheets hide. So
//! the table is for reading; what is to be hashed again is exported as NDJSON.
//!
//! No field has a line end in it, so that every line is a row: what has any is written as JSON or base64.

use std::collections::BTreeMap;

use csv::{Terminator, WriterBuilder};
use data_encoding::BASE64;
use serde_json::value::RawValue;

use super::rows::{Checkpoint, Row, damaged};
use crate::canon;
use crate::http::error::{ApiError, with_causes};
use crate::ledger::StoredPart;
use crate::record::Data;

/// The columns. What a record does not have is empty.
pub(super) const COLUMNS: [&str; 32] = [
    "seq",
    "id",
    "kind",
    "occurred_at",
    "received_at",
    "user_id",
    "user_type",
    "session_id",
    "session_n",
    "agent_id",
    "agent_version",
    "delegation",
    "flags",
    "causes",
    "observed_by",
    "producer",
    "tool",
    "call_id",
    "model",
    "method",
    "url",
    "status",
    "trace_id",
    "labels",
    "data",
    "content",
    "entry_hash",
    "leaf_hash",
    "checkpoint_origin",
    "checkpoint_size",
    "checkpoint_root",
    "checkpoint_note",
];

/// Writes the names of the columns.
pub(super) fn head(bytes: &mut Vec<u8>) -> Result<(), ApiError> {
    write(bytes, COLUMNS.map(str::to_owned))
}

/// Writes a record. The first one has the signed note of the checkpoint, in base64.
pub(super) fn row(
    bytes: &mut Vec<u8>,
    row: &Row<'_>,
    checkpoint: &Checkpoint,
    first: bool,
) -> Result<(), ApiError> {
    let Row { entry, .. } = row;
    let user = entry.user.as_deref();
    let session = entry.session.as_ref();
    let agent = entry.agent.as_deref();
    let source = entry.source.as_deref();
    let flags: Vec<_> = entry.flags.iter().map(|flag| flag.as_str()).collect();
    let causes = entry.causes.iter().map(|cause| format!("{}:{}", cause.rel, cause.id.as_str()));
    let causes: Vec<_> = causes.collect();
    let named = Named::of(&entry.data);
    let labels = if entry.labels.is_empty() { String::new() } else { json(&*entry.labels)? };
    let note = if first { BASE64.encode(checkpoint.note.as_bytes()) } else { String::new() };
    let fields = [
        entry.seq.to_string(),
        entry.id.as_str().to_owned(),
        entry.kind.to_string(),
        entry.occurred_at.to_string(),
        entry.received_at.to_string(),
        text(user.map(|user| &*user.id)),
        text(user.map(|user| user.r#type.as_str())),
        text(session.map(|session| session.id.as_str())),
        session.map(|session| session.n.to_string()).unwrap_or_default(),
        text(agent.map(|agent| &*agent.id)),
        text(agent.and_then(|agent| agent.version.as_deref())),
        text(entry.delegation.as_deref().map(|delegation| &**delegation)),
        flags.join(" "),
        causes.join(" "),
        text(source.map(|source| source.observed_by.as_str())),
        text(source.map(|source| &*source.producer)),
        text(named.tool),
        text(named.call_id),
        text(named.model),
        text(named.method),
        text(named.url),
        named.status,
        text(entry.trace.as_deref().map(|trace| &*trace.trace_id)),
        labels,
        json(&*entry.data)?,
        content(row)?,
        row.entry_hash.to_string(),
        row.leaf_hash.to_string(),
        checkpoint.origin.clone(),
        checkpoint.size.to_string(),
        checkpoint.root.to_string(),
        note,
    ];
    write(bytes, fields)
}

/// Members of `data` that have a column.
#[derive(Default)]
struct Named<'a> {
    tool: Option<&'a str>,
    call_id: Option<&'a str>,
    model: Option<&'a str>,
    method: Option<&'a str>,
    url: Option<&'a str>,
    status: String,
}

impl<'a> Named<'a> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds have none of them")]
    fn of(data: &'a Data) -> Self {
        match data {
            Data::ToolInvocation(data) => {
                Self { tool: Some(&data.tool), call_id: data.call_id.as_deref(), ..Self::default() }
            }
            Data::ToolResult(data) => Self {
                call_id: data.call_id.as_deref(),
                status: data.status.to_string(),
                ..Self::default()
            },
            Data::ApiCall(data) => Self {
                method: Some(&data.method),
                url: data.url.as_deref().or(data.operation.as_deref()),
                status: data.status_code.map(|status| status.to_string()).unwrap_or_default(),
                ..Self::default()
            },
            Data::ModelOutput(data) => {
                let model = data.model.served.as_ref().unwrap_or(&data.model.requested);
                Self { model: Some(model), ..Self::default() }
            }
            _ => Self::default(),
        }
    }
}

/// The content by name; `null` for what was erased.
fn content(row: &Row<'_>) -> Result<String, ApiError> {
    let Some(parts) = row.parts.filter(|parts| !parts.is_empty()) else { return Ok(String::new()) };
    let mut values: BTreeMap<&str, Option<&RawValue>> = BTreeMap::new();
    for (commitment, part) in row.entry.content.iter().zip(parts) {
        let value = match part {
            StoredPart::Kept { bytes, .. } => {
                Some(serde_json::from_slice(bytes).map_err(|_| damaged())?)
            }
            StoredPart::Erased => None,
        };
        values.insert(&commitment.name, value);
    }
    json(&values)
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, ApiError> {
    let bytes =
        canon::sorted_to_bytes(value).map_err(|error| ApiError::internal(with_causes(&error)))?;
    String::from_utf8(bytes).map_err(|_| damaged())
}

fn text(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn write(bytes: &mut Vec<u8>, fields: [String; COLUMNS.len()]) -> Result<(), ApiError> {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(bytes);
    let written = writer.write_record(fields.map(harmless)).and_then(|()| Ok(writer.flush()?));
    written.map_err(|error| ApiError::internal(with_causes(&error)))
}

/// A field that no spreadsheet takes for a formula.
fn harmless(field: String) -> String {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        return format!("'{field}");
    }
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_begins_like_a_formula_and_quotes_hold() {
        let mut fields = COLUMNS.map(|_| String::new());
        for (field, text) in fields.iter_mut().zip([
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\tx",
            "plain",
            "a,b",
            "say \"x\"",
            "'=1",
        ]) {
            text.clone_into(field);
        }
        let mut bytes = Vec::new();
        write(&mut bytes, fields).unwrap();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&*bytes);
        let row = reader.records().next().unwrap().unwrap();
        let row: Vec<_> = row.iter().take(9).collect();
        let expected =
            ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "plain", "a,b", "say \"x\"", "'=1"];
        assert_eq!(row, expected);
        assert!(bytes.ends_with(b"\r\n"));
    }
}
