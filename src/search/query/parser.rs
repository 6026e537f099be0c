//! From text to meaning, by recursive descent.

use crate::record::Timestamp;

use super::ast::{Query, Words};
use super::error::QueryError;
use super::fields::{FIELD_NAMES, NoTarget, Target, near};
use super::lexer::{Lexer, Piece};
use super::values::{self, Asked};
use crate::search::text;

/// The longest query, in UTF-8 bytes. People write some hundred; the rest is room for programs that list
/// ids, and a bound on what one request can make the parser and the index do.
pub const QUERY_BYTES_MAX: usize = 4_096;
/// The most words and values of a query. Each is a list of records that has to be read.
pub const TERMS_MAX: usize = 64;
/// The most parentheses and negations inside one another. Parsing and evaluating recurse by it.
pub const DEPTH_MAX: usize = 16;

/// Reads a query. Times that are said relatively are that long before `now`.
///
/// An empty query means every record. The time it takes grows with the text's length and with nothing
/// else.
pub fn parse(text: &str, now: Timestamp) -> Result<Query, QueryError> {
    if text.len() > QUERY_BYTES_MAX {
        let at = text.floor_char_boundary(QUERY_BYTES_MAX);
        let error = QueryError::at(text, at, format!("at most {QUERY_BYTES_MAX} bytes"));
        return Err(error.found("a longer query"));
    }
    let mut parser = Parser { lexer: Lexer::new(text), now, terms: 0, depth: 0 };
    parser.lexer.skip_blanks();
    if parser.lexer.peek().is_none() {
        return Ok(Query::All);
    }
    let query = parser.any(None)?;
    if parser.lexer.peek().is_some() {
        let error = parser.lexer.error("no parenthesis here: none is open");
        return Err(error.instead("put it in quotes if it is part of the text"));
    }
    Ok(query)
}

#[derive(Debug)]
struct Parser<'a> {
    lexer: Lexer<'a>,
    now: Timestamp,
    terms: usize,
    depth: usize,
}

/// Where the parser is: outside of fields, or among the values of one.
type Group<'g> = Option<&'g Target>;

