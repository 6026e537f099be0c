//! The sealed form of a record: what is hashed, chained, signed, stored and served (SPEC 3.1).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::cause::{RecordId, Rel};
use super::check::Check;
use super::data::Data;
use super::event::{Event, check_content_name};
use super::facts::Facts;
use super::fault::{At, Code, Faults, Invalid};
use super::flag::Flag;
use super::identity::{Agent, Session, User};
use super::kind::Kind;
use super::limits::{
    CAUSES_MAX, CONTENT_PART_BYTES_MAX, CONTENT_PARTS_MAX, ENTRY_BYTES_MAX, LEDGER_NAME_BYTES_MAX,
    RECORD_ID_BYTES_MAX,
};
use super::placement::{CauseLink, Placement, SealError, Sealed, SessionLink, is_ledger_name};
use super::source::{ProducerSignature, Source, Trace};
use super::text::{ExternalId, Members};
use super::time::Timestamp;
use crate::canon::{ContentDigest, EntryHash, TreeHash, json::INTEGER_MAX, sorted_to_bytes};

/// The version of the entry format.
const VERSION: u64 = 1;

/// A record in its place in a ledger. The members are declared in the order in which they are
/// written; those without a value are left out.
///
/// It is made by [`Entry::parse`], or inside [`Entry::seal`]: its fields are open for reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry<'a> {
    /// The agent that acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Cow<'a, Agent>>,
    /// The causes, in the order in which they were posted, with their places in the ledger.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<ResolvedCause<'a>>,
    /// The commitments to the content, sorted by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<Commitment<'a>>,
    /// The kind's structured part.
    #[serde(skip_serializing_if = "no_data")]
    pub data: Cow<'a, Data>,
    /// The grant under which the agent acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Cow<'a, ExternalId>>,
    /// What should not have happened, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
    /// The record's id.
    pub id: Cow<'a, RecordId>,
    /// The kind.
    pub kind: Kind,
    /// The sender's own names and values.
    #[serde(skip_serializing_if = "no_labels")]
    pub labels: Cow<'a, Members<String>>,
    /// The ledger.
    pub ledger: Cow<'a, str>,
    /// When it happened, as the sender says.
    pub occurred_at: Timestamp,
    /// The hash of the entry before; none at 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev: Option<EntryHash>,
    /// When the server took the record.
    pub received_at: Timestamp,
    /// The record's number in the ledger, from 0.
    pub seq: u64,
    /// The session, and the record's place in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SealedSession<'a>>,
    /// The producer's signature of what it posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Cow<'a, ProducerSignature>>,
    /// Who saw it; none for what the server writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Cow<'a, Source>>,
    /// The OpenTelemetry span that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Cow<'a, Trace>>,
    /// Who is accountable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Cow<'a, User>>,
    /// The version of the format: 1.
    pub v: u64,
}

/// A cause, and where it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolvedCause<'a> {
    /// The hash of its entry.
    pub entry_hash: EntryHash,
    /// The record that this one follows from.
    pub id: Cow<'a, RecordId>,
    /// How.
    pub rel: Rel,
    /// Its number in the ledger.
    pub seq: u64,
}

/// The commitment to one part of a record's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commitment<'a> {
    /// The length of the canonical form.
    pub bytes: u64,
    /// The salted digest of the canonical form.
    pub digest: ContentDigest,
    /// The part's name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
}

/// A session, and a record's place in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedSession<'a> {
    /// The session's id.
    pub id: Cow<'a, ExternalId>,
    /// The identity provider's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_session_id: Option<Cow<'a, ExternalId>>,
    /// The record's number in the session, from 0.
    pub n: u64,
    /// The hash of the session's entry before; none at 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev: Option<EntryHash>,
    /// The turn of the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<Cow<'a, ExternalId>>,
}

/// The bytes are not an entry. Nothing of them is repeated here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEntry {
    /// Longer than an entry can be.
    #[error("longer than {ENTRY_BYTES_MAX} bytes")]
    TooLong,
    /// Not a JSON object with an entry's members.
    #[error("not an entry's JSON, at byte {column}")]
    Malformed {
        /// Where reading stopped; entries have one line.
        column: usize,
    },
    /// Not the canonical form of what it says.
    #[error("not in canonical form")]
    NotCanonical,
    /// It breaks a rule of records.
    #[error("not a record: {0}")]
    Invalid(#[source] Invalid),
}

