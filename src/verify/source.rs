//! Where the bytes come from.

use std::io::{self, BufRead, Cursor, Read};
use std::ops::Range;

use crate::proof::TilePath;
use crate::seal::NOTE_BYTES_MAX;

/// Why bytes could not be had: not that they are wrong, but that nobody could look.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Notes, one after the other. `Ok(None)` is the last thing given: what follows is damaged.
pub type Notes<'a> = Box<dyn Iterator<Item = Result<Option<Vec<u8>>, SourceError>> + Send + 'a>;

/// The digits of the longest note's length, and the line feed.
const LENGTH_BYTES_MAX: u64 = 8;

/// What the files say they are of. Nothing of it is believed; it says what to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The ledger's name.
    pub ledger: String,
    /// The origin of its checkpoints.
    pub origin: String,
    /// The number of entries of the log.
    pub size: u64,
    /// The entries that are there, if it is only a part of them.
    pub part: Option<Range<u64>>,
    /// Whether content was left out on purpose.
    pub withheld: bool,
}

/// The last checkpoint that a server acknowledged, kept beside its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// Nothing of this kind belongs to the source.
    None,
    /// It should be there and is not.
    Missing {
        /// The file.
        name: String,
    },
    /// It is there.
    There {
        /// The file.
        name: String,
        /// What is in it.
        note: Vec<u8>,
    },
}

/// The files of a log, in the archive's layout (SPEC 6.1).
///
/// Bytes that are damaged are given as they are, or as not there; an error says that nobody could
/// look. Where a file's length is in somebody else's hands, no more of it is read than it can have.
pub trait Source: Sync {
    /// What the files are of.
    fn meta(&self) -> Result<Meta, SourceError>;
    /// The newest checkpoint; `None` if it is not there.
    fn checkpoint(&self) -> Result<Option<Vec<u8>>, SourceError>;
    /// The checkpoints of all batches, in order.
    fn checkpoints(&self) -> Result<Notes<'_>, SourceError>;
    /// A tile or bundle; `None` if it is not there.
    fn read(&self, path: TilePath) -> Result<Option<Vec<u8>>, SourceError>;

    /// A content bundle, of which only a part has to be in memory at once.
    fn content(
        &self,
        index: u64,
        width: u16,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, SourceError> {
        let bytes = self.read(TilePath::Content { index, width })?;
        Ok(bytes.map(|bytes| -> Box<dyn Read + Send> { Box::new(Cursor::new(bytes)) }))
    }

    /// The head file.
    fn head(&self) -> Result<Head, SourceError> {
        Ok(Head::None)
    }
}

/// Takes the `checkpoints` file apart as it is read: for each checkpoint its length in decimal, a
/// line feed, and the note.
pub fn read_checkpoints<'a>(mut file: impl BufRead + Send + 'a) -> Notes<'a> {
    let mut ended = false;
    Box::new(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        if file.fill_buf().is_ok_and(<[u8]>::is_empty) {
            return None;
        }
        let note = next_note(&mut file).map_err(SourceError::from);
        ended = !matches!(note, Ok(Some(_)));
        Some(note)
    }))
}

/// The notes of a `checkpoints` file in memory. `None` if it is something else.
pub fn parse_checkpoints(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    read_checkpoints(bytes).map(|note| note.ok().flatten()).collect()
}

/// The next note; `None` where the file is damaged.
fn next_note(file: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut length = Vec::new();
    file.by_ref().take(LENGTH_BYTES_MAX).read_until(b'\n', &mut length)?;
    let Some(length) = parse_length(&length) else { return Ok(None) };
    let mut note = Vec::new();
    file.by_ref().take(length).read_to_end(&mut note)?;
    let whole = u64::try_from(note.len()).is_ok_and(|found| found == length);
    Ok(whole.then_some(note))
}

fn parse_length(line: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let strict = digits.bytes().all(|digit| digit.is_ascii_digit()) && !digits.starts_with('0');
    let length: usize = digits.parse().ok().filter(|_| strict)?;
    u64::try_from(length).ok().filter(|_| length <= NOTE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_gives_the_notes_before_the_damage() {
        let notes =
            |bytes: &'static [u8]| read_checkpoints(bytes).map(Result::unwrap).collect::<Vec<_>>();
        let [one, two] = [b"one".to_vec(), b"two2".to_vec()].map(Some);
        assert_eq!(notes(b""), []);
        assert_eq!(notes(b"3\none4\ntwo2"), [one.clone(), two]);
        for damaged in [b"3\none4\ntwo".as_slice(), b"3\none04\ntwo2", b"3\none+4\ntwo2"] {
            assert_eq!(notes(damaged), [one.clone(), None], "{damaged:?}");
            assert_eq!(parse_checkpoints(damaged), None);
        }
        // No length makes it take memory for what is not there or cannot be a note.
        for damaged in
            [b"99999999999\nx".as_slice(), b"1000001\nx", b"0\n", b"\n", b"\0\0\0\0\0\0\0\0\0"]
        {
            assert_eq!(notes(damaged), [None], "{damaged:?}");
        }
    }
}
