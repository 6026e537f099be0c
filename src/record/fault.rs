//! Refusals: what is wrong, where, and what to do, without a word of what was sent.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use super::flag::Flag;
use super::limits::{CONTENT_NAME_BYTES_MAX, ERRORS_MAX, LABEL_KEY_BYTES_MAX};
use super::text::{is_content_name, is_label_key};
use crate::canon::json::{DEPTH_MAX, VALUES_MAX};

names! {
    /// Why a record is refused. The names are stable (SPEC 2.2).
    Code {
        /// The policy asks for a person's approval, and none is named. Found by the ledger.
        ApprovalMissing = "approval_missing",
        /// The approval that is named was given for something else. Found by the ledger.
        ApprovalNotBound = "approval_not_bound",
        /// The grant's credential is for somebody else. Found by the ledger.
        AudienceMismatch = "audience_mismatch",
        /// The grant allows no further calls. Found by the ledger.
        CallsExceeded = "calls_exceeded",
        /// A relation that this kind does not have, or a record that causes itself.
        CauseInvalid = "cause_invalid",
        /// A cause is of a kind that this relation cannot lead to. Found by the ledger.
        CauseKindInvalid = "cause_kind_invalid",
        /// A cause that this kind must name is not named.
        CauseMissing = "cause_missing",
        /// The same cause with the same relation twice.
        CauseRepeated = "cause_repeated",
        /// A cause is not in the ledger, nor earlier in the same request. Found by the ledger.
        CauseUnknown = "cause_unknown",
        /// The policy asks for all content. Found by the ledger.
        ContentIncomplete = "content_incomplete",
        /// Content that this kind has is not there, and `source` does not say so.
        ContentMissing = "content_missing",
        /// A content part is longer than allowed.
        ContentTooLarge = "content_too_large",
        /// The grant is for another agent. Found by the ledger.
        DelegateMismatch = "delegate_mismatch",
        /// The grant has ended. Found by the ledger.
        DelegationExpired = "delegation_expired",
        /// The agent's own runtime does not name the grant under which the agent acted.
        DelegationMissing = "delegation_missing",
        /// The grant was taken back. Found by the ledger.
        DelegationRevoked = "delegation_revoked",
        /// The ledger has no such grant. Found by the ledger.
        DelegationUnknown = "delegation_unknown",
        /// The grant does not allow this effect. Found by the ledger.
        EffectExceeded = "effect_exceeded",
        /// The record would not fit into an entry.
        EntryTooLarge = "entry_too_large",
        /// A value of the wrong type or form.
        FieldInvalid = "field_invalid",
        /// A member that this kind needs is not there.
        FieldMissing = "field_missing",
        /// A text is longer than allowed.
        FieldTooLong = "field_too_long",
        /// Another record has this id. Found by the ledger.
        IdConflict = "id_conflict",
        /// Not JSON, or JSON without a canonical form.
        JsonInvalid = "json_invalid",
        /// A kind that only the server writes.
        KindReserved = "kind_reserved",
        /// The token may not post records of this kind, or of this producer.
        ProducerForbidden = "producer_forbidden",
        /// The user is the agent, or nobody in particular.
        ProvenanceCollapsed = "provenance_collapsed",
        /// The grant does not have the scope, or does not approve the tool. Found by the ledger.
        ScopeExceeded = "scope_exceeded",
        /// The session has ended. Found by the ledger.
        SessionEnded = "session_ended",
        /// The producer's signature is missing, wrong, or by a key that is not registered for it.
        SignatureInvalid = "signature_invalid",
        /// The grant is of another user. Found by the ledger.
        SubjectMismatch = "subject_mismatch",
        /// The grant is for another task. Found by the ledger.
        TaskMismatch = "task_mismatch",
        /// Not a time of RFC 3339, or out of range.
        TimeInvalid = "time_invalid",
        /// More elements than allowed.
        TooMany = "too_many",
        /// The tool is not defined as it was when it was approved. Found by the ledger.
        ToolDefinitionChanged = "tool_definition_changed",
        /// The tool is not in the approved catalog. Found by the ledger.
        ToolNotInCatalog = "tool_not_in_catalog",
        /// A member that the object does not have.
        UnknownField = "unknown_field",
        /// A kind that does not exist.
        UnknownKind = "unknown_kind",
        /// No user, or no session.
        UserContextMissing = "user_context_missing",
        /// The session is of another user. Found by the ledger.
        UserMismatch = "user_mismatch",
    }
}

