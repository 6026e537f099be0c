//! What a query means.

use std::borrow::Cow;
use std::ops::Bound;

/// A condition on records.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// Every record.
    All,
    /// Records for which every part holds. It has at least two parts.
    And(Vec<Self>),
    /// Records for which some part holds. It has at least two parts.
    Or(Vec<Self>),
    /// Records for which the part does not hold.
    Not(Box<Self>),
    /// Records whose text, that is all content and all strings of `data`, has these words.
    Text(Words),
    /// Records with such a value in a field.
    Field(Field, Match),
    /// Records in which a member of `data` or `content`, named by its path (`data.server`,
    /// `content.arguments.to`), has these words, or is there at all.
    /// Several words have to be there each, and stand in a row somewhere in the record.
    Path(String, Option<Words>),
    /// Records with a number or a moment between two bounds.
    Range(NumberField, Span),
}

/// Words that follow one another within one string, folded ([`crate::search::text::words`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The words. There is at least one.
    pub words: Vec<String>,
    /// Whether the last one is only the beginning of a word.
    pub prefix: bool,
}

/// A field of names and ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The accountable user.
    User,
    /// The session.
    Session,
    /// The agent.
    Agent,
    /// The tool of an invocation: what a record itself says in `data.tool`. Results and API calls do not
    /// say it; they lead to the invocation by their causes.
    Tool,
    /// The kind of record.
    Kind,
    /// The model that was asked for, or that answered.
    Model,
    /// The id of a tool call.
    CallId,
    /// The host of an API call's URL, or its service.
    Host,
    /// The method of an API call.
    Method,
    /// The path of an API call's URL, or its operation.
    UrlPath,
    /// A label, by its key.
    Label(String),
    /// A flag that the ledger raised.
    Flag,
    /// The grant under which the agent acted, and the grant itself.
    Delegation,
    /// The record's own id.
    Id,
    /// The OpenTelemetry trace.
    Trace,
    /// A document, by the key that the index has for it.
    Document,
}

impl Field {
    /// The field's name in a query.
    pub fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::User => "user",
            Self::Session => "session",
            Self::Agent => "agent",
            Self::Tool => "tool",
            Self::Kind => "kind",
            Self::Model => "model",
            Self::CallId => "call_id",
            Self::Host => "host",
            Self::Method => "method",
            Self::UrlPath => "path",
            Self::Label(key) => return Cow::Owned(format!("label.{key}")),
            Self::Flag => "flag",
            Self::Delegation => "delegation",
            Self::Id => "id",
            Self::Trace => "trace",
            Self::Document => "document",
        })
    }

    /// Whether the case of its values does not matter: they are compared folded
    /// ([`crate::search::text::fold`]). The ids of sessions, calls and records and the paths of URLs
    /// differ by case alone, so they are compared as they are.
    pub const fn folds(&self) -> bool {
        match self {
            Self::User
            | Self::Agent
            | Self::Tool
            | Self::Kind
            | Self::Model
            | Self::Host
            | Self::Method
            | Self::Label(_)
            | Self::Flag => true,
            Self::Session
            | Self::CallId
            | Self::UrlPath
            | Self::Delegation
            | Self::Id
            | Self::Trace
            | Self::Document => false,
        }
    }
}

/// What a field's value must be. Values are folded where the field folds ([`Field::folds`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// This, as a whole.
    Is(String),
    /// Something that begins with this.
    Prefix(String),
    /// Anything: the record has such a field.
    Any,
}

/// What a range is over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NumberField {
    /// The record's number in the ledger.
    Seq,
    /// When the server took it, in nanoseconds since 1970.
    Received,
    /// When it happened, as the sender says, in nanoseconds since 1970.
    Occurred,
    /// The status of an API call.
    Status,
    /// A number in `data` or `content`, by its path. It is compared as a double.
    Path(String),
}

impl NumberField {
    /// The field's name in a query.
    pub fn name(&self) -> &str {
        match self {
            Self::Seq => "seq",
            Self::Received => "received",
            Self::Occurred => "occurred",
            Self::Status => "status",
            Self::Path(path) => path,
        }
    }
}

/// A bound's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A seq, a status, or nanoseconds since 1970; moments after the last that fits, in April 2262, are
    /// that one.
    Whole(i64),
    /// A number in `data` or `content`.
    Real(f64),
}

/// From where to where, both ends as they are said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The lower end.
    pub from: Bound<Number>,
    /// The upper end.
    pub to: Bound<Number>,
}
