//! A record within every rule that needs no other record.

use super::cause::{Cause, RecordId};
use super::check::Check;
use super::data::{ApiCall, Data, Genesis};
use super::draft::{Causes, Draft};
use super::entry::{sealed_bytes_bound, sealed_bytes_max};
use super::facts::Facts;
use super::fault::{At, Code, Faults, Invalid};
use super::flag::Flag;
use super::identity::{Agent, Session, User};
use super::kind::Kind;
use super::limits::{
    CONTENT_NAME_BYTES_MAX, CONTENT_PART_BYTES_MAX, CONTENT_PARTS_MAX, ENTRY_BYTES_MAX,
    LABEL_VALUE_BYTES_MAX,
};
use super::source::{ProducerSignature, Source, Trace};
use super::text::{ExternalId, Members, check_text, is_content_name};
use super::time::Timestamp;
use crate::canon::Json;

/// A record that keeps every rule of SPEC 2 that can be checked without another record. Holding one
/// is the proof that it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    agent: Option<Agent>,
    causes: Causes,
    content: Vec<ContentPart>,
    data: Data,
    delegation: Option<ExternalId>,
    flags: Vec<Flag>,
    id: Option<RecordId>,
    labels: Members<String>,
    occurred_at: Timestamp,
    session: Option<Session>,
    signature: Option<ProducerSignature>,
    source: Option<Source>,
    trace: Option<Trace>,
    user: Option<User>,
    sealed_bytes_max: usize,
}

/// How the ids begin that the ledger gives to what it finds.
const FINDING_IDS: [&str; 2] = ["flag.", "gap."];

/// What is left of a text that cannot stay, and of which nothing else can be said.
pub const GONE: &str = "[redacted]";

/// A part of a record's content, in its canonical form.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentPart {
    /// Its name, unique in the record.
    pub name: String,
    /// Its RFC 8785 form, which is committed to and stored.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for ContentPart {
    /// Content shows itself nowhere but where it was asked for.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentPart")
            .field("name", &self.name)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

impl TryFrom<Draft> for Event {
    type Error = Invalid;

    /// Checks a posted record, and lists everything that is wrong with it.
    fn try_from(draft: Draft) -> Result<Self, Invalid> {
        Self::check(draft, false, usize::MAX)
    }
}

