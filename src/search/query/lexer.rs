//! The characters of a query, taken apart.
//!
//! What a character means hangs on where it stands: a colon ends a field's name but is part of a time.
//! So nothing is taken apart ahead of the parser, which says what it wants next.

use super::error::QueryError;

/// Where the parser stands in a query.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

/// A word, a quoted text or a value.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    /// Where it begins, in bytes.
    pub(super) at: usize,
    /// It as it is written, without quotation marks and a star at its end.
    pub(super) raw: &'a str,
    /// It as it is meant.
    pub(super) text: String,
    /// Whether it stands in quotation marks.
    pub(super) quoted: bool,
    /// Whether a star follows.
    pub(super) star: bool,
}

impl Piece<'_> {
    /// Whether its signs have their meaning: none of them is escaped or quoted.
    pub(super) fn is_bare(&self) -> bool {
        !self.quoted && self.raw.len() == self.text.len()
    }
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    /// The next character.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Takes the next character, if it is this one.
    pub(super) fn takes(&mut self, character: char) -> bool {
        let found = self.peek() == Some(character);
        if found {
            self.at += character.len_utf8();
        }
        found
    }

    pub(super) fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Whether this operator comes next: AND, OR or NOT, in capitals and by itself.
    pub(super) fn sees(&self, operator: &str) -> bool {
        let after = self.rest().strip_prefix(operator);
        after.is_some_and(|after| after.chars().next().is_none_or(is_end))
    }

    /// Takes this operator, if it comes next.
    pub(super) fn takes_operator(&mut self, operator: &str) -> bool {
        let found = self.sees(operator);
        if found {
            self.at += operator.len();
        }
        found
    }

    /// An error at what comes next.
    pub(super) fn error(&self, expected: impl Into<String>) -> QueryError {
        self.error_at(self.at, expected)
    }

    pub(super) fn error_at(&self, at: usize, expected: impl Into<String>) -> QueryError {
        QueryError::at(self.text, at, expected)
    }

    /// Takes a word, or all that stands in quotation marks, with the star after it. If `fields`, a colon
    /// ends a word as well.
    pub(super) fn piece(&mut self, fields: bool) -> Result<Piece<'a>, QueryError> {
        let piece = if self.takes('"') { self.quoted()? } else { self.bare(fields)? };
        let colon = fields && !piece.quoted && self.peek() == Some(':');
        match self.peek() {
            Some('*') => Err(self.error("one star at most")),
            Some(next) if !colon && (!is_end(next) || matches!(next, '(' | '"')) => {
                let expected = "a blank or the end after a word or a quoted text";
                let instead = "put a blank between two terms, or the whole text in quotes";
                Err(self.error(expected).instead(instead))
            }
            Some(_) | None => Ok(piece),
        }
    }

    fn quoted(&mut self) -> Result<Piece<'a>, QueryError> {
        let (at, mut text) = (self.at, String::new());
        loop {
            match self.next_character()? {
                None => {
                    let error = self.error_at(at - 1, "a quotation mark where the text ends");
                    let instead = "close the quotation, or write \\\" for the mark itself";
                    return Err(error.instead(instead));
                }
                Some(('"', false)) => break,
                Some((character, _)) => text.push(character),
            }
        }
        let raw = self.text.get(at..self.at - 1).unwrap_or("");
        let star = self.takes('*');
        Ok(Piece { at, raw, text, quoted: true, star })
    }

    fn bare(&mut self, fields: bool) -> Result<Piece<'a>, QueryError> {
        let (at, mut text) = (self.at, String::new());
        while let Some(next) = self.peek() {
            if is_end(next) || (fields && next == ':') || next == '*' {
                break;
            }
            if let Some((character, _)) = self.next_character()? {
                text.push(character);
            }
        }
        let raw = self.text.get(at..self.at).unwrap_or("");
        let star_at = self.at;
        let star = self.takes('*');
        if star && self.peek().is_some_and(|next| !is_end(next)) {
            let error = self.error_at(star_at, "a star only at the end of a word");
            return Err(error.instead("write \\* for the star itself"));
        }
        Ok(Piece { at, raw, text, quoted: false, star })
    }

    /// The next character, and whether a backslash stood before it.
    fn next_character(&mut self) -> Result<Option<(char, bool)>, QueryError> {
        let Some(character) = self.peek() else { return Ok(None) };
        self.at += character.len_utf8();
        if character != '\\' {
            return Ok(Some((character, false)));
        }
        let Some(escaped) = self.peek() else {
            let error = self.error("a character after the backslash");
            return Err(error.instead("write \\\\ for the backslash itself"));
        };
        self.at += escaped.len_utf8();
        Ok(Some((escaped, true)))
    }
}

/// Whether a word ends before this character.
pub(super) fn is_end(character: char) -> bool {
    character.is_whitespace() || matches!(character, '(' | ')' | '"')
}
