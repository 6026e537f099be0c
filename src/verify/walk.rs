//! One pass over all entries: bundles are examined in parallel, and put together in their order.

use std::ops::Range;

use rayon::prelude::*;

use super::audit::Error;
use super::examine::{self, Part, Place, Scope};
use super::finding::{Code, Findings, LISTED_MAX};
use super::link::Linker;
use super::producers::Signatures;
use super::source::SourceError;
use super::tree::{Audited, TreeAudit};
use crate::canon::TreeHash;
use crate::proof::{TILE_WIDTH, TilePath};

/// Bundles that are examined at once: while 16,384 entries are put together, the next are examined.
const BUNDLES_AT_ONCE: u64 = 64;

/// How much was checked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) entries: u64,
    pub(super) contents: u64,
    pub(super) contents_absent: u64,
}

/// What was put together so far.
pub(super) struct Walk<'a> {
    scope: Scope<'a>,
    by_entries: TreeAudit<'a>,
    /// From the first difference between an entry and its tile on.
    by_tiles: Option<TreeAudit<'a>>,
    pub(super) linker: Linker<'a>,
    pub(super) signatures: Signatures<'a>,
    /// Entries whose leaf hash differs from the one in their tile: those that will be listed, and how
    /// many more there are.
    suspects: Vec<(u64, TilePath)>,
    more_suspects: u64,
    pub(super) counts: Counts,
}

impl<'a> Walk<'a> {
    /// A walk that will tell the roots at `sizes`.
    pub(super) fn new(scope: Scope<'a>, sizes: Vec<u64>) -> Self {
        Self {
            scope,
            by_entries: TreeAudit::new(scope.source, sizes),
            by_tiles: None,
            linker: Linker::new(scope.range().start, scope.receipts),
            signatures: Signatures::new(scope.producers, scope.range().start),
            suspects: Vec::new(),
            more_suspects: 0,
            counts: Counts::default(),
        }
    }

    /// Goes over the whole log. It ends early where nothing more of it is there, so that no number in
    /// a file makes it go on for ever.
    pub(super) fn run(
        &mut self,
        progress: Option<&dyn Fn(u64)>,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let (scope, bundles) = (self.scope, self.scope.size.div_ceil(TILE_WIDTH));
        let group = |first: u64| first..bundles.min(first.saturating_add(BUNDLES_AT_ONCE));
        let mut first = 0;
        let mut parts = examine(scope, group(first))?;
        while !parts.is_empty() {
            if !parts.iter().any(|part| part.there) {
                let seq = first * TILE_WIDTH;
                let message = "of the entries from here on, nothing is there".to_owned();
                findings.push(seq, Code::BundleMissing, message);
                self.by_entries.push(None)?;
                self.by_tiles.iter_mut().try_for_each(|tree| tree.push(None))?;
                break;
            }
            first = group(first).end;
            let (next, taken) = rayon::join(
                || examine(scope, group(first)),
                || parts.into_iter().try_for_each(|part| self.take(part, findings)),
            );
            taken?;
            parts = next?;
            if let Some(progress) = progress {
                progress(self.counts.entries);
            }
        }
        self.linker.ids(findings);
        Ok(())
    }

    fn take(&mut self, part: Part, findings: &mut Findings) -> Result<(), SourceError> {
        let Part { first, tile, places, contents, contents_absent, .. } = part;
        self.counts.contents += contents;
        self.counts.contents_absent += contents_absent;
        part.findings.into_iter().for_each(|finding| findings.add(finding));

        for (seq, Place { stored, entry }) in (first..).zip(places) {
            let leaf = entry.as_ref().map(|entry| entry.leaf);
            let changed = leaf.is_some() && stored.is_some() && leaf != stored;
            if changed {
                self.suspect(seq, tile);
            }
            if let Some(tree) = &mut self.by_tiles {
                tree.push(stored.or(leaf))?;
            }
            self.by_entries.push(leaf.or(stored))?;
            if self.scope.range().contains(&seq) {
                self.counts.entries += u64::from(entry.is_some());
                let links = entry.as_ref().and_then(|entry| entry.links.as_ref());
                if let Some(links) = links.filter(|_| !changed) {
                    self.genesis(seq, links.genesis.as_deref(), findings);
                }
                self.signatures.push(seq, entry.as_ref().filter(|_| !changed), findings);
                self.linker.push(entry, changed, findings);
            }
        }
        Ok(())
    }

    /// Notes an entry that is not the one of its tile. Until the first, both trees are one.
    fn suspect(&mut self, seq: u64, tile: Option<TilePath>) {
        if self.by_tiles.is_none() {
            self.by_tiles = Some(self.by_entries.clone());
        }
        match tile {
            Some(tile) if self.suspects.len() < LISTED_MAX => self.suspects.push((seq, tile)),
            _ => self.more_suspects += 1,
        }
    }

    /// The first entry says what ledger this is.
    fn genesis(&self, seq: u64, origin: Option<&str>, findings: &mut Findings) {
        let right = match origin {
            Some(origin) => seq == 0 && *origin == self.scope.meta.origin,
            None => seq > 0,
        };
        if !right {
            let message = "a log begins with a genesis entry of its origin, and has no other";
            findings.push(seq, Code::GenesisWrong, message.to_owned());
        }
    }

    /// Ends the walk with the tree that the log signed, if one of the two is that: its root tells
    /// whether the entries or the tiles were changed.
    pub(super) fn finish(
        self,
        signed: Option<TreeHash>,
        findings: &mut Findings,
    ) -> Result<Audited, Error> {
        let by_entries = self.by_entries.finish()?;
        let by_tiles = self.by_tiles.map(TreeAudit::finish).transpose()?;
        let tiles_are_right =
            by_tiles.as_ref().is_some_and(|tree| signed == Some(tree.root) && tree.lost.is_none());
        for (seq, tile) in self.suspects {
            if tiles_are_right {
                let message = "the entry is not the one that was signed".to_owned();
                findings.push(seq, Code::EntryChanged, message);
            } else {
                let message =
                    format!("{tile} holds another leaf hash for seq {seq} than the entry has");
                findings.push(None, Code::TileWrong, message);
            }
        }
        findings.count(self.more_suspects);
        let tree = match by_tiles {
            Some(by_tiles) if tiles_are_right => by_tiles,
            _ => by_entries,
        };
        tree.findings.iter().cloned().for_each(|finding| findings.add(finding));
        Ok(tree)
    }
}

fn examine(scope: Scope<'_>, indexes: Range<u64>) -> Result<Vec<Part>, SourceError> {
    indexes.into_par_iter().map(|index| examine::part(scope, index)).collect()
}
