//! Rows as JSON: the entry byte for byte, so that it can be hashed anew, and its content with the salts.

use serde::Serialize;
use serde_json::value::RawValue;

use super::line;
use super::rows::{Checkpoint, Row, Rows, damaged};
use crate::canon::{EntryHash, TreeHash};
use crate::http::error::ApiError;
use crate::http::records::{ContentBody, content_bodies};

/// One row.
#[derive(Serialize)]
struct Line<'a> {
    object: &'static str,
    seq: u64,
    entry: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Vec<ContentBody>>,
    record_integrity: Integrity<'a>,
}

/// What ties a row to the log.
#[derive(Serialize)]
struct Integrity<'a> {
    entry_hash: EntryHash,
    leaf_hash: TreeHash,
    checkpoint: Tree<'a>,
}

/// The checkpoint's tree. Its note stands in the last line.
#[derive(Serialize)]
struct Tree<'a> {
    origin: &'a str,
    size: u64,
    root: TreeHash,
}

/// The last line.
#[derive(Serialize)]
struct End<'a> {
    object: &'static str,
    /// Whether these were all.
    complete: bool,
    /// After which seq to go on.
    after: Option<u64>,
    rows: u64,
    /// The signed note of the checkpoint.
    checkpoint: &'a str,
}

pub(super) fn row(
    bytes: &mut Vec<u8>,
    row: &Row<'_>,
    checkpoint: &Checkpoint,
) -> Result<(), ApiError> {
    let Checkpoint { origin, size, root, .. } = checkpoint;
    let parts = row.parts.map(|parts| content_bodies(row.entry, parts.to_vec()));
    let record = Line {
        object: "record",
        seq: row.entry.seq,
        entry: serde_json::from_str(row.text).map_err(|_| damaged())?,
        content: parts.transpose()?,
        record_integrity: Integrity {
            entry_hash: row.entry_hash,
            leaf_hash: row.leaf_hash,
            checkpoint: Tree { origin, size: *size, root: *root },
        },
    };
    line(bytes, &record)
}

pub(super) fn end(
    bytes: &mut Vec<u8>,
    rows: &Rows,
    checkpoint: &Checkpoint,
) -> Result<(), ApiError> {
    let end = End {
        object: "export_end",
        complete: rows.complete(),
        after: rows.cursor(),
        rows: rows.count,
        checkpoint: &checkpoint.note,
    };
    line(bytes, &end)
}
