//! Where in a record the words of a query stand.

use std::ops::Range;

use serde_json::Value;

use super::Error;
use super::document::{Indexed, Part, value_of, walk};
use super::query::{Query, Words};
use super::text::{self, Word};
use crate::store::StoredPart;

/// Bytes that a snippet shows before its first and after its last highlight.
const AROUND_BYTES: usize = 60;
/// Bytes of a snippet.
const SNIPPET_BYTES_MAX: usize = 240;

/// A piece of a record's text with words of the query in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// Where the text stands, as queries name it: `content.text`.
    pub path: String,
    /// The piece.
    pub text: String,
    /// Whether text was left out before and after it.
    pub cut: (bool, bool),
    /// The words of the query in it, in bytes.
    pub highlights: Vec<Range<usize>>,
}

/// The words that a query looks for, wherever it looks for them.
#[derive(Clone, Debug, Default)]
pub struct Highlighter {
    wanted: Vec<(Option<String>, Words)>,
}

impl Highlighter {
    /// The words that make a record match; what is excluded does not.
    pub fn new(query: &Query) -> Self {
        let mut highlighter = Self::default();
        highlighter.collect(query);
        highlighter
    }

    /// Whether there is nothing to look for.
    pub const fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    fn collect(&mut self, query: &Query) {
        match query {
            Query::And(parts) | Query::Or(parts) => {
                for part in parts {
                    self.collect(part);
                }
            }
            Query::Text(words) => self.wanted.push((None, words.clone())),
            Query::Path(path, Some(words)) => {
                self.wanted.push((Some(path.clone()), words.clone()));
            }
            Query::All
            | Query::Not(_)
            | Query::Field(..)
            | Query::Path(_, None)
            | Query::Range(..) => {}
        }
    }

    /// The first piece of the record's text with words of the query.
    pub fn snippet(&self, entry: &[u8], stored: &[StoredPart]) -> Result<Option<Snippet>, Error> {
        if self.wanted.is_empty() {
            return Ok(None);
        }
        let entry: Indexed =
            serde_json::from_slice(entry).map_err(|_| Error::Entry { seq: u64::MAX })?;
        let contents = entry
            .parts(stored)
            .filter_map(|part: Part<'_>| Some((format!("content.{}", part.name), value_of(part)?)));
        for (mut path, value) in contents.chain([("data".to_owned(), entry.data.clone())]) {
            let mut found = None;
            walk(&value, &mut path, &mut |path, leaf| {
                if let (None, Value::String(text)) = (&found, leaf) {
                    found = self.of_text(path, text);
                }
            });
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn of_text(&self, path: &str, text: &str) -> Option<Snippet> {
        let here = |of: &Option<String>| of.as_deref().is_none_or(|of| of == path);
        let wanted: Vec<_> =
            self.wanted.iter().filter(|(of, _)| here(of)).map(|(_, words)| words).collect();
        if wanted.is_empty() {
            return None;
        }
        let words: Vec<Word<'_>> = text::words(text).collect();
        let mut hits: Vec<Range<usize>> = Vec::new();
        for place in 0..words.len() {
            let rest = words.get(place..).unwrap_or_default();
            let longest =
                wanted.iter().filter(|words| stands_at(words, rest)).map(|w| w.words.len());
            if let Some(longest) = longest.max() {
                let of_hit = rest.get(..longest).unwrap_or_default();
                hits.extend(of_hit.iter().map(|word| word.range.clone()));
            }
        }
        let first = hits.first()?.clone();
        hits.sort_unstable_by_key(|hit| hit.start);
        hits.dedup();
        let start = text.floor_char_boundary(first.start.saturating_sub(AROUND_BYTES));
        let end = text.ceil_char_boundary((start + SNIPPET_BYTES_MAX).min(text.len()));
        let shown = start..end;
        let highlights =
            hits.into_iter().filter(|hit| shown.start <= hit.start && hit.end <= shown.end);
        Some(Snippet {
            path: path.to_owned(),
            text: text.get(shown.clone())?.to_owned(),
            cut: (start > 0, end < text.len()),
            highlights: highlights.map(|hit| hit.start - start..hit.end - start).collect(),
        })
    }
}

/// Whether the words stand at the beginning of the text.
fn stands_at(words: &Words, text: &[Word<'_>]) -> bool {
    let Some((last, before)) = words.words.split_last() else { return false };
    let mut text = text.iter();
    let same = |wanted: &String| text.next().is_some_and(|word| word.folded == *wanted);
    before.iter().all(same)
        && text.next().is_some_and(|word| {
            if words.prefix { word.folded.starts_with(last) } else { word.folded == *last }
        })
}