impl Event {
    /// Reads and checks a posted record: [`Draft::parse`], then `Event::try_from`, and quicker than
    /// both, because of a short record it knows that its entry cannot be too long.
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        Self::check(Draft::parse(bytes)?, false, bytes.len())
    }

    /// Checks a record that the server writes itself: of a reserved kind, and without a source.
    pub fn by_server(draft: Draft) -> Result<Self, Invalid> {
        Self::check(draft, true, usize::MAX)
    }

    /// The first record of a ledger (SPEC 2.6).
    pub fn genesis(data: Genesis, occurred_at: Timestamp) -> Result<Self, Invalid> {
        let id = "genesis".parse().ok();
        Self::by_server(Draft { id, ..Draft::new(data, occurred_at) })
    }

    /// The same record, with this id unless it came with one.
    #[must_use]
    pub fn with_id_if_absent(mut self, id: RecordId) -> Self {
        self.id.get_or_insert(id);
        self
    }

    /// Puts other bytes, in canonical form, in the place of a content part wherever `change` gives
    /// some. Whether it gave any.
    pub fn change_content(&mut self, change: impl Fn(&[u8]) -> Option<Vec<u8>>) -> bool {
        let mut changed = false;
        for part in &mut self.content {
            if let Some(bytes) = change(&part.bytes) {
                part.bytes = bytes;
                changed = true;
            }
        }
        changed
    }

    /// Puts other texts in the place of labels and of the URL of a call, wherever `change` gives some
    /// for the name and the text. Whether it gave any.
    ///
    /// The record keeps its rules: of a text that would break one, [`GONE`] is left. Where the record would
    /// become too long to be sealed, that is all that is left of every text that was to change.
    pub fn change_texts(&mut self, change: impl Fn(&str, &str) -> Option<String>) -> bool {
        let labels = self.labels.iter();
        let labels: Vec<_> = labels
            .filter_map(|(key, text)| Some((key.clone(), within_label(change(key, text)?))))
            .collect();
        let url = if let Data::ApiCall(ApiCall { url: Some(url), .. }) = &self.data {
            url.changed(|text| change("url", text))
        } else {
            None
        };
        if labels.is_empty() && url.is_none() {
            return false;
        }
        for whole in [false, true] {
            for (key, text) in &labels {
                self.labels.put(key, if whole { GONE.to_owned() } else { text.clone() });
            }
            if let (Data::ApiCall(call), Some((long, short))) = (&mut self.data, &url) {
                call.url = Some(if whole { short.clone() } else { long.clone() });
            }
            self.sealed_bytes_max = sealed_bytes_max(self);
            if self.sealed_bytes_max <= ENTRY_BYTES_MAX {
                break;
            }
        }
        true
    }

    /// The agent that acted.
    pub const fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }

    /// The records that this one follows from, in the order in which they were posted.
    pub fn causes(&self) -> &[Cause] {
        &self.causes
    }

    /// The content, sorted by name.
    pub fn content(&self) -> &[ContentPart] {
        &self.content
    }

    /// The kind's structured part.
    pub const fn data(&self) -> &Data {
        &self.data
    }

    /// The grant under which the agent acted.
    pub const fn delegation(&self) -> Option<&ExternalId> {
        self.delegation.as_ref()
    }

    /// The flags that can be told from the record alone, sorted.
    pub fn flags(&self) -> &[Flag] {
        &self.flags
    }

    /// The record's id, if it has one already.
    pub const fn id(&self) -> Option<&RecordId> {
        self.id.as_ref()
    }

    /// The kind.
    pub const fn kind(&self) -> Kind {
        self.data.kind()
    }

    /// The sender's own names and values.
    pub const fn labels(&self) -> &Members<String> {
        &self.labels
    }

    /// When it happened, as the sender says.
    pub const fn occurred_at(&self) -> Timestamp {
        self.occurred_at
    }

    /// How long the entry that seals it can be, wherever it comes to stand.
    pub const fn sealed_bytes_max(&self) -> usize {
        self.sealed_bytes_max
    }

    /// The session that it belongs to.
    pub const fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The producer's signature of all the other members.
    pub const fn signature(&self) -> Option<&ProducerSignature> {
        self.signature.as_ref()
    }

    /// Who saw it; `None` for what the server writes.
    pub const fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// The OpenTelemetry span that it belongs to.
    pub const fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Who is accountable.
    pub const fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// The order of the checks. Each notes what it finds, and the rest goes on.
    ///
    /// The record was posted in `posted_bytes`, which may be said to be more than they were.
    fn check(draft: Draft, by_server: bool, posted_bytes: usize) -> Result<Self, Invalid> {
        let faults = &mut Faults::default();
        let posted = draft.source.is_some();
        let facts = Facts {
            kind: draft.kind(),
            id: draft.id.as_deref(),
            agent: draft.agent.as_ref(),
            data: &draft.data,
            delegation: draft.delegation.as_ref(),
            has_content: !draft.content.is_empty(),
            labels: &draft.labels,
            session: draft.session.as_ref().map(|session| &session.id),
            signature: draft.signature.as_ref(),
            source: draft.source.as_ref(),
            trace: draft.trace.as_ref(),
            user: draft.user.as_ref(),
        };
        check_author(facts.kind, by_server, posted, faults);
        if !by_server {
            check_id(facts.id, faults);
        }
        let causes = draft.causes.iter().map(|cause| (&*cause.id, cause.rel));
        let flags = facts.check(&causes, faults);

        draft.causes.check(At::ROOT.member("causes"), faults);
        draft.session.check(At::ROOT.member("session"), faults);
        let content = canonical(draft.content, faults);

        let mut event = Self {
            agent: draft.agent,
            causes: draft.causes,
            content,
            data: draft.data,
            delegation: draft.delegation,
            flags,
            id: draft.id,
            labels: draft.labels,
            occurred_at: draft.occurred_at,
            session: draft.session,
            signature: draft.signature,
            source: draft.source,
            trace: draft.trace,
            user: draft.user,
            sealed_bytes_max: 0,
        };
        std::mem::take(faults).or(())?;
        event.sealed_bytes_max = match sealed_bytes_bound(&event, posted_bytes) {
            bound if bound <= ENTRY_BYTES_MAX => bound,
            _ => sealed_bytes_max(&event),
        };
        // Found here, where the sender can be told; sealing is too late for that.
        if event.sealed_bytes_max > ENTRY_BYTES_MAX {
            let message = format!(
                "without its content the record may take {ENTRY_BYTES_MAX} bytes when sealed: \
                 shorten `data`, `labels` or `causes`, or move text into `content`"
            );
            return Err(Invalid::one("", Code::EntryTooLarge, message));
        }
        Ok(event)
    }
}

