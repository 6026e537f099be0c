//! The tree over the leaves, the tiles above them, and the roots at the sizes of checkpoints.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::finding::{Code, Finding};
use super::source::{Source, SourceError};
use crate::canon::TreeHash;
use crate::proof::{Completed, Tile, TilePath, Tree, tile_width};

/// Recomputes a tree from its leaves, compares the tiles above the leaves with it, and notes the
/// roots that are asked for.
///
/// An audit runs two: over the leaf hashes of the entries that are there, and over those that the
/// lowest tiles hold. Where both differ, the signed root tells which of the two was changed.
pub(super) struct TreeAudit<'a> {
    source: &'a dyn Source,
    tree: Tree,
    /// The sizes at which the root is wanted, and the roots so far.
    roots: BTreeMap<u64, Option<TreeHash>>,
    findings: Vec<Finding>,
}

/// What came of a [`TreeAudit`].
pub(super) struct Audited {
    pub(super) size: u64,
    pub(super) root: TreeHash,
    pub(super) roots: BTreeMap<u64, Option<TreeHash>>,
    /// What is wrong with the tiles above the leaves, if these leaves are right.
    pub(super) findings: Vec<Finding>,
}

impl<'a> TreeAudit<'a> {
    pub(super) fn new(source: &'a dyn Source, sizes: &[u64]) -> Self {
        let roots = sizes.iter().map(|size| (*size, None)).collect();
        Self { source, tree: Tree::new(), roots, findings: Vec::new() }
    }

    /// Adds a leaf, and compares every tile that it completes.
    pub(super) fn push(&mut self, leaf: TreeHash) -> Result<(), SourceError> {
        let mut completed = Vec::new();
        self.tree.append(leaf, &mut completed);
        if let Some(root) = self.roots.get_mut(&self.tree.size()) {
            *root = Some(self.tree.root());
        }
        for Completed { level, index, tile } in completed {
            self.compare(level, index, &tile)?;
        }
        Ok(())
    }

    /// Compares the tiles of the right edge, and gives what came of it all.
    pub(super) fn finish(mut self) -> Result<Audited, SourceError> {
        let size = self.tree.size();
        for level in 1u8.. {
            if tile_width(size, level, 0).is_none() {
                break;
            }
            let index = size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0);
            if let Some(edge) = self.tree.edge(level).filter(|edge| !edge.is_empty()) {
                let edge = Arc::clone(edge);
                self.compare(level, index, &edge)?;
            }
        }
        let root = self.tree.root();
        Ok(Audited { size, root, roots: self.roots, findings: self.findings })
    }

    fn compare(&mut self, level: u8, index: u64, tile: &Tile) -> Result<(), SourceError> {
        if level == 0 {
            return Ok(());
        }
        let width = u16::try_from(tile.len()).unwrap_or(u16::MAX);
        let path = TilePath::Hash { level, index, width };
        let finding = match self.source.read(path)? {
            Some(stored) if stored == tile.to_bytes() => return Ok(()),
            Some(_) => (Code::TileWrong, format!("{path} is not that of the tiles below it")),
            None => (Code::TileMissing, format!("{path} is not there")),
        };
        let (code, message) = finding;
        self.findings.push(Finding { seq: None, code, message });
        Ok(())
    }
}
