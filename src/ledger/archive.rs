//! The log as files: what an archive holds and what an auditor fetches over HTTP, byte for byte the
//! same (SPEC 6).

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Error, View, known};
use crate::proof::{TILE_WIDTH, TilePath, bundle, tile_width};
use crate::store::StoredPart;

/// The version of the archive layout.
pub const ARCHIVE_VERSION: u32 = 1;

/// What an archive is of: its `archive.json` (SPEC 6.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveMeta {
    /// The version of the layout.
    pub archive: u32,
    /// Whether content is in it.
    pub content: ArchivedContent,
    /// The first entry that is in it.
    pub from: u64,
    /// The ledger's name.
    pub ledger: String,
    /// The ledger's origin.
    pub origin: String,
    /// The number of entries of the log.
    pub size: u64,
    /// The program that made it.
    pub software: String,
    /// One past the last entry that is in it.
    pub to: u64,
}

/// Whether an archive has the content of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArchivedContent {
    /// All that was not erased.
    Kept,
    /// None: it was left out.
    Withheld,
}

impl View {
    /// The bytes at a path of the archive: `None` where the log has nothing there, or not as much.
    ///
    /// A tile or bundle of any width up to the present one can be had, because each was the last of
    /// the log at some time.
    pub fn file(&self, path: TilePath) -> Result<Option<Vec<u8>>, Error> {
        let (level, index, width) = match path {
            TilePath::Hash { level, index, width } => (level, index, width),
            TilePath::Entries { index, width } | TilePath::Content { index, width } => {
                (0, index, width)
            }
        };
        if tile_width(self.size(), level, index).is_none_or(|present| present < width) {
            return Ok(None);
        }
        if matches!(path, TilePath::Hash { .. }) {
            let mut bytes = self.tile(level, index)?.unwrap_or_default();
            bytes.truncate(usize::from(width) * 32);
            return Ok(Some(bytes));
        }
        let Some(mut seqs) = self.bundle_seqs(path) else { return Ok(None) };
        Ok(Some(self.bundle_piece(path, &mut seqs, usize::MAX)?.unwrap_or_default()))
    }

    /// The entries that a bundle is of. `None` if the path is no bundle, or the log has not as much.
    pub fn bundle_seqs(&self, path: TilePath) -> Option<Range<u64>> {
        let (TilePath::Entries { index, width } | TilePath::Content { index, width }) = path else {
            return None;
        };
        let present = tile_width(self.size(), 0, index)?;
        let first = index * TILE_WIDTH;
        (present >= width).then(|| first..first + u64::from(width))
    }

    /// The next bytes of a bundle, from the first of `seqs` on: those of as many records as take
    /// about `bytes_max`, but at least of one. `seqs` moves on. `None` at its end.
    pub fn bundle_piece(
        &self,
        path: TilePath,
        seqs: &mut Range<u64>,
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, Error> {
        if seqs.is_empty() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let (mut end, mut length) = (seqs.start, 0);
        for (seq, entry) in self.entries(seqs.clone())? {
            if length >= bytes_max {
                break;
            }
            if let TilePath::Content { .. } = path {
                let entry = known::parse(seq, &entry)?;
                let sizes = entry.content.iter().map(|part| usize::try_from(part.bytes));
                length += sizes.sum::<Result<usize, _>>().unwrap_or(usize::MAX);
            } else {
                bundle::push_entry(&mut bytes, &entry)
                    .map_err(|source| Error::Bundle { seq, source })?;
                length = bytes.len();
            }
            end = seq + 1;
        }
        if let TilePath::Content { .. } = path {
            for (_, parts) in self.contents(seqs.start..end)? {
                push_parts(&mut bytes, &parts);
            }
        }
        // A log that ends early ends the bundle too.
        seqs.start = if end == seqs.start { seqs.end } else { end };
        Ok(Some(bytes))
    }
}

/// `0x00` for a part that is withheld or erased, `0x01 || salt || u32 length || bytes` for one that
/// is there (SPEC 6.1).
pub(super) fn push_parts(bytes: &mut Vec<u8>, parts: &[StoredPart]) {
    for part in parts {
        match part {
            StoredPart::Kept { salt, bytes: content } => {
                bytes.push(0x01);
                bytes.extend(salt.as_bytes());
                bytes.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
                bytes.extend(content);
            }
            StoredPart::Erased => bytes.push(0x00),
        }
    }
}

/// One checkpoint in the `checkpoints` file: its length in decimal, a line feed, and the note.
pub fn push_checkpoint(bytes: &mut Vec<u8>, note: &str) {
    bytes.extend(format!("{}\n{note}", note.len()).bytes());
}
