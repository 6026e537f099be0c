//! Where the bytes come from.

use crate::proof::TilePath;

/// Why bytes could not be had: not that they are wrong, but that nobody could look.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// What the files say they are of. Nothing of it is believed; it says what to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The ledger's name.
    pub ledger: String,
    /// The origin of its checkpoints.
    pub origin: String,
    /// The number of entries of the log.
    pub size: u64,
    /// The first entry that is there.
    pub from: u64,
    /// One past the last entry that is there.
    pub to: u64,
}

/// The files of a log, in the archive's layout (SPEC 6.1).
pub trait Source: Sync {
    /// What the files are of.
    fn meta(&self) -> Result<Meta, SourceError>;
    /// The newest checkpoint.
    fn checkpoint(&self) -> Result<Vec<u8>, SourceError>;
    /// The checkpoints of all batches, in order.
    fn checkpoints(&self) -> Result<Vec<Vec<u8>>, SourceError>;
    /// A tile or bundle; `None` if it is not there.
    fn read(&self, path: TilePath) -> Result<Option<Vec<u8>>, SourceError>;
}

/// Takes the `checkpoints` file apart: for each checkpoint its length in decimal, a line feed, and the
/// note. `None` if it is something else.
pub fn parse_checkpoints(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut notes = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (length, rest) = bytes.split_at_checked(end)?;
        let text = std::str::from_utf8(length).ok()?;
        let strict = !text.is_empty()
            && text.bytes().all(|digit| digit.is_ascii_digit())
            && !text.starts_with('0');
        let length = text.parse::<usize>().ok().filter(|_| strict)?;
        let (note, rest) = rest.get(1..)?.split_at_checked(length)?;
        notes.push(note.to_vec());
        bytes = rest;
    }
    Some(notes)
}
