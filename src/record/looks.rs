//! What a reader sees of a text: characters that do not show, and texts that look the same.
//!
//! Both questions are answered by lists that are part of the format (SPEC 2.3, 2.4), not by the
//! newest Unicode: an entry that was valid when it was sealed stays valid.

/// Characters beyond the controls that a text must not have, as inclusive ranges in order: the
/// default-ignorable code points, which hold every bidirectional control; the separators U+2028 and
/// U+2029, and U+FFF9 to U+FFFB, which lay text out. The noncharacters are in [`is_hidden`].
///
/// Unassigned letters are no fault: a reader that knows a newer Unicode has to agree with an older.
const HIDDEN: &[(char, char)] = &[
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a text has a character that does not show, or that changes how others show: a control
/// character, one of [`HIDDEN`], or a noncharacter.
///
/// Such a character makes two texts look the same, or a text look like another one. Scripts that
/// spell words with joiners, and emoji with selectors, are for content.
pub(super) fn has_hidden(text: &str) -> bool {
    // For ASCII, which nearly all of it is, looking at bytes is several times as fast.
    if text.is_ascii() {
        text.bytes().any(|byte| byte.is_ascii_control())
    } else {
        text.chars().any(is_hidden)
    }
}

fn is_hidden(char: char) -> bool {
    let noncharacter =
        matches!(char, '\u{fdd0}'..='\u{fdef}') || u32::from(char) & 0xfffe == 0xfffe;
    // The last range that does not begin behind the character.
    let range = HIDDEN.partition_point(|(first, _)| *first <= char).checked_sub(1);
    let listed = range.and_then(|range| HIDDEN.get(range)).is_some_and(|(_, last)| char <= *last);
    char.is_control() || noncharacter || listed
}

/// Whether two ids are written so that a reader takes them for the same: equal but for case, space
/// around them, and the compatibility forms of Unicode, such as full-width letters (a compatibility
/// caseless match, Unicode D146).
///
/// Letters of different scripts that look alike are different ids: Latin `a` and Cyrillic `а`, say.
/// No stable list of them exists, and honest names mix scripts; whoever gives ids out has to see to
/// that.
pub fn same_identity(one: &str, other: &str) -> bool {
    // U+2800 is a pattern of braille without dots: no space to Unicode, but one to the eye.
    let blank = |char: char| char.is_whitespace() || char == '\u{2800}';
    let (one, other) = (one.trim_matches(blank), other.trim_matches(blank));
    if one.is_ascii() && other.is_ascii() {
        one.eq_ignore_ascii_case(other)
    } else {
        caseless::compatibility_caseless_match_str(one, other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_sorted_and_apart() {
        assert!(HIDDEN.iter().all(|(first, last)| first <= last));
        assert!(HIDDEN.is_sorted_by(|(_, last), (first, _)| last < first));
    }

    #[test]
    fn characters_that_do_not_show_are_found() {
        for hidden in [
            "\0",
            "\t",
            "\n",
            "\u{7f}",
            "\u{85}",
            "\u{ad}",
            "\u{61c}",
            "\u{200b}",
            "\u{200d}",
            "\u{200e}",
            "\u{2028}",
            "\u{2029}",
            "\u{202e}",
            "\u{2060}",
            "\u{2066}",
            "\u{2069}",
            "\u{3164}",
            "\u{fe0f}",
            "\u{feff}",
            "\u{fff9}",
            "\u{fdd0}",
            "\u{fffe}",
            "\u{ffff}",
            "\u{1fffe}",
            "\u{e0041}",
            "\u{e01ef}",
            "\u{10ffff}",
        ] {
            assert!(
                has_hidden(&format!("a{hidden}b")),
                "{:04x}",
                u32::from(hidden.chars().next().unwrap())
            );
            assert!(
                has_hidden(&format!("ä{hidden}")),
                "{:04x}",
                u32::from(hidden.chars().next().unwrap())
            );
        }
    }

    #[test]
    fn letters_marks_and_symbols_show() {
        for text in
            ["a b", "Zoë", "e\u{301}", "株式会社", "Ж", "😀", "\u{a0}", "\u{2010}", "\u{fffd}"]
        {
            assert!(!has_hidden(text), "{text}");
        }
    }

    #[test]
    fn ids_that_look_the_same_are_the_same() {
        for (one, other) in [
            ("Invoice-Agent", "invoice-agent"),
            (" agent\u{a0}", "agent"),
            ("\u{3000}agent\u{2800}", "agent"),
            ("ａｇｅｎｔ", "agent"),
            ("𝐚gent", "AGENT"),
            ("\u{212a}arl", "karl"),
            ("Zoe\u{308}", "ZOË"),
            ("STRASSE", "straße"),
            ("ﬁnance", "Finance"),
        ] {
            assert!(same_identity(one, other), "{one} {other}");
            assert!(same_identity(other, one), "{one} {other}");
        }
    }

    #[test]
    fn ids_of_other_letters_are_others() {
        // The last pair is a Latin and a Cyrillic letter: confusables stay apart.
        for (one, other) in [("agent", "agent2"), ("zoë", "zoe"), ("agent", "\u{430}gent")] {
            assert!(!same_identity(one, other), "{one} {other}");
        }
    }
}
