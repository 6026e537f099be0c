//! What is wrong with a query, where, and what to write instead.

use std::fmt;

/// The most characters of a query that an error repeats. It is shown to whoever asked and to nobody
/// else, and still a long query must not come back whole.
const FOUND_CHARACTERS_MAX: usize = 24;
/// The most characters of a query beside the caret, on either side of it.
const SHOWN_CHARACTERS_MAX: usize = 36;

/// A query that means nothing, or costs too much.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct QueryError {
    /// Where it goes wrong: the character's number in the query, from 1. One more than the query has,
    /// if something is missing at its end.
    pub column: usize,
    /// What stands there.
    pub found: String,
    /// What should stand there.
    pub expected: String,
    /// What to write instead, where that can be said.
    pub instead: Option<String>,
}

impl QueryError {
    /// Something is wrong with what begins at this byte of the query.
    pub(super) fn at(text: &str, at: usize, expected: impl Into<String>) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let found = piece(text.get(at..).unwrap_or(""));
        Self { column: before.chars().count() + 1, found, expected: expected.into(), instead: None }
    }

    /// Says what was found in other words than the query's.
    pub(super) fn found(self, found: impl Into<String>) -> Self {
        Self { found: found.into(), ..self }
    }

    /// Says what to write instead.
    pub(super) fn instead(self, instead: impl Into<String>) -> Self {
        Self { instead: Some(instead.into()), ..self }
    }

    /// Two lines for a screen: the query near the error, and a caret below the place.
    ///
    /// `text` is the query that was parsed.
    pub fn caret(&self, text: &str) -> String {
        let at = self.column.saturating_sub(1);
        let from = at.saturating_sub(SHOWN_CHARACTERS_MAX);
        let shown = |character: char| if hidden(character) { ' ' } else { character };
        let window = text.chars().skip(from).take(2 * SHOWN_CHARACTERS_MAX).map(shown);
        let window: String = window.collect();
        format!("{}\n{}^", window.trim_end(), " ".repeat(at - from))
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { column, found, expected, instead } = self;
        write!(f, "column {column}: found {found}, expected {expected}")?;
        instead.as_ref().map_or(Ok(()), |instead| write!(f, "; {instead}"))
    }
}

/// The beginning of a text, in quotation marks, as far as the next blank.
pub(super) fn piece(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return "the end".to_owned() };
    if first.is_whitespace() {
        return "a blank".to_owned();
    }
    let mut piece: String = std::iter::once(first)
        .chain(characters.by_ref().take_while(|character| !character.is_whitespace()))
        .take(FOUND_CHARACTERS_MAX)
        .map(|character| if hidden(character) { '\u{fffd}' } else { character })
        .collect();
    if text.chars().nth(FOUND_CHARACTERS_MAX).is_some()
        && piece.chars().count() == FOUND_CHARACTERS_MAX
    {
        piece.push('…');
    }
    format!("`{piece}`")
}

/// Whether a terminal might obey a character instead of showing it.
fn hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}
