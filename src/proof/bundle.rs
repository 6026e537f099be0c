//! Entry bundles: up to 256 entries, each after its length (C2SP tlog-tiles).

use super::tile::WIDTH;

/// The longest entry that a bundle can hold.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// The bytes are not an entry bundle, or would not be one any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The entry is longer than its length can say.
    #[error("an entry of {bytes} bytes is longer than 65535 bytes")]
    EntryTooLong {
        /// How long the entry is.
        bytes: usize,
    },
    /// The bytes end within an entry or its length.
    #[error("the bundle ends within an entry")]
    CutShort,
    /// Bytes follow the 256th entry.
    #[error("the bundle has more than 256 entries")]
    TooManyEntries,
}

/// Writes one entry at the end of a bundle: `u16_be(length) || entry`. After an error the bundle is
/// as it was. That there are no more than 256 is the caller's to see to.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), BundleError> {
    let Ok(length) = u16::try_from(entry.len()) else {
        return Err(BundleError::EntryTooLong { bytes: entry.len() });
    };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle, in order. What isn't an entry is the last thing given.
pub const fn entries(bundle: &[u8]) -> Entries<'_> {
    Entries { rest: bundle, left: WIDTH }
}

/// The iterator that [`entries`] gives.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<&'a [u8], BundleError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.rest = &[];
            return Some(Err(BundleError::TooManyEntries));
        };
        self.left = left;
        let entry = self.rest.split_first_chunk::<2>().and_then(|(length, rest)| {
            rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        });
        let Some((entry, rest)) = entry else {
            self.rest = &[];
            return Some(Err(BundleError::CutShort));
        };
        self.rest = rest;
        Some(Ok(entry))
    }
}

impl std::iter::FusedIterator for Entries<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_back() {
        let longest = vec![7; ENTRY_BYTES_MAX];
        let written: [&[u8]; 4] = [b"one", b"", &longest, b"four"];
        let mut bundle = Vec::new();
        for entry in written {
            push_entry(&mut bundle, entry).unwrap();
        }
        let read: Result<Vec<_>, _> = entries(&bundle).collect();
        assert_eq!(read.unwrap(), written);

        let bytes = ENTRY_BYTES_MAX + 1;
        let before = bundle.clone();
        let error = push_entry(&mut bundle, &vec![7; bytes]).unwrap_err();
        assert_eq!((error, bundle), (BundleError::EntryTooLong { bytes }, before));
    }

    #[test]
    fn a_bundle_cut_anywhere_but_between_entries_is_found() {
        let bundle = b"\0\x03one\0\x00\0\x04four";
        for end in 0..=bundle.len() {
            let whole = [0, 5, 7, bundle.len()].contains(&end);
            let last = entries(&bundle[..end]).last();
            assert_eq!(last == Some(Err(BundleError::CutShort)), !whole, "{end}");
        }
    }

    #[test]
    fn the_257th_entry_ends_the_reading() {
        let bundle = [0; 2 * 257];
        assert_eq!(entries(&bundle[2..]).flatten().count(), 256);
        let mut read = entries(&bundle).skip(256);
        assert_eq!(read.next(), Some(Err(BundleError::TooManyEntries)));
        assert_eq!(read.next(), None);
    }
}
