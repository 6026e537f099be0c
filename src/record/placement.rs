//! Sealing: an event gets its place in a ledger, and becomes bytes.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::fault::{Code, refuse};
use super::flag::Flag;
use super::limits::{ENTRY_BYTES_MAX, LEDGER_NAME_BYTES_MAX};
use super::time::Timestamp;
use crate::canon::{ContentDigest, EntryHash, NotCanonical, TreeHash};

/// The name of a ledger: 1 to 63 of `a-z 0-9 -`, neither starting nor ending with `-` (SPEC 2.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct LedgerName(String);

/// The text is no name of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a ledger's name has 1 to {LEDGER_NAME_BYTES_MAX} of the characters a-z 0-9 -, \
     and neither starts nor ends with -"
)]
pub struct NotLedgerName;

impl FromStr for LedgerName {
    type Err = NotLedgerName;

    fn from_str(text: &str) -> Result<Self, NotLedgerName> {
        is_ledger_name(text).then(|| Self(text.to_owned())).ok_or(NotLedgerName)
    }
}

/// Whether `text` can name a ledger.
pub(super) fn is_ledger_name(text: &str) -> bool {
    let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=LEDGER_NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(known)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl Deref for LedgerName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LedgerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LedgerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(|error: NotLedgerName| refuse(Code::FieldInvalid, &error.to_string()))
    }
}

/// Where an event comes to stand, as the ledger has worked it out.
#[derive(Clone, Copy, Debug)]
pub struct Placement<'a> {
    /// The ledger.
    pub ledger: &'a LedgerName,
    /// The record's number in the ledger, from 0.
    pub seq: u64,
    /// When the server took the record.
    pub received_at: Timestamp,
    /// The hash of the entry before; none at 0.
    pub prev: Option<EntryHash>,
    /// The record's place in its session, if it has one.
    pub session: Option<SessionLink>,
    /// Where each of the event's causes stands, in the event's order.
    pub causes: &'a [CauseLink],
    /// The commitment to each of the event's content parts, in the event's order.
    pub content: &'a [ContentDigest],
    /// The flags that the ledger adds to the event's own, in any order.
    pub flags: &'a [Flag],
}

/// A record's place in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLink {
    /// The record's number in the session, from 0.
    pub n: u64,
    /// The hash of the session's entry before; none at 0.
    pub prev: Option<EntryHash>,
}

/// Where a cause stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CauseLink {
    /// Its number in the ledger.
    pub seq: u64,
    /// The hash of its entry.
    pub entry_hash: EntryHash,
}

/// An entry's bytes and what is computed from them. These bytes are stored and served as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The entry (SPEC 3.1).
    pub bytes: Vec<u8>,
    /// Its hash, by which the next entry names it (SPEC 3.2).
    pub hash: EntryHash,
    /// Its leaf in the tree (RFC 6962).
    pub leaf: TreeHash,
}

/// The event cannot be sealed at this place. Each variant but the first is a fault of the caller.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The entry is longer than allowed; an [`Event`](super::Event) is checked for that already.
    #[error("the entry would take {bytes} bytes, and may take {ENTRY_BYTES_MAX}")]
    TooLong {
        /// How long it would be.
        bytes: usize,
    },
    /// The event has no id.
    #[error("the event has no id yet")]
    NoId,
    /// The place has more or fewer causes, content digests or sessions than the event.
    #[error("the place does not fit the event")]
    Misplaced,
    /// The entry has no canonical form.
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
}
