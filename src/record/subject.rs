//! Subjects: what the state of a ledger is about, and which records change it.
//!
//! The state of a session, a grant or a catalog is what its records say, in their order. A store keeps
//! for each subject where those records are, so that a state can be told again at any time without
//! reading the whole log.

use super::data::{Data, Review};
use crate::canon::lookup_key;

/// What a record changes the state of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The beginning and the end of a session, by its id.
    Session(&'a str),
    /// A grant and its revocations, by the grant's id.
    Grant(&'a str),
    /// The calls under a grant, by the grant's id.
    Calls(&'a str),
    /// The catalogs of a server, by its name.
    Catalog(&'a str),
    /// The catalogs of a server that were approved or rejected, by its name.
    Reviewed(&'a str),
    /// The policy of the ledger.
    Policy,
    /// The keys of producers.
    ProducerKeys,
    /// Legal holds.
    Holds,
    /// Erasures of content, and content that went because its time was over.
    Erasures,
}

impl<'a> Subject<'a> {
    /// The subjects of a record with this data, under this grant, in this session.
    pub fn of(
        data: &'a Data,
        delegation: Option<&'a str>,
        session: Option<&'a str>,
    ) -> impl Iterator<Item = Self> {
        let [first, second] = match data {
            Data::SessionStart(_) | Data::SessionEnd(_) => [session.map(Self::Session), None],
            Data::DelegationGrant(grant) => [Some(Self::Grant(&grant.delegation)), None],
            Data::DelegationRevoke(revoke) => [Some(Self::Grant(&revoke.delegation)), None],
            Data::ToolInvocation(_) => [delegation.map(Self::Calls), None],
            Data::ToolCatalogSnapshot(catalog) => {
                let decided = catalog.review_status.is_some_and(Review::is_decided);
                let reviewed = decided.then_some(Self::Reviewed(&catalog.server));
                [Some(Self::Catalog(&catalog.server)), reviewed]
            }
            Data::ConfigChange(change) => [change.policy.as_ref().map(|_| Self::Policy), None],
            Data::ProducerKey(_) => [Some(Self::ProducerKeys), None],
            Data::LegalHold(_) => [Some(Self::Holds), None],
            Data::Erasure(_) | Data::RetentionPurge(_) => [Some(Self::Erasures), None],
            Data::Prompt(_)
            | Data::ModelOutput(_)
            | Data::ToolResult(_)
            | Data::ApiCall(_)
            | Data::AuthorizationDecision(_)
            | Data::HumanApproval(_)
            | Data::Retrieval(_)
            | Data::Memory(_)
            | Data::Handoff(_)
            | Data::Error(_)
            | Data::AppEvent(_)
            | Data::Heartbeat(_)
            | Data::Correction(_)
            | Data::Annotation(_)
            | Data::CaseNote(_)
            | Data::CaptureGap(_)
            | Data::IngestRefusal(_)
            | Data::Flag(_)
            | Data::LogAccess(_)
            | Data::LogExport(_)
            | Data::KeyRotation(_)
            | Data::Genesis(_) => [None, None],
        };
        first.into_iter().chain(second)
    }

    /// 64 bits to find its records by. Whoever finds one compares it.
    pub fn lookup_key(self) -> u64 {
        let (name, id) = match self {
            Self::Session(id) => ("session", id),
            Self::Grant(id) => ("grant", id),
            Self::Calls(id) => ("calls", id),
            Self::Catalog(server) => ("catalog", server),
            Self::Reviewed(server) => ("reviewed", server),
            Self::Policy => ("policy", ""),
            Self::ProducerKeys => ("producer_keys", ""),
            Self::Holds => ("holds", ""),
            Self::Erasures => ("erasures", ""),
        };
        lookup_key(&[name.as_bytes(), &[0], id.as_bytes()].concat())
    }
}
