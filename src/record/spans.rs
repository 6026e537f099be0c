//! Lists of records by their seqs, as text: `12-14 18`. With an erasure it says what was erased, however
//! much that was.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

/// The name of the content part that lists the records which an erasure reached.
pub const ERASED_PART: &str = "records";

/// Writes seqs, which are sorted, as spans.
pub fn write(seqs: &[u64]) -> String {
    let mut text = String::new();
    let follow = |one: &u64, next: &u64| one.checked_add(1) == Some(*next);
    for span in seqs.chunk_by(follow) {
        let (Some(first), Some(last)) = (span.first(), span.last()) else { continue };
        let space = if text.is_empty() { "" } else { " " };
        let written = if first == last {
            write!(text, "{space}{first}")
        } else {
            write!(text, "{space}{first}-{last}")
        };
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    }
    text
}

/// Reads spans. `None` if the text is no list of them.
pub fn parse(text: &str) -> Option<Vec<RangeInclusive<u64>>> {
    let span = |word: &str| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        (first <= last).then_some(first..=last)
    };
    text.split_ascii_whitespace().map(span).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn spans_read_back(seqs in prop::collection::btree_set(0u64..60, 0..40)) {
            let listed: Vec<u64> = seqs.iter().copied().collect();
            let spans = parse(&write(&listed)).unwrap();
            prop_assert_eq!(spans.iter().cloned().flatten().collect::<BTreeSet<_>>(), seqs);
            prop_assert!(spans.windows(2).all(|two| *two[0].end() + 1 < *two[1].start()));
        }
    }

    #[test]
    fn what_is_no_list_is_not_taken_for_one() {
        assert_eq!(write(&[0, 1, 2, 7, 9, 10]), "0-2 7 9-10");
        assert_eq!(parse(""), Some(Vec::new()));
        for text in ["x", "1-", "3-2", "1,2", "-1", "1-2-3", "99999999999999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
