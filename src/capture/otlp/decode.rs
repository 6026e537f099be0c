//! Posted telemetry to items: `ExportTraceServiceRequest` and `ExportLogsServiceRequest`, as protocol
//! buffers and as JSON.
//!
//! Both forms are read into the same [`RawSpan`] and [`RawLog`], which are then checked, so that the form
//! makes no difference. What an exporter sends beyond what an [`Item`] has is skipped, as the
//! specification demands of a receiver.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde_json::{Number, Value};

use super::item::{Attributes, Item, Log, Scope, Span, SpanEvent, SpanId, SpanKind, TraceId, What};
use super::{decode_json, decode_protobuf};
use crate::record::Hex;

/// The most items of one post.
pub(super) const ITEMS_MAX: usize = 16_384;
/// The most values of one post: attributes, and what is inside of them.
pub(super) const VALUES_MAX: usize = 262_144;
/// The most attributes of one thing, and the most events of a span. Those beyond it are dropped, and
/// counted as dropped.
pub(super) const ATTRIBUTES_MAX: usize = 1_024;
/// How deep a value may be nested.
pub(super) const DEPTH_MAX: usize = 32;
/// The largest integer that every reader of JSON takes for what it is. Larger ones become texts.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// What is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
}

/// The form in which it is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Protocol buffers.
    Protobuf,
    /// OTLP/JSON: ids in hexadecimal, integers of 64 bits as numbers or texts.
    Json,
}

/// What a post holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// What was understood, in the order of the post.
    pub items: Vec<Item>,
    /// How many items cannot be taken.
    pub rejected: u64,
    /// Why the first of them cannot.
    pub reason: Option<&'static str>,
}

/// Why a post cannot be read. Nothing of it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is not of the form that it is said to be.
    #[error("the body is not the telemetry that it is said to be")]
    Malformed,
    /// A value is nested too deep.
    #[error("an attribute is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// It has too many items or values.
    #[error("a post has at most {ITEMS_MAX} items and {VALUES_MAX} values: export smaller batches")]
    TooMany,
}

/// Reads a post. How much memory that takes is bounded by the length of the post and by
/// [`ITEMS_MAX`] and [`VALUES_MAX`].
///
/// An item whose ids are wrong is counted and left out. A post that cannot be read as a whole is an
/// error.
pub fn decode(signal: Signal, encoding: Encoding, post: &[u8]) -> Result<Decoded, DecodeError> {
    let mut taking = Taking::default();
    match encoding {
        Encoding::Protobuf => decode_protobuf::read(signal, post, &mut taking)?,
        Encoding::Json => decode_json::read(signal, post, &mut taking)?,
    }
    Ok(taking.decoded)
}

/// What was read so far, and how much more may be.
#[derive(Debug, Default)]
pub(super) struct Taking {
    decoded: Decoded,
    values: usize,
}

impl Taking {
    /// Counts a value.
    pub(super) const fn value(&mut self) -> Result<(), DecodeError> {
        self.values += 1;
        if self.values > VALUES_MAX { Err(DecodeError::TooMany) } else { Ok(()) }
    }

    pub(super) fn span(&mut self, from: &From, raw: RawSpan) -> Result<(), DecodeError> {
        self.take(from, raw.checked().map(What::Span))
    }

    pub(super) fn log(&mut self, from: &From, raw: RawLog) -> Result<(), DecodeError> {
        self.take(from, raw.checked().map(What::Log))
    }

    fn take(&mut self, from: &From, what: Result<What, &'static str>) -> Result<(), DecodeError> {
        let rejected = usize::try_from(self.decoded.rejected).unwrap_or(usize::MAX);
        if self.decoded.items.len().saturating_add(rejected) >= ITEMS_MAX {
            return Err(DecodeError::TooMany);
        }
        match what {
            Ok(what) => {
                let (resource, scope) = (Arc::clone(&from.resource), Arc::clone(&from.scope));
                self.decoded.items.push(Item { resource, scope, what });
            }
            Err(reason) => {
                self.decoded.rejected += 1;
                self.decoded.reason.get_or_insert(reason);
            }
        }
        Ok(())
    }
}

/// What items are reported under.
#[derive(Debug, Default)]
pub(super) struct From {
    pub(super) resource: Arc<Attributes>,
    pub(super) scope: Arc<Scope>,
}

/// Attributes as they are read.
#[derive(Debug, Default)]
pub(super) struct RawAttributes {
    pub(super) attributes: Attributes,
    /// How many were left out here.
    pub(super) dropped: u32,
}

impl RawAttributes {
    /// Whether one more is taken. If not, it is counted.
    pub(super) fn has_room(&mut self) -> bool {
        let room = self.attributes.len() < ATTRIBUTES_MAX;
        self.dropped = self.dropped.saturating_add(u32::from(!room));
        room
    }
}