impl Code {
    /// Whether this is one of the rules of the ledger (SPEC 2.9), and not a fault of form: a refusal by
    /// them is told in the ledger.
    pub fn is_of_rules(self) -> bool {
        let always = [
            Self::CauseKindInvalid,
            Self::CauseMissing,
            Self::CauseUnknown,
            Self::ContentTooLarge,
            Self::DelegationMissing,
            Self::EntryTooLarge,
            Self::IdConflict,
            Self::ProducerForbidden,
            Self::ProvenanceCollapsed,
            Self::SignatureInvalid,
            Self::TimeInvalid,
            Self::UserContextMissing,
            Self::UserMismatch,
        ];
        always.contains(&self) || Flag::ALL.iter().any(|flag| flag.refusal() == Some(self))
    }
}

/// One thing that is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where, as an RFC 6901 pointer into the record.
    pub pointer: String,
    /// What, for programs.
    pub code: Code,
    /// What to do about it, for people.
    pub message: String,
}

/// The record breaks the rules: everything that was found, at most [`ERRORS_MAX`] errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// What was found; never empty.
    pub errors: Vec<FieldError>,
}

impl Invalid {
    /// A refusal with one reason.
    pub fn one(pointer: impl Into<String>, code: Code, message: impl Into<String>) -> Self {
        Self { errors: vec![FieldError { pointer: pointer.into(), code, message: message.into() }] }
    }
}

impl std::error::Error for Invalid {}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(FieldError { pointer, code, message }) = self.errors.first() else {
            return f.write_str("invalid record");
        };
        let place = if pointer.is_empty() { "record" } else { pointer };
        write!(f, "{place}: {message} ({code})")?;
        match self.errors.len() {
            0 | 1 => Ok(()),
            2 => f.write_str(", and 1 more error"),
            count => write!(f, ", and {} more errors", count - 1),
        }
    }
}

/// A place in a record. It costs nothing until it is written down.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    parent: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Element(usize),
}

impl At<'_> {
    /// The record itself.
    pub(super) const ROOT: Self = At { parent: None, step: Step::Root };

    /// A member of the object at this place, by its name in Rust.
    pub(super) fn member<'b>(&'b self, name: &'b str) -> At<'b> {
        At { parent: Some(self), step: Step::Member(name.strip_prefix("r#").unwrap_or(name)) }
    }

    /// An element of the array at this place.
    pub(super) const fn element(&self, index: usize) -> At<'_> {
        At { parent: Some(self), step: Step::Element(index) }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            // No member name of a record has a `~` or a `/`, which RFC 6901 would escape.
            Step::Member(name) => write!(f, "/{name}"),
            Step::Element(index) => write!(f, "/{index}"),
        }
    }
}

/// Collects what is wrong, up to [`ERRORS_MAX`] errors.
#[derive(Default)]
pub(super) struct Faults(Vec<FieldError>);

impl Faults {
    /// Notes one fault.
    pub(super) fn add(&mut self, at: At<'_>, code: Code, message: impl Into<String>) {
        if self.0.len() < ERRORS_MAX {
            self.0.push(FieldError { pointer: at.to_string(), code, message: message.into() });
        }
    }

    /// `value`, unless a fault was noted.
    pub(super) fn or<T>(self, value: T) -> Result<T, Invalid> {
        if self.0.is_empty() { Ok(value) } else { Err(Invalid { errors: self.0 }) }
    }
}

/// Starts the text of an error that is ours to the last letter; `serde`'s own texts repeat what was
/// sent, and none of them starts with a control character.
const OURS: char = '\u{1}';

/// An error from within a `Deserialize`, with a code, that [`explain`] passes on as it is.
pub(super) fn refuse<E: serde::de::Error>(code: Code, message: &str) -> E {
    E::custom(format_args!("{OURS}{code}:{message}"))
}

/// Reads JSON of another format than that of a record, and refuses it as a record is refused.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Invalid> {
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut from);
    let read = read.map_err(|error| explain("", Some(error.path()), error.inner()))?;
    from.end().map_err(|error| explain("", None, &error))?;
    Ok(read)
}

