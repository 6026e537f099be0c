//! Making drafts out of what telemetry says: names that fit, content within its limits.

use serde_json::Value;

use super::item::Span;
use crate::canon::{INTEGER_MAX, Json};
use crate::record::identity::UserType;
use crate::record::limits::CONTENT_PART_BYTES_MAX;
use crate::record::text::{ExternalId, Text};
use crate::record::{Captured, Hex, RecordId, Timestamp, Trace, User};

/// The most bytes of a text that is kept of what is too long: room for the quotes and escapes.
const TEXT_BYTES_MAX: usize = CONTENT_PART_BYTES_MAX / 8;

/// An id that depends on the span and on nothing else.
pub(super) fn id(trace_id: &Hex<32>, span_id: &Hex<16>, part: &str) -> Option<RecordId> {
    RecordId::try_from(format!("otlp.{}.{}.{part}", &**trace_id, &**span_id)).ok()
}

/// Nanoseconds since 1970 as a time.
pub(super) fn time(nanos: u64) -> Option<Timestamp> {
    Timestamp::from_unix_nanos(i128::from(nanos)).ok()
}

/// A user of whom nothing else is known.
pub(super) fn user(id: &str, kind: UserType) -> User {
    User {
        id: ExternalId::from(id),
        issuer: None,
        owner: None,
        pseudonym: None,
        subject: None,
        trigger: None,
        r#type: kind,
    }
}

/// The span as a record names it.
pub(super) fn trace(span: &Span) -> Trace {
    Trace {
        parent_span_id: span.parent.clone(),
        span_id: span.span_id.clone(),
        trace_id: span.trace_id.clone(),
    }
}

/// A name made to fit: what does not show is taken out, what is too long is cut. For names that tell
/// things apart for people; never for who is accountable.
pub(super) fn name<const MAX: usize>(text: &str) -> Option<Text<MAX>> {
    if let Some(fits) = Text::checked(text) {
        return Some(fits);
    }
    let mut short = String::new();
    for character in text.chars() {
        let mut next = short.clone();
        next.push(character);
        if Text::<MAX>::checked(&next).is_some() {
            short = next;
        } else if next.len() > MAX {
            break;
        }
    }
    Text::checked(&short)
}

/// As much of a text as a content part keeps.
pub(super) fn kept(text: &str) -> &str {
    let fits = text.len() <= TEXT_BYTES_MAX
        || canonical(&Value::from(text)).is_some_and(|(_, bytes)| bytes <= CONTENT_PART_BYTES_MAX);
    if fits { text } else { beginning(text) }
}

fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default()
}

/// Content, and whether all of it is there.
pub(super) struct Parts {
    parts: Vec<(String, Json)>,
    cut: bool,
}

impl Parts {
    pub(super) const fn new() -> Self {
        Self { parts: Vec::new(), cut: false }
    }

    /// Adds a part. What has no canonical form or is too long stands there as the beginning of its
    /// text, and the record says that it is truncated.
    pub(super) fn put(&mut self, name: &str, value: &Value) {
        let whole = canonical(value);
        let fits =
            whole.filter(|(_, bytes)| *bytes <= CONTENT_PART_BYTES_MAX).map(|(json, _)| json);
        let json = fits.unwrap_or_else(|| {
            self.cut = true;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Json::from_value(Value::from(beginning(&text)))
        });
        self.parts.push((name.to_owned(), json));
    }

    /// Adds a part, if there is one.
    pub(super) fn add(&mut self, name: &str, value: Option<&Value>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    pub(super) fn has(&self) -> bool {
        !self.parts.is_empty()
    }

    /// How much of the content is there. `incomplete` says that the producer left something out.
    pub(super) fn captured(&self, incomplete: bool) -> Option<Captured> {
        match (self.parts.is_empty(), self.cut || incomplete) {
            (true, _) => Some(Captured::Absent),
            (false, true) => Some(Captured::Truncated),
            (false, false) => None,
        }
    }

    pub(super) fn into_members(self) -> crate::record::Members<Json> {
        self.parts.into_iter().collect()
    }
}

/// The value in a form that can be committed to, and the bytes of its canonical form. Integers that
/// RFC 8785 would change become texts.
fn canonical(value: &Value) -> Option<(Json, usize)> {
    let exact = exact(value);
    let text = exact.to_string();
    let json: Json = serde_json::from_str(&text).ok()?;
    let bytes = json.to_bytes().ok()?.len();
    Some((json, bytes))
}

/// The value with integers that RFC 8785 would change as texts.
pub(super) fn exact(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let max = INTEGER_MAX;
            let fits = number.as_i64().is_some_and(|integer| integer.unsigned_abs() <= max)
                || number.as_u64().is_some_and(|integer| integer <= max)
                || number.is_f64();
            if fits { value.clone() } else { Value::from(number.to_string()) }
        }
        Value::Array(values) => Value::Array(values.iter().map(exact).collect()),
        Value::Object(members) => Value::Object(
            members.iter().map(|(name, value)| (name.clone(), exact(value))).collect(),
        ),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}