/// A kind belongs to clients or to the server, and so does a record.
fn check_author(kind: Kind, by_server: bool, has_source: bool, faults: &mut Faults) {
    let root = At::ROOT;
    if kind.rules().reserved != by_server {
        let message = if by_server {
            "this kind is posted by clients"
        } else {
            "only the server writes records of this kind"
        };
        faults.add(root.member("kind"), Code::KindReserved, message);
    }
    if has_source == by_server {
        let (code, message) = if by_server {
            (Code::FieldInvalid, "what the server writes has no source")
        } else {
            (Code::FieldMissing, "`source` is needed")
        };
        faults.add(root.member("source"), code, message);
    }
}

/// The ids of findings are the ledger's own: who could take one first would have its finding told under
/// another.
fn check_id(id: Option<&str>, faults: &mut Faults) {
    let is_finding = |id: &str| FINDING_IDS.iter().any(|start| id.starts_with(start));
    if id.is_some_and(is_finding) {
        let message = "ids that begin with `flag.` or `gap.` are for what the ledger itself finds: \
                       choose another";
        faults.add(At::ROOT.member("id"), Code::FieldInvalid, message);
    }
}

/// The new value of a label, or what is left of it if it is none.
fn within_label(text: String) -> String {
    let mut faults = Faults::default();
    check_text(&text, LABEL_VALUE_BYTES_MAX, At::ROOT, &mut faults);
    if faults.or(()).is_ok() { text } else { GONE.to_owned() }
}

/// Whether `name` can name a content part.
pub(super) fn check_content_name(name: &str, at: At<'_>, faults: &mut Faults) -> bool {
    if name.len() > CONTENT_NAME_BYTES_MAX {
        let message = format!("give names of at most {CONTENT_NAME_BYTES_MAX} bytes");
        faults.add(at, Code::FieldTooLong, message);
        return false;
    }
    let right = is_content_name(name);
    if !right {
        faults.add(at, Code::FieldInvalid, "make names of a-z 0-9 _, starting with a letter");
    }
    right
}

/// The canonical form of every part, sorted by name, and what is wrong with them.
fn canonical(content: Members<Json>, faults: &mut Faults) -> Vec<ContentPart> {
    let root = At::ROOT;
    let at = root.member("content");
    if content.len() > CONTENT_PARTS_MAX {
        faults.add(at, Code::TooMany, format!("give at most {CONTENT_PARTS_MAX} parts"));
    }
    let mut parts = Vec::with_capacity(content.len().min(CONTENT_PARTS_MAX));
    for (name, json) in content.into_iter().take(CONTENT_PARTS_MAX) {
        if !check_content_name(&name, at, faults) {
            continue;
        }
        let Ok(bytes) = json.to_bytes() else {
            faults.add(at.member(&name), Code::JsonInvalid, "this has no canonical form");
            continue;
        };
        if bytes.len() > CONTENT_PART_BYTES_MAX {
            let message = format!("give at most {CONTENT_PART_BYTES_MAX} bytes in one part");
            faults.add(at.member(&name), Code::ContentTooLarge, message);
        }
        parts.push(ContentPart { name, bytes });
    }
    parts
}