impl Parser<'_> {
    /// Parts between ORs.
    fn any(&mut self, group: Group<'_>) -> Result<Query, QueryError> {
        let mut parts = vec![self.all(group)?];
        while self.lexer.takes_operator("OR") {
            parts.push(self.all(group)?);
        }
        Ok(one_or(parts, Query::Or))
    }

    /// Parts in a row, or between ANDs.
    fn all(&mut self, group: Group<'_>) -> Result<Query, QueryError> {
        let mut parts = vec![self.part(group)?];
        loop {
            self.lexer.skip_blanks();
            let over = matches!(self.lexer.peek(), None | Some(')')) || self.lexer.sees("OR");
            if over {
                return Ok(one_or(parts, Query::And));
            }
            self.lexer.takes_operator("AND");
            parts.push(self.part(group)?);
        }
    }

    /// One part, or its negation.
    fn part(&mut self, group: Group<'_>) -> Result<Query, QueryError> {
        self.lexer.skip_blanks();
        let at = self.lexer.at;
        if self.lexer.takes_operator("NOT") {
            return self.deeper(at, |parser| Ok(Query::Not(Box::new(parser.part(group)?))));
        }
        if self.lexer.takes('-') {
            if self.lexer.peek().is_none_or(|next| next.is_whitespace() || next == ')') {
                let error = self.lexer.error_at(at, "what is excluded, right after the minus sign");
                return Err(error.instead("put the sign in quotes if it is part of the text"));
            }
            return self.deeper(at, |parser| Ok(Query::Not(Box::new(parser.part(group)?))));
        }
        if self.lexer.takes('(') {
            return self.deeper(at, |parser| parser.parenthesis(at, group));
        }
        let operator = ["AND", "OR"].iter().any(|operator| self.lexer.sees(operator));
        if operator || matches!(self.lexer.peek(), None | Some(')')) {
            let error = self.lexer.error("a term");
            let instead = "an operator in capitals stands between two terms; put it in quotes to find \
                           the word";
            return Err(if operator { error.instead(instead) } else { error });
        }
        match group {
            Some(target) => self.value(target),
            None => self.term(),
        }
    }

    /// What follows an opening parenthesis.
    fn parenthesis(&mut self, open: usize, group: Group<'_>) -> Result<Query, QueryError> {
        let query = self.any(group)?;
        if self.lexer.takes(')') {
            return Ok(query);
        }
        let error = self.lexer.error_at(open, "a closing parenthesis to this one");
        Err(error.instead("close it, or put it in quotes if it is part of the text"))
    }

    fn deeper(
        &mut self,
        at: usize,
        part: impl FnOnce(&mut Self) -> Result<Query, QueryError>,
    ) -> Result<Query, QueryError> {
        if self.depth == DEPTH_MAX {
            let expected =
                format!("at most {DEPTH_MAX} parentheses and negations inside one another");
            return Err(self.lexer.error_at(at, expected));
        }
        self.depth += 1;
        let query = part(self);
        self.depth -= 1;
        query
    }

    /// A text, or a field and what it must be.
    fn term(&mut self) -> Result<Query, QueryError> {
        let piece = self.lexer.piece(true)?;
        if !piece.quoted && self.lexer.takes(':') {
            let target = self.target(&piece)?;
            let at = self.lexer.at;
            return match self.lexer.peek() {
                Some('(') => {
                    self.lexer.takes('(');
                    self.deeper(at, |parser| parser.parenthesis(at, Some(&target)))
                }
                next if next.is_none_or(|next| next.is_whitespace() || next == ')') => {
                    let error = self.lexer.error("a value right after the colon");
                    Err(error.instead("write `*` for any value, or quote a colon that is text"))
                }
                _ => self.value(&target),
            };
        }
        if piece.is_bare() && piece.star && piece.raw.is_empty() {
            return self.counted(piece.at, 1, Query::All);
        }
        let words = self.words(&piece)?;
        Ok(Query::Text(words))
    }

    /// What the name before a colon stands for.
    fn target(&self, piece: &Piece<'_>) -> Result<Target, QueryError> {
        let name = &piece.text;
        let found = super::error::piece(&format!("{name}:"));
        let error = |expected: String| self.lexer.error_at(piece.at, expected).found(&found);
        Target::named(name).map_err(|no| match no {
            NoTarget::Path => {
                let error = error("the path of a member, such as `data.amount`".to_owned());
                error.instead("name each member on the way, with dots between them")
            }
            NoTarget::Label => {
                let error = error("the key of a label, such as `label.env`".to_owned());
                error.instead("a key has only letters, digits, `_`, `.` and `-`")
            }
            NoTarget::Unknown => {
                let mut names = near(name, FIELD_NAMES);
                if names.is_empty() {
                    names = FIELD_NAMES.to_vec();
                }
                let names = format!("a field: {}", names.join(", "));
                error(names).instead("put the text in quotes if the colon is part of it")
            }
        })
    }

    /// One value of a field.
    fn value(&mut self, target: &Target) -> Result<Query, QueryError> {
        let piece = self.lexer.piece(false)?;
        let asked = Asked { target, piece: &piece, lexer: &self.lexer, now: self.now };
        if let Target::Path(path) = target
            && values::is_text(&piece)
        {
            let words = self.words(&piece)?;
            return Ok(Query::Path(path.clone(), Some(words)));
        }
        let query = asked.query()?;
        self.counted(piece.at, 1, query)
    }

    /// The words of a text that is asked for.
    fn words(&mut self, piece: &Piece<'_>) -> Result<Words, QueryError> {
        let words: Vec<_> = text::words(&piece.text).map(|word| word.folded.into_owned()).collect();
        let Some(last) = words.last() else {
            let error = self.lexer.error_at(start(piece), "a word: letters or digits");
            return Err(error.instead("signs alone are not in the index"));
        };
        if piece.star && last.chars().count() < values::PREFIX_CHARACTERS_MIN {
            let count = values::PREFIX_CHARACTERS_MIN;
            let expected = format!("at least {count} characters of a word before the star");
            return Err(self.lexer.error_at(start(piece), expected));
        }
        let words = Words { words, prefix: piece.star };
        self.counted(start(piece), words.words.len(), words)
    }

    /// Counts words and values against their limit.
    fn counted<T>(&mut self, at: usize, count: usize, value: T) -> Result<T, QueryError> {
        self.terms += count;
        if self.terms > TERMS_MAX {
            let expected = format!("at most {TERMS_MAX} words and values in a query");
            return Err(self.lexer.error_at(at, expected));
        }
        Ok(value)
    }
}

/// Where a piece begins, with its quotation mark.
fn start(piece: &Piece<'_>) -> usize {
    piece.at - usize::from(piece.quoted)
}

/// The one part, or what several make.
fn one_or(mut parts: Vec<Query>, several: impl FnOnce(Vec<Query>) -> Query) -> Query {
    match parts.pop() {
        Some(part) if parts.is_empty() => part,
        Some(part) => {
            parts.push(part);
            several(parts)
        }
        None => Query::All,
    }
}
