//! The names of fields, and what stands behind each.

use super::ast::{Field, NumberField};

/// What a field's name stands for.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Names and ids.
    Name(Field),
    /// Whole numbers.
    Whole(NumberField),
    /// Moments.
    Time(NumberField),
    /// Received at a moment or later.
    Since,
    /// Received before a moment.
    Until,
    /// A member of `data` or `content`.
    Path(String),
}

/// Why a name stands for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTarget {
    /// There is no such field.
    Unknown,
    /// It is the beginning of a path whose rest is missing.
    Path,
    /// It is a label, but no label has such a key.
    Label,
}

/// The names of all fields. Those of three families are completed by a key or a path, which stands here
/// in capitals.
pub const FIELD_NAMES: &[&str] = &[
    "user",
    "session",
    "agent",
    "tool",
    "kind",
    "model",
    "call_id",
    "host",
    "method",
    "path",
    "flag",
    "delegation",
    "id",
    "trace",
    "document",
    "seq",
    "status",
    "received",
    "occurred",
    "since",
    "until",
    "label.KEY",
    "data.PATH",
    "content.PATH",
];

impl Target {
    /// What this name stands for.
    pub(super) fn named(name: &str) -> Result<Self, NoTarget> {
        Ok(match name {
            "user" => Self::Name(Field::User),
            "session" => Self::Name(Field::Session),
            "agent" => Self::Name(Field::Agent),
            "tool" => Self::Name(Field::Tool),
            "kind" => Self::Name(Field::Kind),
            "model" => Self::Name(Field::Model),
            "call_id" => Self::Name(Field::CallId),
            "host" => Self::Name(Field::Host),
            "method" => Self::Name(Field::Method),
            "path" => Self::Name(Field::UrlPath),
            "flag" => Self::Name(Field::Flag),
            "delegation" => Self::Name(Field::Delegation),
            "id" => Self::Name(Field::Id),
            "trace" => Self::Name(Field::Trace),
            "document" => Self::Name(Field::Document),
            "seq" => Self::Whole(NumberField::Seq),
            "status" => Self::Whole(NumberField::Status),
            "received" => Self::Time(NumberField::Received),
            "occurred" => Self::Time(NumberField::Occurred),
            "since" => Self::Since,
            "until" => Self::Until,
            _ => return Self::of_family(name),
        })
    }

    fn of_family(name: &str) -> Result<Self, NoTarget> {
        match name.split_once('.') {
            Some(("label", key)) if is_label_key(key) => {
                Ok(Self::Name(Field::Label(key.to_owned())))
            }
            Some(("data" | "content", path))
                if path.split('.').all(|member| !member.is_empty()) =>
            {
                Ok(Self::Path(name.to_owned()))
            }
            Some(("label", _)) => Err(NoTarget::Label),
            Some(("data" | "content", _)) => Err(NoTarget::Path),
            None if name == "label" => Err(NoTarget::Label),
            None if name == "data" || name == "content" => Err(NoTarget::Path),
            Some(_) | None => Err(NoTarget::Unknown),
        }
    }
}

/// Whether a label can have this key.
fn is_label_key(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !key.is_empty() && key.bytes().all(allowed)
}

/// The most names that an error proposes.
const NEAR_MAX: usize = 4;
/// The longest name that is compared with known ones: comparing takes time by its square.
const NEAR_BYTES_MAX: usize = 40;

/// The known names that were perhaps meant, the nearest first.
pub(super) fn near<'a>(name: &str, known: &[&'a str]) -> Vec<&'a str> {
    let name = name.to_ascii_lowercase();
    if name.is_empty() || name.len() > NEAR_BYTES_MAX {
        return Vec::new();
    }
    let changes_max = (name.len() / 3).max(1);
    let rank = |known: &&'a str| {
        let changes = changes(&name, known);
        let begins = name.len() > 1 && known.starts_with(&name);
        (changes <= changes_max || begins).then_some((changes, *known))
    };
    let mut ranked: Vec<_> = known.iter().filter_map(rank).collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, known)| known).take(NEAR_MAX).collect()
}

/// How many letters have to be put in, taken out or changed (Levenshtein).
fn changes(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), index + 1);
        let mut left = index + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(to.chars()) {
            let changed = diagonal + usize::from(letter != other);
            diagonal = *cell;
            left = changed.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}
