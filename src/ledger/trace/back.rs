//! Why: from a record back over every cause.

use std::collections::BTreeMap;

use super::{Bounds, Edge, Links, Relation, Role, SET_OFF, Step, bytes_at, summary};
use crate::ledger::{Error, View, known};
use crate::record::text::ExternalId;
use crate::record::{Data, Entry};

/// What led to a record.
#[derive(Clone, Debug)]
pub struct Why {
    /// The record, and then all that led to it, the newest first.
    pub steps: Vec<Step>,
    /// Whether something is missing because a bound was met.
    pub truncated: bool,
    /// The answer in a sentence.
    pub summary: String,
}

/// Walks from the record at `seq` back over all causes, and to the grants under which agents acted.
///
/// Causes stand before their effects in the log, so taking the newest record of those that were
/// reached meets each record after all that lead to it: once, and with its fewest steps known.
pub fn why(view: &View, seq: u64, bounds: Bounds, links: &dyn Links) -> Result<Why, Error> {
    let mut walk = Walk { view, bounds, links, grants: BTreeMap::new(), waiting: BTreeMap::new() };
    walk.waiting.insert(seq, Reached { depth: 0, edges: Vec::new() });
    let (mut steps, mut truncated) = (Vec::new(), false);
    while let Some((seq, reached)) = walk.waiting.pop_last() {
        if steps.len() == bounds.nodes_max {
            truncated = true;
            break;
        }
        let bytes = bytes_at(view, seq)?;
        let entry = known::parse(seq, &bytes)?;
        truncated |= walk.expand(&entry, reached.depth)?;
        let left = bounds.nodes_max.saturating_sub(steps.len() + 1);
        truncated |= walk.keep_newest(left);
        steps.push(Step {
            seq,
            id: entry.id.clone().into_owned(),
            kind: entry.kind,
            depth: reached.depth,
            role: Role::of(entry.kind),
            edges: sorted(reached.edges),
            set_off_by: set_off_by(&entry),
        });
    }
    let summary = summary::of_why(view, &steps, truncated)?;
    Ok(Why { steps, truncated, summary })
}

/// The cause that set a record off.
pub(super) fn set_off_by(entry: &Entry<'_>) -> Option<u64> {
    let cause = |rel| entry.causes.iter().find(|cause| cause.rel == rel);
    SET_OFF.into_iter().find_map(cause).map(|cause| cause.seq)
}

pub(super) fn sorted(mut edges: Vec<Edge>) -> Vec<Edge> {
    edges.sort_unstable();
    edges.dedup();
    edges
}

struct Walk<'a> {
    view: &'a View,
    bounds: Bounds,
    links: &'a dyn Links,
    /// The newest grant of each delegation, as of the record that was asked for last.
    grants: BTreeMap<String, Option<u64>>,
    /// What was reached and not yet looked at.
    waiting: BTreeMap<u64, Reached>,
}

struct Reached {
    depth: u64,
    edges: Vec<Edge>,
}

impl Walk<'_> {
    /// Reaches all that led to a record. Says whether there was something, and it is too far away.
    fn expand(&mut self, entry: &Entry<'_>, depth: u64) -> Result<bool, Error> {
        let causes = entry.causes.iter().map(|cause| (cause.seq, Relation::Cause(cause.rel)));
        let mut next: Vec<_> = causes.collect();
        if let Some(delegation) = delegation(entry) {
            let grant = self.grant(delegation, entry.seq)?;
            next.extend(grant.map(|grant| (grant, Relation::Delegation)));
        }
        if depth >= self.bounds.depth_max {
            return Ok(!next.is_empty());
        }
        for (seq, rel) in next {
            let fresh = Reached { depth: depth + 1, edges: Vec::new() };
            let reached = self.waiting.entry(seq).or_insert(fresh);
            reached.depth = reached.depth.min(depth + 1);
            reached.edges.push(Edge { from: entry.seq, rel });
        }
        Ok(false)
    }

    /// Forgets all but the newest that wait: with so many looks left, no other one gets its turn.
    /// Says whether it forgot any.
    fn keep_newest(&mut self, count: usize) -> bool {
        let more = self.waiting.len() > count;
        while self.waiting.len() > count {
            self.waiting.pop_first();
        }
        more
    }

    /// The newest grant before `below` with this id.
    fn grant(&mut self, delegation: &str, below: u64) -> Result<Option<u64>, Error> {
        // The walk goes down: what was the newest before a later record still is, if it is before
        // this one.
        if let Some(found) = self.grants.get(delegation)
            && found.is_none_or(|seq| seq < below)
        {
            return Ok(*found);
        }
        let found = self.links.grant(delegation, below).map_err(Error::Links)?;
        let found = match found.filter(|seq| *seq < below) {
            Some(seq) if self.is_grant(seq, delegation)? => Some(seq),
            Some(_) | None => None,
        };
        self.grants.insert(delegation.to_owned(), found);
        Ok(found)
    }

    /// Whether the record is what the links say that it is.
    fn is_grant(&self, seq: u64, delegation: &str) -> Result<bool, Error> {
        let bytes = bytes_at(self.view, seq)?;
        let entry = known::parse(seq, &bytes)?;
        Ok(matches!(&*entry.data, Data::DelegationGrant(grant) if *grant.delegation == *delegation))
    }
}

/// The grant that a record rests on.
fn delegation<'e>(entry: &'e Entry<'_>) -> Option<&'e str> {
    if let Data::DelegationGrant(grant) = &*entry.data {
        return grant.parent.as_deref();
    }
    entry.delegation.as_deref().map(ExternalId::as_str)
}
