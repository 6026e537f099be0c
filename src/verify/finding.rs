//! Findings: what is wrong, where, and how it shows.

use std::fmt;

use serde::Serialize;

/// Findings that are listed in full. All are counted.
pub(super) const LISTED_MAX: usize = 10_000;

/// What is wrong (SPEC 8.3). The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A bundle of entries is not there.
    BundleMissing,
    /// A bundle stands outside the range that the archive says it has.
    BundleUnexpected,
    /// A bundle of entries or content cannot be taken apart.
    BundleMalformed,
    /// The bytes are no canonical entry.
    EntryMalformed,
    /// The bytes of an entry are not those that the tree holds.
    EntryChanged,
    /// The entry says that it stands elsewhere.
    SeqWrong,
    /// The entry says that it is of another ledger.
    LedgerWrong,
    /// The entry does not follow the one before.
    ChainBroken,
    /// The entry does not follow the one before it in its session.
    SessionChainBroken,
    /// A cause is not what the entry says it is.
    CauseWrong,
    /// Another entry has the same id.
    IdRepeated,
    /// The entry was received before the one before it.
    TimeGoesBack,
    /// The first entry does not say what ledger this is.
    GenesisWrong,
    /// Content is not what the entry commits to.
    ContentWrong,
    /// The producer's signature of a record is wrong, or by a key that was not registered for it.
    ProducerSignatureWrong,
    /// A content bundle is not there, and nothing says that it was left out.
    ContentMissing,
    /// A tile is not there.
    TileMissing,
    /// A tile is not that of the entries.
    TileWrong,
    /// A checkpoint is not there, or out of order.
    CheckpointMissing,
    /// The bytes are no checkpoint of this log.
    CheckpointMalformed,
    /// A checkpoint is not signed by the key.
    SignatureWrong,
    /// A checkpoint's root is not that of the entries.
    RootWrong,
    /// The head file is gone, so that a cut tail cannot be told.
    HeadMissing,
    /// The database cannot be read at all.
    DatabaseDamaged,
    /// A checkpoint that the auditor or the head file kept is not of this history.
    KnownCheckpointWrong,
    /// A receipt that the auditor holds does not match the log.
    ReceiptWrong,
}

/// One thing that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The entry that it is about, where that can be told.
    pub seq: Option<u64>,
    /// What.
    pub code: Code,
    /// How it shows.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seq {
            Some(seq) => write!(f, "seq {seq}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// The findings of an audit, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// How many there are.
    pub total: u64,
    /// The first 10,000 of them.
    pub listed: Vec<Finding>,
}

impl Findings {
    /// Adds a finding.
    pub(super) fn push(&mut self, seq: impl Into<Option<u64>>, code: Code, message: String) {
        self.add(Finding { seq: seq.into(), code, message });
    }

    /// Adds a finding.
    pub(super) fn add(&mut self, finding: Finding) {
        self.total = self.total.saturating_add(1);
        if self.listed.len() < LISTED_MAX {
            self.listed.push(finding);
        }
    }

    /// Counts findings that are not listed any more.
    pub(super) const fn count(&mut self, more: u64) {
        self.total = self.total.saturating_add(more);
    }
}
