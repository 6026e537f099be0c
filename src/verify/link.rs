//! How entries hang together: the chain, the sessions, the causes, ids and times.
//!
//! It keeps 65 bytes of every entry, and the last entry of every session; the search for repeated ids
//! takes 8 more at the end.
//!
//! An entry that is not there, cannot be read, or is not the one that its tile holds the leaf hash of
//! is unknown: it was found already. It is not linked, nothing is compared with it, and it takes a
//! place in whatever session that may be. So a changed entry is blamed alone.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::examine::{ExaminedEntry, IdDigest, Links};
use super::finding::{Code, Findings};
use crate::canon::{EntryHash, TreeHash};
use crate::record::{Kind, Timestamp, cause_allowed};

/// Entries in one piece of memory, so that growing copies nothing.
const PIECE: usize = 4_096;
/// The bits of a place, when places are sorted by the ids that stand there: a log of 2^40 entries
/// would fill 71 TB of memory first.
const PLACE_BITS: u32 = 40;

/// What is kept of an entry.
#[derive(Clone, Copy, Debug)]
struct Known {
    hash: EntryHash,
    id: IdDigest,
    kind: Kind,
}

const _: () = assert!(size_of::<Option<Known>>() == 65, "what is kept of an entry stays small");

/// The last entry of a session.
#[derive(Clone, Copy, Debug)]
struct Last {
    n: u64,
    hash: EntryHash,
    /// How many entries were unknown up to it.
    unknown: u64,
}

/// An entry that a receipt was given for.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) hash: EntryHash,
    pub(super) leaf: TreeHash,
    /// `None` if the bytes are no entry.
    pub(super) id: Option<Box<str>>,
}

/// What was linked so far.
#[derive(Debug)]
pub(super) struct Linker<'a> {
    /// The first entry that should be there; those before it cannot be compared with.
    from: u64,
    /// The number of places so far.
    places: u64,
    known: Vec<Vec<Option<Known>>>,
    sessions: BTreeMap<Box<str>, Last>,
    received_at: Option<Timestamp>,
    /// How many entries are unknown.
    unknown: u64,
    receipts: &'a BTreeSet<u64>,
    received: BTreeMap<u64, Received>,
}

impl<'a> Linker<'a> {
    /// Links the entries from `from` on, and notes those that there are receipts for.
    pub(super) const fn new(from: u64, receipts: &'a BTreeSet<u64>) -> Self {
        Self {
            from,
            places: 0,
            known: Vec::new(),
            sessions: BTreeMap::new(),
            received_at: None,
            unknown: 0,
            receipts,
            received: BTreeMap::new(),
        }
    }

    /// The number of sessions.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// An entry that there is a receipt for.
    pub(super) fn received(&self, seq: u64) -> Option<&Received> {
        self.received.get(&seq)
    }

