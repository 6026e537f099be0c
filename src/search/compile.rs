//! From what a query means to what the index can look up.

use std::ops::Bound;

use tantivy::Term;
use tantivy::query::{
    AllQuery, BooleanQuery, EmptyQuery, ExistsQuery, InvertedIndexRangeQuery, Occur, PhraseQuery,
    Query as Lookup, RangeQuery, RegexPhraseQuery, TermQuery,
};
use tantivy::schema::{Field as IndexField, IndexRecordOption};

use super::Error;
use super::careful::Careful;
use super::document::number_key;
use super::query::{Field, Match, Number, NumberField, Query, Span, Words};
use super::schema::{BETWEEN, BODY, Fields};
use super::text::fold;
use crate::record::Entry;
use crate::store::Reader;

/// Makes lookups out of queries.
pub(super) struct Compiler<'a> {
    pub(super) fields: &'a Fields,
    /// For what the store itself finds: records by their ids.
    pub(super) reader: &'a Reader,
    /// The number of records that are published.
    pub(super) size: u64,
}

type Compiled = Result<Box<dyn Lookup>, Error>;

impl Compiler<'_> {
    pub(super) fn compile(&self, query: &Query) -> Compiled {
        Ok(match query {
            Query::All => Box::new(AllQuery),
            Query::And(parts) => {
                // What a part excludes is taken from the others, not from everything.
                let (not, is): (Vec<_>, Vec<_>) =
                    parts.iter().partition(|part| matches!(part, Query::Not(_)));
                let mut clauses = Vec::with_capacity(parts.len() + 1);
                for part in &is {
                    clauses.push((Occur::Must, self.compile(part)?));
                }
                if is.is_empty() {
                    clauses.push((Occur::Must, Box::new(AllQuery)));
                }
                for part in not {
                    if let Query::Not(part) = part {
                        clauses.push((Occur::MustNot, Box::new(Careful(self.compile(part)?))));
                    }
                }
                Box::new(BooleanQuery::new(clauses))
            }
            Query::Or(parts) => {
                let parts = parts.iter().map(|part| self.compile(part));
                Box::new(BooleanQuery::union(parts.collect::<Result<_, _>>()?))
            }
            Query::Not(part) => {
                let all: Box<dyn Lookup> = Box::new(AllQuery);
                let part: Box<dyn Lookup> = Box::new(Careful(self.compile(part)?));
                Box::new(BooleanQuery::new(vec![(Occur::Must, all), (Occur::MustNot, part)]))
            }
            Query::Text(words) => self.text(words),
            Query::Path(path, Some(words)) => self.member(path, words),
            Query::Path(path, None) => term(Term::from_field_text(self.fields.path, path)),
            Query::Field(field, matched) => self.field(field, matched)?,
            Query::Range(field, span) => self.range(field, span),
        })
    }

    /// Words that follow one another within a string, wherever that is.
    fn text(&self, words: &Words) -> Box<dyn Lookup> {
        let fields = [self.fields.body, self.fields.text];
        let lookups = fields.map(|field| in_a_row(field, words));
        Box::new(BooleanQuery::union(lookups.into()))
    }

    /// Words at a path: each of them there, and all of them in a row somewhere in the record.
    fn member(&self, path: &str, words: &Words) -> Box<dyn Lookup> {
        if path == BODY {
            return in_a_row(self.fields.body, words);
        }
        let field = self.fields.member;
        let count = words.words.len();
        let at_path = words.words.iter().enumerate().map(|(place, word)| {
            let text = format!("{path}{BETWEEN}{word}");
            if words.prefix && place + 1 == count {
                beginning(field, &text)
            } else {
                term(Term::from_field_text(field, &text))
            }
        });
        let in_a_row = (count > 1).then(|| self.text(words));
        Box::new(BooleanQuery::intersection(at_path.chain(in_a_row).collect()))
    }

    fn field(&self, field: &Field, matched: &Match) -> Compiled {
        let fields = self.fields;
        let (place, name) = match field {
            Field::User => (fields.user, Some("user")),
            Field::Session => (fields.session, Some("session")),
            Field::Agent => (fields.agent, Some("agent")),
            Field::Tool => (fields.tool, Some("tool")),
            Field::Kind => (fields.kind, Some("kind")),
            Field::Flag => (fields.flag, Some("flag")),
            Field::Model => (fields.model, None),
            Field::CallId => (fields.call_id, None),
            Field::Host => (fields.host, None),
            Field::Method => (fields.method, None),
            Field::UrlPath => (fields.url_path, None),
            Field::Delegation => (fields.delegation, None),
            Field::Trace => (fields.trace, None),
            Field::Label(key) => return Ok(label(fields, key, matched)),
            Field::Id => return self.id(matched),
            Field::Document => return document(fields, matched),
        };
        let folded =
            |value: &String| if field.folds() { fold(value).into_owned() } else { value.clone() };
        Ok(match (matched, name) {
            (Match::Is(value), _) => term(Term::from_field_text(place, &folded(value))),
            (Match::Prefix(value), _) => beginning(place, &folded(value)),
            (Match::Any, Some(name)) => Box::new(ExistsQuery::new(name.to_owned(), false)),
            (Match::Any, None) => beginning(place, ""),
        })
    }

    /// The record with an id, which the store knows.
    fn id(&self, matched: &Match) -> Compiled {
        let id = match matched {
            Match::Any => return Ok(Box::new(AllQuery)),
            Match::Prefix(_) => {
                return Err(Error::Unanswerable("`id:` takes a whole id, without `*`"));
            }
            Match::Is(id) => id,
        };
        for seq in self.reader.with_id(id, self.size)? {
            let Some(bytes) = self.reader.entry(seq)? else { continue };
            let entry = Entry::parse(&bytes).map_err(|_| Error::Entry { seq })?;
            if entry.id.as_str() == id {
                let at = Bound::Included(Term::from_field_u64(self.fields.seq, seq));
                return Ok(Box::new(RangeQuery::new(at.clone(), at)));
            }
        }
        Ok(Box::new(EmptyQuery))
    }

    fn range(&self, field: &NumberField, span: &Span) -> Box<dyn Lookup> {
        let fields = self.fields;
        let place = match field {
            NumberField::Seq | NumberField::Status => {
                let seq = *field == NumberField::Seq;
                let place = if seq { fields.seq } else { fields.status };
                if !seq && (span.from, span.to) == (Bound::Unbounded, Bound::Unbounded) {
                    return Box::new(ExistsQuery::new("status".to_owned(), false));
                }
                return whole_range(span, |number| {
                    Term::from_field_u64(place, u64::try_from(number).unwrap_or(0))
                });
            }
            NumberField::Received => fields.received,
            NumberField::Occurred => fields.occurred,
            NumberField::Path(path) => {
                let path = number_key(path);
                let term = |number: f64| {
                    let mut term = Term::from_field_json_path(fields.number, &path, false);
                    term.append_type_and_fast_value(number);
                    term
                };
                let bound = |bound: Bound<Number>| bound.map(|number| term(real(number)));
                if (span.from, span.to) == (Bound::Unbounded, Bound::Unbounded) {
                    return Box::new(ExistsQuery::new(format!("number.{path}"), false));
                }
                return Box::new(RangeQuery::new(bound(span.from), bound(span.to)));
            }
        };
        whole_range(span, |number| Term::from_field_i64(place, number))
    }
}

