//! What a route is: the columns of the table in [`super::routes`], and ways to fill them in.

use axum::http::StatusCode;
use axum::routing::{MethodRouter, get};
use schemars::JsonSchema;

use super::describe::{Schemas, answered, octets, text};
use super::{App, health};

/// One method of one path.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) handler: fn() -> MethodRouter<App>,
    /// Its name in generated clients.
    pub(super) id: &'static str,
    /// What it does, in a sentence.
    pub(super) summary: &'static str,
    /// The roles of which a token needs one; none if it needs no token.
    pub(super) roles: &'static [&'static str],
    pub(super) query: &'static [Parameter],
    /// The forms of the body that it takes.
    pub(super) body: &'static [Media],
    pub(super) answers: &'static [Answer],
    /// Codes of refusals, besides those that follow from the token, the path and the body.
    pub(super) codes: &'static [&'static str],
}

/// A parameter of the query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// The JSON type, or the values that there are.
    pub(super) of: Of,
}

/// What a parameter is of.
#[expect(clippy::enum_variant_names, reason = "one of several is what it is")]
pub(super) enum Of {
    Number {
        required: bool,
    },
    OneOf(&'static [&'static str]),
    Text,
    /// A text that has to be given.
    NeededText,
    Bool,
}

/// A form of a body.
pub(super) struct Media {
    /// Its media type.
    pub(super) name: &'static str,
    pub(super) schema: fn(&mut Schemas) -> schemars::Schema,
    /// An example, by its name in [`super::describe::example`].
    pub(super) example: Option<&'static str>,
}

/// An answer that is no error.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) what: &'static str,
    pub(super) media: &'static [Media],
}

pub(super) const fn number(name: &'static str, required: bool, what: &'static str) -> Parameter {
    Parameter { name, what, of: Of::Number { required } }
}

pub(super) const fn words(name: &'static str, what: &'static str) -> Parameter {
    Parameter { name, what, of: Of::Text }
}

pub(super) const fn needed(name: &'static str, what: &'static str) -> Parameter {
    Parameter { name, what, of: Of::NeededText }
}

/// What can be asked of records and of sessions alike.
macro_rules! asked {
    ($($more:expr),* $(,)?) => {
        &[
            words("q", "A query, in the language of QUERY.md."),
            words("user", "Only records of this user."),
            words("session", "Only records of this session."),
            words("agent", "Only records of this agent."),
            words("tool", "Only records of this tool."),
            words("kind", "Only records of this kind."),
            words("flag", "Only records with this flag."),
            words("since", "Only records received at this time or later: RFC 3339, a date, or `2h` ago."),
            words("until", "Only records received before this time."),
            number("limit", false, "Items of a page, by default 50."),
            number("after", false, "Where the page begins: `after` of the page before."),
            number("wait_for", false, "Answers once the record of this seq can be found."),
            $($more,)*
        ]
    };
}
pub(super) use asked;

pub(super) const fn one_of(
    name: &'static str,
    values: &'static [&'static str],
    what: &'static str,
) -> Parameter {
    Parameter { name, what, of: Of::OneOf(values) }
}

pub(super) const fn json<T: JsonSchema>(example: Option<&'static str>) -> Media {
    Media { name: "application/json", schema: answered::<T>, example }
}

pub(super) const fn ok(media: &'static [Media]) -> Answer {
    Answer { status: StatusCode::OK, what: "What was asked for.", media }
}

pub(super) const TEXT: &[Media] = &[Media { name: "text/plain", schema: text, example: None }];
pub(super) const OCTETS: &[Media] =
    &[Media { name: "application/octet-stream", schema: octets, example: None }];
pub(super) const RECEIPTS: &[Media] = &[Media {
    name: "application/json",
    schema: super::describe::receipts,
    example: Some("receipt"),
}];

pub(super) const ROWS: &[Media] = &[
    Media { name: "application/x-ndjson", schema: text, example: None },
    Media { name: "text/csv", schema: text, example: None },
];

pub(super) const ADMIN: &[&str] = &["admin"];
pub(super) const AUDITOR: &[&str] = &["auditor"];
pub(super) const OVERSEERS: &[&str] = &["investigator", "admin"];
pub(super) const INVESTIGATOR: &[&str] = &["investigator"];
pub(super) const SETTINGS: &[&str] = &["investigator", "auditor", "admin"];
pub(super) const READERS: &[&str] = &["writer", "investigator", "auditor"];

pub(super) const WALK: &[Parameter] = &[
    Parameter {
        name: "after",
        what: "Where the page begins: `after` of the page before, which is good for the same `depth`.",
        of: Of::Text,
    },
    number("depth", false, "How many steps to go at most; all if left out."),
    number(
        "limit",
        false,
        "Records of a page, 1 to 1,000, by default 100. A page of large records ends earlier.",
    ),
];

pub(super) const NOTHING: Route = Route {
    method: "get",
    path: "",
    handler: || get(health::alive),
    id: "",
    summary: "",
    roles: &[],
    query: &[],
    body: &[],
    answers: &[],
    codes: &[],
};
