//! Causal walks: from a record back to all that led to it ([`why`]), and forward to all that came of
//! it ([`effects`]).
//!
//! A walk sees the log at one size, so it gives the same answer however much the log grows; each
//! record stands in it once. It is bounded, and says so when it ends at a bound. What no cause says,
//! it asks its [`Links`].

mod back;
mod forth;
mod summary;
mod words;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

pub use back::{Why, why};
pub use forth::{ApiCallReached, Effects, SessionReached, effects};
pub use words::title;

use std::ops::Range;

use super::{Error, View};
use crate::record::{Kind, RecordId, Rel};

/// What [`Links`] fail with.
pub type LinksError = Box<dyn std::error::Error + Send + Sync>;

/// What joins records besides their causes.
///
/// For the same question with the same `below`, the answer is always the same: who takes it from an
/// index waits until the index has all records below.
pub trait Links {
    /// The first records among `seqs` that saw the same document as the record at `seq`, in any
    /// session: in order, at most `limit`, without the record itself.
    fn same_documents(
        &self,
        seq: u64,
        seqs: Range<u64>,
        limit: usize,
    ) -> Result<Vec<u64>, LinksError>;

    /// The newest `delegation_grant` below `below` with this id.
    fn grant(&self, delegation: &str, below: u64) -> Result<Option<u64>, LinksError>;
}

/// No links: a walk follows causes alone.
#[derive(Clone, Copy, Debug)]
pub struct NoLinks;

impl Links for NoLinks {
    fn same_documents(&self, _: u64, _: Range<u64>, _: usize) -> Result<Vec<u64>, LinksError> {
        Ok(Vec::new())
    }

    fn grant(&self, _: &str, _: u64) -> Result<Option<u64>, LinksError> {
        Ok(None)
    }
}

/// How far a walk goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Steps away from the first record.
    pub depth_max: u64,
    /// Records in all.
    pub nodes_max: usize,
    /// The size of the log that is walked: records from there on do not exist.
    pub size: u64,
}

/// How one record of a walk is joined to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// The later one names the earlier one as its cause.
    Cause(Rel),
    /// The grant under which the record was made, or which its own grant is a part of.
    Delegation,
    /// Both saw the same document.
    SameDocument,
}

impl Relation {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cause(rel) => rel.as_str(),
            Self::Delegation => "delegation",
            Self::SameDocument => "same_document",
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Relation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl JsonSchema for Relation {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Relation".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let others = [Self::Delegation, Self::SameDocument];
        let causes = Rel::ALL.iter().map(|rel| Self::Cause(*rel));
        let names: Vec<_> = causes.chain(others).map(Self::as_str).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}

/// The way from one record of a walk to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[schemars(rename = "EdgeOfWalk")]
pub struct Edge {
    /// The seq of the record that it comes from.
    pub from: u64,
    /// How the two are joined.
    pub rel: Relation,
}

/// What a record is to the one who asks why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RoleInWalk")]
pub enum Role {
    /// What a model was asked.
    Prompt,
    /// What an agent was allowed.
    Delegation,
    /// What a model read that no user of it wrote: a document, a tool's result, a memory.
    UntrustedInput,
    /// Any other.
    Other,
}

impl Role {
    const fn of(kind: Kind) -> Self {
        if matches!(kind, Kind::Prompt) {
            Self::Prompt
        } else if matches!(kind, Kind::DelegationGrant) {
            Self::Delegation
        } else if kind.is_untrusted_input() {
            Self::UntrustedInput
        } else {
            Self::Other
        }
    }
}

/// One record of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its place in the log.
    pub seq: u64,
    /// Its id.
    pub id: RecordId,
    /// Its kind.
    pub kind: Kind,
    /// The fewest steps in which it is reached.
    pub depth: u64,
    /// What it is to the one who asks.
    pub role: Role,
    /// How it was reached, and from where; sorted. Empty for the first record.
    pub edges: Vec<Edge>,
    /// The one cause that set it off.
    set_off_by: Option<u64>,
}

/// The relation in which a record was set off, if it is one of these; the first that it has counts.
const SET_OFF: [Rel; 3] = [Rel::TriggeredBy, Rel::Completes, Rel::HandedOffFrom];

/// The bytes of an entry that has to be there.
fn bytes_at(view: &View, seq: u64) -> Result<Arc<[u8]>, Error> {
    view.entry(seq)?.ok_or(Error::TooFar { size: view.size() })
}