    /// Takes the next place: an entry, or nothing. `changed` says that the entry is not the one that
    /// the tile holds the leaf hash of.
    pub(super) fn push(
        &mut self,
        entry: Option<ExaminedEntry>,
        changed: bool,
        findings: &mut Findings,
    ) {
        let seq = self.from + self.places;
        let mut known = None;
        if let Some(entry) = entry {
            if let Some(links) = entry.links.as_ref().filter(|_| !changed) {
                self.chain(seq, links, findings);
                self.session(seq, links, entry.hash, findings);
                self.causes(seq, links, findings);
                self.time(seq, links, findings);
                known = Some(Known { hash: entry.hash, id: links.id, kind: links.kind });
            }
            if self.receipts.contains(&seq) {
                let ExaminedEntry { hash, leaf, id, .. } = entry;
                self.received.insert(seq, Received { hash, leaf, id });
            }
        }
        self.unknown += u64::from(known.is_none());
        match self.known.last_mut() {
            Some(piece) if piece.len() < PIECE => piece.push(known),
            _ => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(known);
                self.known.push(piece);
            }
        }
        self.places += 1;
    }

    /// What is known of the entry at `seq`.
    fn known(&self, seq: u64) -> Option<&Known> {
        let place = usize::try_from(seq.checked_sub(self.from)?).ok()?;
        self.known.get(place / PIECE)?.get(place % PIECE)?.as_ref()
    }

    fn chain(&self, seq: u64, links: &Links, findings: &mut Findings) {
        let before = seq.checked_sub(1).and_then(|before| self.known(before));
        let follows = match (before, links.prev) {
            (Some(before), Some(prev)) => before.hash == prev,
            (None, prev) => prev.is_some() == (seq > 0),
            (Some(_), None) => false,
        };
        if !follows {
            let message = "the entry does not name the entry before it by its hash";
            findings.push(seq, Code::ChainBroken, message.to_owned());
        }
    }

    fn session(&mut self, seq: u64, links: &Links, hash: EntryHash, findings: &mut Findings) {
        let Some((id, n, prev)) = &links.session else { return };
        let last = Last { n: *n, hash, unknown: self.unknown };
        let before = match self.sessions.get_mut(id) {
            Some(place) => Some(std::mem::replace(place, last)),
            None => self.sessions.insert(id.clone(), last),
        };
        let follows = match before {
            Some(before) => {
                let between = n.checked_sub(before.n).and_then(|step| step.checked_sub(1));
                match between {
                    Some(0) => *prev == Some(before.hash),
                    Some(between) => prev.is_some() && between <= self.unknown - before.unknown,
                    None => false,
                }
            }
            None if *n == 0 => prev.is_none(),
            // In a part of a log, the session may have begun before it.
            None => prev.is_some() && (self.from > 0 || *n <= self.unknown),
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
            let Some(known) = self.known(*cause) else { continue };
            let allowed = cause_allowed(links.kind, *rel, known.kind);
            if known.hash != *hash || known.id != *id || !allowed {
                let message = format!("the cause at seq {cause} is not the entry that was named");
                findings.push(seq, Code::CauseWrong, message);
            }
        }
    }

    fn time(&mut self, seq: u64, links: &Links, findings: &mut Findings) {
        if self.received_at.is_some_and(|before| links.received_at < before) {
            let message = "the entry was received before the entry before it".to_owned();
            findings.push(seq, Code::TimeGoesBack, message);
        }
        self.received_at = Some(links.received_at);
    }

    /// Finds the ids that stand in more than one entry.
    pub(super) fn ids(&self, findings: &mut Findings) {
        let places = self.known.iter().flatten().zip(0u64..);
        let mut order: Vec<u64> = places
            .filter_map(|(known, place)| Some((head(&known.as_ref()?.id) << PLACE_BITS) | place))
            .collect();
        order.par_sort_unstable();
        let seq = |key: &u64| self.from + (key & ((1 << PLACE_BITS) - 1));
        let mut repeated = Vec::new();
        // Few ids share the bits that were sorted by; those are compared whole.
        for same in order.chunk_by(|one, two| one >> PLACE_BITS == two >> PLACE_BITS) {
            if same.len() < 2 {
                continue;
            }
            let mut whole: Vec<_> = same
                .iter()
                .map(|key| (self.known(seq(key)).map(|known| known.id), seq(key)))
                .collect();
            whole.sort_unstable();
            let pairs = whole.iter().zip(whole.iter().skip(1));
            repeated.extend(pairs.filter(|(one, two)| one.0 == two.0).map(|(_, two)| two.1));
        }
        repeated.sort_unstable();
        for seq in repeated {
            findings.push(seq, Code::IdRepeated, "an earlier entry has the same id".to_owned());
        }
    }
}

/// The first bits of an id's digest: as many as a place leaves room for.
fn head(id: &IdDigest) -> u64 {
    let [a, b, c, ..] = *id;
    u64::from_be_bytes([0, 0, 0, 0, 0, a, b, c])
}