impl<'a> Entry<'a> {
    /// Gives an event its place, and makes the bytes that stand for it from now on.
    pub fn seal(event: &Event, placement: Placement<'_>) -> Result<Sealed, SealError> {
        let id = event.id().ok_or(SealError::NoId)?;
        let bytes = sorted_to_bytes(&Entry::placed(event, id, placement)?)?;
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(SealError::TooLong { bytes: bytes.len() });
        }
        Ok(Sealed { hash: EntryHash::of(&bytes), leaf: TreeHash::leaf(&bytes), bytes })
    }

    /// Reads an entry: every member known, every limit and rule kept that can be checked without
    /// another entry, and the very bytes that [`Entry::seal`] would have made (SPEC 3.1).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NotAnEntry> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(NotAnEntry::TooLong);
        }
        let entry = Self::read_back(bytes)?;
        if sorted_to_bytes(&entry).ok().as_deref() != Some(bytes) {
            return Err(NotAnEntry::NotCanonical);
        }
        entry.check().map_err(NotAnEntry::Invalid)?;
        Ok(entry)
    }

    /// Reads an entry that was checked before: its shape is looked at, and neither its form nor its
    /// limits and rules. For one who follows a log of this server's own, record by record.
    pub fn read_back(bytes: &'a [u8]) -> Result<Self, NotAnEntry> {
        let malformed = |error: serde_json::Error| NotAnEntry::Malformed { column: error.column() };
        let read: Read<'a> = serde_json::from_slice(bytes).map_err(malformed)?;
        let data = Data::parse(read.kind, read.data).map_err(malformed)?;
        Ok(read.with_data(data))
    }

    /// Whether this seals that event: every member the same, and the content of the same names and
    /// lengths. Whether the content is the same, only its digests can tell.
    ///
    /// An event without an id is compared as if it had this one's.
    pub fn same_record(&self, event: &Event) -> bool {
        let session = match (&self.session, event.session()) {
            (Some(sealed), Some(session)) => sealed.same_session(session),
            (sealed, session) => sealed.is_none() && session.is_none(),
        };
        let causes = self.causes.iter().map(|cause| (&*cause.id, cause.rel));
        let content = self.content.iter().map(|part| (&*part.name, part.bytes));
        let posted = event.content().iter();

        session
            && event.id().is_none_or(|id| *id == *self.id)
            && self.agent.as_deref() == event.agent()
            && *self.data == *event.data()
            && self.delegation.as_deref() == event.delegation()
            && *self.labels == *event.labels()
            && self.occurred_at == event.occurred_at()
            && self.signature.as_deref() == event.signature()
            && self.source.as_deref() == event.source()
            && self.trace.as_deref() == event.trace()
            && self.user.as_deref() == event.user()
            && causes.eq(event.causes().iter().map(|cause| (&cause.id, cause.rel)))
            && content.eq(posted.map(|part| (&*part.name, length(&part.bytes))))
    }

    fn placed(event: &'a Event, id: &'a RecordId, place: Placement<'a>) -> Result<Self, SealError> {
        if event.causes().len() != place.causes.len()
            || event.content().len() != place.content.len()
            || event.session().is_some() != place.session.is_some()
        {
            return Err(SealError::Misplaced);
        }
        let causes = event.causes().iter().zip(place.causes).map(|(cause, link)| ResolvedCause {
            entry_hash: link.entry_hash,
            id: Cow::Borrowed(&cause.id),
            rel: cause.rel,
            seq: link.seq,
        });
        let content = event.content().iter().zip(place.content).map(|(part, digest)| Commitment {
            bytes: length(&part.bytes),
            digest: *digest,
            name: Cow::Borrowed(&part.name),
        });
        let session = event.session().zip(place.session).map(|(session, link)| SealedSession {
            id: Cow::Borrowed(&session.id),
            login_session_id: session.login_session_id.as_ref().map(Cow::Borrowed),
            n: link.n,
            prev: link.prev,
            turn_id: session.turn_id.as_ref().map(Cow::Borrowed),
        });
        let mut flags = [event.flags(), place.flags].concat();
        flags.sort_unstable();
        flags.dedup();
        Ok(Self {
            agent: event.agent().map(Cow::Borrowed),
            causes: causes.collect(),
            content: content.collect(),
            data: Cow::Borrowed(event.data()),
            delegation: event.delegation().map(Cow::Borrowed),
            flags,
            id: Cow::Borrowed(id),
            kind: event.kind(),
            labels: Cow::Borrowed(event.labels()),
            ledger: Cow::Borrowed(place.ledger),
            occurred_at: event.occurred_at(),
            prev: place.prev,
            received_at: place.received_at,
            seq: place.seq,
            session,
            signature: event.signature().map(Cow::Borrowed),
            source: event.source().map(Cow::Borrowed),
            trace: event.trace().map(Cow::Borrowed),
            user: event.user().map(Cow::Borrowed),
            v: VERSION,
        })
    }

    /// Notes what is wrong with an entry that is well formed.
    fn check(&self) -> Result<(), Invalid> {
        let faults = &mut Faults::default();
        let facts = Facts {
            kind: self.kind,
            id: Some(&self.id),
            agent: self.agent.as_deref(),
            data: &self.data,
            delegation: self.delegation.as_deref(),
            has_content: !self.content.is_empty(),
            labels: &self.labels,
            session: self.session.as_ref().map(|session| &*session.id),
            signature: self.signature.as_deref(),
            source: self.source.as_deref(),
            trace: self.trace.as_deref(),
            user: self.user.as_deref(),
        };
        let causes = self.causes.iter().map(|cause| (cause.id.as_str(), cause.rel));
        let flags = facts.check(&causes, faults);
        if flags.iter().any(|flag| !self.flags.contains(flag)) {
            wrong("flags", "a flag that follows from the record is not there", faults);
        }
        if !self.flags.is_sorted_by(|one, next| one < next) {
            wrong("flags", "flags are sorted, each there once", faults);
        }
        if self.kind.rules().reserved != self.source.is_none() {
            wrong(
                "source",
                "what clients post has a source, what the server writes has none",
                faults,
            );
        }

        self.check_content(faults);
        self.check_place(faults);
        std::mem::take(faults).or(())
    }

    fn check_content(&self, faults: &mut Faults) {
        let root = At::ROOT;
        let list = root.member("content");
        if self.content.len() > CONTENT_PARTS_MAX {
            faults.add(list, Code::TooMany, format!("at most {CONTENT_PARTS_MAX} parts"));
        }
        if !self.content.is_sorted_by(|one, next| one.name < next.name) {
            wrong("content", "parts are sorted by name, each there once", faults);
        }
        for (index, part) in self.content.iter().enumerate() {
            let at = list.element(index);
            check_content_name(&part.name, at.member("name"), faults);
            if part.bytes > u64::try_from(CONTENT_PART_BYTES_MAX).unwrap_or(u64::MAX) {
                let message = format!("at most {CONTENT_PART_BYTES_MAX} bytes");
                faults.add(at.member("bytes"), Code::ContentTooLarge, message);
            }
        }
    }

    /// The entry's place: its number, its links, and causes that come before it.
    fn check_place(&self, faults: &mut Faults) {
        if self.v != VERSION {
            wrong("v", "the version is 1", faults);
        }
        if !is_ledger_name(&self.ledger) {
            wrong("ledger", "not a ledger's name", faults);
        }
        if self.seq > INTEGER_MAX {
            wrong("seq", "larger than 2^53 - 1", faults);
        }
        if (self.seq == 0) != self.prev.is_none() {
            wrong("prev", "there at every place but 0", faults);
        }
        if (self.seq == 0) != (self.kind == Kind::Genesis) {
            wrong("kind", "genesis stands at 0 and nowhere else", faults);
        }
        if self.causes.len() > CAUSES_MAX {
            wrong("causes", "too many", faults);
        }
        if self.causes.iter().any(|cause| cause.seq >= self.seq) {
            wrong("causes", "a cause comes before what it causes", faults);
        }
        let Some(session) = &self.session else { return };
        if (session.n == 0) != session.prev.is_none() || session.n >= self.seq {
            wrong("session", "the place in the session is impossible", faults);
        }
        let root = At::ROOT;
        let at = root.member("session");
        session.id.check(at.member("id"), faults);
        session.login_session_id.as_deref().check(at.member("login_session_id"), faults);
        session.turn_id.as_deref().check(at.member("turn_id"), faults);
    }
}

