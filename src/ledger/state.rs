//! The state that records have: of sessions, of grants, of catalogs.
//!
//! A state is a fold over the records of its subject, in their order, and holds nothing that they do
//! not say. The same code folds a record that is being sealed and one that is read back, so a state
//! that was told again is the state that it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::canon::EntryHash;
use crate::record::data::{DelegationGrant, Review, ToolCatalogSnapshot};
use crate::record::text::{Digest, ExternalId, Name};
use crate::record::{Data, Entry, Event, Timestamp, User};

/// The content part of a snapshot that has the definitions of its tools.
pub(super) const DEFINITIONS: &str = "tools";

/// What a record tells of a subject.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) seq: u64,
    pub(super) delegation: Option<&'a str>,
    pub(super) data: &'a Data,
    pub(super) occurred_at: Timestamp,
    pub(super) received_at: Timestamp,
    pub(super) session: Option<&'a str>,
    pub(super) user: Option<&'a User>,
    /// Whether its content has the definitions of tools.
    pub(super) defines_tools: bool,
}

impl<'a> Told<'a> {
    /// What a record tells that is being sealed.
    pub(super) fn by_event(event: &'a Event, seq: u64, received_at: Timestamp) -> Self {
        Self {
            seq,
            delegation: event.delegation().map(|id| &**id),
            data: event.data(),
            occurred_at: event.occurred_at(),
            received_at,
            session: event.session().map(|session| session.id.as_str()),
            user: event.user(),
            defines_tools: event.content().iter().any(|part| part.name == DEFINITIONS),
        }
    }

    /// What a record tells that was read back.
    pub(super) fn by_entry(entry: &'a Entry<'_>) -> Self {
        Self {
            seq: entry.seq,
            delegation: entry.delegation.as_deref().map(|id| &**id),
            data: &entry.data,
            occurred_at: entry.occurred_at,
            received_at: entry.received_at,
            session: entry.session.as_ref().map(|session| session.id.as_str()),
            user: entry.user.as_deref(),
            defines_tools: entry.content.iter().any(|part| part.name == DEFINITIONS),
        }
    }
}

/// A moment as a record tells it: when it was, and when that was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) occurred_at: Timestamp,
    pub(super) received_at: Timestamp,
}

/// A session: whose it is, where it stands, and whether it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// The number of its last record.
    pub(super) n: u64,
    /// The entry of its last record.
    pub(super) hash: EntryHash,
    /// The user of its first record that has one.
    pub(super) user: Option<Arc<SessionUser>>,
    /// When it ends at the latest.
    pub(super) expires_at: Option<Timestamp>,
    /// Its end, as it was first told.
    pub(super) ended: Option<Moment>,
}

/// Who a session is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionUser {
    pub(super) id: ExternalId,
    pub(super) issuer: Option<ExternalId>,
}

impl Session {
    /// A session with its first record.
    pub(super) const fn new(hash: EntryHash) -> Self {
        Self { n: 0, hash, user: None, expires_at: None, ended: None }
    }

    /// Learns what a record of this session tells.
    pub(super) fn fold(&mut self, told: Told<'_>) {
        if let (None, Some(user)) = (&self.user, told.user) {
            let (id, issuer) = (user.id.clone(), user.issuer.clone());
            self.user = Some(Arc::new(SessionUser { id, issuer }));
        }
        if let Data::SessionStart(start) = told.data {
            self.expires_at = Some(start.expires_at);
        }
        if matches!(told.data, Data::SessionEnd(_)) {
            let Told { occurred_at, received_at, .. } = told;
            self.ended.get_or_insert(Moment { occurred_at, received_at });
        }
    }

    /// Whether it was over at a moment, as far as is known.
    pub(super) fn is_over(&self, at: Timestamp) -> bool {
        self.ended.is_some_and(|end| at > end.occurred_at)
            || self.expires_at.is_some_and(|end| at > end)
    }
}

/// A grant: its terms, and whether it was taken back. Nothing of both, if the ledger has no such grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Grant {
    /// The terms told last.
    pub(super) terms: Option<Arc<DelegationGrant>>,
    /// The session in which it was given.
    pub(super) session: Option<Arc<str>>,
    /// When it was first taken back.
    pub(super) revoked: Option<Timestamp>,
    /// Where it first said how many calls it allows: those after it are counted.
    pub(super) counted_from: Option<u64>,
    /// How many there were.
    pub(super) calls: u64,
}

