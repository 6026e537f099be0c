//! How entries hang together: the chain, the sessions, the causes, ids and times.
//!
//! It keeps some 150 bytes of every entry, its id among them, and the last entry of every session: for
//! a log of four million entries some 600 MiB.

use std::collections::{BTreeMap, BTreeSet};

use super::examine::{ExaminedEntry, Links};
use super::finding::{Code, Findings};
use super::source::Meta;
use crate::canon::digest::sha256;
use crate::canon::{EntryHash, TreeHash, lookup_key};
use crate::record::{Kind, Timestamp, cause_allowed};

/// What was linked so far.
#[derive(Debug)]
pub(super) struct Linker {
    /// The first entry that is there; those before it cannot be compared with.
    from: u64,
    hashes: Vec<EntryHash>,
    leaves: Vec<TreeHash>,
    kinds: Vec<Option<(Kind, u64)>>,
    ids: BTreeSet<[u8; 16]>,
    sessions: BTreeMap<Box<str>, (u64, EntryHash)>,
    received_at: Option<Timestamp>,
    /// Whether the entry before could be read; if not, a broken link was found there already.
    intact: bool,
}

impl Linker {
    pub(super) fn new(meta: &Meta) -> Self {
        Self {
            from: meta.from,
            hashes: Vec::new(),
            leaves: Vec::new(),
            kinds: Vec::new(),
            ids: BTreeSet::new(),
            sessions: BTreeMap::new(),
            received_at: None,
            intact: true,
        }
    }

    /// The number of sessions.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The hash of the entry at `seq`, and the lookup key of its id.
    pub(super) fn entry(&self, seq: u64) -> Option<(EntryHash, Option<u64>)> {
        let place = usize::try_from(seq.checked_sub(self.from)?).ok()?;
        let hash = self.hashes.get(place)?;
        Some((*hash, self.kinds.get(place).copied().flatten().map(|(_, id)| id)))
    }

    /// The leaf hash of the entry at `seq`.
    pub(super) fn leaf(&self, seq: u64) -> Option<TreeHash> {
        self.leaves.get(usize::try_from(seq.checked_sub(self.from)?).ok()?).copied()
    }

    /// Links the next entry.
    ///
    /// An entry whose own bytes were changed is judged by `changed`: the links that lead to it then
    /// do not count against those that follow.
    pub(super) fn push(&mut self, entry: &ExaminedEntry, changed: bool, findings: &mut Findings) {
        let seq = self.from + u64::try_from(self.hashes.len()).unwrap_or(u64::MAX);
        if let Some(links) = &entry.links {
            self.chain(seq, links, findings);
            self.session(seq, links, entry.hash, findings);
            self.causes(seq, links, findings);
            self.identity(seq, links, findings);
        }
        self.intact = !changed && entry.links.is_some();
        self.hashes.push(entry.hash);
        self.leaves.push(entry.leaf);
        let known = entry.links.as_ref().map(|links| (links.kind, lookup_key(links.id.as_bytes())));
        self.kinds.push(known);
    }

    fn chain(&self, seq: u64, links: &Links, findings: &mut Findings) {
        let follows = match (self.hashes.last(), links.prev) {
            (Some(last), Some(prev)) => *last == prev,
            (None, prev) => prev.is_none() || self.from > 0,
            (Some(_), None) => false,
        };
        if !follows && self.intact {
            let message = "the entry does not name the entry before it by its hash";
            findings.push(seq, Code::ChainBroken, message.to_owned());
        }
    }

    fn session(&mut self, seq: u64, links: &Links, hash: EntryHash, findings: &mut Findings) {
        let Some((id, n, prev)) = &links.session else { return };
        let before = self.sessions.insert(id.clone(), (*n, hash));
        let follows = match before {
            Some((before, last)) => *n == before + 1 && (*prev == Some(last) || !self.intact),
            // In a part of a log, the session may have begun before it.
            None => (*n == 0 && prev.is_none()) || (self.from > 0 && prev.is_some()),
        };
        if !follows {
            let message = "the entry does not follow the entry before it in its session".to_owned();
            findings.push(seq, Code::SessionChainBroken, message);
        }
    }

    fn causes(&self, seq: u64, links: &Links, findings: &mut Findings) {
        for (rel, id, cause, hash) in &links.causes {
            if *cause >= seq {
                let message = format!("the cause at seq {cause} does not come before its effect");
                findings.push(seq, Code::CauseWrong, message);
                continue;
            }
            let Some((known, key)) = self.entry(*cause) else { continue };
            let place = usize::try_from(cause - self.from).unwrap_or(usize::MAX);
            let kind = self.kinds.get(place).copied().flatten().map(|(kind, _)| kind);
            let allowed = kind.is_none_or(|kind| cause_allowed(links.kind, *rel, kind));
            if known != *hash || key.is_some_and(|key| key != *id) || !allowed {
                let message = format!("the cause at seq {cause} is not the entry that was named");
                findings.push(seq, Code::CauseWrong, message);
            }
        }
    }

    fn identity(&mut self, seq: u64, links: &Links, findings: &mut Findings) {
        let digest = sha256(&[links.id.as_bytes()]);
        let short = digest.first_chunk::<16>().copied().unwrap_or_default();
        if !self.ids.insert(short) {
            findings.push(seq, Code::IdRepeated, "an earlier entry has the same id".to_owned());
        }
        if self.received_at.is_some_and(|before| links.received_at < before) {
            let message = "the entry was received before the entry before it".to_owned();
            findings.push(seq, Code::TimeGoesBack, message);
        }
        self.received_at = Some(links.received_at);
    }
}
