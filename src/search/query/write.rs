//! A query as text that is read back as the same query.

use std::fmt::{self, Display, Formatter, Write};
use std::ops::Bound;

use crate::record::Timestamp;

use super::ast::{Match, Number, NumberField, Query, Span, Words};

/// The one text of a query: what a log can keep a digest of, and what a saved search is saved as.
///
/// It parses back to the same query, whatever the moment, unless it grew beyond the longest query: a
/// group is written with its field at every value. A span with two ends of which one is excluded has no
/// form of its own; it is written as two, which mean the same.
impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_char('*'),
            Self::And(parts) => {
                list(f, parts, " ", |part| matches!(part, Self::And(_) | Self::Or(_)))
            }
            Self::Or(parts) => list(f, parts, " OR ", |part| matches!(part, Self::Or(_))),
            Self::Not(part) => {
                f.write_char('-')?;
                enclosed(f, part, matches!(**part, Self::And(_) | Self::Or(_)))
            }
            Self::Text(words) => words.fmt(f),
            Self::Field(field, value) => write!(f, "{}:{value}", field.name()),
            Self::Path(path, words) => {
                write!(f, "{}:", Path(path))?;
                match words {
                    Some(words) => words.fmt(f),
                    None => f.write_char('*'),
                }
            }
            Self::Range(field, span) => range(f, field, *span),
        }
    }
}

/// Parts with something between them, some of them in parentheses.
fn list(
    f: &mut Formatter<'_>,
    parts: &[Query],
    between: &str,
    in_parentheses: impl Fn(&Query) -> bool,
) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        enclosed(f, part, in_parentheses(part))?;
    }
    Ok(())
}

fn enclosed(f: &mut Formatter<'_>, query: &Query, in_parentheses: bool) -> fmt::Result {
    if in_parentheses { write!(f, "({query})") } else { query.fmt(f) }
}

impl Display for Words {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.words.as_slice() {
            [word] if word.chars().all(char::is_alphanumeric) => f.write_str(word)?,
            words => quoted(f, &words.join(" "))?,
        }
        if self.prefix { f.write_char('*') } else { Ok(()) }
    }
}

impl Display for Match {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(value) => name(f, value),
            Self::Prefix(value) => {
                name(f, value)?;
                f.write_char('*')
            }
            Self::Any => f.write_char('*'),
        }
    }
}

fn name(f: &mut Formatter<'_>, value: &str) -> fmt::Result {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@./+-:".contains(&byte);
    if !value.is_empty() && value.bytes().all(plain) {
        f.write_str(value)
    } else {
        quoted(f, value)
    }
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            f.write_char('\\')?;
        }
        f.write_char(character)?;
    }
    f.write_char('"')
}

/// A path, its signs escaped.
struct Path<'a>(&'a str);

impl Display for Path<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_whitespace() || "\"():*\\".contains(character) {
                f.write_char('\\')?;
            }
            f.write_char(character)?;
        }
        Ok(())
    }
}

fn range(f: &mut Formatter<'_>, field: &NumberField, span: Span) -> fmt::Result {
    write!(f, "{}:", Path(field.name()))?;
    let time = matches!(field, NumberField::Received | NumberField::Occurred);
    let path = matches!(field, NumberField::Path(_));
    let end = |number| End { number, time };
    match (span.from, span.to) {
        (Bound::Unbounded, Bound::Unbounded) => f.write_str(if path { ".." } else { "*" }),
        (Bound::Included(from), Bound::Unbounded) => write!(f, ">={}", end(from)),
        (Bound::Excluded(from), Bound::Unbounded) => write!(f, ">{}", end(from)),
        (Bound::Unbounded, Bound::Included(to)) => write!(f, "<={}", end(to)),
        (Bound::Unbounded, Bound::Excluded(to)) => write!(f, "<{}", end(to)),
        // A number alone is a word in a path.
        (Bound::Included(from), Bound::Included(to)) if from == to && !path => end(from).fmt(f),
        (Bound::Included(from), Bound::Included(to)) => write!(f, "{}..{}", end(from), end(to)),
        (Bound::Included(from), Bound::Excluded(to)) => {
            write!(f, "(>={} <{})", end(from), end(to))
        }
        (Bound::Excluded(from), Bound::Included(to)) => {
            write!(f, "(>{} <={})", end(from), end(to))
        }
        (Bound::Excluded(from), Bound::Excluded(to)) => {
            write!(f, "(>{} <{})", end(from), end(to))
        }
    }
}

/// An end of a span.
struct End {
    number: Number,
    time: bool,
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.number {
            Number::Whole(nanos) if self.time => {
                Timestamp::from_unix_nanos(nanos.into()).unwrap_or(Timestamp::EPOCH).fmt(f)
            }
            Number::Whole(number) => number.fmt(f),
            // The shortest form that is read back as this number, and never one without an exponent
            // that is hundreds of digits long.
            Number::Real(number) => write!(f, "{number:?}"),
        }
    }
}