fn wrong(member: &str, message: &str, faults: &mut Faults) {
    faults.add(At::ROOT.member(member), Code::FieldInvalid, message);
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn no_data(data: &Data) -> bool {
    data.is_absent()
}

fn no_labels(labels: &Members<String>) -> bool {
    labels.is_empty()
}

impl SealedSession<'_> {
    fn same_session(&self, session: &Session) -> bool {
        *self.id == session.id
            && self.login_session_id.as_deref() == session.login_session_id.as_ref()
            && self.turn_id.as_deref() == session.turn_id.as_ref()
    }
}

/// An upper bound of the length of the entry that seals `event`, wherever it comes to stand.
pub(super) fn sealed_bytes_max(event: &Event) -> usize {
    let longest = || -> Option<usize> {
        let hash = EntryHash::from_bytes([0; EntryHash::LEN]);
        let link = CauseLink { seq: INTEGER_MAX, entry_hash: hash };
        let digest = ContentDigest::from_bytes([0; ContentDigest::LEN]);
        let place = Placement {
            ledger: &"l".repeat(LEDGER_NAME_BYTES_MAX).parse().ok()?,
            seq: INTEGER_MAX,
            received_at: Timestamp::from_unix_nanos(999_999_999).ok()?,
            prev: Some(hash),
            session: event.session().map(|_| SessionLink { n: INTEGER_MAX, prev: Some(hash) }),
            causes: &vec![link; event.causes().len()],
            content: &vec![digest; event.content().len()],
            flags: Flag::ALL,
        };
        let id = "i".repeat(RECORD_ID_BYTES_MAX).parse().ok()?;
        let id = event.id().unwrap_or(&id);
        let entry = Entry::placed(event, id, place).ok()?;
        sorted_to_bytes(&entry).ok().map(|bytes| bytes.len())
    };
    longest().unwrap_or(usize::MAX)
}

