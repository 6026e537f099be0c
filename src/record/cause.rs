//! Causes: the records that a record follows from (SPEC 2.5).

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::check::Check;
use super::fault::{Code, refuse};
use super::limits::RECORD_ID_BYTES_MAX;

names! {
    /// How a record follows from another.
    Rel {
        /// It is the subject of this one.
        About = "about",
        /// It allowed this one.
        AuthorizedBy = "authorized_by",
        /// It asked for what this one gives.
        Completes = "completes",
        /// It is wrong, and this one says what is right.
        Corrects = "corrects",
        /// It gave the work over, from another agent or session.
        HandedOffFrom = "handed_off_from",
        /// It was in the context when this one came about.
        InformedBy = "informed_by",
        /// It set this one off.
        TriggeredBy = "triggered_by",
    }
}

object! {
    /// One cause, as posted.
    Cause {
        /// The record that this one follows from.
        id: RecordId,
        /// How.
        rel: Rel,
    }
}

/// A record's id: 1 to 128 of `A-Z a-z 0-9 . _ ~ : @ -`, and neither `.` nor `..`, so that it can
/// stand in a URL as it is (SPEC 2.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RecordId(String);

/// The text is no record id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a record id has 1 to {RECORD_ID_BYTES_MAX} of the characters A-Z a-z 0-9 . _ ~ : @ -, \
     and is neither \".\" nor \"..\""
)]
pub struct NotRecordId;

impl RecordId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for RecordId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RecordId {
    type Error = NotRecordId;

    fn try_from(text: String) -> Result<Self, NotRecordId> {
        let known = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b':' | b'@' | b'-')
        };
        let length = (1..=RECORD_ID_BYTES_MAX).contains(&text.len());
        // A URL parser takes these two segments away.
        let segment = text != "." && text != "..";
        if length && segment && text.bytes().all(known) { Ok(Self(text)) } else { Err(NotRecordId) }
    }
}

impl FromStr for RecordId {
    type Err = NotRecordId;

    fn from_str(text: &str) -> Result<Self, NotRecordId> {
        Self::try_from(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for RecordId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let long = text.len() > RECORD_ID_BYTES_MAX;
        let code = if long { Code::FieldTooLong } else { Code::FieldInvalid };
        Self::try_from(text).map_err(|error| refuse(code, &error.to_string()))
    }
}

impl Check for RecordId {}

impl JsonSchema for RecordId {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RecordId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": format!("^[A-Za-z0-9._~:@-]{{1,{RECORD_ID_BYTES_MAX}}}$"),
            "not": { "enum": [".", ".."] },
        })
    }
}
