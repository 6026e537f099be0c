//! A record as it is posted: the right shape, and nothing else checked yet.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::cause::{Cause, RecordId};
use super::check::Check;
use super::data::Data;
use super::fault::{Invalid, explain};
use super::identity::{Agent, Session, User};
use super::kind::Kind;
use super::limits::CAUSES_MAX;
use super::shape::ObjectOnly;
use super::source::{ProducerSignature, Source, Trace};
use super::text::{ExternalId, List, Members};
use super::time::Timestamp;
use crate::canon::Json;

/// The causes of a record, in the order in which they were posted.
pub type Causes = List<Cause, 0, CAUSES_MAX>;

/// What is posted: the members of a record, each of its type, not checked yet (SPEC 2.3).
///
/// `Event::try_from` checks it. A draft is written in the form in which it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The agent that acted.
    pub agent: Option<Agent>,
    /// The records that this one follows from.
    pub causes: Causes,
    /// Prompts, outputs, arguments, results, bodies: what can be erased.
    pub content: Members<Json>,
    /// The kind, and its structured part.
    pub data: Data,
    /// The grant under which the agent acted.
    pub delegation: Option<ExternalId>,
    /// The record's id; the server makes one if there is none.
    pub id: Option<RecordId>,
    /// The sender's own names and values to find the record by.
    pub labels: Members<String>,
    /// When it happened, as the sender says.
    pub occurred_at: Timestamp,
    /// The session that it belongs to.
    pub session: Option<Session>,
    /// The producer's signature of all the others.
    pub signature: Option<ProducerSignature>,
    /// Who saw it. Only what the server writes has none.
    pub source: Option<Source>,
    /// The OpenTelemetry span that it belongs to.
    pub trace: Option<Trace>,
    /// Who is accountable.
    pub user: Option<User>,
}

impl Draft {
    /// A draft with nothing but what every record has.
    pub fn new(data: impl Into<Data>, occurred_at: Timestamp) -> Self {
        Self {
            agent: None,
            causes: Causes::default(),
            content: Members::default(),
            data: data.into(),
            delegation: None,
            id: None,
            labels: Members::default(),
            occurred_at,
            session: None,
            signature: None,
            source: None,
            trace: None,
            user: None,
        }
    }

    /// Reads one JSON object, strictly (SPEC 2.1, 2.2).
    ///
    /// Only the first fault of shape is reported: where the shape is wrong there is nothing to
    /// check further. The error repeats nothing of the input.
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        let posted: Posted<'_> = serde_json::from_slice(bytes).map_err(|_| locate(bytes))?;
        match Data::parse(posted.kind, posted.data) {
            Ok(data) => Ok(posted.with_data(data)),
            Err(error) => Err(match Data::locate(posted.kind, posted.data) {
                Err(located) => explain("/data", Some(located.path()), located.inner()),
                Ok(()) => explain("/data", None, &error),
            }),
        }
    }

    /// The kind, which the data decides.
    pub const fn kind(&self) -> Kind {
        self.data.kind()
    }
}

/// Finds out where the shape of a record is wrong. This is a second, slower reading, so that a
/// good record is not read slowly.
fn locate(bytes: &[u8]) -> Invalid {
    let mut from = serde_json::Deserializer::from_slice(bytes);
    match serde_path_to_error::deserialize::<_, Posted<'_>>(&mut from) {
        Err(error) => explain("", Some(error.path()), error.inner()),
        Ok(_) => from.end().err().map_or_else(
            || Invalid::one("", super::Code::JsonInvalid, "not valid JSON"),
            |error| explain("", None, &error),
        ),
    }
}

/// The members as they stand in JSON. What `data` may hold depends on `kind`, which may come later.
#[derive(Deserialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schemars(rename = "Record")]
pub(super) struct Posted<'a> {
    /// The agent that acted.
    agent: Option<Agent>,
    /// The records that this one follows from.
    #[serde(default)]
    causes: Causes,
    /// Prompts, outputs, arguments, results, bodies: what can be erased.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::content")]
    content: Members<Json>,
    /// The kind's structured part.
    #[serde(borrow)]
    #[schemars(schema_with = "super::schema::any_object")]
    data: Option<&'a RawValue>,
    /// The grant under which the agent acted.
    delegation: Option<ExternalId>,
    /// The record's id; the server makes one if there is none.
    id: Option<RecordId>,
    /// What the record tells.
    #[schemars(schema_with = "super::schema::posted_kind")]
    kind: Kind,
    /// The sender's own names and values to find the record by.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::labels")]
    labels: Members<String>,
    /// When it happened, as the sender says.
    occurred_at: Timestamp,
    /// The session that it belongs to.
    session: Option<Session>,
    /// The producer's signature of all the others.
    signature: Option<ProducerSignature>,
    /// Who saw it.
    source: Source,
    /// The OpenTelemetry span that it belongs to.
    trace: Option<Trace>,
    /// Who is accountable.
    user: Option<User>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Posted<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(ObjectOnly(deserializer))
    }
}

impl Posted<'_> {
    fn with_data(self, data: Data) -> Draft {
        Draft {
            agent: self.agent,
            causes: self.causes,
            content: self.content,
            data,
            delegation: self.delegation,
            id: self.id,
            labels: self.labels,
            occurred_at: self.occurred_at,
            session: self.session,
            signature: self.signature,
            source: Some(self.source),
            trace: self.trace,
            user: self.user,
        }
    }
}

impl Serialize for Draft {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let content: BTreeMap<_, _> =
            self.content.iter().map(|(name, json)| (name, json.as_value())).collect();
        let mut members = serializer.serialize_map(None)?;
        put(&mut members, "agent", self.agent.as_ref())?;
        put(&mut members, "causes", (!self.causes.is_empty()).then_some(&self.causes))?;
        put(&mut members, "content", (!content.is_empty()).then_some(&content))?;
        put(&mut members, "data", (!self.data.is_absent()).then_some(&self.data))?;
        put(&mut members, "delegation", self.delegation.as_ref())?;
        put(&mut members, "id", self.id.as_ref())?;
        put(&mut members, "kind", Some(&self.kind()))?;
        put(&mut members, "labels", (!self.labels.is_empty()).then_some(&self.labels))?;
        put(&mut members, "occurred_at", Some(&self.occurred_at))?;
        put(&mut members, "session", self.session.as_ref())?;
        put(&mut members, "signature", self.signature.as_ref())?;
        put(&mut members, "source", self.source.as_ref())?;
        put(&mut members, "trace", self.trace.as_ref())?;
        put(&mut members, "user", self.user.as_ref())?;
        members.end()
    }
}

/// Writes a member that has a value.
fn put<M: SerializeMap, T: Serialize + ?Sized>(
    members: &mut M,
    name: &str,
    value: Option<&T>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| members.serialize_entry(name, value))
}
