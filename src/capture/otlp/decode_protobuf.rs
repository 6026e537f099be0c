//! Telemetry as protocol buffers. The numbers of fields are those of OTLP 1.x.

use std::sync::Arc;

use data_encoding::BASE64;
use serde_json::{Map, Value};

use super::decode::{
    DEPTH_MAX, DecodeError, From, RawAttributes, RawEvent, RawLog, RawSpan, Signal, Taking, double,
    integer,
};
use super::item::Scope;
use super::wire::{Fields, NotWire};

impl std::convert::From<NotWire> for DecodeError {
    fn from(_: NotWire) -> Self {
        Self::Malformed
    }
}

/// `ExportTraceServiceRequest` or `ExportLogsServiceRequest`, which differ in the items alone.
pub(super) fn read(signal: Signal, post: &[u8], to: &mut Taking) -> Result<(), DecodeError> {
    for field in Fields::of(post) {
        if let (1, value) = field? {
            group(signal, value.bytes()?, to)?;
        }
    }
    Ok(())
}

/// `ResourceSpans` or `ResourceLogs`.
fn group(signal: Signal, message: &[u8], to: &mut Taking) -> Result<(), DecodeError> {
    let mut from = From::default();
    // Fields may come in any order, and what is in a resource is said of all that is beside it.
    for field in Fields::of(message) {
        if let (1, value) = field? {
            let mut attributes = RawAttributes::default();
            for field in Fields::of(value.bytes()?) {
                if let (1, value) = field? {
                    attribute(value.bytes()?, &mut attributes, to)?;
                }
            }
            from.resource = Arc::new(attributes.attributes);
        }
    }
    for field in Fields::of(message) {
        if let (2, value) = field? {
            in_scope(signal, value.bytes()?, &mut from, to)?;
        }
    }
    Ok(())
}

/// `ScopeSpans` or `ScopeLogs`.
fn in_scope(
    signal: Signal,
    message: &[u8],
    from: &mut From,
    to: &mut Taking,
) -> Result<(), DecodeError> {
    let mut scope = Scope::default();
    for field in Fields::of(message) {
        if let (1, value) = field? {
            for field in Fields::of(value.bytes()?) {
                match field? {
                    (1, value) => value.text()?.clone_into(&mut scope.name),
                    (2, value) => value.text()?.clone_into(&mut scope.version),
                    _ => {}
                }
            }
        }
    }
    from.scope = Arc::new(scope);
    for field in Fields::of(message) {
        let (2, value) = field? else { continue };
        match signal {
            Signal::Traces => {
                let raw = span(value.bytes()?, to)?;
                to.span(from, raw)?;
            }
            Signal::Logs => {
                let raw = log(value.bytes()?, to)?;
                to.log(from, raw)?;
            }
        }
    }
    Ok(())
}

fn span(message: &[u8], to: &mut Taking) -> Result<RawSpan, DecodeError> {
    let mut raw = RawSpan::default();
    for field in Fields::of(message) {
        match field? {
            (1, value) => raw.trace_id = value.bytes()?.to_vec(),
            (2, value) => raw.span_id = value.bytes()?.to_vec(),
            (4, value) => raw.parent = value.bytes()?.to_vec(),
            (5, value) => value.text()?.clone_into(&mut raw.name),
            (6, value) => raw.kind = value.varint()?,
            (7, value) => raw.start_ns = value.fixed64()?,
            (8, value) => raw.end_ns = value.fixed64()?,
            (9, value) => attribute(value.bytes()?, &mut raw.attributes, to)?,
            (10 | 12, value) => raw.dropped = raw.dropped.saturating_add(count(value.varint()?)),
            (11, value) => {
                let event = event(value.bytes()?, to)?;
                raw.event(event);
            }
            (15, value) => {
                for field in Fields::of(value.bytes()?) {
                    match field? {
                        (2, value) => value.text()?.clone_into(&mut raw.status_message),
                        (3, value) => raw.status = value.varint()?,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(raw)
}

fn event(message: &[u8], to: &mut Taking) -> Result<RawEvent, DecodeError> {
    to.value()?;
    let mut raw = RawEvent::default();
    for field in Fields::of(message) {
        match field? {
            (1, value) => raw.time_ns = value.fixed64()?,
            (2, value) => value.text()?.clone_into(&mut raw.name),
            (3, value) => attribute(value.bytes()?, &mut raw.attributes, to)?,
            (4, value) => raw.dropped = count(value.varint()?),
            _ => {}
        }
    }
    Ok(raw)
}

fn log(message: &[u8], to: &mut Taking) -> Result<RawLog, DecodeError> {
    let mut raw = RawLog::default();
    for field in Fields::of(message) {
        match field? {
            (1, value) => raw.time_ns = value.fixed64()?,
            (5, value) => raw.body = any(value.bytes()?, 1, to)?,
            (6, value) => attribute(value.bytes()?, &mut raw.attributes, to)?,
            (7, value) => raw.dropped = count(value.varint()?),
            (9, value) => raw.trace_id = value.bytes()?.to_vec(),
            (10, value) => raw.span_id = value.bytes()?.to_vec(),
            (11, value) => raw.observed_ns = value.fixed64()?,
            (12, value) => value.text()?.clone_into(&mut raw.event_name),
            _ => {}
        }
    }
    Ok(raw)
}

/// A `KeyValue` of something.
fn attribute(
    message: &[u8],
    attributes: &mut RawAttributes,
    to: &mut Taking,
) -> Result<(), DecodeError> {
    if attributes.has_room() {
        let (key, value) = key_value(message, 1, to)?;
        attributes.attributes.insert(key, value);
    }
    Ok(())
}

fn key_value(
    message: &[u8],
    depth: usize,
    to: &mut Taking,
) -> Result<(String, Value), DecodeError> {
    let (mut key, mut read) = (String::new(), Value::Null);
    to.value()?;
    for field in Fields::of(message) {
        match field? {
            (1, value) => value.text()?.clone_into(&mut key),
            (2, value) => read = any(value.bytes()?, depth, to)?,
            _ => {}
        }
    }
    Ok((key, read))
}

/// `AnyValue`, of which the last field counts.
fn any(message: &[u8], depth: usize, to: &mut Taking) -> Result<Value, DecodeError> {
    if depth > DEPTH_MAX {
        return Err(DecodeError::TooDeep);
    }
    to.value()?;
    let mut read = Value::Null;
    for field in Fields::of(message) {
        read = match field? {
            (1, value) => Value::String(value.text()?.to_owned()),
            (2, value) => Value::Bool(value.varint()? != 0),
            (3, value) => integer(value.varint()?.cast_signed()),
            (4, value) => double(f64::from_bits(value.fixed64()?)),
            (5, value) => {
                let mut items = Vec::new();
                for field in Fields::of(value.bytes()?) {
                    if let (1, value) = field? {
                        items.push(any(value.bytes()?, depth + 1, to)?);
                    }
                }
                Value::Array(items)
            }
            (6, value) => {
                let mut members = Map::new();
                for field in Fields::of(value.bytes()?) {
                    if let (1, value) = field? {
                        let (key, value) = key_value(value.bytes()?, depth + 1, to)?;
                        members.insert(key, value);
                    }
                }
                Value::Object(members)
            }
            (7, value) => Value::String(BASE64.encode(value.bytes()?)),
            _ => read,
        };
    }
    Ok(read)
}

fn count(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
