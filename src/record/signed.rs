//! What a producer signs: the record as it posted it, without the signature (SPEC 2.8).
//!
//! The same bytes can be told from a record that was just posted and from its entry with all of its
//! content, so that whoever has both can check the signature at any time, without the server.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::cause::{RecordId, Rel};
use super::check::Check;
use super::data::Data;
use super::entry::Entry;
use super::event::Event;
use super::identity::{Agent, User};
use super::kind::Kind;
use super::source::{Source, Trace};
use super::text::{ExternalId, Members};
use super::time::Timestamp;
use crate::canon::sorted_to_bytes;

/// The members in the order of their names; those without a value are left out, as in a draft.
#[derive(Serialize)]
struct Signed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a Agent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<SignedCause<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    content: BTreeMap<&'a str, &'a RawValue>,
    #[serde(skip_serializing_if = "Check::is_absent")]
    data: &'a Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    delegation: Option<&'a ExternalId>,
    id: &'a RecordId,
    kind: Kind,
    #[serde(skip_serializing_if = "no_labels")]
    labels: &'a Members<String>,
    occurred_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SignedSession<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a Source>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a Trace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a User>,
}

#[derive(Serialize)]
struct SignedCause<'a> {
    id: &'a RecordId,
    rel: Rel,
}

#[derive(Serialize)]
struct SignedSession<'a> {
    id: &'a ExternalId,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_session_id: Option<&'a ExternalId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_id: Option<&'a ExternalId>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn no_labels(labels: &&Members<String>) -> bool {
    labels.is_empty()
}

impl Event {
    /// The bytes that the producer signs: the RFC 8785 form of what it posted, without `signature`.
    ///
    /// There are none for a record that came without an id: the one that the server makes cannot have
    /// been signed.
    pub fn signed_form(&self) -> Option<Vec<u8>> {
        let content = self.content().iter().map(|part| (part.name.as_str(), &*part.bytes));
        let causes = self.causes().iter();
        let session = self.session().map(|session| SignedSession {
            id: &session.id,
            login_session_id: session.login_session_id.as_ref(),
            turn_id: session.turn_id.as_ref(),
        });
        let signed = Signed {
            agent: self.agent(),
            causes: causes.map(|cause| SignedCause { id: &cause.id, rel: cause.rel }).collect(),
            content: raw(content)?,
            data: self.data(),
            delegation: self.delegation(),
            id: self.id()?,
            kind: self.kind(),
            labels: self.labels(),
            occurred_at: self.occurred_at(),
            session,
            source: self.source(),
            trace: self.trace(),
            user: self.user(),
        };
        sorted_to_bytes(&signed).ok()
    }
}

impl Entry<'_> {
    /// The bytes that the producer signed, if this is what it posted. `content` is the canonical form of
    /// each part, in the order of the commitments; without all of them the bytes cannot be told.
    pub fn signed_form(&self, content: &[&[u8]]) -> Option<Vec<u8>> {
        if content.len() != self.content.len() {
            return None;
        }
        let names = self.content.iter().map(|part| &*part.name);
        let causes = self.causes.iter();
        let session = self.session.as_ref().map(|session| SignedSession {
            id: &session.id,
            login_session_id: session.login_session_id.as_deref(),
            turn_id: session.turn_id.as_deref(),
        });
        let signed = Signed {
            agent: self.agent.as_deref(),
            causes: causes.map(|cause| SignedCause { id: &cause.id, rel: cause.rel }).collect(),
            content: raw(names.zip(content.iter().copied()))?,
            data: &self.data,
            delegation: self.delegation.as_deref(),
            id: &self.id,
            kind: self.kind,
            labels: &self.labels,
            occurred_at: self.occurred_at,
            session,
            source: self.source.as_deref(),
            trace: self.trace.as_deref(),
            user: self.user.as_deref(),
        };
        sorted_to_bytes(&signed).ok()
    }
}

/// Parts in their canonical form, which is written as it stands.
fn raw<'a>(
    parts: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Option<BTreeMap<&'a str, &'a RawValue>> {
    parts.map(|(name, bytes)| Some((name, serde_json::from_slice(bytes).ok()?))).collect()
}