/// Turns the error of a parser into a refusal, in our own words. `prefix` is where the parsed text
/// stood in the record.
pub(super) fn explain(prefix: &str, path: Option<&Path>, error: &serde_json::Error) -> Invalid {
    let text = error.to_string();
    // Positions are about the parsed part and mean nothing to the sender.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let mut pointer = path.map_or_else(String::new, |path| pointer_of(path, text));
    pointer.insert_str(0, prefix);

    if error.is_syntax() || error.is_eof() {
        let place = format!("line {}, column {}", error.line(), error.column());
        return Invalid::one(pointer, Code::JsonInvalid, format!("not valid JSON at {place}"));
    }
    let (code, message) = if let Some((name, message)) =
        text.strip_prefix(OURS).and_then(|ours| ours.split_once(':'))
    {
        (Code::named(name).unwrap_or(Code::FieldInvalid), message.to_owned())
    } else if pointer.starts_with("/content/") {
        (Code::JsonInvalid, content_rules())
    } else if let Some(quoted) = text.strip_prefix("missing field `") {
        // The name is one of ours: the type declares it.
        let name = quoted.trim_end_matches('`');
        pointer = format!("{pointer}/{name}");
        (Code::FieldMissing, format!("`{name}` is needed"))
    } else if text.starts_with("unknown field ") {
        (Code::UnknownField, unknown_field(text))
    } else if text.starts_with("duplicate field ") {
        (Code::JsonInvalid, "a member name is repeated".to_owned())
    } else if text.starts_with("unknown variant ") {
        let code = if pointer == "/kind" { Code::UnknownKind } else { Code::FieldInvalid };
        (code, expected(text).map_or_else(|| "unknown name".to_owned(), |it| format!("use {it}")))
    } else {
        (Code::FieldInvalid, wrong_type(text))
    };
    Invalid::one(pointer, code, message)
}

/// What `serde` says that it expected. It stands last, after anything that repeats the input.
fn expected(text: &str) -> Option<&str> {
    text.rsplit_once(", expected ").map(|(_, expected)| expected)
}

fn unknown_field(text: &str) -> String {
    expected(text).map_or_else(
        || "this object has no members; leave it out".to_owned(),
        |names| format!("a member here is not known; use {names}"),
    )
}

fn wrong_type(text: &str) -> String {
    match expected(text) {
        Some(what) if what.starts_with("struct ") || what == "a map" => "give an object".to_owned(),
        Some("a sequence") => "give an array".to_owned(),
        Some("a boolean") => "give `true` or `false`".to_owned(),
        Some(what) if what.starts_with('u') => "give an integer that is not negative".to_owned(),
        Some(what) => format!("give {what}"),
        None => "this value has the wrong form".to_owned(),
    }
}

fn content_rules() -> String {
    format!(
        "content is JSON nested at most {DEPTH_MAX} levels deep, with at most {VALUES_MAX} values, \
         integers within 2^53 - 1 (send larger ones as strings), and no repeated member name"
    )
}

/// The pointer of a path, as far as it is made of names that may be shown. What leads to a member
/// that is not known, by the text of its error, leads to the object that has it.
fn pointer_of(path: &Path, text: &str) -> String {
    use fmt::Write as _;

    let mut pointer = String::new();
    let mut inside = "";
    for (depth, segment) in path.iter().enumerate() {
        let written = match segment {
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Map { key } if text.starts_with(&format!("unknown field `{key}`")) => break,
            Segment::Map { key } if may_show(inside, depth, key) => write!(pointer, "/{key}"),
            Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => break,
        };
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
        if let (0, Segment::Map { key }) = (depth, segment) {
            inside = key;
        }
        if inside == "content" && depth == 1 {
            break;
        }
    }
    pointer
}

/// Whether a member name may be shown: labels and content parts have names of the sender's own.
fn may_show(inside: &str, depth: usize, key: &str) -> bool {
    match (inside, depth) {
        ("labels", 1) => is_label_key(key) && key.len() <= LABEL_KEY_BYTES_MAX,
        ("content", 1) => is_content_name(key) && key.len() <= CONTENT_NAME_BYTES_MAX,
        _ => true,
    }
}
