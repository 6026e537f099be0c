//! Telemetry as JSON, with what exporters make of it: integers of 64 bits as texts and as numbers,
//! enumerations as numbers and by name, members that are null, members that nobody knows.

use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::{Map, Value};

use super::decode::{
    DEPTH_MAX, DecodeError, From, RawAttributes, RawEvent, RawLog, RawSpan, Signal, Taking,
    VALUES_MAX, double, integer,
};
use super::item::Scope;
use super::read::values_of;

/// The most values of JSON that a post is: each attribute takes four of them.
const JSON_VALUES_MAX: usize = 4 * VALUES_MAX;

type Read<T> = Result<T, DecodeError>;

/// `ExportTraceServiceRequest` or `ExportLogsServiceRequest`.
pub(super) fn read(signal: Signal, post: &[u8], to: &mut Taking) -> Read<()> {
    // What nobody knows takes memory too.
    if values_of(post) > JSON_VALUES_MAX {
        return Err(DecodeError::TooMany);
    }
    let post: Value = serde_json::from_slice(post).map_err(|_| DecodeError::Malformed)?;
    let (groups, scopes, items) = match signal {
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
    };
    for group in list(object(&post)?, groups)? {
        let group = object(group)?;
        let mut from = From::default();
        if let Some(resource) = member(group, "resource") {
            from.resource = Arc::new(attributes(object(resource)?, to)?.attributes);
        }
        for within in list(group, scopes)? {
            let within = object(within)?;
            from.scope = Arc::default();
            if let Some(scope) = member(within, "scope") {
                let scope = object(scope)?;
                let (name, version) = (text(scope, "name")?, text(scope, "version")?);
                from.scope = Arc::new(Scope { name, version });
            }
            for item in list(within, items)? {
                let item = object(item)?;
                match signal {
                    Signal::Traces => {
                        let raw = span(item, to)?;
                        to.span(&from, raw)?;
                    }
                    Signal::Logs => {
                        let raw = log(item, to)?;
                        to.log(&from, raw)?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn span(item: &Map<String, Value>, to: &mut Taking) -> Read<RawSpan> {
    let (mut status, mut status_message) = (0, String::new());
    if let Some(value) = member(item, "status") {
        let value = object(value)?;
        status = enumeration(value, "code", &["UNSET", "OK", "ERROR"])?;
        status_message = text(value, "message")?;
    }
    let dropped = count(item, "droppedAttributesCount")?;
    let mut raw = RawSpan {
        trace_id: hex(item, "traceId")?,
        span_id: hex(item, "spanId")?,
        parent: hex(item, "parentSpanId")?,
        name: text(item, "name")?,
        kind: enumeration(item, "kind", KINDS)?,
        start_ns: nanos(item, "startTimeUnixNano")?,
        end_ns: nanos(item, "endTimeUnixNano")?,
        attributes: attributes(item, to)?,
        events: Vec::new(),
        status,
        status_message,
        dropped: dropped.saturating_add(count(item, "droppedEventsCount")?),
    };
    for event in list(item, "events")? {
        to.value()?;
        let event = object(event)?;
        raw.event(RawEvent {
            name: text(event, "name")?,
            time_ns: nanos(event, "timeUnixNano")?,
            attributes: attributes(event, to)?,
            dropped: count(event, "droppedAttributesCount")?,
        });
    }
    Ok(raw)
}

/// How the names of span kinds end, from 0 on.
const KINDS: &[&str] = &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];

fn log(item: &Map<String, Value>, to: &mut Taking) -> Read<RawLog> {
    Ok(RawLog {
        trace_id: hex(item, "traceId")?,
        span_id: hex(item, "spanId")?,
        time_ns: nanos(item, "timeUnixNano")?,
        observed_ns: nanos(item, "observedTimeUnixNano")?,
        event_name: text(item, "eventName")?,
        body: member(item, "body").map_or(Ok(Value::Null), |body| any(body, 1, to))?,
        attributes: attributes(item, to)?,
        dropped: count(item, "droppedAttributesCount")?,
    })
}

fn attributes(of: &Map<String, Value>, to: &mut Taking) -> Read<RawAttributes> {
    let mut raw = RawAttributes::default();
    for attribute in list(of, "attributes")? {
        if raw.has_room() {
            let (key, value) = key_value(attribute, 1, to)?;
            raw.attributes.insert(key, value);
        }
    }
    Ok(raw)
}

fn key_value(of: &Value, depth: usize, to: &mut Taking) -> Read<(String, Value)> {
    to.value()?;
    let of = object(of)?;
    let value = member(of, "value").map_or(Ok(Value::Null), |value| any(value, depth, to))?;
    Ok((text(of, "key")?, value))
}

/// `AnyValue`, of which one member counts.
fn any(value: &Value, depth: usize, to: &mut Taking) -> Read<Value> {
    if depth > DEPTH_MAX {
        return Err(DecodeError::TooDeep);
    }
    to.value()?;
    let of = object(value)?;
    let known = of.iter().filter(|(_, value)| !value.is_null());
    for (name, value) in known {
        match (name.as_str(), value) {
            ("stringValue" | "bytesValue", Value::String(_)) | ("boolValue", Value::Bool(_)) => {
                return Ok(value.clone());
            }
            ("intValue", Value::Number(_) | Value::String(_)) => return int(value),
            ("doubleValue", Value::Number(number)) => {
                return Ok(double(number.as_f64().unwrap_or(f64::NAN)));
            }
            ("doubleValue", Value::String(text)) => {
                return text.parse().map(double).map_err(|_| DecodeError::Malformed);
            }
            ("arrayValue", Value::Object(array)) => {
                let items = list(array, "values")?.iter().map(|item| any(item, depth + 1, to));
                return Ok(Value::Array(items.collect::<Read<_>>()?));
            }
            ("kvlistValue", Value::Object(members)) => {
                let members = list(members, "values")?;
                let members = members.iter().map(|member| key_value(member, depth + 1, to));
                return Ok(Value::Object(members.collect::<Read<_>>()?));
            }
            (
                "stringValue" | "bytesValue" | "boolValue" | "intValue" | "doubleValue"
                | "arrayValue" | "kvlistValue",
                _,
            ) => return Err(DecodeError::Malformed),
            _ => {}
        }
    }
    Ok(Value::Null)
}

/// An integer, as a number or as a text.
fn int(value: &Value) -> Read<Value> {
    if let Some(value) = value.as_i64() {
        return Ok(integer(value));
    }
    digits(value)?.parse().map(integer).map_err(|_| DecodeError::Malformed)
}

/// The digits of an integer.
fn digits(value: &Value) -> Read<String> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    // Some languages have one kind of number, and write 3.0 or 1e3.
    let number = value.as_f64().ok_or(DecodeError::Malformed)?;
    Ok(format!("{number:.0}"))
}

fn object(value: &Value) -> Read<&Map<String, Value>> {
    value.as_object().ok_or(DecodeError::Malformed)
}

/// A member, unless it is missing or null.
fn member<'a>(of: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    of.get(name).filter(|value| !value.is_null())
}

fn list<'a>(of: &'a Map<String, Value>, name: &str) -> Read<&'a [Value]> {
    match member(of, name) {
        None => Ok(&[]),
        Some(value) => value.as_array().map(Vec::as_slice).ok_or(DecodeError::Malformed),
    }
}

fn text(of: &Map<String, Value>, name: &str) -> Read<String> {
    match member(of, name) {
        None => Ok(String::new()),
        Some(value) => value.as_str().map(str::to_owned).ok_or(DecodeError::Malformed),
    }
}

/// The bytes of an id. What is not hexadecimal is no id, which is found out with the item.
fn hex(of: &Map<String, Value>, name: &str) -> Read<Vec<u8>> {
    let text = text(of, name)?;
    Ok(HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap_or_else(|_| vec![u8::MAX]))
}

fn nanos(of: &Map<String, Value>, name: &str) -> Read<u64> {
    let Some(value) = member(of, name) else { return Ok(0) };
    if let Some(value) = value.as_u64() {
        return Ok(value);
    }
    digits(value)?.parse().map_err(|_| DecodeError::Malformed)
}

fn count(of: &Map<String, Value>, name: &str) -> Read<u32> {
    Ok(u32::try_from(nanos(of, name)?).unwrap_or(u32::MAX))
}

/// An enumeration, by number or by a name that ends like this.
fn enumeration(of: &Map<String, Value>, name: &str, endings: &[&str]) -> Read<u64> {
    let Some(Value::String(named)) = member(of, name) else { return nanos(of, name) };
    let place = endings.iter().position(|ending| {
        named.strip_suffix(ending).is_some_and(|start| start.is_empty() || start.ends_with('_'))
    });
    match place.and_then(|place| u64::try_from(place).ok()) {
        Some(place) => Ok(place),
        None => named.parse().map_err(|_| DecodeError::Malformed),
    }
}