/// Never less than [`sealed_bytes_max`] for a record that was posted in at most so many bytes. It
/// seals nothing to find out, which would cost as much again as sealing.
///
/// No posted member is longer in canonical form than it was posted. What sealing adds has a bounded
/// length, and so has the link with each cause and the commitment to each part of the content.
pub(super) fn sealed_bytes_bound(event: &Event, posted_bytes: usize) -> usize {
    const FIXED_BYTES_MAX: usize = 1_280;
    const LINK_BYTES_MAX: usize = 128;
    let links = event.causes().len() + event.content().len();
    posted_bytes.saturating_add(FIXED_BYTES_MAX + LINK_BYTES_MAX * links)
}

/// An entry as it stands in JSON. What `data` may hold depends on `kind`, which comes later.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    agent: Option<Agent>,
    #[serde(default)]
    causes: Vec<ResolvedCause<'a>>,
    #[serde(borrow, default)]
    content: Vec<Commitment<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    delegation: Option<ExternalId>,
    #[serde(default)]
    flags: Vec<Flag>,
    id: RecordId,
    kind: Kind,
    #[serde(default)]
    labels: Members<String>,
    #[serde(borrow)]
    ledger: Cow<'a, str>,
    occurred_at: Timestamp,
    prev: Option<EntryHash>,
    received_at: Timestamp,
    seq: u64,
    session: Option<SealedSession<'a>>,
    signature: Option<ProducerSignature>,
    source: Option<Source>,
    trace: Option<Trace>,
    user: Option<User>,
    v: u64,
}

impl<'a> Read<'a> {
    fn with_data(self, data: Data) -> Entry<'a> {
        Entry {
            agent: self.agent.map(Cow::Owned),
            causes: self.causes,
            content: self.content,
            data: Cow::Owned(data),
            delegation: self.delegation.map(Cow::Owned),
            flags: self.flags,
            id: Cow::Owned(self.id),
            kind: self.kind,
            labels: Cow::Owned(self.labels),
            ledger: self.ledger,
            occurred_at: self.occurred_at,
            prev: self.prev,
            received_at: self.received_at,
            seq: self.seq,
            session: self.session,
            signature: self.signature.map(Cow::Owned),
            source: self.source.map(Cow::Owned),
            trace: self.trace.map(Cow::Owned),
            user: self.user.map(Cow::Owned),
            v: self.v,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tool invocation in as few bytes as can be, with these causes and this content.
    fn shortest(causes: &[String], content: &[String], tool: &str) -> String {
        let captured = if content.is_empty() { r#""captured":"absent","# } else { "" };
        format!(
            r#"{{"agent":{{"id":"a"}},"causes":[{}],"content":{{{}}},"data":{{"call_id":"c","tool":"{tool}"}},"kind":"tool_invocation","occurred_at":"2026-11-24T00:00:00Z","session":{{"id":"s"}},"source":{{{captured}"observed_by":"mcp_gateway","producer":"p"}},"user":{{"id":"u","type":"human"}}}}"#,
            causes.join(","),
            content.join(",")
        )
    }

    #[test]
    fn no_entry_is_longer_than_the_bound_on_its_record() {
        let causes: Vec<_> = (0..CAUSES_MAX)
            .map(|number| format!(r#"{{"id":"{number:x}","rel":"informed_by"}}"#))
            .collect();
        let content: Vec<_> =
            (0..CONTENT_PARTS_MAX).map(|number| format!(r#""p{number:x}":0"#)).collect();
        for (causes, content) in
            [(&[][..], &[][..]), (&causes, &[]), (&[], &content), (&causes, &content)]
        {
            let posted = shortest(causes, content, "t");
            let event = Event::parse(posted.as_bytes()).unwrap();
            let bound = sealed_bytes_bound(&event, posted.len());
            assert!(bound >= sealed_bytes_max(&event), "{posted}");
            let few = causes.len() < 100;
            assert!(!few || bound < ENTRY_BYTES_MAX, "{bound}: nothing is gained");
        }
    }
}
