//! How text becomes words: the same for what is indexed and for what is asked.

use std::borrow::Cow;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// Bytes by which words are compared. Longer ones are mostly encoded data.
pub const WORD_BYTES_MAX: usize = 128;

/// A word in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// Its folded form.
    pub folded: Cow<'a, str>,
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
}

/// The words of a text, in order.
///
/// A word is a run of letters and digits; in scripts that put no spaces between words, each character
/// is one (UAX #29), so that a phrase finds them in a row. Words are folded ([`fold`]), and cut after
/// [`WORD_BYTES_MAX`] bytes.
pub fn words(text: &str) -> Words<'_> {
    Words { text, runs: Runs { text, at: 0 }, inner: None }
}

/// A text in the form in which it is compared: its compatibility characters resolved, in lower case,
/// and without the accents of Latin letters.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
    }
    // Decomposed, so that the marks stand alone; those of other scripts are letters of their own.
    let marks = '\u{300}'..='\u{36f}';
    let folded: String = text
        .nfkd()
        .flat_map(char::to_lowercase)
        .nfkd()
        .filter(|character| !marks.contains(character))
        .nfc()
        .collect();
    Cow::Owned(folded)
}

/// The runs of letters, digits and marks in a text.
struct Runs<'a> {
    text: &'a str,
    at: usize,
}

impl Iterator for Runs<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let rest = self.text.get(self.at..)?;
        let start = rest.find(is_of_word)? + self.at;
        let rest = self.text.get(start..)?;
        let end = rest.find(|character| !is_of_word(character)).unwrap_or(rest.len()) + start;
        self.at = end;
        Some(start..end)
    }
}

fn is_of_word(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric();
    }
    character.is_alphanumeric() || unicode_normalization::char::is_combining_mark(character)
}

/// See [`words`].
pub struct Words<'a> {
    text: &'a str,
    runs: Runs<'a>,
    /// The words of a run that is not ASCII, the last first, with their places.
    inner: Option<Vec<Range<usize>>>,
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        loop {
            if let Some(range) = self.inner.as_mut().and_then(Vec::pop) {
                let word = self.word(range);
                if !word.folded.is_empty() {
                    return Some(word);
                }
                continue;
            }
            let run = self.runs.next()?;
            let text = self.text.get(run.clone()).unwrap_or("");
            if text.is_ascii() {
                return Some(self.word(run));
            }
            let parts = text.split_word_bound_indices();
            let parts = parts.map(|(at, part)| run.start + at..run.start + at + part.len());
            let mut parts: Vec<_> = parts.collect();
            parts.reverse();
            self.inner = Some(parts);
        }
    }
}

impl<'a> Words<'a> {
    fn word(&self, range: Range<usize>) -> Word<'a> {
        let folded = match fold(self.text.get(range.clone()).unwrap_or("")) {
            Cow::Borrowed(text) => Cow::Borrowed(cut(text)),
            Cow::Owned(text) if text.len() <= WORD_BYTES_MAX => Cow::Owned(text),
            Cow::Owned(text) => Cow::Owned(cut(&text).to_owned()),
        };
        Word { folded, range }
    }
}

/// The beginning of a word, as far as words are compared.
fn cut(word: &str) -> &str {
    let end = word.floor_char_boundary(WORD_BYTES_MAX);
    word.get(..end).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> Vec<String> {
        words(text).map(|word| word.folded.into_owned()).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        assert_eq!(folded("Pay GB29-NWBK, send_money!"), ["pay", "gb29", "nwbk", "send", "money"]);
        assert_eq!(
            folded("https://api.bank.example/v1"),
            ["https", "api", "bank", "example", "v1"]
        );
        assert_eq!(folded(" \t..."), Vec::<String>::new());
    }

    #[test]
    fn case_width_and_latin_accents_do_not_matter() {
        for text in ["CAFÉ", "cafe\u{301}", "ｃａｆé", "cafe"] {
            assert_eq!(folded(text), ["cafe"], "{text}");
        }
        assert_eq!(folded("ÜBERWEISUNG"), folded("uberweisung"));
    }

    #[test]
    fn scripts_without_spaces_have_a_word_for_each_character() {
        assert_eq!(folded("支付123発票"), ["支", "付", "123", "発", "票"]);
    }

    #[test]
    fn marks_of_other_scripts_stay() {
        assert_ne!(folded("कि"), folded("क"));
    }

    #[test]
    fn long_words_are_compared_by_their_beginning() {
        let long = "a".repeat(1_000);
        assert_eq!(folded(&long), ["a".repeat(WORD_BYTES_MAX)]);
    }

    #[test]
    fn places_are_those_of_the_text() {
        let text = "Zahl 100 € für Müller";
        let at = |word: Word<'_>| text.get(word.range).unwrap().to_owned();
        assert_eq!(words(text).map(at).collect::<Vec<_>>(), ["Zahl", "100", "für", "Müller"]);
    }
}
