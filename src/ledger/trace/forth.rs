//! Effects: from a record forward to all that came of it.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::back::{set_off_by, sorted};
use super::{Bounds, Edge, Links, Relation, Role, Step, bytes_at, summary, words};
use crate::ledger::{Error, View, known};
use crate::record::{Data, Entry, Kind};

/// What came of a record.
#[derive(Clone, Debug)]
pub struct Effects {
    /// The record, and then all that came of it, the nearest first.
    pub steps: Vec<Step>,
    /// Whether something is missing because a bound was met.
    pub truncated: bool,
    /// The sessions that the walk touched, in the order in which it came to them.
    pub sessions: Vec<SessionReached>,
    /// How many users it touched.
    pub users: u64,
    /// The answer in a sentence.
    pub summary: String,
}

impl Effects {
    /// How many API calls came of the record.
    pub fn api_calls(&self) -> u64 {
        let calls = self.sessions.iter().map(|session| session.api_calls.len());
        u64::try_from(calls.sum::<usize>()).unwrap_or(u64::MAX)
    }
}

/// A session that a walk touched.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SessionReached {
    /// The session's id.
    pub id: String,
    /// The user of its first record in the walk.
    pub user: Option<String>,
    /// How many of its records are in the walk.
    pub records: u64,
    /// Its API calls in the walk, without the record that was asked for.
    pub api_calls: Vec<ApiCallReached>,
}

/// An API call that came of a record.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ApiCallReached {
    /// Its place in the log.
    pub seq: u64,
    /// Its id.
    pub id: String,
    /// What was called, and what the answer was.
    pub title: String,
}

/// Walks from the record at `seq` forward over all effects, nearest first.
///
/// A document does its work wherever it is seen: if the record brought one in from outside, then all
/// others that saw the same document are reached too, and what came of each. The same holds on the
/// way for what is written to a memory, for those who find it there later. It does not hold for
/// other documents on the way: who else read them was not touched by this record.
pub fn effects(view: &View, seq: u64, bounds: Bounds, links: &dyn Links) -> Result<Effects, Error> {
    let mut walk = Walk {
        view,
        bounds,
        steps: Vec::new(),
        places: BTreeMap::new(),
        same: Vec::new(),
        touched: Touched::default(),
    };
    walk.reach(seq, 0)?;
    let (mut next, mut truncated) = (0, bounds.nodes_max == 0);
    while let Some((seq, depth)) = walk.steps.get(next).map(|step| (step.seq, step.depth)) {
        let all = walk.expand(seq, depth, links)?;
        truncated |= !all;
        if !all && walk.is_full() {
            break;
        }
        next += 1;
    }
    walk.join();
    let Walk { steps, touched, .. } = walk;
    let mut effects = Effects {
        steps,
        truncated,
        sessions: touched.sessions,
        users: u64::try_from(touched.users.len()).unwrap_or(u64::MAX),
        summary: String::new(),
    };
    effects.summary = summary::of_effects(view, &effects)?;
    Ok(effects)
}

struct Walk<'a> {
    view: &'a View,
    bounds: Bounds,
    /// What was reached, in the order in which it is looked at. Until the end, the edges of each are
    /// all its causes.
    steps: Vec<Step>,
    /// Where each record stands among the steps.
    places: BTreeMap<u64, usize>,
    /// What was reached as the same document: from where, and what.
    same: Vec<(u64, u64)>,
    touched: Touched,
}

#[derive(Default)]
struct Touched {
    sessions: Vec<SessionReached>,
    places: BTreeMap<String, usize>,
    users: BTreeSet<String>,
}

