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
