//! What the value of a field can be.

use std::ops::Bound;

use crate::record::{Flag, Kind, Timestamp};
use crate::search::text::fold;

use super::ast::{Field, Match, Number, NumberField, Query, Span};
use super::error::QueryError;
use super::fields::{Target, near};
use super::lexer::{Lexer, Piece};

/// The fewest characters that a word's beginning needs: one would match a large part of all words, and
/// each has to be looked up.
pub const PREFIX_CHARACTERS_MIN: usize = 2;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A value that a field must have, as it is written.
#[derive(Debug)]
pub(super) struct Asked<'q> {
    pub(super) target: &'q Target,
    pub(super) piece: &'q Piece<'q>,
    pub(super) lexer: &'q Lexer<'q>,
    pub(super) now: Timestamp,
}

/// How a bare value begins that is a comparison, with the longer signs first.
const SIGNS: [&str; 4] = [">=", "<=", ">", "<"];

/// Whether the value of a path means words: it is no comparison, no range and no star.
pub(super) fn is_text(piece: &Piece<'_>) -> bool {
    if !piece.is_bare() {
        return true;
    }
    let compared = SIGNS.iter().any(|sign| piece.raw.starts_with(sign));
    let star = piece.star && piece.raw.is_empty();
    let range = piece.raw.split_once("..").is_some_and(|(from, to)| {
        (from.is_empty() && to.is_empty()) || real(from).is_some() || real(to).is_some()
    });
    !compared && !star && !range
}

impl Asked<'_> {
    /// What the value means.
    pub(super) fn query(&self) -> Result<Query, QueryError> {
        match self.target {
            Target::Name(field) => self.name(field),
            Target::Whole(field) => self.range(field, "a whole number", |text| {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let number = text.parse().ok().filter(|_| digits)?;
                Some(Moment::of(Number::Whole(number)))
            }),
            Target::Time(field) => self.range(field, TIME, |text| moment(text, self.now)),
            Target::Since | Target::Until => self.bound(),
            Target::Path(_) if self.is_star() => {
                Ok(Query::Path(self.target_name().to_owned(), None))
            }
            Target::Path(path) => {
                self.range(&NumberField::Path(path.clone()), "a number", |text| {
                    real(text).map(|number| Moment::of(Number::Real(number)))
                })
            }
        }
    }

    fn target_name(&self) -> &str {
        match self.target {
            Target::Whole(field) | Target::Time(field) => field.name(),
            Target::Since => "since",
            Target::Until => "until",
            Target::Path(path) => path,
            Target::Name(_) => "a name",
        }
    }

    fn is_star(&self) -> bool {
        self.piece.is_bare() && self.piece.star && self.piece.raw.is_empty()
    }

    /// An error at a part of the value.
    fn error(&self, part: &str, expected: impl Into<String>) -> QueryError {
        let raw = self.piece.raw;
        // A part is a slice of the whole, so it has its place there.
        let offset = part.as_ptr().addr().checked_sub(raw.as_ptr().addr());
        let offset = offset.filter(|offset| *offset <= raw.len()).unwrap_or(raw.len());
        self.lexer.error_at(self.piece.at + offset, expected)
    }

    /// A name or an id.
    fn name(&self, field: &Field) -> Result<Query, QueryError> {
        let found = |value| Ok(Query::Field(field.clone(), value));
        if self.is_star() {
            return found(Match::Any);
        }
        if self.piece.is_bare() && SIGNS.iter().any(|sign| self.piece.raw.starts_with(sign)) {
            let error = self.error(self.piece.raw, "a value: names are not compared by order");
            return Err(error.instead("put it in quotes if the sign is part of the name"));
        }
        let text = &self.piece.text;
        let value = if field.folds() { fold(text).into_owned() } else { text.clone() };
        if value.is_empty() {
            let error = self.error("", "a value of at least one character");
            return Err(error.instead("write `*` for any value"));
        }
        if self.piece.star {
            return found(Match::Prefix(value));
        }
        if *field == Field::Kind && Kind::named(&value).is_none() {
            return Err(self.unknown(&value, "a kind of record", Kind::NAMES));
        }
        if *field == Field::Flag && Flag::named(&value).is_none() {
            return Err(self.unknown(&value, "a flag", Flag::NAMES));
        }
        found(Match::Is(value))
    }

    /// An error that names the values that a field can have.
    fn unknown(&self, value: &str, what: &str, known: &[&str]) -> QueryError {
        let mut names = near(value, known);
        if names.is_empty() {
            names = known.to_vec();
        }
        self.error(self.piece.raw, format!("{what}: {}", names.join(", ")))
    }

    /// `since` and `until`: one end of the time of receipt.
    fn bound(&self) -> Result<Query, QueryError> {
        let start = self.plain(self.piece.raw, TIME, |text| moment(text, self.now))?.first;
        let span = if matches!(self.target, Target::Until) {
            Span { from: Bound::Unbounded, to: Bound::Excluded(start) }
        } else {
            Span { from: Bound::Included(start), to: Bound::Unbounded }
        };
        Ok(Query::Range(NumberField::Received, span))
    }

    /// A number or a moment that has to stand here.
    fn plain(
        &self,
        text: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<Moment>,
    ) -> Result<Moment, QueryError> {
        let value = read(text).filter(|_| !self.piece.star);
        value.ok_or_else(|| self.error(text, expected))
    }

    /// A value, a comparison, or a range.
    fn range(
        &self,
        field: &NumberField,
        expected: &str,
        read: impl Fn(&str) -> Option<Moment>,
    ) -> Result<Query, QueryError> {
        let found = |from, to| Ok(Query::Range(field.clone(), Span { from, to }));
        let raw = self.piece.raw;
        let sign = SIGNS.iter().find(|sign| raw.starts_with(**sign));
        if let Some(sign) = sign.filter(|_| self.piece.is_bare()) {
            let text = raw.strip_prefix(sign).unwrap_or("");
            let Moment { first, last, .. } = self.plain(text, expected, read)?;
            return match *sign {
                ">=" => found(Bound::Included(first), Bound::Unbounded),
                ">" => found(Bound::Excluded(last), Bound::Unbounded),
                "<=" => found(Bound::Unbounded, Bound::Included(last)),
                _ => found(Bound::Unbounded, Bound::Excluded(first)),
            };
        }
        if self.is_star() {
            return found(Bound::Unbounded, Bound::Unbounded);
        }
        if let Some((from, to)) = raw.split_once("..").filter(|_| self.piece.is_bare()) {
            let end = |text: &str| {
                let open = text.is_empty() && !self.piece.star;
                if open { Ok(None) } else { self.plain(text, expected, &read).map(Some) }
            };
            let (from, to) = (end(from)?, end(to)?);
            if let (Some(from), Some(to)) = (from, to)
                && !from.first.at_most(to.last)
            {
                return Err(self.error(raw, "the lower end of a range first"));
            }
            let from = from.map_or(Bound::Unbounded, |from| Bound::Included(from.first));
            return found(from, to.map_or(Bound::Unbounded, |to| Bound::Included(to.last)));
        }
        let value = self.plain(raw, expected, read)?;
        if value.relative {
            let error = self.error(raw, "a time, or a comparison with one");
            return Err(error.instead(format!("write `{}:>={raw}`", field.name())));
        }
        found(Bound::Included(value.first), Bound::Included(value.last))
    }
}