/// A span as it is read.
#[derive(Debug, Default)]
pub(super) struct RawSpan {
    pub(super) trace_id: Vec<u8>,
    pub(super) span_id: Vec<u8>,
    pub(super) parent: Vec<u8>,
    pub(super) name: String,
    pub(super) kind: u64,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) attributes: RawAttributes,
    pub(super) events: Vec<SpanEvent>,
    pub(super) status: u64,
    pub(super) status_message: String,
    pub(super) dropped: u32,
}

/// The code of a status that is an error.
const STATUS_ERROR: u64 = 2;

impl RawSpan {
    pub(super) fn event(&mut self, event: RawEvent) {
        let dropped = event.attributes.dropped.saturating_add(event.dropped);
        self.dropped = self.dropped.saturating_add(dropped);
        if self.events.len() < ATTRIBUTES_MAX {
            let attributes = event.attributes.attributes;
            self.events.push(SpanEvent { name: event.name, time_ns: event.time_ns, attributes });
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    fn checked(self) -> Result<Span, &'static str> {
        let parent = optional(&self.parent).map_err(|()| "a parent_span_id has not 8 bytes")?;
        Ok(Span {
            trace_id: id(&self.trace_id).ok_or("a trace_id has not 16 bytes, or is all zero")?,
            span_id: id(&self.span_id).ok_or("a span_id has not 8 bytes, or is all zero")?,
            parent,
            name: self.name,
            kind: match self.kind {
                2 => SpanKind::Server,
                3 => SpanKind::Client,
                4 => SpanKind::Producer,
                5 => SpanKind::Consumer,
                _ => SpanKind::Internal,
            },
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            dropped: self.dropped.saturating_add(self.attributes.dropped),
            attributes: self.attributes.attributes,
            events: self.events,
            failed: self.status == STATUS_ERROR,
            status_message: self.status_message,
        })
    }
}

/// An event of a span as it is read.
#[derive(Debug, Default)]
pub(super) struct RawEvent {
    pub(super) name: String,
    pub(super) time_ns: u64,
    pub(super) attributes: RawAttributes,
    pub(super) dropped: u32,
}

/// A log record as it is read.
#[derive(Debug, Default)]
pub(super) struct RawLog {
    pub(super) trace_id: Vec<u8>,
    pub(super) span_id: Vec<u8>,
    pub(super) time_ns: u64,
    pub(super) observed_ns: u64,
    pub(super) event_name: String,
    pub(super) body: Value,
    pub(super) attributes: RawAttributes,
    pub(super) dropped: u32,
}

impl RawLog {
    fn checked(self) -> Result<Log, &'static str> {
        let attributes = self.attributes.attributes;
        let named = || attributes.get("event.name")?.as_str().map(str::to_owned);
        let event_name = match self.event_name {
            name if name.is_empty() => named().unwrap_or_default(),
            name => name,
        };
        let trace_id: Option<TraceId> =
            optional(&self.trace_id).map_err(|()| "a trace_id has not 16 bytes")?;
        let span_id: Option<SpanId> =
            optional(&self.span_id).map_err(|()| "a span_id has not 8 bytes")?;
        Ok(Log {
            // A span without its trace says nothing.
            span_id: span_id.filter(|_| trace_id.is_some()),
            trace_id,
            time_ns: if self.time_ns == 0 { self.observed_ns } else { self.time_ns },
            event_name,
            body: self.body,
            dropped: self.dropped.saturating_add(self.attributes.dropped),
            attributes,
        })
    }
}

/// An id, if it has its length and is not all zero.
fn id<const DIGITS: usize>(bytes: &[u8]) -> Option<Hex<DIGITS>> {
    if bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    Hex::new(HEXLOWER.encode(bytes))
}

/// An id that may be missing: empty, or all zero.
fn optional<const DIGITS: usize>(bytes: &[u8]) -> Result<Option<Hex<DIGITS>>, ()> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    id(bytes).map(Some).ok_or(())
}

/// An integer as JSON: as a text if not every reader of JSON would keep its value.
pub(super) fn integer(value: i64) -> Value {
    if value.unsigned_abs() > INTEGER_MAX {
        return Value::String(value.to_string());
    }
    Value::Number(value.into())
}

/// A number as JSON: as a text if it is none.
pub(super) fn double(value: f64) -> Value {
    let text = || {
        if value.is_nan() {
            "NaN"
        } else if value.is_sign_positive() {
            "Infinity"
        } else {
            "-Infinity"
        }
    };
    Number::from_f64(value).map_or_else(|| Value::String(text().to_owned()), Value::Number)
}

#[cfg(test)]
mod tests;
