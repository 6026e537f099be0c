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
/// [`WORD_BYTES_MAX`] bytes. A character that stands for several words, such as `½`, gives each of
/// them in its place: words that are written with blanks between them are found as themselves.
pub fn words(text: &str) -> Words<'_> {
    Words { text, runs: Runs { text, at: 0 }, inner: Vec::new() }
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
    /// The words of a run that is not ASCII, the last first.
    inner: Vec<Word<'a>>,
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        loop {
            if let Some(word) = self.inner.pop() {
                return Some(word);
            }
            let range = self.runs.next()?;
            let run = self.text.get(range.clone()).unwrap_or("");
            if run.is_ascii() {
                return Some(Word { folded: cut(fold(run)), range });
            }
            for (at, part) in run.split_word_bound_indices() {
                let at = range.start + at;
                let words = settled(part, ROUNDS_MAX)
                    .into_iter()
                    .map(|word| Word { folded: cut(Cow::Owned(word)), range: at..at + part.len() });
                self.inner.extend(words);
            }
            self.inner.reverse();
        }
    }
}

/// How often what folding gives is taken apart again. Twice is enough for all known characters.
const ROUNDS_MAX: u8 = 4;

/// The folded words of a part of a text. Folding can give blanks, signs and several words, so what it
/// gives is taken apart and folded until that changes nothing.
fn settled(part: &str, rounds: u8) -> Vec<String> {
    let folded = fold(part);
    if rounds == 0 || folded == part {
        return if folded.is_empty() { Vec::new() } else { vec![folded.into_owned()] };
    }
    let text = folded.as_ref();
    let runs = Runs { text, at: 0 }.filter_map(|run| text.get(run));
    let parts = runs.flat_map(UnicodeSegmentation::split_word_bounds);
    parts.flat_map(|part| settled(part, rounds - 1)).collect()
}

/// The beginning of a word, as far as words are compared.
fn cut(word: Cow<'_, str>) -> Cow<'_, str> {
    if word.len() <= WORD_BYTES_MAX {
        return word;
    }
    let end = word.floor_char_boundary(WORD_BYTES_MAX);
    match word {
        Cow::Borrowed(word) => Cow::Borrowed(word.get(..end).unwrap_or(word)),
        Cow::Owned(mut word) => {
            word.truncate(end);
            Cow::Owned(word)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn a_character_that_stands_for_several_words_gives_each() {
        assert_eq!(folded("½ cup"), ["1", "2", "cup"]);
        assert_eq!(folded("ﷺ").len(), 4);
        assert_eq!(folded("ﬁnal"), ["final"]);
    }

    #[test]
    fn every_character_settles() {
        for character in '\0'..=char::MAX {
            let words = folded(character.encode_utf8(&mut [0; 4]));
            assert_eq!(folded(&words.join(" ")), words, "{character:?}");
        }
    }

    proptest! {
        #[test]
        fn words_are_found_as_themselves(text in "\\PC{0,30}|[a-zÀ-ʯ]{120,140}") {
            let words = folded(&text);
            prop_assert_eq!(folded(&words.join(" ")), words);
        }
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