impl Grant {
    /// Learns what a record of this grant tells.
    pub(super) fn fold(&mut self, told: Told<'_>) {
        if let Data::DelegationGrant(terms) = told.data {
            self.terms = Some(Arc::new(terms.clone()));
            if terms.max_calls.is_some() {
                self.counted_from.get_or_insert(told.seq);
            }
            self.session = told.session.map(Into::into);
        }
        if matches!(told.data, Data::DelegationRevoke(_)) {
            self.revoked.get_or_insert(told.occurred_at);
        }
        let counts = self.counted_from.is_some_and(|seq| told.seq > seq);
        if counts && matches!(told.data, Data::ToolInvocation(_)) {
            self.calls += 1;
        }
    }
}

/// Approvals of a server's catalogs that are remembered: those that count from the latest moments on.
const DECISIONS_MAX: usize = 16;

/// The catalogs of a server: what was decided on them, and what the server says now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    /// The later one was decided on later, and counts from a later moment on.
    decisions: Vec<Decision>,
    pub(super) latest: Option<Arc<Offer>>,
}

/// What counts of a server's catalogs from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// The moment; at once if there is none.
    from: Option<Timestamp>,
    /// What was approved. Nothing if that was taken back, or if all that was decided is a rejection.
    pub(super) approved: Option<Arc<Offer>>,
}

/// What a server offers, or offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// Where it is told.
    pub(super) seq: u64,
    /// The snapshot whose content has the definitions: this one, or the one of the server just before
    /// it, of the same catalog.
    pub(super) defined_at: Option<u64>,
    /// The digest of the whole.
    pub(super) digest: Digest,
    /// The digest of each tool's definition.
    pub(super) tools: BTreeMap<Name, Digest>,
}

impl Offer {
    fn new(told: Told<'_>, catalog: &ToolCatalogSnapshot, before: Option<&Self>) -> Self {
        let same = before.filter(|before| before.digest == catalog.catalog_digest);
        let same = same.and_then(|before| before.defined_at.filter(|at| *at == before.seq));
        let defined_at = if told.defines_tools { Some(told.seq) } else { same };
        let tools = catalog.tools.iter();
        let tools = tools.map(|tool| (tool.name.clone(), tool.definition_digest.clone()));
        let (digest, tools) = (catalog.catalog_digest.clone(), tools.collect());
        Self { seq: told.seq, defined_at, digest, tools }
    }
}

impl Catalog {
    /// Learns what a snapshot tells: the newest one is what is offered, and a review is a decision.
    pub(super) fn fold(&mut self, told: Told<'_>) {
        let Data::ToolCatalogSnapshot(catalog) = told.data else { return };
        let offer = Arc::new(Offer::new(told, catalog, self.latest.as_deref()));
        match catalog.review_status {
            Some(Review::Approved) => {
                self.decide(catalog.effective_from, Some(Arc::clone(&offer)));
            }
            Some(Review::Rejected) => self.reject(&offer.digest, told.received_at),
            Some(Review::Proposed) | None => {}
        }
        self.latest = Some(offer);
    }

    /// What was decided first for a later moment does not come back when its moment comes.
    fn decide(&mut self, from: Option<Timestamp>, approved: Option<Arc<Offer>>) {
        self.decisions.retain(|earlier| earlier.from < from);
        self.decisions.push(Decision { from, approved });
        if self.decisions.len() > DECISIONS_MAX {
            self.decisions.remove(0);
        }
    }

    /// Takes the approval of a catalog away: what was approved before it does not come back. One that
    /// does not count yet never will.
    fn reject(&mut self, digest: &Digest, received_at: Timestamp) {
        let is_it = |decision: &Decision| {
            decision.approved.as_ref().is_some_and(|approved| approved.digest == *digest)
        };
        self.decisions.retain(|decision| !(is_it(decision) && decision.from > Some(received_at)));
        for decision in self.decisions.iter_mut().filter(|decision| is_it(decision)) {
            decision.approved = None;
        }
        if self.decisions.is_empty() {
            self.decide(None, None);
        }
    }

    /// What counted at a moment, if anything was decided by then.
    pub(super) fn in_force(&self, at: Timestamp) -> Option<&Decision> {
        self.decisions.iter().rev().find(|decision| decision.from <= Some(at))
    }

    /// The digest by which a tool is defined now.
    pub(super) fn offered(&self, tool: &Name) -> Option<&Digest> {
        self.latest.as_ref().and_then(|offer| offer.tools.get(tool))
    }
}
