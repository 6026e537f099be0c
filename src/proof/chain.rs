//! The links between entries.

use crate::canon::EntryHash;

/// The entry does not continue the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenLink {
    /// The entry has another number than the next one.
    #[error("expected number {expected}, found {found}")]
    Number {
        /// The number that is next.
        expected: u64,
        /// The number that the entry has.
        found: u64,
    },
    /// The entry names another entry as the one before it.
    #[error("the entry names another one as the one before it")]
    Previous {
        /// The hash of the entry before, none for the first.
        expected: Option<EntryHash>,
        /// The hash that the entry names.
        found: Option<EntryHash>,
    },
}

/// One chain of entries, numbered from 0, each naming the hash of the one before: a ledger's (`seq`,
/// `prev`), or a session's (`session.n`, `session.prev`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    length: u64,
    last: Option<EntryHash>,
}

impl Chain {
    /// The chain without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// A chain of `length` entries that ends with `last`.
    pub const fn resume(length: u64, last: Option<EntryHash>) -> Self {
        Self { length, last }
    }

    /// How many entries there are, and so the number of the next one.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The hash of the last entry, which the next one names. None when there are no entries.
    pub const fn last(&self) -> Option<EntryHash> {
        self.last
    }

    /// Adds an entry without looking at its links, and gives the links that it should have.
    pub fn push(&mut self, hash: EntryHash) -> (u64, Option<EntryHash>) {
        let links = (self.length, self.last);
        self.length += 1;
        self.last = Some(hash);
        links
    }

    /// Checks the links of the next entry, and goes on from that entry whatever they say, so that
    /// one break is reported once.
    pub fn follow(
        &mut self,
        number: u64,
        previous: Option<EntryHash>,
        hash: EntryHash,
    ) -> Result<(), BrokenLink> {
        let (expected_number, expected) = (self.length, self.last);
        *self = Self { length: number.saturating_add(1), last: Some(hash) };
        if number != expected_number {
            return Err(BrokenLink::Number { expected: expected_number, found: number });
        }
        if previous != expected {
            return Err(BrokenLink::Previous { expected, found: previous });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_name_the_one_before_follow() {
        let (mut written, mut read) = (Chain::new(), Chain::new());
        for number in 0..3 {
            let hash = EntryHash::of(&[number]);
            let (number, previous) = written.push(hash);
            assert_eq!(read.follow(number, previous, hash), Ok(()));
        }
        assert_eq!(written, read);
        assert_eq!((read.length(), read.last()), (3, Some(EntryHash::of(&[2]))));
    }

    #[test]
    fn a_break_is_reported_once() {
        let hash = |byte: u8| EntryHash::of(&[byte]);
        let mut chain = Chain::resume(5, Some(hash(4)));
        let gap = BrokenLink::Number { expected: 5, found: 6 };
        assert_eq!(chain.follow(6, Some(hash(5)), hash(6)), Err(gap));
        let other = BrokenLink::Previous { expected: Some(hash(6)), found: Some(hash(0)) };
        assert_eq!(chain.follow(7, Some(hash(0)), hash(7)), Err(other));
        let none = BrokenLink::Previous { expected: Some(hash(7)), found: None };
        assert_eq!(chain.follow(8, None, hash(8)), Err(none));
        assert_eq!(chain.follow(9, Some(hash(8)), hash(9)), Ok(()));
    }
}