fn term(term: Term) -> Box<dyn Lookup> {
    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
}

/// Words that follow one another within a string of a field.
fn in_a_row(field: IndexField, words: &Words) -> Box<dyn Lookup> {
    let text = |word: &String| Term::from_field_text(field, word);
    match (words.words.as_slice(), words.prefix) {
        ([], _) => Box::new(EmptyQuery),
        ([word], false) => term(text(word)),
        ([word], true) => beginning(field, word),
        (words, false) => Box::new(PhraseQuery::new(words.iter().map(text).collect())),
        (words, true) => {
            let mut patterns = words.to_vec();
            if let Some(last) = patterns.last_mut() {
                last.push_str(".*");
            }
            // Unlike a phrase with a prefix, which leaves words out beyond its limit, it fails.
            // Words are letters, digits and marks: none of them is more in a pattern.
            Box::new(RegexPhraseQuery::new(field, patterns))
        }
    }
}

/// Everything in a field that begins with `text`.
fn beginning(field: IndexField, text: &str) -> Box<dyn Lookup> {
    let from = Bound::Included(Term::from_field_text(field, text));
    // No byte of UTF-8 is 0xff, so this lies behind everything that begins with the text.
    let mut end = Term::from_field_text(field, text);
    end.append_bytes(&[0xff]);
    Box::new(InvertedIndexRangeQuery::new(from, Bound::Excluded(end)))
}

fn label(fields: &Fields, key: &str, matched: &Match) -> Box<dyn Lookup> {
    match matched {
        Match::Is(value) => {
            term(Term::from_field_text(fields.label, &format!("{key}{BETWEEN}{}", fold(value))))
        }
        Match::Prefix(value) => beginning(fields.label, &format!("{key}{BETWEEN}{}", fold(value))),
        Match::Any => beginning(fields.label, &format!("{key}{BETWEEN}")),
    }
}

fn document(fields: &Fields, matched: &Match) -> Compiled {
    match matched {
        Match::Is(key) => Ok(match u64::from_str_radix(key, 16) {
            Ok(key) => term(Term::from_field_u64(fields.document, key)),
            Err(_) => Box::new(EmptyQuery),
        }),
        Match::Prefix(_) | Match::Any => {
            Err(Error::Unanswerable("`document:` takes a whole key, without `*`"))
        }
    }
}

fn whole_range(span: &Span, term: impl Fn(i64) -> Term) -> Box<dyn Lookup> {
    let bound = |bound: Bound<Number>| bound.map(|number| term(whole(number)));
    if (span.from, span.to) == (Bound::Unbounded, Bound::Unbounded) {
        return Box::new(AllQuery);
    }
    Box::new(RangeQuery::new(bound(span.from), bound(span.to)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::as_conversions,
    reason = "a cast of a float saturates, which is what is wanted of a bound"
)]
const fn whole(number: Number) -> i64 {
    match number {
        Number::Whole(number) => number,
        Number::Real(number) => number as i64,
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "numbers by path are compared as doubles"
)]
const fn real(number: Number) -> f64 {
    match number {
        Number::Whole(number) => number as f64,
        Number::Real(number) => number,
    }
}