const TIME: &str =
    "a time: 2026-11-24T00:06:14Z, a day: 2026-11-24, or how long ago: 30m, 2h, 7d, 4w";

/// A value as an end of a range: for a day its first and its last nanosecond.
#[derive(Clone, Copy, Debug)]
struct Moment {
    first: Number,
    last: Number,
    /// Whether it is that long ago, which is no moment at which anything happens.
    relative: bool,
}

impl Moment {
    fn of(number: Number) -> Self {
        Self { first: number, last: number, relative: false }
    }
}

impl Number {
    fn at_most(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => one <= other,
            (Self::Real(one), Self::Real(other)) => one <= other,
            (Self::Whole(_), Self::Real(_)) | (Self::Real(_), Self::Whole(_)) => true,
        }
    }
}

/// Reads a moment, a day, or how long ago.
fn moment(text: &str, now: Timestamp) -> Option<Moment> {
    if let Some(nanos) = ago(text) {
        let nanos = (now.unix_nanos() - nanos).max(0);
        return Some(Moment { relative: true, ..Moment::of(Number::Whole(clamp(nanos))) });
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(Moment::of(Number::Whole(clamp(time.unix_nanos()))));
    }
    let time: Timestamp = format!("{text}T00:00:00Z").parse().ok()?;
    let first = clamp(time.unix_nanos());
    let last = first.saturating_add(DAY - 1);
    Some(Moment { first: Number::Whole(first), last: Number::Whole(last), relative: false })
}

/// The nanoseconds of `30m`, `2h`, `7d` or `4w`.
fn ago(text: &str) -> Option<i128> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let digits = text.strip_suffix(unit)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u32 = digits.parse().ok()?;
    Some(i128::from(count) * seconds * i128::from(SECOND))
}

fn clamp(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

/// Reads a number as JSON writes it.
fn real(text: &str) -> Option<f64> {
    let first = text.strip_prefix('-').unwrap_or(text).bytes().next()?;
    let number: f64 = text.parse().ok().filter(|_| first.is_ascii_digit())?;
    // A zero has no sign here, as in the canonical form of JSON.
    (number.is_finite() && !text.ends_with('.')).then_some(number + 0.0)
}