impl Walk<'_> {
    fn is_full(&self) -> bool {
        self.steps.len() >= self.bounds.nodes_max
    }

    /// Reaches all that follows from a record. Says whether that was possible within the bounds.
    fn expand(&mut self, seq: u64, depth: u64, links: &dyn Links) -> Result<bool, Error> {
        // One more than there can be room for shows that there are more.
        let limit = self.bounds.nodes_max.saturating_add(1);
        let mut found = Vec::new();
        for effect in self.view.effects(seq, self.bounds.size, limit)? {
            found.push((effect, false));
        }
        if let Some(from) = self.documents_from(seq)? {
            let seqs = from..self.bounds.size;
            let same = links.same_documents(seq, seqs.clone(), limit).map_err(Error::Links)?;
            let same = same.into_iter().filter(|other| *other != seq && seqs.contains(other));
            found.extend(same.map(|other| (other, true)));
        }
        let mut all = true;
        for (other, same) in found {
            if !self.places.contains_key(&other) {
                if depth >= self.bounds.depth_max || self.is_full() {
                    all = false;
                    continue;
                }
                self.reach(other, depth + 1)?;
            }
            if same {
                self.same.push((seq, other));
            }
        }
        Ok(all)
    }

    /// From where on those who saw the same document as this record belong to the walk, if they do.
    fn documents_from(&self, seq: u64) -> Result<Option<u64>, Error> {
        let Some(step) = self.places.get(&seq).and_then(|place| self.steps.get(*place)) else {
            return Ok(None);
        };
        if step.depth == 0 {
            return Ok(step.kind.is_untrusted_input().then_some(0));
        }
        if step.kind != Kind::Memory {
            return Ok(None);
        }
        let bytes = bytes_at(self.view, seq)?;
        let entry = known::parse(seq, &bytes)?;
        let written = matches!(&*entry.data, Data::Memory(memory) if memory.op.is_write());
        Ok(written.then_some(seq.saturating_add(1)))
    }

    fn reach(&mut self, seq: u64, depth: u64) -> Result<(), Error> {
        let bytes = bytes_at(self.view, seq)?;
        let entry = known::parse(seq, &bytes)?;
        let causes = entry.causes.iter();
        let causes = causes.map(|cause| Edge { from: cause.seq, rel: Relation::Cause(cause.rel) });
        self.places.insert(seq, self.steps.len());
        self.steps.push(Step {
            seq,
            id: entry.id.clone().into_owned(),
            kind: entry.kind,
            depth,
            role: Role::of(entry.kind),
            edges: causes.collect(),
            set_off_by: set_off_by(&entry),
        });
        self.touched.add(self.view, &entry, depth > 0)
    }

    /// Leaves the edges between records of the walk.
    fn join(&mut self) {
        for (from, to) in std::mem::take(&mut self.same) {
            let step = self.places.get(&to).and_then(|place| self.steps.get_mut(*place));
            if let Some(step) = step {
                step.edges.push(Edge { from, rel: Relation::SameDocument });
            }
        }
        for step in &mut self.steps {
            let mut edges = std::mem::take(&mut step.edges);
            edges.retain(|edge| self.places.contains_key(&edge.from));
            step.edges = sorted(edges);
        }
        // Nothing leads to the first record: it was asked for.
        if let Some(first) = self.steps.first_mut() {
            first.edges.clear();
        }
    }
}

impl Touched {
    fn add(&mut self, view: &View, entry: &Entry<'_>, is_effect: bool) -> Result<(), Error> {
        let user = entry.user.as_ref().map(|user| user.id.to_string());
        if let Some(user) = &user {
            self.users.insert(user.clone());
        }
        let Some(session) = &entry.session else { return Ok(()) };
        let place = *self.places.entry(session.id.to_string()).or_insert(self.sessions.len());
        if place == self.sessions.len() {
            let id = session.id.to_string();
            self.sessions.push(SessionReached { id, user, records: 0, api_calls: Vec::new() });
        }
        let Some(reached) = self.sessions.get_mut(place) else { return Ok(()) };
        reached.records += 1;
        if is_effect && entry.kind == Kind::ApiCall {
            let (id, title) = (entry.id.to_string(), words::title(view, entry)?);
            reached.api_calls.push(ApiCallReached { seq: entry.seq, id, title });
        }
        Ok(())
    }
}
