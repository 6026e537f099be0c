//! Receipts: what a sender gets for a record that is in the log for good.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::canon::{EntryHash, TreeHash};
use crate::record::{Flag, Timestamp};

/// The promise that a record is sealed, durable and covered by a signed checkpoint.
///
/// A retry of the same record gets the same receipt, but for `duplicate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Receipt {
    /// The record's id.
    pub id: String,
    /// Its place in the ledger, from 0: also the index of its leaf.
    pub seq: u64,
    /// The hash of its entry.
    pub entry_hash: EntryHash,
    /// The hash of its leaf in the tree.
    pub leaf_hash: TreeHash,
    /// When it was received, by the server's clock.
    pub received_at: Timestamp,
    /// What the ledger noticed about it.
    pub flags: Vec<Flag>,
    /// Whether the record was in the log before this request.
    pub duplicate: bool,
    /// The signed checkpoint of the batch that the record was committed with.
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    pub checkpoint: Arc<str>,
}

fn text<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text)
}
